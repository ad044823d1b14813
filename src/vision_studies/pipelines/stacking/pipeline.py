"""The graph of `stacking`: search where asked, train stacks and opponents, score each once, compare and draw."""

from kedro.pipeline import Node, Pipeline

from vision_studies.pipelines.stacking.figures import plot_comparison, plot_search, plot_training
from vision_studies.pipelines.stacking.nodes import evaluate_runs, search_hyperparameters, train_runs
from vision_studies.pipelines.stacking.tables import compare_stacks, describe_study, tabulate_study

SETTINGS = "params:stacking"
PARAMETERS = [SETTINGS, "params:study", "params:execution"]
DATA = ["image_set", "splits", "ffcv_files"]


def create_pipeline(**_: object) -> Pipeline:
    """Train stacks of networks and what they have to beat.

    The tag `search` is a phase that several processes may do at once; without a search in the study it does nothing.
    """
    return Pipeline(
        [
            Node(
                search_hyperparameters,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder"],
                outputs=["trials", "trial_results", "trial_histories"],
                name="search_hyperparameters",
                tags="search",
            ),
            Node(
                train_runs,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder", "trials"],
                outputs=["plan", "training_results", "histories"],
                name="train_runs",
                tags="training",
            ),
            Node(
                evaluate_runs,
                inputs=[*PARAMETERS, *DATA, "runs_folder", "trials", "training_results"],
                outputs="results",
                name="evaluate_runs",
                tags="evaluation",
            ),
            Node(
                compare_stacks,
                inputs=["results", "plan", "params:reporting"],
                outputs=["comparison", "conclusions"],
                name="compare_stacks",
                tags="evaluation",
            ),
            Node(
                tabulate_study,
                inputs=["results", "plan"],
                outputs=["markdown_tables", "latex_tables"],
                name="tabulate_study",
                tags="evaluation",
            ),
            Node(
                describe_study,
                inputs=[SETTINGS, "results", "plan", "histories", "trials", "trial_results", "trial_histories"],
                outputs=["study_files", "search_summaries"],
                name="describe_study",
                tags="evaluation",
            ),
            Node(
                plot_comparison,
                inputs=[SETTINGS, "results", "plan", "comparison"],
                outputs=["variants_figure", "opponents_figure", "efficiency_figure"],
                name="plot_comparison",
                tags="figures",
            ),
            Node(
                plot_training,
                inputs=[SETTINGS, "histories", "plan"],
                outputs=["learning_curves", "parts_figure"],
                name="plot_training",
                tags="figures",
            ),
            Node(
                plot_search,
                inputs=[SETTINGS, "trials", "trial_histories"],
                outputs="search_figures",
                name="plot_search",
                tags="figures",
            ),
        ],
        namespace="stacking",
        inputs=set(DATA),
        parameters={*PARAMETERS, "params:fresh", "params:reporting"},
    )
