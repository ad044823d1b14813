"""What `stacking` is: search where asked, train stacks and opponents, score each once, compare and draw."""

from collections.abc import Mapping
from typing import Any

from vision_studies.pipelines.stacking import nodes
from vision_studies.pipelines.stacking.networks import NETWORKS
from vision_studies.pipelines.stacking.published_study import PUBLISHED
from vision_studies.pipelines.stacking.settings import StackingSettings
from vision_studies.pipelines.stacking.stages import check, most_runs, stages
from vision_studies.studies.method import (
    ChartSource,
    Choice,
    FigureText,
    Method,
    NodeSpec,
    PageSection,
    beside_all,
    does_runs,
)
from vision_studies.studies.predictions import Kept

SETTINGS = "params:stacking"
OPPOSING = ("network", "combination", "ensemble")
"""Methods of runs that are no stack."""


def _search_chart(trials: dict[str, Any]) -> Any:
    from vision_studies.figures.interactive_trials import optuna_trials, parallel_coordinates

    return parallel_coordinates(optuna_trials(trials), objective="validation accuracy", lower_is_better=False)


def _is_opponent(_: str, configuration: Mapping[str, Any]) -> bool:
    return configuration["method"] in OPPOSING


def _not_in_folds(settings: StackingSettings) -> str | None:
    return None if settings.search is None else "searches for hyperparameters, and each fold would have found its own"


METHOD = Method(
    name="stacking",
    version=2,
    section=PageSection(
        title="Stacked networks",
        figures={
            "comparison": FigureText(
                "Stacks compared", "Test accuracy of single runs (dots), their mean (diamond) and its interval (bar)."
            ),
            "opponents": FigureText(
                "The best stack and its opponents",
                "The stack with the best validation accuracy beside what it has to beat: networks and averages of the same "
                "cost.",
            ),
            "efficiency": FigureText(
                "Accuracy and cost", "Mean test accuracy against parameters, operations for an image and training time."
            ),
            "members": FigureText(
                "How many members are enough",
                "Accuracy and log loss of the mean of so many members' probabilities, averaged over the subsets of that size: "
                "where a line is flat, fewer members would have done. Bands are intervals over seeds and images, of "
                "three lines at most; members.csv has those of all.",
            ),
            "parts": FigureText(
                "Stacks and their parts",
                "Validation accuracy of stack and base learners by epoch, and below how differently the learners err.",
            ),
            "learning_curves": FigureText(
                "Learning curves of the stacks", "Loss, validation accuracy and learning rate by epoch."
            ),
        },
        charts=(ChartSource("trials.json", _search_chart),),
    ),
    stages=stages,
    check=check,
    networks=NETWORKS,
    published=PUBLISHED,
    predictions=Kept("full"),
    verdict=Choice(_is_opponent, beside_all),
    folds=_not_in_folds,
    most_runs=most_runs,
    data=("image_set", "splits", "ffcv_files"),
    nodes=(
        does_runs(nodes.search_hyperparameters, [], ["trials", "trial_results", "trial_histories"], "search"),
        does_runs(nodes.train_runs, ["trials"], ["plan", "training_results", "histories"], "training"),
        does_runs(nodes.evaluate_runs, ["trials", "training_results"], "results", "evaluation"),
        NodeSpec(
            nodes.measure_members, ["trials", "results", "params:reporting"], "members", "evaluation", in_context=True
        ),
        NodeSpec(
            nodes.compare_stacks, ["results", "plan", "params:reporting"], ["comparison", "conclusions"], "evaluation"
        ),
        NodeSpec(
            nodes.tabulate_study, ["params:study", "results", "plan"], ["markdown_tables", "latex_tables"], "evaluation"
        ),
        NodeSpec(
            nodes.describe_study,
            [
                SETTINGS,
                "params:data_prep",
                "results",
                "plan",
                "histories",
                "trials",
                "trial_results",
                "trial_histories",
            ],
            ["study_files", "search_summaries"],
            "evaluation",
        ),
        NodeSpec(
            nodes.plot_comparison,
            [SETTINGS, "results", "plan", "comparison"],
            ["variants_figure", "opponents_figure", "efficiency_figure"],
            "figures",
        ),
        NodeSpec(nodes.plot_members, [SETTINGS, "members", "plan"], "members_figure", "figures"),
        NodeSpec(nodes.plot_training, [SETTINGS, "histories", "plan"], ["learning_curves", "parts_figure"], "figures"),
        NodeSpec(nodes.plot_search, [SETTINGS, "trials", "trial_histories"], "search_figures", "figures"),
    ),
)
