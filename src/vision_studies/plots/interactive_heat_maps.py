"""Two maps of cells that can be read one by one: regret of hyperparameters, and accuracy over cut and share of images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Heatmap, Surface

from vision_studies.errors import DataError
from vision_studies.plots.cut_axes import BASELINE, cut_tick, cuts_of, fractions_of, images_of, percent_of, percentage
from vision_studies.plots.interactive_style import InteractiveFigure, escaped, figure, need_columns, view

# Of ColorBrewer's PuOr and of viridis: both can be told apart by colour-blind readers, and in grey.
_DIVERGING = [[0, "#542788"], [0.25, "#b2abd2"], [0.5, "#f7f7f7"], [0.75, "#fdb863"], [1, "#b35806"]]
_SEQUENTIAL = "Viridis"
_NAME_LETTERS = 22
_BAR = {
    "orientation": "h", "thickness": 10, "len": 0.6, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom",
    "outlinewidth": 0, "title": {"side": "top"},
}  # fmt: skip


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
    kinds = [
        (name, column, centre)
        for name, column, centre in (
            ("Regret (nats)", "mean_regret", 0.0),
            ("Relative regret", "mean_relative_regret", 1.0),
        )
        if column in regrets and regrets[column].notna().any()
    ]
    if not kinds:
        return None
    if regrets.duplicated(["target_arch", "source_arch"]).any():
        raise DataError("The table of regrets has two rows for one pair of architectures; run mlp_transfer again.")
    names = list(dict.fromkeys([*regrets["target_arch"], *regrets["source_arch"]]))
    cells = [_regret_cells(regrets, names, column, centre) for _, column, centre in kinds]
    labels = [escaped(name, _NAME_LETTERS) for name in names]
    map_of_pairs = Heatmap(
        **cells[0],
        x=labels,
        y=labels,
        coloraxis="coloraxis",
        texttemplate="%{text}",
        hovertemplate="%{customdata}<extra></extra>",
        xgap=1,
        ygap=1,
        meta={"views": cells[1:]},
    )
    views = [
        view(
            name,
            coloraxis__cmin=low,
            coloraxis__cmax=high,
            coloraxis__colorbar__title__text=name,
        )
        for (name, column, centre), (low, high) in zip(
            kinds, (_reach(regrets, *kind[1:]) for kind in kinds), strict=True
        )
    ]
    low, high = _reach(regrets, *kinds[0][1:])
    drawn = figure(
        [map_of_pairs],
        height=210 + 40 * len(names),
        views=views,
        views_label="Show",
        xaxis=_categories("hyperparameters tuned for"),
        yaxis=_categories("architecture trained") | {"autorange": "reversed"},
        coloraxis={
            "colorscale": _DIVERGING,
            "cmin": low,
            "cmax": high,
            "colorbar": _BAR | {"title": {"text": kinds[0][0], "side": "top"}},
        },
    )
    caption = (
        "Loss of each architecture with another's hyperparameters, less its loss with its own, on the same seeds: orange "
        "costs, violet gains. Point at a cell for its interval."
    )
    return InteractiveFigure("Regret of every pair", caption, drawn)


def _regret_cells(regrets: pd.DataFrame, names: list[Any], column: str, centre: float) -> dict[str, Any]:
    rows = {(row["target_arch"], row["source_arch"]): row for row in regrets.to_dict("records")}
    low, high = column.replace("mean_", "low_"), column.replace("mean_", "high_")
    values, texts, hovers = [], [], []
    for target in names:
        own = [rows.get((target, source), {}) for source in names]
        values.append([row.get(column) for row in own])
        texts.append([_number(row.get(column), signed=centre == 0) for row in own])
        hovers.append(
            [
                f"{escaped(target)} with hyperparameters of {escaped(source)}<br>"
                f"{_number(row.get(column), signed=centre == 0)}{_interval(row.get(low), row.get(high))}"
                f"{_seeds(row.get('n'))}"
                for source, row in zip(names, own, strict=True)
            ]
        )
    return {"z": values, "text": texts, "customdata": hovers}


def _number(value: Any, *, signed: bool) -> str:
    if pd.isna(value):
        return "–"
    text = f"{value:+.3f}" if signed and round(value, 3) else f"{value:.3f}".removeprefix("-")
    return text.replace("-", "−")


def _seeds(number: Any) -> str:
    return "" if pd.isna(number) else f"<br>{number:.0f} seeds"


def _interval(low: Any, high: Any) -> str:
    return "" if pd.isna(low) or pd.isna(high) else f" (interval {low:.3f} to {high:.3f})".replace("-", "−")


def _reach(regrets: pd.DataFrame, column: str, centre: float) -> tuple[float, float]:
    """Ends of the scale of colours: one cell far from the others must not take all the colour."""
    reach = max(float((regrets[column] - centre).abs().quantile(0.95)), 1e-6)
    return centre - reach, centre + reach


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
        xaxis=_categories("cut: convolutions that are taken over"),
        yaxis=_categories("share of the training images"),
        coloraxis={"colorscale": _SEQUENTIAL, "colorbar": _BAR | {"title": {"text": "accuracy (%)", "side": "top"}}},
        scene=_scene(known),
    )
    caption = (
        "Mean test accuracy over repeats. Point at a cell for its spread; drag the surface to turn it. It is straight "
        "between the means, and leaves out the baseline."
    )
    return InteractiveFigure("Accuracy over cut and share of images", caption, drawn)


def _accuracy_map(table: pd.DataFrame) -> Heatmap:
    cuts, fractions = cuts_of(table), fractions_of(table)
    cells = [[percent_of(table, fraction, cut) for cut in cuts] for fraction in fractions]
    names = [[_cell_name(table, fraction, cut) for cut in cuts] for fraction in fractions]
    return Heatmap(
        z=[[own.mean() if len(own) else None for own in row] for row in cells],
        x=[cut_tick(cut) for cut in cuts],
        y=[percentage(fraction) for fraction in fractions],
        text=[[f"{own.mean():.1f}" if len(own) else "–" for own in row] for row in cells],
        customdata=[
            [f"{name}<br>{_described(own)}" for name, own in zip(*rows, strict=True)]
            for rows in zip(names, cells, strict=True)
        ],
        coloraxis="coloraxis",
        texttemplate="%{text}",
        hovertemplate="%{customdata}<extra></extra>",
        xgap=1,
        ygap=1,
    )


def _cell_name(table: pd.DataFrame, fraction: float, cut: int) -> str:
    images = images_of(table, fraction)
    of_images = f"{percentage(fraction)} of the images" + (f" ({images})" if images else "")
    return f"{'baseline' if cut == BASELINE else f'cut {cut}'}, {of_images}"


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
    cells = [[percent_of(own, fraction, cut) for cut in cuts] for fraction in fractions]
    return Surface(
        z=[[values.mean() if len(values) else None for values in row] for row in cells],
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


def _categories(title: str) -> dict[str, Any]:
    # Named as categories: Plotly would take an architecture called 24 for a number, and 2020-01 for a date.
    return {"type": "category", "title": {"text": title}, "automargin": True, "showgrid": False, "zeroline": False}
