import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from vision_studies.pipelines.stacking import plots


def histories(learners=3, variants=("alpha_0.1", "alpha_10"), epochs=6):
    random = np.random.default_rng(0)
    rows = []
    for variant in variants:
        for seed in (0, 1):
            for epoch in range(1, epochs + 1):
                row = {"variant": variant, "seed": seed, "epoch": epoch, "validation_accuracy": random.random()}
                row |= {f"validation_accuracy_base_{n}": random.random() for n in range(1, learners + 1)}
                if learners > 1:
                    row |= {name: random.random() for name in plots._DIVERSITY}
                rows.append(row)
    return pd.DataFrame(rows)


def members(variants=("average", "snapshots"), most=4):
    rows = []
    for number, variant in enumerate(variants):
        for size in range(1, most + 1):
            accuracy, loss = 0.8 + 0.02 * size + 0.01 * number, 0.6 - 0.04 * size
            ends = {"accuracy_low": accuracy - 0.01, "accuracy_high": accuracy + 0.01}
            ends |= {"log_loss_low": loss - 0.02, "log_loss_high": loss + 0.02}
            rows.append({"variant": variant, "members": size, "accuracy": accuracy, "log_loss": loss, **ends})
    return pd.DataFrame(rows, columns=None if rows else ["variant", "members"])


def titles(drawn: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in drawn.axes if axes.get_visible() and axes.get_title(loc="left")]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_parts_have_a_panel_for_each_variant_with_stack_learners_and_diversity(count):
    names = [f"variant {number}" for number in range(count)]
    drawn = plots.parts_figure(histories(variants=names))
    assert titles(drawn) == names
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    assert len(shown) == 2 * count
    assert {len(axes.lines) for axes in shown} == {4, 3}
    limits = {axes.get_ylim() for axes in shown if len(axes.lines) == 4}
    assert len(limits) == 1  # accuracies of different variants can be compared by eye


def test_one_learner_has_no_diversity_and_a_cross_validated_stack_no_learners():
    drawn = plots.parts_figure(histories(learners=1, variants=["one"]))
    assert any(text.get_text() == "not measured" for axes in drawn.axes for text in axes.texts)
    plain = histories(variants=["folds"])[["variant", "seed", "epoch", "validation_accuracy"]]
    assert len(plots.parts_figure(plain).axes[0].lines) == 1


@pytest.mark.parametrize(("variants", "bands"), [(["one", "two"], 2), (["one", "two", "three", "four"], 0), ([], 0)])
def test_members_have_a_line_each_and_bands_while_they_can_be_seen(variants, bands):
    drawn = plots.members_figure(members(variants))
    for axes, value in zip(drawn.axes, (82, 0.56), strict=True):
        assert (len(axes.lines), len(axes.collections)) == (len(variants), bands)
        if variants:
            assert float(axes.lines[0].get_ydata()[0]) == pytest.approx(value)
        else:
            assert axes.texts[0].get_text() == "nothing has several members"


@pytest.mark.slow
def test_every_variant_stands_once_in_each_panel_of_the_efficiency_figure():
    rows = [
        {
            "variant": name,
            "role": role,
            "test_accuracy": accuracy,
            "parameters": size,
            "macs": 10 * size,
            "seconds": 3.0,
        }
        for name, role, accuracy, size in [
            ("stack", "stack", 0.9, 1000),
            ("stack", "stack", 0.8, 1000),
            ("average", "opponent", 0.7, 300),
            ("unscored", "opponent", np.nan, 300),
        ]
    ]
    drawn = plots.efficiency_figure(pd.DataFrame(rows))
    assert [len(axes.lines) for axes in drawn.axes] == [2, 2, 2]
    point = drawn.axes[0].lines[0]
    assert (float(point.get_xdata()[0]), float(point.get_ydata()[0])) == (1000, pytest.approx(85))
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["stack", "average"]


def test_pruned_trials_look_different_from_complete_ones():
    table = pd.DataFrame(
        {"trial": [1, 1, 2, 2, 3], "epoch": [1, 2, 1, 2, 1], "validation_accuracy": [0.1, 0.5, 0.2, 0.6, 0.1]}
    ).assign(status=["complete"] * 4 + ["pruned"])
    drawn = plots.trial_histories(table, "sgd")
    assert {line.get_linestyle() for line in drawn.axes[0].lines} == {"-", "--"}
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["complete (2)", "pruned (1)"]


def test_hyperparameters_have_a_panel_each_and_the_best_trial_a_star():
    trials = pd.DataFrame(
        {
            "number": [1, 2, 3],
            "value": [0.5, 0.8, np.nan],
            "status": ["complete", "complete", "diverged"],
            "training.optimizer.learning_rate": [0.001, 0.1, 0.5],
            "training.schedule": ["cosine", "linear", "linear"],
            "training.schedule.pct_start": [np.nan, 0.3, 0.2],
        }
    )
    parameters = list(trials)[3:]
    drawn = plots.hyperparameter_figure(trials, parameters, 2, "sgd")
    assert titles(drawn) == ["optimizer.learning_rate", "schedule", "schedule.pct_start"]
    stars = [line for axes in drawn.axes for line in axes.lines if line.get_marker() == "*"]
    assert [float(line.get_ydata()[0]) for line in stars] == [80.0] * 3
    assert drawn.axes[0].get_xscale() == "log"
    assert [tick.get_text() for tick in drawn.axes[1].get_xticklabels()] == ["cosine", "linear"]


def statistics_of(**values):
    return {"training.optimizer.learning_rate": {"best_trial_value": 0.1, "correlation_with_accuracy": -0.4, **values}}


def test_numbers_that_were_drawn_have_a_density_each_trial_a_dot_and_the_best_a_star():
    rates = np.logspace(-3, 0, 12)
    trials = pd.DataFrame({"training.optimizer.learning_rate": [*rates, np.nan]})
    axes = plots.density_figure(trials, statistics_of(), "sgd").axes[0]
    density, dots, star = axes.lines
    assert axes.get_xscale() == "log"
    assert axes.get_title(loc="left") == "optimizer.learning_rate\ncorrelation with accuracy −0.40"
    np.testing.assert_array_equal(dots.get_xdata(), rates)
    assert (star.get_marker(), list(star.get_xdata())) == ("*", [0.1])
    # Of logarithms that lie evenly the density is symmetric and highest in the middle.
    x, y = density.get_data()
    np.testing.assert_allclose(y, y[::-1], rtol=1e-6)
    assert x[y.argmax()] == pytest.approx(10**-1.5, rel=0.1)
    assert (x.min(), x.max()) == pytest.approx((0.001, 1.0))


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1] * 9, [0.1]])
def test_a_few_or_equal_numbers_are_dots_alone(values):
    trials = pd.DataFrame({"training.optimizer.learning_rate": values})
    axes = plots.density_figure(trials, statistics_of(correlation_with_accuracy=None), "sgd").axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [len(values), 1]


def test_options_that_were_drawn_are_bars_and_that_of_the_best_trial_stands_out():
    statistics = {"training.schedule": {"value_counts": {"linear": 1, "cosine": 3}, "best_trial_value": "linear"}}
    axes = plots.bar_figure(statistics, "sgd").axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cosine", "linear"]
    assert [bar.get_height() for bar in axes.patches] == [3, 1]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()


def test_importance_is_a_bar_each_the_largest_on_top():
    drawn = plots.importance_figure({"training.optimizer.learning_rate": 0.7, "training.schedule": 0.3}, "sgd")
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == ["schedule", "optimizer.learning_rate"]
    assert [bar.get_width() for bar in drawn.axes[0].patches] == [0.3, 0.7]


def test_importance_of_names_that_look_alike_when_they_are_cut_is_a_bar_each():
    name = "training.a_hyperparameter_with_a_name_that_is_longer_than_its_room"
    axes = plots.importance_figure({f"{name}_{number}": 0.2 for number in range(3)}, "sgd").axes[0]
    assert [bar.get_y() + bar.get_height() / 2 for bar in axes.patches] == pytest.approx([0, 1, 2])
