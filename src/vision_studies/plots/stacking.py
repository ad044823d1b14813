"""Stacked classifiers: what their parts do, what they cost, and where their hyperparameters were looked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from vision_studies.plots.style import COLOURS, INK, SOFT, WRONG, figure, footnote, heading, short, styled

_COLUMNS = 4  # panels side by side
_DIVERSITY = {
    "validation_disagreement": "disagreement",
    "validation_q_statistic": "Q statistic",
    "validation_error_correlation": "error correlation",
}
_LOGARITHMIC = (
    20.0  # a positive hyperparameter whose largest value is so many times its smallest was drawn on a log scale
)


@styled
def parts_figure(histories: pd.DataFrame) -> Figure:
    """Validation accuracy of meta-learner and base learners by epoch, and how differently the learners err.

    Args:
        histories: columns variant, seed, epoch, validation_accuracy and, of joint stacks, validation_accuracy_base_<n> and
            the measures of diversity; means over seeds are drawn.
    """
    variants = [(str(name), own) for name, own in histories.groupby("variant", sort=False)]
    columns = min(_COLUMNS, len(variants))
    rows = -(-len(variants) // columns)
    drawn = figure(3.3 * columns + 1.5, 3.0 * 2 * rows + 1.3)
    panels = drawn.subplots(2 * rows, columns, squeeze=False, sharex=True)
    accuracies = [panels[2 * row, column] for row in range(rows) for column in range(columns)]
    diversities = [panels[2 * row + 1, column] for row in range(rows) for column in range(columns)]
    for (name, own), upper, lower in zip(variants, accuracies, diversities, strict=False):
        means = own.groupby("epoch").mean(numeric_only=True)
        bases = means.filter(regex=r"^validation_accuracy_base_\d+$")
        for column in bases:
            upper.plot(means.index, 100 * bases[column], color=COLOURS[1], alpha=0.55, linewidth=1.1)
        upper.plot(means.index, 100 * means["validation_accuracy"], color=COLOURS[0], linewidth=1.9)
        upper.set_title(short(name, 24), fontsize=11)
        for colour, column in zip(COLOURS[2:], _DIVERSITY, strict=False):
            if column in means and means[column].notna().any():
                lower.plot(means.index, means[column], color=colour, linewidth=1.7)
        if not any(column in means and means[column].notna().any() for column in _DIVERSITY):
            lower.text(0.5, 0.5, "not measured", transform=lower.transAxes, ha="center", color=SOFT)
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.xaxis.set_tick_params(labelbottom=True)
    for axes in [*accuracies[len(variants) :], *diversities[len(variants) :]]:
        axes.set_visible(False)
    for row in range(rows):
        panels[2 * row, 0].set_ylabel("validation accuracy (%)")
        panels[2 * row + 1, 0].set_ylabel("diversity of learners")
    for shared in (accuracies, diversities):
        _share_limits(shared[: len(variants)])
    handles = [
        Line2D([], [], color=COLOURS[0], linewidth=1.9, label="stack"),
        Line2D([], [], color=COLOURS[1], linewidth=1.1, label="base learners"),
        *(
            Line2D([], [], color=colour, linewidth=1.7, label=label)
            for colour, label in zip(COLOURS[2:], _DIVERSITY.values(), strict=False)
        ),
    ]
    heading(drawn, "Stacks and their parts")
    drawn.legend(handles=handles, loc="outside lower center", ncols=min(5, 2 * columns))
    return drawn


@styled
def efficiency_figure(results: pd.DataFrame) -> Figure:
    """Test accuracy against parameters, operations for an image, and training time: means over seeds.

    Args:
        results: one row a run: variant, role ("stack" or "opponent"), test_accuracy, parameters, macs, seconds.
    """
    scored = results.dropna(subset=["test_accuracy"])
    numbers = ["test_accuracy", "parameters", "macs", "seconds"]
    means = scored.groupby(["variant", "role"], sort=False)[numbers].mean().reset_index()
    drawn = figure(13, 4.6 + 0.2 * -(-len(means) // 4))
    panels = drawn.subplots(1, 3, sharey=True)
    labels = {"parameters": "parameters", "macs": "operations for an image (MACs)", "seconds": "training time (s)"}
    handles = []
    for number, row in enumerate(means.to_dict("records")):
        is_stack = row["role"] == "stack"
        look: dict[str, Any] = {
            "marker": "o" if is_stack else ("s", "^", "D", "v", "P", "X", "<", ">")[number % 8],
            "color": COLOURS[number % len(COLOURS)],
            "markeredgecolor": INK if is_stack else "white",
            "markersize": 10 if is_stack else 8,
            "linestyle": "none",
        }
        for axes, column in zip(panels, labels, strict=True):
            if not np.isnan(row[column]):
                axes.plot(row[column], 100 * row["test_accuracy"], **look)
        handles.append(Line2D([], [], label=short(row["variant"], 30), **look))
    for axes, (column, label) in zip(panels, labels.items(), strict=True):
        if means[column].notna().any():
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(_plain))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="x", labelrotation=30)
        axes.set_xlabel(label)
        axes.margins(x=0.12, y=0.12)
    panels[0].set_ylabel("test accuracy (%)")
    heading(drawn, "Accuracy and cost (round, outlined: stacks; else: opponents)")
    drawn.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    return drawn


@styled
def trial_histories(histories: pd.DataFrame, variant: str) -> Figure:
    """Validation accuracy of every trial of a search by epoch.

    Args:
        histories: columns trial, epoch, validation_accuracy and status.
        variant: whose search it was.
    """
    drawn = figure(9, 5)
    axes = drawn.subplots()
    looks = {"complete": (COLOURS[0], "-"), "pruned": (WRONG, "--")}
    for _, own in histories.dropna(subset=["validation_accuracy"]).sort_values("epoch").groupby("trial"):
        colour, line = looks.get(str(own["status"].iloc[0]), (SOFT, ":"))
        marker = "o" if len(own) == 1 else None
        axes.plot(own["epoch"], 100 * own["validation_accuracy"], line, color=colour, alpha=0.45, marker=marker)
    counts = histories.groupby("trial")["status"].first().value_counts()
    handles = [
        Line2D(
            [], [], color=looks.get(str(s), (SOFT, ":"))[0], ls=looks.get(str(s), (SOFT, ":"))[1], label=f"{s} ({n})"
        )
        for s, n in counts.items()
    ]
    axes.set(xlabel="epoch", ylabel="validation accuracy (%)", title=f"Trials of {short(variant, 40)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    drawn.legend(handles=handles, loc="outside lower center", ncols=4)
    return drawn


@styled
def hyperparameter_figure(trials: pd.DataFrame, parameters: Sequence[str], best: int, variant: str) -> Figure:
    """Validation accuracy of every trial against each hyperparameter; the best trial is marked.

    Args:
        trials: columns number, value (fraction; missing where there is none), status and one a hyperparameter.
        parameters: columns that are hyperparameters.
        best: number of the best trial.
        variant: whose search it was.
    """
    columns = min(3, len(parameters))
    rows = -(-len(parameters) // columns)
    drawn = figure(3.9 * columns + 0.6, 3.1 * rows + 1.1)
    panels = drawn.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, name in zip(panels.flat, parameters, strict=False):
        shown = trials.dropna(subset=["value", name])
        values = shown[name]
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            names = sorted(values.astype(str).unique())
            places = values.astype(str).map(names.index).to_numpy(float)
            axes.set_xticks(range(len(names)), [short(own, 12) for own in names])
            axes.set_xlim(-0.5, len(names) - 0.5)
        else:
            places = values.to_numpy(float)
            if places.min() > 0 and places.max() / places.min() > _LOGARITHMIC:
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter(FuncFormatter(_plain))
                axes.xaxis.set_minor_formatter(NullFormatter())
        for status, colour in (("pruned", WRONG), ("complete", COLOURS[0])):
            own = (shown["status"] == status).to_numpy()
            axes.plot(places[own], 100 * shown["value"][own], "o", color=colour, alpha=0.6, markersize=6)
        chosen = (shown["number"] == best).to_numpy()
        axes.plot(places[chosen], 100 * shown["value"][chosen], "*", color=INK, markersize=15, markeredgecolor="white")
        axes.set_title(short(name.removeprefix("training."), 30), fontsize=10)
    for axes in panels.flat[len(parameters) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("validation accuracy (%)")
    heading(drawn, f"Hyperparameters tried for {short(variant, 30)}")
    footnote(drawn, "Blue: trials that ran to their end. Orange: pruned, at their last value. Star: the best.")
    return drawn


@styled
def importance_figure(importance: Mapping[str, float], variant: str) -> Figure:
    """Share of the accuracy's variance that each hyperparameter explains."""
    drawn = figure(8, 1.6 + 0.45 * len(importance))
    axes = drawn.subplots()
    names = list(importance)[::-1]
    axes.barh(
        [short(name.removeprefix("training."), 34) for name in names], [importance[n] for n in names], color=COLOURS[0]
    )
    axes.set(xlabel="share of the variance explained", title=f"What decided the accuracy of {short(variant, 30)}")
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    footnote(drawn, "What was not drawn in every trial, such as an option of one schedule alone, is left out.")
    return drawn


def _share_limits(panels: Sequence[Axes]) -> None:
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low, high)


def _plain(value: float, _: object = None) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"
