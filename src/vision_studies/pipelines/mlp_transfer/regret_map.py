"""Regret of hyperparameters, as a map whose cells can be read one by one."""

from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.figures.interactive_style import (
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
    ends = {_REGRETS[kind][0]: _ends(regrets, kind) for kind in kinds}
    views = [
        view(name, coloraxis__cmin=end["cmin"], coloraxis__cmax=end["cmax"], coloraxis__colorbar__title__text=name)
        for name, end in ends.items()
    ]
    title, scale = next(iter(ends.items()))
    heat_map = figure(
        [cells(x=labels, y=labels, meta={"views": others}, **first)],
        height=210 + 40 * len(names),
        views=views,
        views_label="Show",
        xaxis=categories("hyperparameters tuned for"),
        yaxis=categories("architecture trained") | {"autorange": "reversed"},
        coloraxis=colour_scale(_DIVERGING, title, **scale),
    )
    caption = (
        "Loss of each architecture with another's hyperparameters, less its loss with its own, on the same seeds: orange "
        "costs, violet gains. Point at a cell for its interval."
    )
    return InteractiveFigure("Regret of every pair", caption, heat_map)


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
