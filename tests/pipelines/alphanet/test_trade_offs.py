"""Few classes against many over the knob of each method: areas, gaps, sentences and figures."""

import numpy as np
import pandas as pd
import pytest

from vision_studies.data.class_splits import ClassSplits
from vision_studies.pipelines.alphanet.plots.trade_offs import accuracy_against_frequency, few_against_many
from vision_studies.pipelines.alphanet.trade_offs import COLUMNS, areas, dominated_area, gaps, sentences
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, FeatureSet
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours
from vision_studies.pipelines.alphanet.work.outputs import ScoredRun, of_one_tail, trade_off_table

SPLITS = ClassSplits(np.array([2]), np.array([1]), np.array([0]))


def table(lift=0.05, repeats=4):
    """A method with a knob whose few and many sum up to 1, one without, and an AlphaNet that lies above by `lift`."""
    rows, noise = [], np.random.default_rng(2).normal(0, 0.004, (repeats, 20))
    for repeat in range(repeats):
        shift = noise[repeat]
        for place, many in enumerate(np.linspace(0.9, 0.3, 7)):
            rows.append(("tau", "tau", place / 4, repeat, place == 3, 1 - many + shift[place], many))
        rows.append(("NCM", "NCM", np.nan, repeat, True, 0.3, 0.5))
        for place, (rho, many) in enumerate(((0.5, 0.5), (1.5, 0.7))):
            rows.append(("cRT", "AlphaNet on cRT", rho, repeat, False, 1 - many + lift + shift[10 + place], many))
    columns = ["classifier", "method", "knob", "repeat", "chosen", "few", "many"]
    return pd.DataFrame(rows, columns=columns).assign(medium=0.5, overall=0.5)[list(COLUMNS)]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.5, 0.4)], 0.2),
        ([(0.8, 0.2), (0.5, 0.6)], 0.36),
        ([(0.8, 0.2), (0.5, 0.6), (0.4, 0.5)], 0.36),  # a point that another one beats adds nothing
        ([(1.0, 0.0), (0.0, 1.0)], 0.0),
        ([(1.0, 1.0), (0.3, 0.3)], 1.0),
    ],
)
def test_the_area_is_what_the_points_dominate(points, expected):
    many, few = np.array(points).T
    assert dominated_area(many, few) == pytest.approx(expected)
    # The share of random points of the square that some point beats in both.
    drawn = np.random.default_rng(1).random((20_000, 2))
    beaten = ((drawn[:, :1] < many) & (drawn[:, 1:] < few)).any(axis=1).mean()
    assert dominated_area(many, few) == pytest.approx(beaten, abs=0.015)


def test_areas_have_intervals_over_repeats_and_the_largest_is_first():
    found = areas(table())
    assert found["method"].iloc[0] == "tau"
    assert found.set_index("method")["points"].to_dict() == {"tau": 7, "NCM": 1, "AlphaNet on cRT": 2}
    assert (found["n"] == 4).all()
    assert ((found["low"] <= found["mean"]) & (found["mean"] <= found["high"])).all()


@pytest.mark.parametrize(
    ("lift", "said"),
    [(0.05, "does more than move along it"), (-0.05, "does less than moving"), (0.0, "cannot be told to differ")],
)
def test_a_gap_is_measured_where_the_many_are_as_good(lift, said):
    found = gaps(table(lift))
    assert found[["method", "against"]].to_numpy().tolist() == [["AlphaNet on cRT", "tau"]]  # NCM has no knob
    assert found["mean"].iloc[0] == pytest.approx(lift, abs=0.01)
    [told] = sentences(areas(table(lift)), found)
    assert said in told
    assert "4 repeats" in told


def test_a_single_repeat_shows_no_spread_and_beyond_the_curve_nothing_is_known():
    one = gaps(table(repeats=1))
    assert np.isnan(one["low"].iloc[0])
    assert "one repeat" in sentences(areas(table(repeats=1)), one)[0]
    beyond = table()
    beyond.loc[beyond["method"] == "AlphaNet on cRT", "many"] = 0.99
    assert gaps(beyond).empty
    assert sentences(areas(beyond), gaps(beyond)) == []


def scored(experiment, predictions, splits=SPLITS, **options):
    labels = np.array([0, 0, 1, 2])
    group = FeatureGroup(np.zeros((4, 2), np.float32), labels)
    features = FeatureSet("set", ("a", "b", "c"), splits, np.array([9, 5, 1]), {"train": group, "test": group}, "0")
    return ScoredRun("cRT", experiment, 0, features, np.array(predictions), np.ones(4, bool), **options)


def test_the_table_has_every_value_of_a_knob_and_alphanets_by_rho():
    near = Neighbours(np.array([2]), np.array([[0, 1]]), np.ones((1, 2)))
    learnt = {"rho": 0.5, "neighbours": near, "coefficients": np.zeros((1, 2))}
    runs = [scored("cRT", [0, 1, 1, 0]), scored("cRT, rho 0.5", [0, 0, 0, 2], **learnt)]
    noted = [
        {"knob": knob, "chosen": knob == 1, "few": 0.1, "medium": 0.2, "many": knob / 2, "overall": 0}
        for knob in (0, 1)
    ]
    found = trade_off_table(runs, lambda _label, _repeat: noted)
    assert found["method"].tolist() == ["cRT", "cRT", "AlphaNet on cRT"]
    assert found["many"].tolist() == [0, 0.5, 1]
    alone = trade_off_table(runs, lambda _label, _repeat: [])
    assert alone.loc[0, ["few", "medium", "many", "chosen"]].tolist() == [0, 1, 0.5, True]
    assert np.isnan(alone.loc[0, "knob"])
    other = scored("cRT", [0, 1, 1, 0], ClassSplits(np.array([0]), np.array([1]), np.array([2])))
    assert of_one_tail([*runs, other]) == runs


def classes(number=10, repeats=3):
    generator = np.random.default_rng(0)
    rows = []
    for experiment in ("own", "cRT"):
        for repeat in range(repeats):
            images = generator.permutation(np.geomspace(5000, 50, number).astype(int))
            for label, count in enumerate(images):
                rows.append((experiment, repeat, label, count, 0.2 * np.log10(count) + 0.02 * generator.normal()))
    return pd.DataFrame(rows, columns=["experiment", "repeat", "label", "train_images", "accuracy"])


@pytest.mark.parametrize(("number", "points"), [(10, 10), (100, 12)])
def test_every_method_has_a_panel_with_its_accuracy_by_frequency(number, points):
    figure = accuracy_against_frequency(classes(number))
    assert [axes.get_title("left") for axes in figure.axes] == ["own", "cRT"]
    line = figure.axes[1].get_lines()[1]
    assert len(line.get_xdata()) == points
    if number == 10:
        table_ = classes(number)
        rarest = table_[(table_["experiment"] == "cRT") & (table_["train_images"] == 50)]["accuracy"]
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True))[50.0] == pytest.approx(100 * rarest.mean())
    assert figure.axes[1].collections  # the interval over repeats
    nothing = accuracy_against_frequency(classes().assign(train_images=0))
    assert "No class" in nothing.axes[0].texts[0].get_text()


def test_trade_offs_are_drawn_from_the_largest_area_on():
    figure = few_against_many(table(), areas(table()))
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
    assert [title.split(":")[0] for title in titles] == areas(table())["method"].tolist()
    rings = [line for line in figure.axes[0].get_lines() if line.get_markersize() == 9]
    assert rings[0].get_xdata()[0] == pytest.approx(60)  # the fourth of seven values
