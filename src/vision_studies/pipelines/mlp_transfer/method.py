"""What `mlp_transfer` is: search, retrain at home, transfer, and what comes of it."""

from typing import Any

import pandas as pd

from vision_studies.pipelines.mlp_transfer import nodes
from vision_studies.pipelines.mlp_transfer.networks import NETWORKS
from vision_studies.pipelines.mlp_transfer.published_study import PUBLISHED
from vision_studies.pipelines.mlp_transfer.stages import check, most_runs, select_hyperparameters, stages
from vision_studies.studies.method import (
    ChartSource,
    Choice,
    FigureText,
    Method,
    NodeSpec,
    PageSection,
    beside_all,
    does_runs,
    no_baseline,
)
from vision_studies.studies.predictions import Kept

SETTINGS = "params:mlp_transfer"
REPORT = "report"  # all that is made of what search, retraining and transfer have saved
SEARCH_REPORT = (REPORT, "search_report")  # that part of it which needs no transfer


def _regret_chart(regrets: pd.DataFrame) -> Any:
    from vision_studies.pipelines.mlp_transfer.regret_map import regret_heat_map

    return regret_heat_map(regrets.astype({"target_arch": str, "source_arch": str}))


def _search_chart(results: pd.DataFrame) -> Any:
    from vision_studies.figures.interactive_trials import parallel_coordinates, search_trials

    return parallel_coordinates(search_trials(results), objective="validation loss (nats)", lower_is_better=True)


def _not_in_folds(_: Any) -> str:
    return "searches for hyperparameters, and each fold would have found its own"


METHOD = Method(
    name="mlp_transfer",
    version=1,
    section=PageSection(
        title="Hyperparameter transfer",
        figures={
            "search_test_loss_over_seeds": FigureText(
                "Architectures after tuning",
                "Test loss of every architecture trained anew with its own best hyperparameters, seed by seed.",
            ),
            "regret_matrix_mean": FigureText(
                "Regret",
                "What it costs an architecture (row) to be trained with the hyperparameters tuned for another (column).",
            ),
            "relative_regret_matrix": FigureText("Relative regret", "The same as a ratio: 1 is no loss."),
            "transfer_test_loss": FigureText(
                "Test loss of every pair",
                "Rows are trained, columns gave the hyperparameters; the diagonal is at home.",
            ),
            "loss_curves": FigureText("Loss curves", "Training and validation loss of each architecture's best trial."),
            "importance": FigureText(
                "Importance of hyperparameters",
                "Share of the variance of the validation loss that each hyperparameter explains in the search.",
            ),
            "slices": FigureText(
                "The search", "Validation loss of every trial against each hyperparameter; the chosen trials are large."
            ),
        },
        charts=(
            ChartSource("transfer/regret_paired_by_seed.csv", _regret_chart),
            ChartSource("search_results.parquet", _search_chart),
        ),
    ),
    stages=stages,
    check=check,
    networks=NETWORKS,
    published=PUBLISHED,
    predictions=Kept("correct"),
    verdict=Choice(no_baseline, beside_all, choosers=("validation_loss", "validation_accuracy"), asks_more=True),
    folds=_not_in_folds,
    most_runs=most_runs,
    nodes=(
        does_runs(nodes.search_hyperparameters, [], ["search_results", "search_histories"], "search"),
        NodeSpec(select_hyperparameters, ["search_results"], "best_hyperparameters", "search", in_context=True),
        does_runs(
            nodes.retrain_architectures, ["search_results", "best_hyperparameters"], ["results", "histories"], "retrain"
        ),
        NodeSpec(nodes.compare_architectures, ["results", "params:reporting"], "architectures", SEARCH_REPORT),
        NodeSpec(
            nodes.tabulate_search,
            ["search_results", "search_histories", "best_hyperparameters", "results"],
            ["search_files", "search_descriptions"],
            SEARCH_REPORT,
            in_context=True,
        ),
        NodeSpec(nodes.hyperparameter_importance, [SETTINGS, "search_results"], "importance", SEARCH_REPORT),
        NodeSpec(
            nodes.plot_search,
            [SETTINGS, "search_histories", "best_hyperparameters", "search_files", "importance", "results"],
            ["loss_curves", "seed_losses", "importance_figure", "slices"],
            [*SEARCH_REPORT, "figures"],
        ),
        NodeSpec(
            nodes.plot_best_trials,
            [SETTINGS, "search_results", "search_histories", "best_hyperparameters"],
            "best_trial_figures",
            [*SEARCH_REPORT, "figures"],
        ),
        does_runs(
            nodes.transfer_hyperparameters,
            ["search_results", "best_hyperparameters", "results"],
            "transfer_runs",
            "transfer",
        ),
        NodeSpec(
            nodes.tabulate_transfer,
            ["params:reporting", "best_hyperparameters", "transfer_runs"],
            ["transfer_files", "transfer"],
            REPORT,
            in_context=True,
        ),
        NodeSpec(
            nodes.plot_transfer,
            [SETTINGS, "transfer_files"],
            ["transfer_losses", "regret", "relative_regret"],
            [REPORT, "figures"],
        ),
        NodeSpec(nodes.conclude, ["architectures", "transfer"], "conclusions", REPORT),
    ),
)
