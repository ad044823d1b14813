"""How well scores without training rank the cuts."""

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.classifiers.transferability import SCORES
from vision_studies.figures.panels import finished, nothing_to_draw, small_multiples
from vision_studies.figures.style import COLOURS, FAINT, styled
from vision_studies.pipelines.transfer_cuts.settings import percentage


@styled
def score_ranks(table: pd.DataFrame, *, title: str = "How well scores without training rank the cuts") -> Figure:
    """Weighted tau of each score with its interval, the highest mean first; a panel for each fraction.

    Args:
        table: from `score_ranks.rank_scores`, of one mode.
        title: of the figure.
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
