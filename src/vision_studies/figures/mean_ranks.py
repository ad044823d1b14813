"""Mean ranks of variants over several data sets, and which of them cannot be told apart."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from vision_studies.figures.panels import finished, single
from vision_studies.figures.style import INK, SOFT, colour, numbered, short, styled

_BAR = 0.22  # ranks between the bars of groups


@styled
def mean_ranks_figure(names: Sequence[str], ranks: Sequence[float], critical_difference: float, sets: int) -> Figure:
    """Mean ranks, the best on top; variants joined by a bar differ by less than the critical difference.

    It is the diagram of Demšar (2006), turned so that names have room.

    Args:
        names: of variants.
        ranks: mean rank of each; 1 is the best.
        critical_difference: of Nemenyi's test.
        sets: number of data sets.
    """
    order = sorted(range(len(names)), key=lambda number: (ranks[number], number))
    numbers = numbered(names)
    figure, axes = single(8, 1.9 + 0.45 * len(names))
    for row, number in enumerate(order):
        axes.plot([1, ranks[number]], [row, row], color=SOFT, linewidth=0.8, alpha=0.5, zorder=1)
        hue = colour(numbers[str(names[number])])
        axes.plot(ranks[number], row, "D", color=hue, markersize=9, markeredgecolor="white", zorder=3)
    for level, (first, last) in enumerate(alike([ranks[number] for number in order], critical_difference)):
        x = len(names) + 0.35 + _BAR * level
        axes.plot([x, x], [first - 0.2, last + 0.2], color=INK, linewidth=3.5, solid_capstyle="round", zorder=2)
    axes.set_yticks(range(len(order)), [short(names[number], 30) for number in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xticks(range(1, len(names) + 1))
    axes.set_xlim(0.8, len(names) + 0.6 + _BAR * len(names) / 2)
    axes.set_xlabel("mean rank (1: best on every data set)")
    note = (
        f"{sets} data sets. A bar joins variants whose mean ranks differ by less than {critical_difference:.2f}, which "
        "Nemenyi's test cannot tell apart."
    )
    return finished(figure, "Ranks over data sets", small_print=note)


def alike(ranks: Sequence[float], critical_difference: float) -> list[tuple[int, int]]:
    """First and last position of the longest runs of ranks, in rising order, within the critical difference; no run of one.

    Examples:
        >>> from vision_studies.figures.mean_ranks import alike
        >>> alike([1.0, 1.5, 2.2, 3.9], 1.0)
        [(0, 1), (1, 2)]
    """
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(at for at in range(first, len(ranks)) if ranks[at] - ranks[first] < critical_difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs
