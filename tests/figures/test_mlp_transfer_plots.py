import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from tests.figures.test_plots import renderer_of
from tests.models.test_mlp import PUBLISHED

from vision_studies.pipelines.mlp_transfer import plots, width_plots
from vision_studies.pipelines.mlp_transfer.settings import architecture_name

NAMES = [architecture_name(widths) for widths in PUBLISHED]


def histories(names=NAMES):
    rows = []
    for place, name in enumerate(names):
        for epoch in range(1, 61):
            validated = epoch % 5 == 0
            rows.append(
                {
                    "variant": name,
                    "epoch": epoch,
                    "train_loss": 2 / epoch + 0.05,
                    "validation_loss": 1.5 / epoch + 0.08 + 0.001 * max(0, epoch - 40) + place / 100
                    if validated
                    else np.nan,
                }
            )
    return pd.DataFrame(rows)


def results():
    generator = np.random.default_rng(0)
    rows = [
        {"variant": name, "seed": seed, "test_loss": 0.08 + place / 500 + generator.normal(0, 0.002)}
        for place, name in enumerate(NAMES)
        for seed in range(5)
    ]
    return pd.DataFrame(rows)


def square(centre, spread):
    values = centre + spread * np.random.default_rng(1).normal(size=(8, 8))
    return pd.DataFrame(values, index=NAMES, columns=NAMES)


def rates(names):
    """Trials of three parametrisations: losses lowest in the middle, and one trial that diverged."""
    rows = [
        {"parametrisation": kind, "widths": name, "lr": 10.0**power, "validation_loss": 0.3 + (power + 2.5) ** 2 / 9}
        for kind in ("standard", "mup", "ntk")
        for name in names
        for power in range(-5, 0)
    ]
    rows[-1]["validation_loss"] = np.nan
    return pd.DataFrame(rows)


def sizes(count):
    """Outputs of layers that grow with the width."""
    columns = ["parametrisation", "width", "seed", "step", "layer", "size"]
    return pd.DataFrame(
        [
            [kind, 32 * 2**number, seed, step, layer, 0.5 + layer * number + seed / 9]
            for kind in ("standard", "mup")
            for number in range(count)
            for seed in range(2)
            for step in (0, 5)
            for layer in (1, 2, 3)
        ],
        columns=columns,
    )


def overlapping(labels, renderer):
    boxes = [label.get_window_extent(renderer) for label in labels if label.get_text()]
    return [
        (first, second) for place, first in enumerate(boxes) for second in boxes[place + 1 :] if first.overlaps(second)
    ]


def test_the_lowest_loss_of_each_width_has_its_star():
    drawn = width_plots.learning_rates(rates(["32x32", "64x64"]))
    assert [axes.get_title(loc="left") or axes.get_title() for axes in drawn.axes] == [
        "standard",
        "muP",
        "neural tangent",
    ]
    for axes in drawn.axes:
        stars = [line for line in axes.lines if line.get_marker() == "*"]
        assert len(stars) == 2
        lines = [line for line in axes.lines if line.get_marker() != "*"]
        for star, line in zip(stars, lines, strict=True):
            assert star.get_ydata()[0] == min(line.get_ydata())
    assert len(drawn.axes[-1].lines[-2].get_xdata()) == 4  # without the trial that diverged


def test_sizes_of_the_last_step_are_means_over_seeds():
    table = sizes(3)
    drawn = width_plots.coordinate_sizes(table)
    last = table[(table["step"] == 5) & (table["parametrisation"] == "mup") & (table["layer"] == 2)]
    line = drawn.axes[1].lines[1]
    assert list(line.get_xdata()) == [32, 64, 128]
    assert list(line.get_ydata()) == pytest.approx(list(last.groupby("width")["size"].mean()))


def test_validation_loss_is_a_line_through_the_validated_epochs():
    drawn = plots.loss_curve(histories(NAMES[:1]), "title")
    (axes,) = drawn.axes
    training, validation, best = axes.lines
    assert len(training.get_xdata()) == 60
    assert list(validation.get_xdata()) == list(range(5, 61, 5))
    assert np.isfinite(validation.get_ydata()).all()
    assert validation.get_linestyle() == "-"
    lowest = validation.get_ydata().min()
    assert list(best.get_ydata()) == [lowest]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 8])
def test_every_architecture_has_its_panel_of_loss_curves(count):
    drawn = plots.loss_curves(histories(NAMES[:count]))
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == NAMES[:count]
    assert all(len(axes.lines) == 3 for axes in shown)


def test_every_seed_of_every_architecture_is_drawn():
    drawn = plots.seed_losses(results())
    (axes,) = drawn.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == 40
    assert [label.get_text().split("\n")[0] for label in axes.get_yticklabels()] == NAMES


@pytest.mark.parametrize(
    ("kind", "matrix"), [("loss", square(0.08, 0.004)), ("regret", square(0.0, 0.01)), ("relative", square(1.0, 0.1))]
)
def test_labels_of_a_heat_map_of_eight_do_not_overlap(kind, matrix):
    matrix.iloc[0, 7] = np.nan
    drawn = plots.transfer_heat_map(matrix, kind=kind)
    renderer = renderer_of(drawn)
    axes = drawn.axes[0]
    numbers = [text for text in axes.texts if isinstance(text, Text)]
    assert len(numbers) == 64
    assert "–" in [text.get_text() for text in numbers]
    assert not overlapping(numbers, renderer)
    if kind == "regret":
        texts = [text.get_text() for text in plots.transfer_heat_map(matrix * 0 - 1e-9, kind=kind).axes[0].texts]
        assert set(texts) == {"0", "–"}
    assert not overlapping(axes.get_yticklabels(), renderer)
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES
    if kind != "loss":
        low, high = axes.images[0].get_clim()
        assert (low + high) / 2 == pytest.approx(0.0 if kind == "regret" else 1.0)


def test_importance_is_shown_with_its_mean_and_says_where_there_is_none():
    table = pd.DataFrame(
        [
            {"architecture": name, "hyperparameter": key, "importance": value, "trials": 12}
            for name in NAMES
            for key, value in (("dropout", 0.2), ("lr", 0.7), ("eps", 0.1))
        ]
    )
    axes = plots.importance_heat_map(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lr", "dropout", "eps"]
    assert axes.get_xticklabels()[-1].get_text() == "all (mean)"
    note = plots.importance_heat_map(table).get_supxlabel().replace("\n", " ")
    assert "12 of an architecture at least. So few leave" in note
    empty = plots.importance_heat_map(table.head(0))
    assert "needs four complete trials" in empty.axes[0].texts[0].get_text()


def test_every_trial_stands_in_every_slice_and_the_best_stand_out():
    keys = ["lr", "dropout"]
    generator = np.random.default_rng(0)
    trials = pd.DataFrame(
        [
            {
                "architecture": name,
                "best_val_loss": np.nan if number == 9 else 0.1 + number / 100,
                "best": number == 0,
                "lr": 10 ** generator.uniform(-5, -2),
                "dropout": generator.uniform(0, 0.5),
            }
            for name in NAMES
            for number in range(10)
        ]
    )
    drawn = plots.hyperparameter_slices(trials, keys, ["lr"])
    panels = drawn.axes[:2]
    assert [axes.get_xscale() for axes in panels] == ["log", "linear"]
    for axes in panels:
        assert sum(len(line.get_xdata()) for line in axes.lines if line.get_markersize() == 4) == 72
        assert sum(len(line.get_xdata()) for line in axes.lines if line.get_markersize() == 9) == 8
    assert len(drawn.axes[2].get_legend().get_texts()) == 9
