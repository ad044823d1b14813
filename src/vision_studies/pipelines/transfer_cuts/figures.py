"""Nodes of `transfer_cuts` that draw."""

from itertools import combinations
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.pipelines.partitions import loaded
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings
from vision_studies.pipelines.transfer_cuts.tables import one_mode


def plot_cuts(
    settings: TransferCutsSettings, accuracies: pd.DataFrame, statistics: dict[str, Any]
) -> tuple[Figure, Figure, Figure, Figure]:
    """What a reader wants first: all modes, and boxes, differences and means of the first of them."""
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.transfer_cuts.plots.cut_lines import difference_lines
    from vision_studies.pipelines.transfer_cuts.plots.cut_modes import mode_lines
    from vision_studies.pipelines.transfer_cuts.plots.cut_surfaces import heat_map
    from vision_studies.pipelines.transfer_cuts.plots.cuts import box_plot
    from vision_studies.pipelines.transfer_cuts.rankings import mode_label

    mode = settings.modes[0]
    table, label = one_mode(accuracies, mode), mode_label(mode)
    drawn = (
        mode_lines(accuracies.dropna(subset=["test_accuracy"]), {own: mode_label(own) for own in settings.modes}),
        box_plot(table, loaded(statistics[f"{mode}/ranks"]), title=f"Test accuracy of each cut, {label}"),
        difference_lines(table, title=f"Median of each cut minus that of the baseline, {label}"),
        heat_map(table, title=f"Mean test accuracy (%), {label}"),
    )
    return stamped(drawn, notice(settings))


def plot_every_mode(
    settings: TransferCutsSettings, accuracies: pd.DataFrame, statistics: dict[str, Any]
) -> dict[str, Figure]:
    """Every kind of figure for every mode, and every two modes beside each other; for those who look for one."""
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.transfer_cuts.plots import cut_lines, cut_surfaces, cuts
    from vision_studies.pipelines.transfer_cuts.rankings import mode_label

    figures = {}
    for mode in settings.modes:
        table, label = one_mode(accuracies, mode), mode_label(mode)
        figures[f"{mode}/box_plot"] = cuts.box_plot(
            table, loaded(statistics[f"{mode}/ranks"]), title=f"Test accuracy of each cut, {label}"
        )
        lines = (cut_lines.difference_lines, cut_lines.accuracy_lines, cut_lines.range_lines)
        for draw in (cuts.full_box_plot, *lines, cut_surfaces.heat_map, cut_surfaces.bars):
            figures[f"{mode}/{draw.__name__}"] = draw(table)
        cells = table[table["cut"] >= 0]
        if cells["fraction"].nunique() > 1 and cells["cut"].nunique() > 1:  # fewer make no surface
            figures[f"{mode}/surface"] = cut_surfaces.surface(table)
    for first, second in combinations([mode for mode in settings.modes if mode != "fine_tune"], 2):
        name = f"{first}_against_{second}"
        figures[name] = cuts.hatched_comparison(one_mode(accuracies, first), loaded(statistics[name]))
    return stamped(figures, notice(settings))


def notice(settings: TransferCutsSettings) -> str:
    """What figures say where they follow the published protocol."""
    return "protocol: published" if settings.protocol == "published" else ""
