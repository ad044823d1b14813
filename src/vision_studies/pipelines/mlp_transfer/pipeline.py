"""The graph of `mlp_transfer`: search, retrain at home, transfer, and what comes of it."""

from kedro.pipeline import Node, Pipeline

from vision_studies.pipelines.mlp_transfer.figures import plot_best_trials, plot_search, plot_transfer
from vision_studies.pipelines.mlp_transfer.nodes import (
    retrain_architectures,
    search_hyperparameters,
    select_hyperparameters,
    transfer_hyperparameters,
)
from vision_studies.pipelines.mlp_transfer.tables import (
    compare_architectures,
    conclude,
    hyperparameter_importance,
    tabulate_search,
    tabulate_transfer,
)

SETTINGS = "params:mlp_transfer"
PARAMETERS = [SETTINGS, "params:study", "params:execution"]
DATA = ["image_set", "splits"]


def create_pipeline(**_: object) -> Pipeline:
    """Search hyperparameters for perceptrons of several shapes, and try each shape's optimum on the others.

    Tags are phases that can be run alone: search, search_report, transfer.
    """
    return Pipeline(
        [
            Node(
                search_hyperparameters,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder"],
                outputs=["search_results", "search_histories"],
                name="search_hyperparameters",
                tags="search",
            ),
            Node(
                select_hyperparameters,
                inputs=[SETTINGS, *DATA, "search_results"],
                outputs="best_hyperparameters",
                name="select_hyperparameters",
                tags="search",
            ),
            Node(
                retrain_architectures,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder", "search_results", "best_hyperparameters"],
                outputs=["results", "histories"],
                name="retrain_architectures",
                tags="search",
            ),
            Node(
                compare_architectures,
                inputs=["results", "params:reporting"],
                outputs="architectures",
                name="compare_architectures",
                tags="search_report",
            ),
            Node(
                tabulate_search,
                inputs=[SETTINGS, "search_results", "search_histories", "best_hyperparameters", "results"],
                outputs=["search_files", "search_descriptions"],
                name="tabulate_search",
                tags="search_report",
            ),
            Node(
                hyperparameter_importance,
                inputs=[SETTINGS, "search_results"],
                outputs="importance",
                name="hyperparameter_importance",
                tags="search_report",
            ),
            Node(
                plot_search,
                inputs=[SETTINGS, "search_histories", "best_hyperparameters", "search_files", "importance", "results"],
                outputs=["loss_curves", "seed_losses", "importance_figure", "slices"],
                name="plot_search",
                tags=["search_report", "figures"],
            ),
            Node(
                plot_best_trials,
                inputs=[SETTINGS, "search_histories", "best_hyperparameters"],
                outputs="best_trial_figures",
                name="plot_best_trials",
                tags=["search_report", "figures"],
            ),
            Node(
                transfer_hyperparameters,
                inputs=[
                    *PARAMETERS,
                    "params:fresh",
                    *DATA,
                    "runs_folder",
                    "search_results",
                    "best_hyperparameters",
                    "results",
                ],
                outputs="transfer_runs",
                name="transfer_hyperparameters",
                tags="transfer",
            ),
            Node(
                tabulate_transfer,
                inputs=[SETTINGS, "params:reporting", "transfer_runs"],
                outputs=["transfer_files", "transfer"],
                name="tabulate_transfer",
                tags="transfer",
            ),
            Node(
                plot_transfer,
                inputs=[SETTINGS, "transfer_files"],
                outputs=["transfer_losses", "regret", "relative_regret"],
                name="plot_transfer",
                tags=["transfer", "figures"],
            ),
            Node(
                conclude, inputs=["architectures", "transfer"], outputs="conclusions", name="conclude", tags="transfer"
            ),
        ],
        namespace="mlp_transfer",
        inputs=set(DATA),
        parameters={*PARAMETERS, "params:fresh", "params:reporting"},
    )
