"""Clusters of activations against classes: by layer, by share of the images, and as maps of the images.

Tables have a row a clustering: fraction (share of the images), repeat, layer, method, channel (-1: the whole layer), the
scores ari, accuracy, precision and recall and, where both are clustered, classes ("pretraining" or "fine_tuning").
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from vision_studies.plots.cut_axes import percentage
from vision_studies.plots.style import COLOURS, INK, SOFT, figure, heading, short, styled

_SCORES = {
    "ari": "adjusted Rand index",
    "accuracy": "accuracy of clusters as classes",
    "precision": "pairwise precision",
    "recall": "pairwise recall",
}
_EACH_CHANNEL = "kmeans_channels"
_METHODS = {
    _EACH_CHANNEL: "K-means of each channel's maps, mean over channels",
    "kmeans_vectors": "K-means of channel means",
    "agglomerative": "agglomerative, channel means",
}
_CLASSES = {"pretraining": "pretraining classes", "fine_tuning": "fine-tuning classes"}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # with the colours, 49 lines or classes can be told apart
_LETTERS = 12  # of a layer's name below a box

Panel = tuple[Axes, pd.DataFrame, str]  # with the rows of the panel and what they have in common


@styled
def cluster_box_plot(table: pd.DataFrame, score: str = "ari") -> Figure:
    """A score of every layer and method: a row of panels a share of the images, a column a set of classes.

    A box holds the repeats; where channels are clustered one by one, their mean stands for a repeat.

    Args:
        table: as the module says.
        score: ari, accuracy, precision or recall.
    """
    means = _means_of_repeats(table, score)
    if means.empty:
        return _nothing()
    methods, layers = _names(means, "method"), _layers(means)
    drawn, panels = _panels(
        means, "fraction", width=max(5.4, 1.4 + 0.17 * len(layers) * (len(methods) + 1)), height=2.5
    )
    step = 0.84 / len(methods)
    for axes, own, title in panels:
        for number, method in enumerate(methods):
            groups = [own.loc[(own["method"] == method) & (own["layer"] == layer), score] for layer in layers]
            _boxes(axes, groups, (number - (len(methods) - 1) / 2) * step, 0.84 * step, _colour(number))
        axes.set_title(f"{title}  ({_range(own.groupby(['method', 'layer']).size(), 'n')})", fontsize=11)
        _layer_ticks(axes, [short(layer, _LETTERS) for layer in layers])
    _label_rows(panels, _SCORES[score])
    heading(drawn, f"Clusters against classes: {_SCORES[score]}")
    handles = [
        Patch(facecolor=_light(_colour(number)), edgecolor=_colour(number), label=_METHODS.get(method, method))
        for number, method in enumerate(methods)
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=_legend_columns(drawn, handles))
    return drawn


@styled
def channel_box_plot(table: pd.DataFrame, score: str = "ari") -> Figure:
    """K-means of every channel: for each layer a box over its channels, with their mean.

    Args:
        table: as the module says; a channel's mean over repeats is drawn, and methods that cluster whole layers are not.
        score: ari, accuracy, precision or recall.
    """
    known = _with_classes(table[table["method"] == _EACH_CHANNEL]).dropna(subset=[score])
    if known.empty:
        return _nothing()
    keys = ["fraction", "classes", "layer", "channel"]
    means = known.groupby(keys, sort=False)[score].mean().reset_index()
    layers = _layers(means)
    drawn, panels = _panels(means, "fraction", width=max(5.4, 1.2 + 0.72 * len(layers)), height=2.7)
    for axes, own, title in panels:
        groups = [own.loc[own["layer"] == layer, score] for layer in layers]
        _boxes(axes, groups, 0.0, 0.6, COLOURS[0])
        for place, values in enumerate(groups):
            axes.plot(place, values.mean(), "D", color=COLOURS[1], markeredgecolor="white", markersize=7, zorder=4)
        counts = [f"{short(layer, _LETTERS)}\nn = {len(values)}" for layer, values in zip(layers, groups, strict=True)]
        _layer_ticks(axes, counts)
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_title(title, fontsize=11)
    _label_rows(panels, _SCORES[score])
    heading(drawn, f"K-means of each channel's maps: {_SCORES[score]}")
    handles = [
        Line2D([], [], color=INK, linewidth=1.5, label="median over channels"),
        Line2D([], [], marker="D", linestyle="", color=COLOURS[1], markeredgecolor="white", label="mean over channels"),
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=2)
    return drawn


@styled
def score_lines(table: pd.DataFrame, score: str = "ari") -> Figure:
    """Mean score against the share of the images: a line a layer, a panel a method and set of classes.

    Args:
        table: as the module says; where channels are clustered one by one, their mean stands for a repeat.
        score: ari, accuracy, precision or recall.
    """
    means = _means_of_repeats(table, score)
    if means.empty:
        return _nothing()
    layers, fractions = _layers(means), np.sort(means["fraction"].unique())
    drawn, panels = _panels(means, "method", width=6.0, height=3.4)
    for axes, own, title in panels:
        for number, layer in enumerate(layers):
            groups = own[own["layer"] == layer].groupby("fraction")[score]
            centre, spread = groups.mean(), groups.std().fillna(0.0)  # one repeat has no deviation
            # Side by side, or the bars of the layers would hide each other.
            places = 100 * centre.index.to_numpy() * 1.035 ** (number - (len(layers) - 1) / 2)
            axes.errorbar(
                places, centre, spread, capsize=2, linewidth=1.5, elinewidth=0.9, markersize=5, **_look(number)
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(100 * fractions)))
        axes.xaxis.set_major_formatter(lambda percent, _: f"{percent:g} %")
        axes.xaxis.set_minor_locator(NullLocator())
        if _crowded(fractions):
            axes.tick_params(axis="x", labelrotation=90, labelsize=9)
        if axes.get_subplotspec().is_last_row():  # type: ignore[union-attr]
            axes.set_xlabel("share of the images")
        axes.set_title(title, fontsize=11)
    _label_rows(panels, f"mean {_SCORES[score]}")
    heading(drawn, f"Clusters against classes: mean {_SCORES[score]} ± standard deviation over repeats")
    handles = [
        Line2D([], [], linewidth=1.5, markersize=5, label=short(n, 24), **_look(p)) for p, n in enumerate(layers)
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=_legend_columns(drawn, handles))
    return drawn


@styled
def scatter(positions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Images as points in the plane, coloured by class.

    Args:
        positions: [N, 2], as t-SNE gives them: only nearness means something.
        labels: int [N], places in `class_names`.
        class_names: in the order of the classes.
        title: of the figure.
    """
    drawn = figure(8.6, 6.2)
    axes = drawn.subplots()
    handles = []
    for number, name in enumerate(class_names):
        own = positions[labels == number]
        if not len(own):
            continue
        look: dict[str, Any] = {"linestyle": "", "marker": _marker(number), "color": _colour(number)}
        size = 5.0 if len(positions) <= 1500 else 3.0
        axes.plot(
            own[:, 0], own[:, 1], markersize=size, alpha=0.75, markeredgewidth=0.3, markeredgecolor="white", **look
        )
        handles.append(Line2D([], [], markersize=7, label=f"{short(name, 24)} ({len(own)})", **look))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("t-SNE, first dimension")
    axes.set_ylabel("t-SNE, second dimension")
    heading(drawn, title)
    # Outside the figure's plots, it would stand on the title.
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="class (images)", alignment="left")
    return drawn


@styled
def effective_rank_bars(table: pd.DataFrame) -> Figure:
    """Effective rank of every layer's weights, a bar a network, below the largest it could be.

    Args:
        table: columns layer, network, effective_rank, largest.
    """
    layers, networks = _names(table, "layer"), _names(table, "network")
    step = 0.84 / max(1, len(networks))
    drawn = figure(max(8.0, 2.0 + len(layers) * (0.5 + 0.4 * len(networks))), 5.2)
    axes = drawn.subplots()
    for number, network in enumerate(networks):
        own = table[table["network"] == network]
        places = np.array([layers.index(layer) for layer in own["layer"]]) + (number - (len(networks) - 1) / 2) * step
        axes.bar(places, own["largest"], 0.9 * step, facecolor="none", edgecolor=SOFT, linestyle=":", linewidth=1)
        ranks = axes.bar(places, own["effective_rank"], 0.9 * step, color=_colour(number))
        values = [f"{value:.3g}" for value in own["effective_rank"]]
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
        axes.bar_label(ranks, values, padding=3, fontsize=8 if len(networks) < 4 else 7, color=INK, bbox=paper)
    _layer_ticks(axes, [short(layer, _LETTERS) for layer in layers])
    axes.set_ylabel("effective rank")
    axes.set_xlabel("Exponential of the entropy of the normalised singular values (Roy and Vetterli 2007)", fontsize=9)
    axes.margins(y=0.1)
    heading(drawn, "How many directions the weights of each layer use")
    handles = [Patch(facecolor=_colour(number), label=short(name, 28)) for number, name in enumerate(networks)]
    handles.append(Patch(facecolor="none", edgecolor=SOFT, linestyle=":", label="largest possible"))
    drawn.legend(handles=handles, loc="outside lower center", ncols=_legend_columns(drawn, handles))
    return drawn


def _with_classes(table: pd.DataFrame) -> pd.DataFrame:
    return table if "classes" in table else table.assign(classes="")


def _means_of_repeats(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """A row a fraction, classes, method, layer and repeat: the score, as the mean over channels where there are many."""
    keys = ["fraction", "classes", "method", "layer", "repeat"]
    known = _with_classes(table).dropna(subset=[score])
    return known.groupby(keys, sort=False)[score].mean().reset_index()


def _panels(means: pd.DataFrame, by: str, *, width: float, height: float) -> tuple[Figure, list[Panel]]:
    """A grid: rows are the values of `by`, columns the sets of classes."""
    rows: list[Any] = sorted(means[by].unique()) if by == "fraction" else _names(means, by)
    columns = _names(means, "classes")
    drawn = figure(max(8.0, width * len(columns)), height * len(rows) + 1.4)
    grid = drawn.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    panels = []
    for row, value in enumerate(rows):
        name, between = (
            (f"{percentage(value)} of the images", ", ") if by == "fraction" else (_METHODS.get(value, value), "\n")
        )
        for column, classes in enumerate(columns):
            own = means[(means[by] == value) & (means["classes"] == classes)]
            title = f"{name}{between}{_CLASSES.get(classes, classes)}" if classes else name
            panels.append((grid[row, column], own, title))
    return drawn, panels


def _boxes(axes: Axes, groups: Sequence[pd.Series], shift: float, width: float, colour: str) -> None:
    filled = [place for place, values in enumerate(groups) if len(values)]
    if not filled:
        return
    axes.boxplot(
        [groups[place].to_numpy() for place in filled],
        positions=[place + shift for place in filled],
        widths=width,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": _light(colour), "edgecolor": colour},
        medianprops={"color": INK, "linewidth": 1.5},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        flierprops={"marker": ".", "markersize": 3, "markerfacecolor": colour, "markeredgecolor": colour},
    )


def _layer_ticks(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.grid(visible=False, axis="x")


def _label_rows(panels: Sequence[Panel], label: str) -> None:
    for axes, _, _ in panels:
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel(label, fontsize=10)


def _nothing() -> Figure:
    drawn = figure(8, 2)
    axes = drawn.subplots()
    axes.axis("off")
    axes.text(0, 0.5, "No subset has images of two classes.", va="center", fontsize=12)
    return drawn


def _layers(table: pd.DataFrame) -> list[str]:
    """Layers in the order of a network: the input first, dense layers last, those between as they stand in the table."""
    places = {"input": 0, "fc": 2, "fc_2": 3}
    return sorted(_names(table, "layer"), key=lambda layer: places.get(layer, 1))


def _names(table: pd.DataFrame, column: str) -> list[str]:
    return list(table[column].drop_duplicates())


def _range(counts: pd.Series, name: str) -> str:
    low, high = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    return f"{name} = {low}" if low == high else f"{name} = {low} to {high}"


def _crowded(fractions: np.ndarray) -> bool:
    """Whether neighbouring shares are too near on a logarithmic axis for level labels."""
    return len(fractions) > 1 and bool(np.diff(np.log10(fractions)).min() < 0.12 * np.ptp(np.log10(fractions)))


def _legend_columns(drawn: Figure, handles: Sequence[Any]) -> int:
    letters = max(len(str(handle.get_label())) for handle in handles) + 7
    return int(np.clip(drawn.get_figwidth() * 11 // letters, 1, len(handles)))


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _marker(number: int) -> str:
    return _MARKERS[number // len(COLOURS) % len(_MARKERS)]


def _look(number: int) -> dict[str, Any]:
    return {"color": _colour(number), "marker": _marker(number)}


def _light(colour: str) -> tuple[float, float, float]:
    """The colour, mixed with white."""
    red, green, blue = to_rgb(colour)
    return 0.75 + red / 4, 0.75 + green / 4, 0.75 + blue / 4
