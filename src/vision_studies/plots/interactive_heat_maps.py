"""Two maps of cells that can be read one by one: regret of hyperparameters, and accuracy over cut and share of images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Heatmap, Surface

from vision_studies.errors import DataError
from vision_studies.plots.cut_axes import (
    BASELINE,
    cut_name,
    cut_tick,
    cuts_of,
    fractions_of,
    percent_of,
    percentage,
    share_name,
)
from vision_studies.plots.interactive_style import (
    InteractiveFigure,
    categories,
    cells,
    colour_scale,
    escaped,
    figure,
    need_columns,
    view,
)

# Of ColorBrewer's PuOr and of viridis: both can be told apart by colour-blind readers, and in grey.
_DIVERGING = [[0, "#542788"], [0.25, "#b2abd2"], [0.5, "#f7f7f7"], [0.75, "#fdb863"], [1, "#b35806"]]
_SEQUENTIAL = "Viridis"
_NAME_LETTERS = 22
_REGRETS = {"mean_regret": ("Regret (nats)", 0.0), "mean_relative_regret": ("Relative regret", 1.0)}
"""Column -> its name, and what costs nothing."""


def regret_heat_map(regrets: pd.DataFrame) -> InteractiveFigure | None:
    """What it costs to train one architecture with the hyperparameters of another, in nats and as a ratio.

    Args:
        regrets: one row a pair, as in `transfer/regret_paired_by_seed`: target_arch (trained), source_arch (gave its
            hyperparameters), mean_regret (nats of test loss; 0: no cost). Optionally mean_relative_regret (1: no cost),
            n (seeds), and low_ and high_ of both means, which are shown of the cell that is pointed at.

    Returns:
        None where no pair has a regret.

    Raises:
        DataError: one of the three columns is missing, or a pair has two rows.
    """
    need_columns(regrets, ("target_arch", "source_arch", "mean_regret"), "regrets")
    kinds = [name for name in _REGRETS if name in regrets and regrets[name].notna().any()]
    if not kinds:
        return None
    if regrets.duplicated(["target_arch", "source_arch"]).any():
        raise DataError("The table of regrets has two rows for one pair of architectures; run mlp_transfer again.")
    names = list(dict.fromkeys([*regrets["target_arch"], *regrets["source_arch"]]))
    labels = [escaped(name, _NAME_LETTERS) for name in names]
    first, *others = [_regret_cells(regrets, names, kind) for kind in kinds]
    ends = [_ends(regrets, kind) for kind in kinds]
    views = [
        view(name, coloraxis__cmin=end["cmin"], coloraxis__cmax=end["cmax"], coloraxis__colorbar__title__text=name)
        for (name, _), end in zip((_REGRETS[kind] for kind in kinds), ends, strict=True)
    ]
    drawn = figure(
        [cells(x=labels, y=labels, meta={"views": others}, **first)],
        height=210 + 40 * len(names),
        views=views,
        views_label="Show",
        xaxis=categories("hyperparameters tuned for"),
        yaxis=categories("architecture trained") | {"autorange": "reversed"},
        coloraxis=colour_scale(_DIVERGING, _REGRETS[kinds[0]][0], **ends[0]),
    )
    caption = (
        "Loss of each architecture with another's hyperparameters, less its loss with its own, on the same seeds: orange "
        "costs, violet gains. Point at a cell for its interval."
    )
    return InteractiveFigure("Regret of every pair", caption, drawn)


def _regret_cells(regrets: pd.DataFrame, names: list[Any], column: str) -> dict[str, Any]:
    rows = {(row["target_arch"], row["source_arch"]): row for row in regrets.to_dict("records")}
    low, high = column.replace("mean_", "low_"), column.replace("mean_", "high_")
    content: dict[str, list[list[Any]]] = {"z": [], "text": [], "customdata": []}
    for target in names:
        pairs = {source: rows.get((target, source), {}) for source in names}
        texts = [_number(row.get(column), signed=_REGRETS[column][1] == 0) for row in pairs.values()]
        content["z"].append([row.get(column) for row in pairs.values()])
        content["text"].append(texts)
        content["customdata"].append(
            [
                f"{escaped(target)} with hyperparameters of {escaped(source)}<br>"
                f"{text}{_interval(row.get(low), row.get(high))}{_seeds(row.get('n'))}"
                for (source, row), text in zip(pairs.items(), texts, strict=True)
            ]
        )
    return content


def _number(value: Any, *, signed: bool) -> str:
    if pd.isna(value):
        return "–"
    text = f"{value:+.3f}" if signed and round(value, 3) else f"{value:.3f}".removeprefix("-")
    return text.replace("-", "−")


def _seeds(number: Any) -> str:
    return "" if pd.isna(number) else f"<br>{number:.0f} seeds"


def _interval(low: Any, high: Any) -> str:
    return "" if pd.isna(low) or pd.isna(high) else f" (interval {low:.3f} to {high:.3f})".replace("-", "−")


def _ends(regrets: pd.DataFrame, column: str) -> dict[str, float]:
    """Ends of the scale of colours: one cell far from the others must not take all the colour."""
    centre = _REGRETS[column][1]
    reach = max(float((regrets[column] - centre).abs().quantile(0.95)), 1e-6)
    return {"cmin": centre - reach, "cmax": centre + reach}


def accuracy_surface(accuracies: pd.DataFrame, labels: Mapping[str, str]) -> InteractiveFigure | None:
    """Mean test accuracy over cut and share of the training images: as a map, and as a surface in three dimensions.

    Args:
        accuracies: one row a run: mode, cut (-1: the baseline), fraction, test_accuracy (fraction); optionally images.
        labels: mode -> what readers call it; rows of other modes but the baseline's are left out.

    Returns:
        None where no mode has an accuracy.

    Raises:
        DataError: a column is missing.
    """
    need_columns(accuracies, ("mode", "cut", "fraction", "test_accuracy"), "accuracies")
    known = accuracies.dropna(subset=["test_accuracy"])
    tables = {mode: known[(known["mode"] == mode) | (known["cut"] == BASELINE)] for mode in labels}
    tables = {mode: table for mode, table in tables.items() if (table["mode"] == mode).any()}
    if not tables:
        return None
    traces: list[Any] = []
    views = []
    for mode, table in tables.items():
        of_mode = f", {labels[mode]}" if len(tables) > 1 else ""
        traces.append(_accuracy_map(table))
        views.append(view(f"Map{of_mode}", xaxis__visible=True, yaxis__visible=True))
        if (surface := _accuracy_surface(table)) is not None:
            traces.append(surface)
            views.append(view(f"Surface{of_mode} (3D)", webgl=True, xaxis__visible=False, yaxis__visible=False))
    for place, trace in enumerate(traces):
        trace.update(visible=place == 0, meta={"view": place})
    drawn = figure(
        traces,
        height=480,
        views=views,
        views_label="Show",
        xaxis=categories("cut: convolutions that are taken over"),
        yaxis=categories("share of the training images"),
        coloraxis=colour_scale(_SEQUENTIAL, "accuracy (%)"),
        scene=_scene(known),
    )
    caption = (
        "Mean test accuracy over repeats. Point at a cell for its spread; drag the surface to turn it. It is straight "
        "between the means, and leaves out the baseline."
    )
    return InteractiveFigure("Accuracy over cut and share of images", caption, drawn)


def _accuracy_map(table: pd.DataFrame) -> Heatmap:
    cuts, fractions = cuts_of(table), fractions_of(table)
    runs = [[percent_of(table, fraction, cut) for cut in cuts] for fraction in fractions]
    return cells(
        z=[[_mean(values) for values in row] for row in runs],
        x=[cut_tick(cut) for cut in cuts],
        y=[percentage(fraction) for fraction in fractions],
        text=[[f"{values.mean():.1f}" if len(values) else "–" for values in row] for row in runs],
        customdata=[
            [
                f"{_cell_name(table, fraction, cut)}<br>{_described(values)}"
                for cut, values in zip(cuts, row, strict=True)
            ]
            for fraction, row in zip(fractions, runs, strict=True)
        ],
    )


def _mean(values: np.ndarray) -> float | None:
    return values.mean() if len(values) else None


def _cell_name(table: pd.DataFrame, fraction: float, cut: int) -> str:
    return f"{cut_name(cut)}, {share_name(table, fraction)}"


def _described(values: np.ndarray) -> str:
    if not len(values):
        return "not run"
    spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread} %<br>{len(values)} run{'s' if len(values) > 1 else ''}"


def _accuracy_surface(table: pd.DataFrame) -> Surface | None:
    own = table[table["cut"] != BASELINE]
    cuts, fractions = cuts_of(own), fractions_of(own)
    if min(len(cuts), len(fractions)) < 2:
        return None  # a surface needs two of each
    return Surface(
        z=[[_mean(percent_of(own, fraction, cut)) for cut in cuts] for fraction in fractions],
        x=cuts,
        y=np.log10(fractions).tolist(),
        customdata=[[_cell_name(own, fraction, cut) for cut in cuts] for fraction in fractions],
        coloraxis="coloraxis",
        hovertemplate="%{customdata}<br>%{z:.2f} %<extra></extra>",
    )


def _scene(known: pd.DataFrame) -> dict[str, Any]:
    own = known[known["cut"] != BASELINE]
    cuts, fractions = cuts_of(own), fractions_of(own)
    return {
        "xaxis": {"title": {"text": "cut"}, "tickvals": cuts},
        "yaxis": {
            "title": {"text": "share"},
            "tickvals": np.log10(fractions).tolist(),
            "ticktext": [percentage(fraction) for fraction in fractions],
        },
        "zaxis": {"title": {"text": "accuracy (%)"}},
        "camera": {"eye": {"x": 1.55, "y": -1.55, "z": 0.85}, "center": {"x": 0, "y": 0, "z": -0.15}},
        "aspectratio": {"x": 1.1, "y": 1.2, "z": 0.8},
    }
