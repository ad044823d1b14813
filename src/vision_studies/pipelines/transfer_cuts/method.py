"""What `transfer_cuts` is: learn some classes, cut the networks, learn others, compare."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vision_studies.pipelines.transfer_cuts import nodes
from vision_studies.pipelines.transfer_cuts.networks import NETWORKS
from vision_studies.pipelines.transfer_cuts.published_study import PUBLISHED
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, mode_label
from vision_studies.pipelines.transfer_cuts.stages import check, most_runs, stages
from vision_studies.studies.method import ChartSource, Choice, FigureText, Method, NodeSpec, PageSection, does_runs
from vision_studies.studies.predictions import Kept

SETTINGS, REPORTING = "params:transfer_cuts", "params:reporting"
FIGURES = ["modes_figure", "box_plot", "difference_lines", "heat_map"]


def _map_chart(accuracies: pd.DataFrame) -> Any:
    from vision_studies.pipelines.transfer_cuts.accuracy_map import accuracy_map

    modes = [mode for mode in dict.fromkeys(accuracies["mode"]) if mode != BASELINE]
    return accuracy_map(accuracies, {mode: mode_label(mode) for mode in modes})


def _is_baseline(variant: str, _: Mapping[str, Any]) -> bool:
    return variant.endswith(f": {mode_label(BASELINE)}")


def _share(condition: str | None) -> str:
    return f"{condition} of the images"


def _not_in_folds(_: Any) -> str:
    return "pretrains networks that clustering looks into, too, and that learn from one division of the images"


METHOD = Method(
    name="transfer_cuts",
    version=1,
    section=PageSection(
        title="Cut networks",
        figures={
            "modes": FigureText(
                "Every cut",
                "Mean test accuracy of networks that keep so many convolutions, with few and with many images of the new "
                "classes, over the baseline that starts from nothing.",
            ),
            "box_plot": FigureText(
                "Runs of each cut",
                "Test accuracy of single runs. Rank 1: no cut is significantly better; grey where there are too few repeats, "
                "with how many it would take.",
            ),
            "difference_lines": FigureText(
                "What a cut gains",
                "Median test accuracy of each cut minus that of the baseline, by the share of the images.",
            ),
            "heat_map": FigureText("Share and cut", "Mean test accuracy of every share of the images and every cut."),
        },
        charts=(ChartSource("accuracies.csv", _map_chart),),
    ),
    stages=stages,
    check=check,
    networks=NETWORKS,
    published=PUBLISHED,
    predictions=Kept("correct"),
    verdict=Choice(_is_baseline, _share, asks_more=True),
    folds=_not_in_folds,
    most_runs=most_runs,
    nodes=(
        does_runs(nodes.pretrain_networks, [], ["pretraining", "pretraining_histories"], "pretraining"),
        does_runs(nodes.fine_tune_networks, ["pretraining"], ["training_results", "histories"], "training"),
        does_runs(nodes.evaluate_networks, ["training_results"], ["results", "accuracies"], "evaluation"),
        NodeSpec(nodes.score_features, ["pretraining"], "scores", "evaluation", in_context=True),
        NodeSpec(nodes.compare_cuts, [SETTINGS, REPORTING, "accuracies", "scores"], "statistics", "evaluation"),
        NodeSpec(nodes.conclude, [SETTINGS, REPORTING, "accuracies", "statistics"], "conclusions", "evaluation"),
        NodeSpec(nodes.tabulate_cuts, [SETTINGS, "statistics"], ["markdown_tables", "latex_tables"], "evaluation"),
        NodeSpec(nodes.write_original_layout, [SETTINGS, "accuracies"], "original_files", "evaluation"),
        NodeSpec(nodes.plot_cuts, [SETTINGS, "accuracies", "statistics"], FIGURES, "figures"),
        NodeSpec(nodes.plot_every_mode, [SETTINGS, "accuracies", "statistics"], "figures", "figures"),
    ),
)
