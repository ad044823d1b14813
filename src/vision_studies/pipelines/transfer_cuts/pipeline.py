"""The graph of `transfer_cuts`: learn some classes, cut the networks, learn others, compare."""

from kedro.pipeline import Node, Pipeline

from vision_studies.pipelines.transfer_cuts.figures import plot_cuts, plot_every_mode
from vision_studies.pipelines.transfer_cuts.nodes import evaluate_networks, fine_tune_networks, pretrain_networks
from vision_studies.pipelines.transfer_cuts.tables import compare_cuts, conclude, tabulate_cuts, write_original_layout

SETTINGS = "params:transfer_cuts"
PARAMETERS = [SETTINGS, "params:study", "params:execution"]
DATA = ["image_set", "splits"]


def create_pretraining() -> Pipeline:
    """Networks that have learnt the first classes; `clustering` looks into the same ones."""
    return Pipeline(
        [
            Node(
                pretrain_networks,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder"],
                outputs=["pretraining", "pretraining_histories"],
                name="pretrain_networks",
                tags="pretraining",
            )
        ],
        namespace="transfer_cuts",
        inputs=set(DATA),
        parameters={*PARAMETERS, "params:fresh"},
    )


def create_pipeline(**_: object) -> Pipeline:
    """Try every cut with few and with many images of new classes."""
    return create_pretraining() + Pipeline(
        [
            Node(
                fine_tune_networks,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder", "pretraining"],
                outputs=["training_results", "histories"],
                name="fine_tune_networks",
                tags="training",
            ),
            Node(
                evaluate_networks,
                inputs=[*PARAMETERS, *DATA, "runs_folder", "training_results"],
                outputs=["results", "accuracies"],
                name="evaluate_networks",
                tags="evaluation",
            ),
            Node(
                compare_cuts,
                inputs=[SETTINGS, "params:reporting", "accuracies"],
                outputs="statistics",
                name="compare_cuts",
                tags="evaluation",
            ),
            Node(
                conclude,
                inputs=[SETTINGS, "params:reporting", "accuracies", "statistics"],
                outputs="conclusions",
                name="conclude",
                tags="evaluation",
            ),
            Node(
                tabulate_cuts,
                inputs=[SETTINGS, "statistics"],
                outputs=["markdown_tables", "latex_tables"],
                name="tabulate_cuts",
                tags="evaluation",
            ),
            Node(
                write_original_layout,
                inputs=[SETTINGS, "accuracies"],
                outputs="original_files",
                name="write_original_layout",
                tags="evaluation",
            ),
            Node(
                plot_cuts,
                inputs=[SETTINGS, "accuracies", "statistics"],
                outputs=["modes_figure", "box_plot", "difference_lines", "heat_map"],
                name="plot_cuts",
                tags="figures",
            ),
            Node(
                plot_every_mode,
                inputs=[SETTINGS, "accuracies", "statistics"],
                outputs="figures",
                name="plot_every_mode",
                tags="figures",
            ),
        ],
        namespace="transfer_cuts",
        inputs=set(DATA),
        parameters={*PARAMETERS, "params:fresh", "params:reporting"},
    )
