"""A variant has one colour in all figures of a study, whichever others they show, and everybody can tell it from others."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from tests.figures import test_every_figure as registry

from vision_studies.figures import comparison, interactive_results, mean_ranks, training
from vision_studies.figures.style import COLOURS, colour, look, numbered, series_of
from vision_studies.pipelines.alphanet.plots import trade_offs
from vision_studies.pipelines.clustering import plots as clustering
from vision_studies.pipelines.mlp_transfer import plots as mlp_transfer
from vision_studies.pipelines.mlp_transfer import width_plots
from vision_studies.pipelines.stacking import plots as stacking
from vision_studies.statistics.comparisons import compare_variants

STUDY = [f"v{number}" for number in range(9)]
FEW = ["v7", "v3", "v1"]


def results(names):
    rows = [
        {"variant": name, "seed": seed, "test_accuracy": 0.5 + 0.01 * STUDY.index(name) + 0.01 * seed, "role": "stack"}
        | {"parameters": 10, "macs": 1e6, "seconds": 3.0}
        for name in names
        for seed in range(2)
    ]
    return pd.DataFrame(rows)


def histories(names):
    rows = [
        {"run": f"{name}, seed {seed}", "variant": name, "seed": seed, "epoch": epoch, "train_loss": 1 / epoch}
        | {"validation_loss": 1 / epoch, "validation_accuracy": 0.1 + 0.01 * STUDY.index(name)}
        | {"learning_rate": 0.1 + STUDY.index(name) / epoch}
        for name in names
        for seed in range(2)
        for epoch in range(1, 4)
    ]
    return pd.DataFrame(rows)


def members(names):
    row = {"members": 1, "accuracy": 0.8, "log_loss": 0.5}
    row |= {f"{name}_{end}": 0.5 for name in ("accuracy", "log_loss") for end in ("low", "high")}
    return pd.DataFrame([{"variant": name, **row} for name in names])


def compared(names):
    table = results(names)
    return table, compare_variants(table.assign(value=table["test_accuracy"]), baseline=names[0])


def trials(names):
    rows = [
        {"architecture": name, "best_val_loss": 0.1 + number, "best": True, "lr": 0.1}
        for number, name in enumerate(names)
    ]
    return pd.DataFrame(rows), ["lr"], []


VARIANTS = {
    comparison.comparison_figure: compared,
    mean_ranks.mean_ranks_figure: lambda names: (names, list(np.linspace(1, len(names), len(names))), 0.5, 4),
    mlp_transfer.hyperparameter_slices: trials,
    stacking.efficiency_figure: lambda names: (results(names),),
    stacking.members_figure: lambda names: (members(names),),
    training.learning_curves: lambda names: (histories(names),),
    training.learning_rate_figure: lambda names: (histories(names),),
    training.loss_figure: lambda names: (histories(names),),
    training.validation_figure: lambda names: (histories(names),),
}
"""Figures whose colours say the variant -> its arguments for variants of these names."""

OTHERS = {
    clustering.effective_rank_bars,
    clustering.distance_lines,
    clustering.scatter,
    width_plots.learning_rates,
    trade_offs.accuracy_against_frequency,
}
"""Figures whose series are networks, widths, classes or one method in grey, which the registry gives such names."""


def colours_of(drawn, names):
    """Name of a variant -> colour that stands beside it, in a legend or on its row."""
    found = {}
    legends = [*drawn.legends, *(own for axes in drawn.axes if (own := axes.get_legend()) is not None)]
    for legend in legends:
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
            name = text.get_text().split(" (")[0]
            if name in names:
                found[name] = to_hex(handle.get_color())
    for axes in drawn.axes:
        rows = {
            tick: label.get_text().partition("\n")[0]
            for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=False)
        }
        for line in axes.lines:
            row = np.ravel(line.get_ydata())
            if line.get_marker() == "D" and len(row) == 1 and rows.get(row[0]) in names:
                found[rows[row[0]]] = to_hex(line.get_color())
    return found


@pytest.mark.parametrize("draw", VARIANTS, ids=lambda draw: draw.__name__)
def test_a_variant_has_its_colour_whichever_others_a_figure_shows(draw, without_layout):
    own = {name: colour(number).lower() for number, name in enumerate(STUDY)}
    with series_of(STUDY):
        assert colours_of(draw(*VARIANTS[draw](FEW)), FEW) == {name: own[name] for name in FEW}
    # Of more variants than colours, those with the highest accuracy may be the only ones that are told apart.
    whole = colours_of(draw(*VARIANTS[draw](STUDY)), STUDY)
    assert len(whole) >= len(COLOURS)
    assert {name: own[name] for name in whole} == whole


def test_interactive_curves_have_the_same_colours():
    with series_of(STUDY):
        fig = interactive_results.learning_curves(histories(FEW)).figure
    found = {trace.meta["group"]: trace.line.color for trace in fig.data}
    assert found == {name: colour(STUDY.index(name)) for name in FEW}


@pytest.mark.slow
def test_no_other_figure_tells_variants_apart_by_colours(without_layout):
    """A new figure that does belongs into the table above."""
    names = ["v0", "v2", "v4", "v6", "v8"]
    for draw in registry.FIGURES.keys() - VARIANTS.keys() - OTHERS:
        drawn = draw(*registry.FIGURES[draw](registry.ONE), **registry.OPTIONS.get(draw, {}))
        assert colours_of(drawn, names) == {}, draw.__name__


def test_colours_that_return_come_with_another_marker():
    looks = [tuple(look(number).values()) for number in range(49)]
    assert len(set(looks)) == 49
    assert [name for name, _ in looks[:7]] == list(COLOURS)


def test_numbers_are_those_of_the_study_and_then_those_of_the_figure():
    with series_of(["a", "b", "a", "c"]):
        assert numbered(["c", "new", "a"]) == {"c": 2, "new": 3, "a": 0}
        with series_of(["c"]):
            assert numbered(["a", "c"]) == {"a": 1, "c": 0}
        assert numbered(["c"]) == {"c": 2}
    assert numbered([]) == {}


# Brettel, Viénot and Mollon (1997), simplified for one plane by Viénot, Brettel and Mollon (1999): what is left of linear RGB.
BLIND = {
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


@pytest.mark.parametrize("kind", BLIND)
def test_colours_can_be_told_apart_by_the_colour_blind(kind):
    """No two of the palette are within a tenth of the cube of what such a reader sees."""
    linear = np.array([to_rgb(name) for name in COLOURS]) ** 2.2
    seen = np.clip(linear @ np.array(BLIND[kind]).T, 0, 1) ** (1 / 2.2)
    distances = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
    assert min(distances) > 0.1
