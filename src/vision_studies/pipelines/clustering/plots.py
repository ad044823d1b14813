"""Clusters of activations against classes: by layer, by share of the images, and as maps of the images.

Tables have a row a clustering: fraction (share of the images), repeat, layer, method, channel (-1: the whole layer), the
scores ari, accuracy, precision and recall and, where both are clustered, classes ("pretraining" or "fine_tuning"). `score`
is one of the four.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vision_studies.figures.marks import boxes, have_room, names, values_run
from vision_studies.figures.panels import (
    finished,
    key,
    marker_key,
    nothing_to_draw,
    side_by_side,
    single,
    small_multiples,
)
from vision_studies.figures.style import COLOURS, INK, SOFT, colour, light, look, short, styled
from vision_studies.pipelines.transfer_cuts.settings import percentage

_SCORES = {
    "ari": "adjusted Rand index",
    "ami": "adjusted mutual information",
    "accuracy": "accuracy of clusters as classes",
    "precision": "pairwise precision",
    "recall": "pairwise recall",
}
_EACH_CHANNEL = "kmeans_channels"
_METHODS = {
    _EACH_CHANNEL: "K-means of each channel's maps, mean over channels",
    "kmeans_vectors": "K-means of channel means",
    "agglomerative": "agglomerative, channel means",
    "spectral": "spectral, channel means",
    "gaussian_mixture": "Gaussian mixture of channel means",
    "hdbscan": "HDBSCAN of channel means",
}
_CLASSES = {"pretraining": "pretraining classes", "fine_tuning": "fine-tuning classes"}
_LETTERS = 12  # of a layer's name below a box
_NOTHING = "No subset has images of two classes."


@styled
def cluster_box_plot(table: pd.DataFrame, score: str = "ari") -> Figure:
    """A score of every layer and method: a row of panels a share of the images, a column a set of classes.

    A box holds the repeats; where channels are clustered one by one, their mean stands for a repeat.
    """
    means = _means(table, score, "method", "repeat")
    if means.empty:
        return nothing_to_draw(_NOTHING)
    methods, layers = list(means["method"].unique()), _layers(means)
    step = 0.84 / len(methods)
    width = max(5.4, 1.4 + 0.17 * len(layers) * (len(methods) + 1))
    figure, facets = _facets(means, "fraction", "", _SCORES[score], size=(width, 2.5))
    for axes, title, rows in facets:
        for number, (method, shift) in enumerate(zip(methods, side_by_side(len(methods), step), strict=True)):
            _boxes(axes, rows[rows["method"] == method], score, layers, shift, 0.84 * step, colour(number))
        counts = rows.groupby(["method", "layer"]).size()
        fewest, most = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
        axes.set_title(f"{title}  (n = {fewest if fewest == most else f'{fewest} to {most}'})", fontsize=11)
        names(axes, "x", [short(layer, _LETTERS) for layer in layers], beside=0.6)
    handles = [
        Patch(facecolor=light(colour(number)), edgecolor=colour(number), label=_METHODS.get(method, method))
        for number, method in enumerate(methods)
    ]
    return finished(figure, f"Clusters against classes: {_SCORES[score]}", legend=handles)


@styled
def channel_box_plot(table: pd.DataFrame, score: str = "ari") -> Figure:
    """K-means of every channel: for each layer a box over its channels, with their mean.

    A channel's mean over repeats is drawn, and methods that cluster whole layers are not.
    """
    means = _means(table[table["method"] == _EACH_CHANNEL], score, "channel")
    if means.empty:
        return nothing_to_draw(_NOTHING)
    layers = _layers(means)
    size = max(5.4, 1.2 + 0.72 * len(layers)), 2.7
    figure, facets = _facets(means, "fraction", "", _SCORES[score], size=size)
    diamond: dict[str, Any] = {"marker": "D", "color": COLOURS[1], "markeredgecolor": "white"}
    for axes, title, rows in facets:
        channels = _boxes(axes, rows, score, layers, 0.0, 0.6, COLOURS[0])
        for position, values in enumerate(channels):
            axes.plot(position, values.mean(), markersize=7, zorder=4, **diamond)
        counts = [f"{short(layer, _LETTERS)}\nn = {len(box)}" for layer, box in zip(layers, channels, strict=True)]
        names(axes, "x", counts, beside=0.6)
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_title(title, fontsize=11)
    handles = [key("median over channels", color=INK, linewidth=1.5), marker_key("mean over channels", **diamond)]
    return finished(figure, f"K-means of each channel's maps: {_SCORES[score]}", legend=handles, columns=2)


@styled
def score_lines(table: pd.DataFrame, score: str = "ari") -> Figure:
    """Mean score against the share of the images: a line a layer, a panel a method and set of classes.

    Where channels are clustered one by one, their mean stands for a repeat.
    """
    means = _means(table, score, "method", "repeat")
    if means.empty:
        return nothing_to_draw(_NOTHING)
    layers, fractions = _layers(means), np.sort(means["fraction"].unique())
    figure, facets = _facets(means, "method", "share of the images", f"mean {_SCORES[score]}", size=(6.0, 3.4))
    for axes, title, rows in facets:
        # Side by side, or the bars of the layers would hide each other.
        for number, (layer, shift) in enumerate(zip(layers, side_by_side(len(layers), 1), strict=True)):
            values = rows[rows["layer"] == layer].groupby("fraction")[score]
            centre, deviation = values.mean(), values.std().fillna(0.0)  # one repeat has no deviation
            bars: dict[str, Any] = {"capsize": 2, "elinewidth": 0.9, "linewidth": 1.5, "markersize": 5}
            axes.errorbar(100 * centre.index.to_numpy() * 1.035**shift, centre, deviation, **bars, **look(number))
        values_run(axes.xaxis, (100 * fractions).tolist(), [percentage(fraction) for fraction in fractions], 0)
        if not all(have_room(np.log10(fractions), 0.12)):  # for level labels
            axes.tick_params(axis="x", labelrotation=90, labelsize=9)
        axes.set_title(title, fontsize=11)
    title = f"Clusters against classes: mean {_SCORES[score]} ± standard deviation over repeats"
    handles = [key(short(n, 24), linewidth=1.5, markersize=5, **look(number)) for number, n in enumerate(layers)]
    return finished(figure, title, legend=handles)


@styled
def distance_lines(table: pd.DataFrame) -> Figure:
    """Mean cosine distance within and between classes at every convolution: a panel a set of classes, a line a network.

    Args:
        table: columns classes, network, layer, within, between.
    """
    sets, networks, layers = (list(table[name].unique()) for name in ("classes", "network", "layer"))
    width = max(4.4, 1.2 + 0.55 * len(layers))
    panels = small_multiples(len(sets), columns=2, size=(width, 3.4), margin=(0, 1.4), sharex=True, sharey=True)
    kinds: dict[str, dict[str, Any]] = {
        "within": {"color": COLOURS[0], "marker": "o", "linestyle": "-"},
        "between": {"color": COLOURS[1], "marker": "s", "linestyle": "--"},
    }
    for axes, of in zip(panels.axes, sets, strict=True):
        for network, (kind, line) in product(networks, kinds.items()):
            rows = table[(table["classes"] == of) & (table["network"] == network)].set_index("layer").reindex(layers)
            axes.plot(range(len(layers)), rows[kind], linewidth=1.5, markersize=5, alpha=0.85, **line)
        names(axes, "x", [short(layer, _LETTERS) for layer in layers], beside=0.4)
        axes.margins(y=0.1)
        axes.set_ylim(bottom=0)
        axes.set_title(_CLASSES.get(of, of), fontsize=11)
    panels.label("", "mean cosine distance", fontsize=10)
    handles = [
        key("two images of one class", linewidth=1.5, markersize=5, **kinds["within"]),
        key("two images of different classes", linewidth=1.5, markersize=5, **kinds["between"]),
    ]
    return finished(panels.figure, "How far apart images lie in each layer", legend=handles, note="A line a network.")


@styled
def scatter(positions: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Images as points in the plane, coloured by class.

    Args:
        positions: [N, 2], as t-SNE gives them: only nearness means something.
        labels: int [N], positions in `class_names`.
    """
    figure, axes = single(8.6, 6.2)
    size = 5.0 if len(positions) <= 1500 else 3.0
    handles = []
    for number, name in enumerate(class_names):
        points = positions[labels == number]
        if len(points):
            dots: dict[str, Any] = {"markersize": size, "markeredgewidth": 0.3, "markeredgecolor": "white"}
            axes.plot(*points.T, linestyle="", alpha=0.75, **dots, **look(number))
            handles.append(marker_key(f"{short(name, 24)} ({len(points)})", markersize=7, **look(number)))
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[], xlabel="t-SNE, first dimension", ylabel="t-SNE, second dimension")
    # Outside the figure's plots, it would stand on the title.
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="class (images)", alignment="left")
    return finished(figure, title)


@styled
def effective_rank_bars(table: pd.DataFrame) -> Figure:
    """Effective rank of every layer's weights, a bar a network, below the largest it could be.

    Args:
        table: columns layer, network, effective_rank, largest.
    """
    layers, networks = list(table["layer"].unique()), list(table["network"].unique())
    step = 0.84 / max(1, len(networks))
    figure, axes = single(max(8.0, 2.0 + len(layers) * (0.5 + 0.4 * len(networks))), 5.2)
    largest: dict[str, Any] = {"facecolor": "none", "edgecolor": SOFT, "linestyle": ":"}
    for number, (network, shift) in enumerate(zip(networks, side_by_side(len(networks), step), strict=True)):
        rows = table[table["network"] == network]
        positions = np.array([layers.index(layer) for layer in rows["layer"]]) + shift
        axes.bar(positions, rows["largest"], 0.9 * step, linewidth=1, **largest)
        ranks = axes.bar(positions, rows["effective_rank"], 0.9 * step, color=colour(number))
        values = [f"{value:.3g}" for value in rows["effective_rank"]]
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
        axes.bar_label(ranks, values, padding=3, fontsize=8 if len(networks) < 4 else 7, color=INK, bbox=paper)
    names(axes, "x", [short(layer, _LETTERS) for layer in layers], beside=0.6)
    axes.set_ylabel("effective rank")
    axes.set_xlabel("Exponential of the entropy of the normalised singular values (Roy and Vetterli 2007)", fontsize=9)
    axes.margins(y=0.1)
    handles = [Patch(facecolor=colour(number), label=short(name, 28)) for number, name in enumerate(networks)]
    handles.append(Patch(label="largest possible", **largest))
    return finished(figure, "How many directions the weights of each layer use", legend=handles)


def _means(table: pd.DataFrame, score: str, *keys: str) -> pd.DataFrame:
    """Mean score of each fraction, set of classes and layer, and of each of what `keys` tells apart."""
    scored = (table if "classes" in table else table.assign(classes="")).dropna(subset=[score])
    return scored.groupby(["fraction", "classes", "layer", *keys], sort=False)[score].mean().reset_index()


def _facets(
    means: pd.DataFrame, by: str, x: str, y: str, *, size: tuple[float, float]
) -> tuple[Figure, list[tuple[Axes, str, pd.DataFrame]]]:
    """A grid, whose rows are the values of `by` and whose columns are sets of classes; each panel with title and rows."""
    shares = by == "fraction"
    values = sorted(means[by].unique()) if shares else list(means[by].unique())
    classes = list(means["classes"].unique())
    grid: dict[str, Any] = {"columns": len(classes), "size": size, "margin": (0, 1.4)}
    panels = small_multiples(len(values) * len(classes), **grid, sharex=True, sharey=True)
    panels.label(x, y, fontsize=10)
    facets = []
    for axes, (value, of) in zip(panels.axes, product(values, classes), strict=True):
        title = f"{percentage(value)} of the images" if shares else _METHODS.get(value, value)
        if of:
            title += (", " if shares else "\n") + _CLASSES.get(of, of)
        facets.append((axes, title, means[(means[by] == value) & (means["classes"] == of)]))
    return panels.figure, facets


def _boxes(
    axes: Axes, rows: pd.DataFrame, score: str, layers: Sequence[str], shift: float, width: float, edge: str
) -> list[pd.Series]:
    """A box for each layer; returns their values."""
    groups = [rows.loc[rows["layer"] == layer, score] for layer in layers]
    boxes(axes, groups, np.arange(len(layers)) + shift, width, fill=light(edge), edge=edge, dots=edge)
    return groups


def _layers(table: pd.DataFrame) -> list[str]:
    """Layers in the order of a network: the input first, dense layers last, those between as they stand in the table."""
    order = {"input": 0, "fc": 2, "fc_2": 3}
    return sorted(table["layer"].unique(), key=lambda layer: order.get(layer, 1))
