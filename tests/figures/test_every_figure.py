"""Every function that draws a figure, with one variant and with many: no text is cut off, and whatever is drawn is inside."""

import importlib
import inspect
import itertools
import json
import pkgutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from tests.figures import test_alphanet_prediction_figures as predicted
from tests.figures import test_alphanet_split_figures as split
from tests.figures import test_clustering_plots as clusters
from tests.figures import test_cut_modes as modes
from tests.figures import test_cut_plots as cut
from tests.figures import test_mlp_transfer_plots as perceptrons
from tests.figures import test_plots as shared
from tests.figures import test_stacking_plots as stacks
from tests.figures.test_plots import hidden_texts, renderer_of

import vision_studies.figures
import vision_studies.pipelines
from vision_studies.classifiers.transferability import SCORES
from vision_studies.data.checks.sheet import SheetRow
from vision_studies.figures import classification, comparison, mean_ranks, training
from vision_studies.figures.contact_sheet import contact_sheet
from vision_studies.pipelines.alphanet.plots import accuracies as alphanet
from vision_studies.pipelines.alphanet.plots import neighbours, predictions, trade_offs
from vision_studies.pipelines.alphanet.trade_offs import areas
from vision_studies.pipelines.choose import plots as choose
from vision_studies.pipelines.choose.candidates import CLASSIFIER, Part
from vision_studies.pipelines.clustering import plots as clustering
from vision_studies.pipelines.data_prep import plots as data_prep
from vision_studies.pipelines.mlp_transfer import plots as mlp_transfer
from vision_studies.pipelines.mlp_transfer import width_plots
from vision_studies.pipelines.stacking import plots as stacking
from vision_studies.pipelines.transfer_cuts import plots as cuts

ONE, FEW, MANY = 1, 2, 9
LONG = "a variant whose name is longer than any figure has room for"


def names(count):
    return [f"{LONG} {number}" if number % 2 else f"v{number}" for number in range(count)]


def rhos(count):
    return tuple(np.linspace(0.1, 3, count).round(2))


def classes(count):
    return split.class_table(3 * count, ("crt",), rhos(count))


def many_classes(count):
    return split.class_table(12 * count, ("crt",), rhos(count))


def accuracies(count):
    fractions = list(cut.REPEATS)[: max(1, count // 2)]
    table = cut.accuracies()
    return table[table["fraction"].isin(fractions) & (table["cut"] < count)]


def matrix(count):
    return pd.DataFrame(np.random.default_rng(0).normal(size=(count, count)), names(count), names(count))


def trials(count):
    rows = [
        {"number": number, "value": 0.5 + number / 30, "status": ("complete", "pruned")[number % 2]}
        | dict.fromkeys(names(count), 10.0 ** (-(number % 4)))
        for number in range(2 * count)
    ]
    return pd.DataFrame(rows)


def slices(count):
    rows = [
        {
            "architecture": name,
            "best_val_loss": 0.1 + number / 100,
            "best": number == 0,
            "lr": 10.0**-number,
            "drop": 0.1,
        }
        for name in names(count)
        for number in range(4)
    ]
    return pd.DataFrame(rows)


def costs(count):
    cost = {"test_accuracy": 0.9, "parameters": 1000, "macs": 1e9, "seconds": 3.0}
    return pd.DataFrame([{"variant": name, "role": "stack", **cost} for name in names(count)])


def score_taus(count):
    rows = [
        {"fraction": share, "score": score, "tau": 0.8 - place / 10, "low": 0.5 - place / 10, "high": 0.95 - place / 10}
        for share in (0.01, 0.1, 1.0)[: max(1, count // 3)]
        for place, score in enumerate(list(SCORES)[:count])
    ]
    return pd.DataFrame(rows)


def ranks(count):
    rows = [
        {"layer": layer, "network": network, "effective_rank": 3.25, "largest": 64}
        for layer in clusters.LAYERS
        for network in names(min(count, 4))
    ]
    return pd.DataFrame(rows)


def distances(count):
    rows = [
        {"classes": of, "network": network, "layer": layer, "within": 0.2, "between": 0.4}
        for of in ("pretraining", "fine_tuning")[: max(1, count // 4)]
        for network in names(min(count, 4))
        for layer in clusters.LAYERS
    ]
    return pd.DataFrame(rows)


def confused(count):
    labels, probabilities = shared.predictions(count + 1)
    return labels, probabilities.argmax(axis=1), names(count + 1)


def grid(count):
    labels, probabilities = shared.predictions(5, count)
    table = shared.prediction_table(labels[:count], probabilities[:count])
    return np.zeros((count, 8, 8, 3), np.uint8), table, names(5), 0.9


def bins():
    labels, probabilities = shared.predictions(10)
    return shared.reliability_table(probabilities, labels), 0.1


def curves(count):
    return shared.histories(count, 1 if count == ONE else 3)


def card(count):
    images, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % count
    return shared.card([7] * count), images, labels, names(count)


def sheet_rows(count):
    kinds = ("wrong", "doubtful", "note")
    pictures = [np.zeros((8, 8, 3), np.uint8)] * count
    return [SheetRow(LONG, kinds[row % 3], 1000, names(count), pictures) for row in range(count)]


def layers(count):
    return clusters.table(clusters.METHODS[: max(1, count // 3)], ("pretraining", "fine_tuning")[: max(1, count // 4)])


def tried(count):
    rows = [
        {
            "variant": f"{family} on features",
            "configuration": json.dumps(
                {"kind": CLASSIFIER, "features": [Part("efficientnet_lite0", pixels, True, "").configuration]}
            ),
            "test_accuracy": 0.5 + number / 30,
            "validation_accuracy": 0.5,
            "seconds": 1.5,
            "other_metrics": json.dumps({"own_seconds": 1.0}),
            "finished_at": f"2026-01-01T00:00:{10 + number}+00:00",
        }
        for number, (family, pixels) in enumerate(itertools.product(names(count), (64, 192)))
    ]
    return pd.DataFrame(rows)


def knobs(count):
    """Few and many classes over five values of each method's knob."""
    return pd.DataFrame(
        {"classifier": "cRT", "method": name, "knob": knob, "repeat": repeat, "chosen": knob == 1.0, "medium": 0.5}
        | {"few": 0.2 + knob / 5 + repeat / 50 + number / 99, "many": 0.9 - knob / 4, "overall": 0.6}
        for number, name in enumerate(names(count))
        for repeat in range(3)
        for knob in (0.0, 0.5, 1.0, 1.5, 2.0)
    )


def class_accuracies(count):
    """Of eight classes, from 500 training images to 5."""
    return pd.DataFrame(
        {"experiment": name, "repeat": repeat, "label": label, "train_images": images, "accuracy": images**0.1 / 2.5}
        for name in names(count)
        for repeat in range(3)
        for label, images in enumerate((500, 200, 90, 40, 20, 10, 7, 5))
    )


def learnt(count):
    sizes = [20 * 2**number for number in range(count + 1)]
    rows = [
        {"images": size, "accuracy": 0.9 - 2 / size, "low": 0.85 - 2 / size, "high": 0.93 - 2 / size, "kind": kind}
        for kind in ("measured", "fitted")
        for size in sizes
    ]
    return pd.DataFrame(rows)


FIGURES = {
    alphanet.class_gain_bars: lambda n: (classes(n),),
    alphanet.accuracy_and_images: lambda n: (classes(n),),
    alphanet.accuracy_against_distance: lambda n: (many_classes(n), split.distance_lines(many_classes(n))),
    alphanet.accuracy_against_images: lambda n: (split.image_lines(classes(n)), classes(n)),
    neighbours.coefficient_densities: lambda n: (predicted.combinations(n, names(n)),),
    neighbours.class_examples: lambda n: (np.zeros((n, 3, 8, 8, 3), np.uint8), names(n), LONG),
    neighbours.template_panels: lambda n: (predicted.map_of(n), LONG, names(n)),
    neighbours.template_figure: lambda n: (
        {name: predicted.map_of(2) for name in names(n)},
        {name: names(2) for name in names(n)},
        LONG,
    ),
    predictions.prediction_counts: lambda n: (
        pd.DataFrame({"group": predicted.GROUPS, "images": [n, 20.5, 1], "share": [0.1, 0.8, 0.1]}),
        LONG,
    ),
    predictions.prediction_changes: lambda n: (predicted.flows(range(n, n + 18)), LONG),
    trade_offs.few_against_many: lambda n: (knobs(n), areas(knobs(n))),
    trade_offs.accuracy_against_frequency: lambda n: (class_accuracies(n),),
    alphanet.split_points: lambda n: (split.summary(rhos=rhos(n)),),
    alphanet.split_lines: lambda n: (split.summary(rhos=rhos(n)),),
    classification.confusion_matrix: confused,
    classification.reliability_diagram: lambda _: bins(),
    classification.prediction_grid: grid,
    clustering.cluster_box_plot: lambda n: (layers(n),),
    clustering.channel_box_plot: lambda n: (layers(n),),
    clustering.score_lines: lambda n: (layers(n),),
    clustering.distance_lines: lambda n: (distances(n),),
    clustering.scatter: lambda n: (np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % n, names(n), LONG),
    clustering.effective_rank_bars: lambda n: (ranks(n),),
    choose.candidates_map: lambda n: (tried(n),),
    choose.time_lines: lambda n: (tried(n),),
    choose.learning_curve_lines: lambda n: (learnt(n),),
    comparison.comparison_figure: lambda n: (shared.results(n, 3), shared.compared(shared.results(n, 3))),
    cuts.difference_lines: lambda n: (accuracies(n),),
    cuts.accuracy_lines: lambda n: (accuracies(n),),
    cuts.range_lines: lambda n: (accuracies(n),),
    cuts.mode_lines: lambda n: (modes.accuracies(list(cut.REPEATS)[: max(1, n // 2)]), modes.LABELS),
    cuts.heat_map: lambda n: (accuracies(n),),
    cuts.score_ranks: lambda n: (score_taus(n),),
    cuts.bars: lambda n: (accuracies(n),),
    cuts.surface: lambda n: (accuracies(n),),
    cuts.box_plot: lambda n: (accuracies(n), cut.ranks()),
    cuts.hatched_comparison: lambda n: (accuracies(n), cut.compared()),
    cuts.full_box_plot: lambda n: (accuracies(n),),
    mean_ranks.mean_ranks_figure: lambda n: (names(n), list(np.linspace(1, n, n)), 1.2, 5),
    contact_sheet: lambda n: (sheet_rows(n), LONG),
    data_prep.data_card_figure: card,
    mlp_transfer.loss_curves: lambda n: (perceptrons.histories(names(n)),),
    mlp_transfer.loss_curve: lambda _: (perceptrons.histories(["one"]), LONG),
    mlp_transfer.seed_losses: lambda n: (perceptrons.results().query("variant in @perceptrons.NAMES[:@n]"),),
    mlp_transfer.transfer_heat_map: lambda n: (matrix(n),),
    mlp_transfer.importance_heat_map: lambda n: (
        pd.DataFrame(
            [{"architecture": name, "hyperparameter": "lr", "importance": 0.3, "trials": 12} for name in names(n)]
        ),
    ),
    mlp_transfer.hyperparameter_slices: lambda n: (slices(n), ["lr", "drop"], ["lr"]),
    width_plots.learning_rates: lambda n: (perceptrons.rates(names(n)),),
    width_plots.coordinate_sizes: lambda n: (perceptrons.sizes(n),),
    stacking.parts_figure: lambda n: (stacks.histories(variants=names(n)),),
    stacking.efficiency_figure: lambda n: (costs(n),),
    stacking.members_figure: lambda n: (stacks.members(names(n)),),
    stacking.trial_histories: lambda n: (
        pd.DataFrame({"trial": range(n), "epoch": 1, "validation_accuracy": 0.5, "status": "complete"}),
        LONG,
    ),
    stacking.hyperparameter_figure: lambda n: (trials(n), names(n), 0, LONG),
    stacking.density_figure: lambda n: (
        trials(n).query("status == 'complete'"),
        {name: {"best_trial_value": 1.0, "correlation_with_accuracy": -0.25} for name in names(n)},
        LONG,
    ),
    stacking.bar_figure: lambda n: (
        {name: {"value_counts": dict.fromkeys(names(n), 3), "best_trial_value": LONG} for name in names(n)},
        LONG,
    ),
    stacking.importance_figure: lambda n: (dict.fromkeys(names(n), 0.3), LONG),
    training.loss_figure: lambda n: (curves(n),),
    training.validation_figure: lambda n: (curves(n),),
    training.learning_rate_figure: lambda n: (curves(n),),
    training.learning_curves: lambda n: (curves(n),),
}
"""Function -> number of variants -> its arguments."""

OPTIONS = {
    alphanet.accuracy_against_distance: {"value": "gain"},
    alphanet.split_points: {"gain": False},
    alphanet.split_lines: {"over": "rho", "gain": False},
    mlp_transfer.transfer_heat_map: {"kind": "regret"},
}


def modules_with_figures():
    for package in (vision_studies.figures, vision_studies.pipelines):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if package is vision_studies.figures or any(part.endswith("plots") for part in module.name.split(".")):
                yield importlib.import_module(module.name)


def test_no_figure_is_missing_here():
    drawing = {
        own
        for module in modules_with_figures()
        for own in vars(module).values()
        if inspect.isfunction(own) and hasattr(own, "__wrapped__") and own.__module__ == module.__name__
    }
    assert {own.__name__ for own in drawing if not inspect.isgeneratorfunction(own.__wrapped__)} == {
        own.__name__ for own in FIGURES
    }


ACCURACIES = ("test_accuracy", "validation_accuracy", "baseline_accuracy", "accuracy", "mean", "value", "fitted")
REACH = ("low", "high")


def near_one(given):
    """A table whose best accuracy is 1, with intervals that go beyond."""
    columns = [] if not isinstance(given, pd.DataFrame) else [name for name in ACCURACIES if name in given]
    if not columns:
        return given
    lift = 1 - given[columns].astype(float).max().max()
    return given.assign(**{name: given[name] + lift for name in (*columns, *REACH) if name in given})


def axes_of_percentages(drawn):
    for axes in drawn.axes:
        for name in "xyz":
            label = getattr(axes, f"get_{name}label", str)()
            assert label.endswith("(%)") or "%" not in label, f"{label}: an axis of percentages is known by its end"
            if label.endswith("(%)"):
                yield axes, name


@pytest.mark.slow
def test_no_axis_of_percentages_leaves_its_range(without_layout):
    drawn_with = []
    for draw, arguments in FIGURES.items():
        drawn = draw(*map(near_one, arguments(FEW)), **OPTIONS.get(draw, {}))
        for axes, name in axes_of_percentages(drawn):
            drawn_with.append(draw)
            low, high = getattr(axes, f"get_{name}lim")()
            assert 0 <= low < high <= 100, draw.__name__
    assert len(set(drawn_with)) >= 16


@pytest.mark.slow
@pytest.mark.parametrize("count", [ONE, MANY])
@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_no_text_of_any_figure_is_cut_off(draw, count):
    drawn = draw(*FIGURES[draw](count), **OPTIONS.get(draw, {}))
    assert isinstance(drawn, Figure)
    width, height = drawn.get_size_inches() * drawn.dpi
    renderer = renderer_of(drawn)
    projected = {text for axes in drawn.axes if axes.name == "3d" for text in axes.findobj(Text)}  # ticks lie anywhere
    unseen = projected | hidden_texts(drawn)
    visible = [text for text in drawn.findobj(Text) if text.get_text().strip() and text.get_visible()]
    texts = [text for text in visible if text not in unseen]
    assert texts
    for text in texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= -2, text
        assert box.y0 >= -2, text
        assert box.x1 <= width + 2, text
        assert box.y1 <= height + 2, text
