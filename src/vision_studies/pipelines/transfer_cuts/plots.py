"""Test accuracy of cut networks, by cut and by share of the training images.

Tables are those of `rankings`: one row a run with mode, cut (-1 for the baseline), fraction, repeat, test_accuracy and, where
it is known, images; of one mode and the baseline where nothing else is said. The upper right corner of every figure is left
free for a stamp.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vision_studies.classifiers.transferability import SCORES
from vision_studies.figures.marks import FEWEST_BOXED, boxes, cells, colour_scale, have_room, spread, values_run
from vision_studies.figures.panels import finished, key, nothing_to_draw, side_by_side, single, small_multiples
from vision_studies.figures.style import COLOURS, DASHED, DOTTED, FAINT, INK, MARKERS, NO_DATA, SOFT, colour, styled
from vision_studies.pipelines.transfer_cuts.settings import BASELINE_CUT, cut_label, percentage

_APART = 0.008  # of the axis of fractions, between the error bars of two cuts
_MODES_APART = 0.07  # of a cut, between the error bars of two modes
_LINES = ("-", (0, (5, 1.5)), DOTTED)  # for more cuts than there are colours
_COLOURS = "viridis"  # from the lowest to the highest accuracy, and from the last rank to the first
_LEAST_SCALE = 0.1  # points, where all means are one
_FEW = 10  # so few runs are drawn one by one, as a box of them says little
_BOXES = "Boxes: quartiles; whiskers: runs within 1.5 times their distance; dots: runs beyond, or all of fewer than 10."
_UNKNOWN: dict[str, Any] = {"facecolor": NO_DATA, "edgecolor": INK}
_VERDICTS: dict[str, dict[str, Any]] = {
    "higher": {"facecolor": "#a9cfe8", "edgecolor": SOFT, "hatch": "*"},
    "lower": {"facecolor": "#f3c3a0", "edgecolor": SOFT, "hatch": "//"},
    "no difference": {"facecolor": "white", "edgecolor": SOFT},
}
_RANGES: dict[str, dict[str, Any]] = {
    "cut": {"color": COLOURS[0], "linestyle": "-"},
    "baseline": {"color": SOFT, "linestyle": "--"},
}


@styled
def box_plot(table: pd.DataFrame, ranks: pd.DataFrame, *, title: str = "Test accuracy of each cut") -> Figure:
    """A box for each cut and the baseline, coloured by rank, with its median and rank above; a panel for each fraction.

    Args:
        ranks: from `rankings.rank_cuts`: fraction, cut, rank, can_be_significant, repeats_needed. Where no cut can be
            significantly better than another, the boxes are grey, and the panel says how many repeats a rank needs.
    """
    telling = ranks[ranks.groupby("fraction")["can_be_significant"].transform("any").astype(bool)]
    rank_of = telling.set_index(["fraction", "cut"])["rank"].astype(int).to_dict()
    scored = table.dropna(subset=["test_accuracy"])
    compared = scored.groupby("fraction")["cut"].nunique()
    palest = max(1, table["cut"].nunique() - 1)

    def look(rank: int | None) -> dict[str, Any]:
        """The lightest colour is the best rank, in every panel the same."""
        if rank is None:
            return _UNKNOWN
        return {"facecolor": mpl.colormaps[_COLOURS](1 - (rank - 1) / palest), "edgecolor": INK}

    def box(fraction: float, cut: int) -> tuple[dict[str, Any], str]:
        rank = rank_of.get((fraction, cut))
        return look(rank), "" if rank is None else f" · rank {rank}"

    needed = ranks[~ranks["fraction"].isin(telling["fraction"])].groupby("fraction")["repeats_needed"].first().dropna()
    notes = {fraction: _too_few(repeats) for fraction, repeats in needed.items() if compared.get(fraction, 0) > 1}
    figure = _boxes_of_cuts(table, box, lambda fraction: notes.get(fraction, ""))
    shown = {rank_of.get(cell) for cell in zip(scored["fraction"], scored["cut"], strict=True)}
    ordered = sorted(shown, key=lambda rank: (rank is None, rank))
    handles = [Patch(**look(rank), label="no rank" if rank is None else f"rank {rank}") for rank in ordered]
    explained = "Above each box: median in percent and rank (1 + number of cuts that are significantly better). "
    return finished(figure, title, legend=handles, note=explained + _BOXES, columns=9, handleheight=1.2)


@styled
def hatched_comparison(table: pd.DataFrame, compared: pd.DataFrame) -> Figure:
    """The boxes of one mode, hatched where it is significantly better or worse than another; a panel for each fraction.

    Args:
        table: of the first mode and the baseline.
        compared: from `rankings.compare_experiments`: fraction, cut, first and second (labels), verdict, can_be_significant,
            repeats_needed. Boxes that are not in it, such as the baseline's, are grey.
    """
    first, second = compared["first"].iloc[0], compared["second"].iloc[0]
    looks = compared.set_index(["fraction", "cut"])["verdict"].map(_VERDICTS.get).to_dict()
    shares = compared.groupby("fraction")[["can_be_significant", "repeats_needed"]].max()
    notes = {fraction: "" if possible else _too_few(needed) for fraction, possible, needed in shares.itertuples()}
    figure = _boxes_of_cuts(
        table,
        lambda fraction, cut: (looks.get((fraction, cut), _UNKNOWN), ""),
        lambda fraction: notes.get(fraction, f"; not compared with {second}"),
    )
    names = {
        "higher": f"{first} significantly higher than {second}",
        "lower": f"{first} significantly lower than {second}",
        "no difference": "no significant difference",
    }
    handles = [Patch(label=names[verdict], **look) for verdict, look in _VERDICTS.items()]
    handles.append(Patch(label="not compared", **_UNKNOWN))
    note = f"{first}; above each box its median in percent. {_BOXES}"
    title = f"Test accuracy of {first} against {second}"
    return finished(figure, title, legend=handles, note=note, columns=2, handleheight=1.2)


@styled
def full_box_plot(table: pd.DataFrame, *, title: str = "Test accuracy at every share of the images") -> Figure:
    """All fractions on one axis, a group of boxes for each, coloured by cut."""
    fractions = fractions_of(table)
    figure, axes, offsets, width = _grouped_axes(table, 5.4)
    handles = []
    for cut, look in cut_looks(offsets).items():
        values = [percent_of(table, fraction, cut) for fraction in fractions]
        fill, edge = f"{look['color']}66", look["color"]
        positions = np.arange(len(fractions)) + offsets[cut]
        boxes(axes, values, positions, 0.8 * width, fill=fill, edge=edge, whiskers=SOFT, dots=SOFT, linewidth=0.9)
        handles.append(Patch(facecolor=fill, edgecolor=edge, label=cut_name(cut)))
    for group in range(1, len(fractions)):
        axes.axvline(group - 0.5, color=FAINT, linewidth=0.8)
    axes.set_xlim(-0.5, max(1, len(fractions)) - 0.5)
    return finished(figure, title, legend=handles, note="", handleheight=1.2)


@styled
def difference_lines(table: pd.DataFrame, *, title: str = "Median of each cut minus that of the baseline") -> Figure:
    """Median of each cut minus the median of the baseline against the fraction; fractions without a baseline are left out."""
    medians = percents(table, "median")
    medians = medians.reindex(columns=[BASELINE_CUT, *medians.columns.drop(BASELINE_CUT, errors="ignore")])
    medians = medians.dropna(subset=[BASELINE_CUT])
    looks = cut_looks(medians.columns[1:])
    figure, axes = single(9, 5.4)
    axes.axhline(0, color=INK, linewidth=1.2)
    for cut, look in looks.items():
        _line(axes, medians[cut] - medians[BASELINE_CUT], look)
    _logarithmic_fractions(axes, table[table["fraction"].isin(medians.index)])
    axes.set(xlabel=_fraction_label(table), ylabel="difference in test accuracy (points)")
    return _named(figure, title, looks)


@styled
def accuracy_lines(table: pd.DataFrame, *, title: str = "Mean test accuracy of each cut") -> Figure:
    """Mean and standard deviation (n - 1) of each cut and the baseline against the fraction."""
    means, deviations = percents(table), percents(table, "std").fillna(0)
    looks = cut_looks(means)
    reach = max(float(np.ptp(np.log10(means.index))), 1.0) if len(means) else 1.0
    figure, axes = single(9.5, 5.6)
    # Error bars of one fraction stand side by side, or they would hide each other.
    for (cut, look), shift in zip(looks.items(), side_by_side(len(looks), _APART * reach), strict=True):
        shifted = means[cut].set_axis(means.index * 10**shift)
        bars = {"ecolor": look["color"], "elinewidth": 1, "capsize": 2, "alpha": 0.75}
        axes.errorbar(shifted.index, shifted, yerr=deviations[cut], fmt="none", **bars)
        _line(axes, shifted, look)
    _logarithmic_fractions(axes, table)
    axes.set(xlabel=_fraction_label(table), ylabel="test accuracy (%)")
    return _named(
        figure, title, looks, "Bars: standard deviation over repeats. Within a share, cuts are set side by side."
    )


@styled
def range_lines(table: pd.DataFrame, *, title: str = "Median and range of the test accuracy") -> Figure:
    """Median with the band from the lowest to the highest run: a panel for each cut, over the baseline."""
    low, median, high = (percents(table, which) for which in ("min", "median", "max"))
    cuts = median.columns.drop(BASELINE_CUT, errors="ignore")
    panels = small_multiples(len(cuts), columns=4, size=(3.3, 2.8), margin=(1, 1.2), sharex=True, sharey=True)
    for axes, cut in zip(panels.axes, cuts, strict=False):
        for number, look in ((BASELINE_CUT, _RANGES["baseline"]), (cut, _RANGES["cut"])):
            if number in median:
                band = {"color": look["color"], "alpha": 0.22, "linewidth": 0}
                axes.fill_between(median.index, low[number], high[number], **band)
                axes.plot(median.index, median[number], marker="o", markersize=4, linewidth=1.6, **look)
        _logarithmic_fractions(axes, table.assign(images=np.nan), apart=0.13)
        axes.tick_params(axis="x", labelsize=8.5)
        axes.set_title(cut_name(cut), fontsize=11)
    panels.label("share of the training images", "test accuracy (%)")
    handles: list[Artist] = []
    for name, look in _RANGES.items():
        if name == "cut" or BASELINE_CUT in median:
            handles.append(key(f"median of the {name}", marker="o", markersize=4, **look))
            handles.append(Patch(color=look["color"], alpha=0.22, label="its lowest to highest run"))
    columns = 4 if len(cuts) > 2 else 2  # of fewer panels the figure is too narrow
    return finished(panels.figure, title, legend=handles, note="", columns=columns, handleheight=1.2)


@styled
def mode_lines(table: pd.DataFrame, labels: dict[str, str], *, title: str = "Test accuracy at every cut") -> Figure:
    """Mean and standard deviation (n - 1) of each mode against the cut, over the baseline; a panel for each fraction.

    Args:
        labels: mode -> what it is called; they are drawn in this order.
    """
    fractions = fractions_of(table)
    panels = small_multiples(len(fractions), columns=3, size=(3.7, 3.1), margin=(0.8, 1.3), sharex=True)
    for axes, fraction in zip(panels.axes, fractions, strict=True):
        _panel_of_modes(axes, table[table["fraction"] == fraction], labels)
        axes.set_title(share_name(table, fraction))
    panels.label("layers before the cut", "test accuracy (%)")
    handles, _ = panels.axes[0].get_legend_handles_labels()
    beside: dict[str, Any] = {"legend": handles, "columns": len(handles), "loc": "outside lower right"}
    return finished(panels.figure, title, small_print="Bars and band: standard deviation over repeats.", **beside)


@styled
def heat_map(
    table: pd.DataFrame, *, title: str = "Mean test accuracy (%)", limits: tuple[float, float] | None = None
) -> Figure:
    """Mean test accuracy of every fraction and cut, written into its cell.

    Args:
        limits: ends of the scale of colours, from `mean_limits` where figures of several modes are compared; if missing,
            those of this table.
    """
    means = percents(table)
    rows, columns = means.shape
    figure, axes = single(3 + 0.85 * max(1, columns), max(3.6, 1.9 + 0.62 * rows))
    image = cells(
        axes,
        means.to_numpy(dtype=float),
        "{:.1f}".format,
        rows=[_fraction_tick(table, fraction) for fraction in means.index],
        columns=[cut_label(cut) for cut in means],
        font_size=10,
        norm=Normalize(*(limits or mean_limits(table))),
        cmap=_COLOURS,
    )
    if BASELINE_CUT in means and columns > 1:
        axes.axvline(0.5, color="white", linewidth=4)
    axes.set(xlabel="cut: convolutions that are taken over", ylabel=_fraction_label(table).replace(" and", "\nand"))
    colour_scale(axes, image)
    return finished(figure, title)


@styled
def bars(table: pd.DataFrame, *, title: str = "Mean test accuracy") -> Figure:
    """Mean test accuracy as bars, a group for each fraction, with the standard deviation (n - 1) over repeats."""
    means, deviations = percents(table), percents(table, "std").fillna(0)
    looks = cut_looks(means)
    figure, axes, offsets, width = _grouped_axes(table, 5)
    for cut, offset in offsets.items():
        fill = looks[cut]["color"]
        error = {"ecolor": INK if fill != COLOURS[-1] else SOFT, "elinewidth": 0.9, "capsize": 1.5}
        positions = np.arange(len(means)) + offset
        axes.bar(positions, means[cut], 0.92 * width, yerr=deviations[cut], color=fill, error_kw=error)
    axes.set_ylim(0, 100)
    handles = [Patch(color=looks[cut]["color"], label=cut_name(cut)) for cut in offsets]
    note = "Lines on the bars: standard deviation over repeats."
    return finished(figure, title, legend=handles, note=note, handleheight=1.2)


@styled
def surface(
    table: pd.DataFrame,
    *,
    title: str = "Mean test accuracy over share and cut",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Mean test accuracy as a surface over the logarithm of the fraction and the cut.

    It passes through the means and is straight between them: nothing is smoothed. The baseline has no place on an axis of
    cuts and is left out. `limits` are the ends of heights and colours, as in `heat_map`.
    """
    limits = limits or mean_limits(table)
    means = percents(table[table["cut"] != BASELINE_CUT])
    panels = small_multiples(1, columns=1, size=(8.4, 6.2), margin=(0, 0), subplot_kw={"projection": "3d"})
    figure, axes = panels.figure, cast("Any", panels.axes[0])
    small_print = "Dots: means over repeats. The surface is straight between them. The baseline is not shown."
    finished(figure, title, small_print=small_print)
    if min(means.shape) < 2:
        axes.set_axis_off()
        axes.text2D(0.5, 0.5, "A surface needs two cuts and two shares.", transform=axes.transAxes, ha="center")
        return figure
    shares = np.log10(means.index.to_numpy())
    across, along = np.meshgrid(means.columns, shares)
    heights = means.to_numpy()
    lines: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.6, "alpha": 0.9, "rstride": 1, "cstride": 1}
    faces = axes.plot_surface(across, along, heights, cmap=_COLOURS, vmin=limits[0], vmax=limits[1], **lines)
    colour_scale(axes, faces, shrink=0.5, pad=0.08, label="test accuracy (%)")
    axes.scatter(across, along, heights, color=INK, s=9, depthshade=False)
    axes.set_xticks(means.columns)
    named = have_room(shares, 0.13)
    labels = [percentage(fraction) if room else "" for fraction, room in zip(means.index, named, strict=True)]
    axes.set_yticks(shares, labels)
    axes.tick_params(axis="y", pad=4)
    axes.set_xlabel("cut", labelpad=6)
    axes.set_ylabel("share of the training images", labelpad=14)
    axes.set_zlim(*limits)
    axes.view_init(elev=24, azim=-58)
    axes.set_box_aspect((1.1, 1.2, 0.8), zoom=1.05)
    return figure


@styled
def score_ranks(table: pd.DataFrame, *, title: str = "How well scores without training rank the cuts") -> Figure:
    """Weighted tau of each score with its interval, the highest mean first; a panel for each fraction.

    Args:
        table: from `scores.rank_scores`, of one mode.
    """
    told = table.dropna(subset=["tau"])
    if told.empty:
        return nothing_to_draw("No score ranks three cuts or more.", title)
    names = list(told.groupby("score")["tau"].mean().sort_values().index)
    fractions = sorted(told["fraction"].unique())
    height = 1.0 + 0.32 * len(names)
    panels = small_multiples(len(fractions), columns=3, size=(3.4, height), margin=(1.6, 1.2), sharex=True, sharey=True)
    for axes, fraction in zip(panels.axes, fractions, strict=True):
        rows = told[told["fraction"] == fraction].set_index("score").reindex(names)
        axes.axvline(0, color=FAINT)
        axes.hlines(range(len(names)), rows["low"], rows["high"], color=COLOURS[0])
        axes.plot(rows["tau"], range(len(names)), "o", color=COLOURS[0], markersize=6)
        axes.set_title(f"{percentage(fraction)} of the images")
        axes.set_yticks(range(len(names)), [SCORES[name].title if name in SCORES else name for name in names])
        axes.set_xlim(-1.05, 1.05)
    panels.label("weighted tau of score and test accuracy", "")
    note = "1: the score puts the cuts in their order, in which the best weigh most. Lines: interval over repeats."
    return finished(panels.figure, title, small_print=note)


def mean_limits(table: pd.DataFrame) -> tuple[float, float]:
    """Lowest and highest mean test accuracy in percent of any mode, fraction and cut: the scale that their figures share."""
    means = 100 * table.groupby(["mode", "fraction", "cut"])["test_accuracy"].mean()
    low, high = float(means.min()), float(means.max())
    return low, max(high, low + _LEAST_SCALE)


def percents(table: pd.DataFrame, reduce: str = "mean") -> pd.DataFrame:
    """Test accuracies in percent, one number a cell: float64 [fractions, cuts], in order; NaN where nothing was run."""
    accuracies = (100 * table["test_accuracy"]).groupby([table["fraction"], table["cut"].astype(int)])
    return accuracies.agg(reduce).unstack()


def percent_of(table: pd.DataFrame, fraction: float, cut: int) -> np.ndarray:
    """Known test accuracies of a cell in percent, float64 [N]."""
    cell = table.loc[(table["fraction"] == fraction) & (table["cut"] == cut), "test_accuracy"]
    return 100 * cell.dropna().to_numpy(dtype=float)


def fractions_of(table: pd.DataFrame) -> list[float]:
    """Fractions of a table in order."""
    return sorted(float(fraction) for fraction in table["fraction"].unique())


def cut_name(cut: int) -> str:
    """How a legend calls a cut."""
    return cut_label(cut) if cut == BASELINE_CUT else f"cut {cut}"


def share_name(table: pd.DataFrame, fraction: float) -> str:
    """A fraction as the title of a panel: percent and, in brackets, the number of images where it is known."""
    images = _images_of(table, fraction)
    return f"{percentage(fraction)} of the images" + (f" ({images})" if images else "")


def cut_looks(cuts: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Colour, marker and line of each cut, in order; the baseline, which is the first, is grey and dashed."""
    numbers = sorted(cuts)
    looks: dict[int, dict[str, Any]] = {}
    if BASELINE_CUT in numbers:
        numbers.remove(BASELINE_CUT)
        looks[BASELINE_CUT] = {"color": SOFT, "marker": "x", "linestyle": DASHED}
    for number, cut in enumerate(numbers):
        line = _LINES[number // len(COLOURS) % len(_LINES)]
        looks[cut] = {"color": colour(number), "marker": MARKERS[number % len(MARKERS)], "linestyle": line}
    return looks


def _named(figure: Figure, title: str, looks: dict[int, dict[str, Any]], small_print: str = "") -> Figure:
    """The figure with its heading, and beside it the names of the cuts whose lines it has."""
    handles = [key(cut_name(cut), linewidth=1.8, markersize=6, **look) for cut, look in looks.items()]
    beside: dict[str, Any] = {"legend": handles, "columns": 1, "loc": "outside right center"}
    return finished(figure, title, small_print=small_print, **beside)


def _images_of(table: pd.DataFrame, fraction: float) -> str:
    """How many images a fraction is, with thousands separated; empty where the table does not say."""
    counts = table.loc[table["fraction"] == fraction, "images"].dropna() if "images" in table else []
    return f"{max(counts):,.0f}" if len(counts) else ""


def _fraction_tick(table: pd.DataFrame, fraction: float) -> str:
    return f"{percentage(fraction)}\n{_images_of(table, fraction)}".rstrip()


def _fraction_label(table: pd.DataFrame) -> str:
    counted = "images" in table and table["images"].notna().any()
    return "share of the training images" + (" and their number" if counted else "")


def _logarithmic_fractions(axes: Axes, table: pd.DataFrame, *, apart: float = 0.075) -> None:
    """A logarithmic axis with a tick at every fraction; names that are not `apart`, a part of the axis, are left out."""
    if fractions := fractions_of(table):
        values_run(axes.xaxis, fractions, [_fraction_tick(table, fraction) for fraction in fractions], apart)
        margin = 0.05 * float(np.ptp(np.log10(fractions))) + 0.02
        axes.set_xlim(fractions[0] / 10**margin, fractions[-1] * 10**margin)


def _grouped_axes(table: pd.DataFrame, height: float) -> tuple[Figure, Axes, dict[int, float], float]:
    """An empty figure with a group of slots for each fraction, at 0, 1, ..., and in each group a slot for each cut.

    Returns:
        Figure, axes, the offset of each cut from the middle of its group, and the width of a slot.
    """
    fractions, cuts = fractions_of(table), sorted(table["cut"].unique())
    figure, axes = single(max(8.0, 2 + 0.27 * len(cuts) * len(fractions)), height)
    width = 0.86 / max(1, len(cuts))
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(fractions)), [_fraction_tick(table, fraction) for fraction in fractions])
    axes.set(xlabel=_fraction_label(table), ylabel="test accuracy (%)")
    return figure, axes, dict(zip(cuts, side_by_side(len(cuts), width).tolist(), strict=True)), width


def _line(axes: Axes, values: pd.Series, look: dict[str, Any]) -> None:
    """A line over the fractions that have a value: one that was not run does not break it."""
    measured = values.dropna()
    axes.plot(measured.index, measured, linewidth=1.6, markersize=6, **look)


def _panel_of_modes(axes: Axes, table: pd.DataFrame, labels: dict[str, str]) -> None:
    def means(rows: pd.DataFrame) -> pd.DataFrame:
        accuracies = (100 * rows["test_accuracy"]).groupby(rows["cut"]).agg(["mean", "std"])
        return accuracies.dropna(subset="mean").fillna(0)

    for mean, deviation in means(table[table["cut"] == BASELINE_CUT]).to_numpy():
        axes.axhline(mean, color=SOFT, linestyle="--", label="baseline")
        axes.axhspan(mean - deviation, mean + deviation, color=SOFT, alpha=0.12, linewidth=0)
    shifts = side_by_side(len(labels), _MODES_APART)
    for number, (mode, shift) in enumerate(zip(labels, shifts, strict=True)):
        cell = means(table[table["mode"] == mode])
        look: dict[str, Any] = {
            "color": colour(number),
            "marker": MARKERS[number % len(MARKERS)],
            "markersize": 5,
            "capsize": 2,
        }
        axes.errorbar(cell.index + shift, cell["mean"], yerr=cell["std"], label=labels[mode], **look)
    axes.set_xticks(sorted(cut for cut in table["cut"].unique() if cut != BASELINE_CUT))


def _too_few(needed: float) -> str:
    return f"; a significant difference needs at least {needed:.0f}"


def _boxes_of_cuts(
    table: pd.DataFrame, look: Callable[[float, int], tuple[dict[str, Any], str]], note: Callable[[float], str]
) -> Figure:
    """A panel for each fraction, one below the other, over one axis of cuts; each has room for the labels of its boxes.

    Args:
        look: fraction and cut -> look of the box, and what stands behind its median.
        note: fraction -> what stands behind the number of repeats in the title of its panel.
    """
    fractions, cuts = fractions_of(table), sorted(table["cut"].unique())
    width = max(7.0, 1.4 + 1.16 * len(cuts))
    panels = small_multiples(len(fractions), columns=1, size=(width, 2.1), margin=(0, 1.5), sharex=True)
    for axes, fraction in zip(panels.axes, fractions, strict=True):
        counts = []
        for position, cut in enumerate(cuts):
            if len(values := percent_of(table, fraction, cut)):
                counts.append(len(values))
                _box(axes, values, position, *look(fraction, cut))
        fewest, most = min(counts, default=0), max(counts, default=0)
        repeats = f"{most} repeats" if fewest == most else f"{fewest} to {most} repeats"
        axes.set_title(
            f"{share_name(table, fraction)}, {repeats}{note(fraction)}", fontsize=11, pad=22
        )  # room for a median
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("test accuracy (%)", fontsize=9.5)
    panels.axes[-1].set_xticks(range(len(cuts)), [cut_label(cut) for cut in cuts])
    panels.axes[-1].set_xlim(-0.6, len(cuts) - 0.4)
    panels.axes[-1].set_xlabel("cut: convolutions that are taken over")
    return panels.figure


def _box(axes: Axes, values: np.ndarray, position: float, look: dict[str, Any], label: str) -> None:
    """One box with its median above its highest run; few runs are dots, too."""
    few = len(values) < _FEW
    kinds = {"fill": look["facecolor"], "edge": look["edgecolor"], "hatch": look.get("hatch")}
    boxes(axes, [values], [position], 0.62, whiskers=SOFT, dots=None if few else SOFT, linewidth=0.9, **kinds)
    if FEWEST_BOXED <= len(values) < _FEW:
        positions = position + spread(len(values), 0.2)
        axes.plot(positions, values, "o", color=SOFT, markersize=3.5, markeredgewidth=0, zorder=3)
    above: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(f"{np.median(values):.1f}{label}", (position, values.max()), fontsize=9, color=INK, **above)
