import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vision_studies.statistics.components import Spread, half_width, mean_squares, tail
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.scores import HIGHEST, ClassGroup, SelectiveAccuracy
from vision_studies.statistics.two_way import bootstrap, intervals

METRICS = [
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "calibration_error",
    "sweep_calibration_error",
    "log_loss",
    "brier",
    "aurc",
    ClassGroup("two", (0, 2)),
    SelectiveAccuracy(0.8),
]


def drawn(seeds, images, classes=3, strength=1.0, start=0):
    random = np.random.default_rng(start)
    labels = random.integers(0, classes, images)
    logits = random.normal(size=(1, images, classes)) + random.normal(size=(seeds, images, classes))
    logits[:, np.arange(images), labels] += strength
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    names = {"probabilities": probabilities.astype(np.float32)}
    return Evidence.of_images("plain", np.arange(seeds), np.arange(images), labels, **names)


def bare(spread):
    return Spread(*(np.array([part], dtype=float) for part in spread[:3]), np.array([spread[3]]))


@pytest.mark.parametrize("level", [0.5, 0.05, 0.001])
def test_half_widths_are_students_and_normal_where_one_part_is_all(level):
    assert half_width(level, bare((1, 0, 0, 1))) == pytest.approx(stats.t.ppf(1 - level / 2, 1), rel=1e-3)
    assert half_width(level, bare((1, 0, 0, 9))) == pytest.approx(stats.t.ppf(1 - level / 2, 9), rel=1e-6)
    assert half_width(level, bare((0, 0, 4, 0))) == pytest.approx(2 * stats.norm.ppf(1 - level / 2), rel=1e-6)


@given(*[st.floats(0, 1)] * 3, st.integers(0, 30), st.floats(1e-4, 0.5))
@settings(max_examples=60, deadline=None)
def test_p_at_the_end_of_an_interval_is_its_level(seed, rest, image, degrees, level):
    spread = bare((seed, rest, image + 1e-6, degrees))
    assert tail(half_width(level, spread), spread) == pytest.approx(level, rel=1e-6)


def test_mean_squares_agree_with_a_hand_count():
    found = mean_squares(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    # row means 2/3, 1/3; column means 1, 0, 1/2; mean 1/2
    assert found.seed == pytest.approx(3 * 2 * (1 / 6) ** 2)
    assert found.image == pytest.approx(2 * 0.5 / 2)
    assert found.rest == pytest.approx((1.5 - 1 / 6 - 1) / 2)


def test_one_seed_has_wilsons_interval():
    correct = np.arange(40) < 34
    own = Evidence.of_images("plain", [0], np.arange(40), np.zeros(40, int), correct=correct[None])
    [found] = intervals([own])
    expected = stats.binomtest(34, 40).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-4)
    assert (found.covers, found.seeds, found.images) == ("images", 1, 40)
    assert found.source == "variance over test images, Wilson's form"


@pytest.mark.parametrize(("seeds", "right"), [(1, 13), (5, 13), (1, 0)])
def test_few_images_without_an_error_are_no_certainty(seeds, right):
    correct = np.broadcast_to(np.arange(13) < right, (seeds, 13))
    own = Evidence.of_images("plain", np.arange(seeds), np.arange(13), np.zeros(13, int), correct=correct)
    [found] = intervals([own])
    assert found.value == right / 13
    assert 0.15 < found.high - found.low < 0.35


def test_what_the_interval_covers_is_said():
    values = [0.90, 0.92, 0.94]
    three, one = Evidence.of_seeds("three", [0, 1, 2], values), Evidence.of_seeds("one", [0, 1], [0.9, np.nan])
    seeds, nothing, both = intervals([three, one, drawn(2, 50)])
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (seeds.low, seeds.high) == pytest.approx(expected, rel=1e-4)
    assert (seeds.covers, seeds.seeds, seeds.images) == ("seeds", 3, 0)
    assert (nothing.covers, nothing.value, nothing.seeds) == ("nothing", 0.9, 1)
    assert np.isnan([nothing.low, nothing.high]).all()
    assert both.covers == "seeds and images"


def test_metrics_that_were_not_kept_say_so():
    own = Evidence.of_images("plain", [0], np.arange(3), np.array([0, 1, 1]), correct=np.ones((1, 3), bool))
    reasons = {
        "log_loss": "no probabilities are kept",
        "macro_f1": "no predicted classes are kept",
        ClassGroup("rare", (2,)): "no test image is of the classes of 'rare'",
    }
    for metric, reason in reasons.items():
        [found] = intervals([own], metric)
        assert (found.covers, found.source) == ("nothing", reason)
        assert np.isnan([found.value, found.low, found.high]).all()
    [found] = intervals([Evidence.of_seeds("bare", [0, 1], [0.9, 0.8])], "balanced_accuracy")
    assert found.source == "no predictions are kept"


@pytest.mark.parametrize("metric", METRICS, ids=str)
@given(
    seeds=st.integers(1, 4),
    images=st.integers(2, 30),
    strength=st.sampled_from([-3, 0, 3, 9]),
    start=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_no_interval_leaves_the_range_of_its_metric(metric, seeds, images, strength, start):
    [found] = intervals([drawn(seeds, images, strength=strength, start=start)], metric)
    if found.covers != "nothing":
        assert 0 <= found.low <= found.value <= found.high <= HIGHEST.get(metric, 1)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_what_images_add_gives_the_spread_of_the_bootstrap(metric):
    """With many seeds, so that the bootstrap takes none of them for all that there are; it counts the rest more than once."""
    own = drawn(12, 300, strength=1.5)
    [found] = intervals([own], metric, 0.9)
    values = bootstrap([own], metric, draws=150)[0]
    low, high = np.quantile(values, [0.05, 0.95])
    # of calibration error only the upper end, as the lower one makes up for few images
    assert 0.7 < (found.high - found.value) / ((high - low) / 2) < 1.6
    assert found.value == pytest.approx(np.mean(values), abs=0.5 * (high - low))


def test_the_bootstrap_pairs_variants_and_has_nothing_to_draw_without_images():
    own = drawn(3, 40)
    same, other, bare = bootstrap([own, own, Evidence.of_seeds("bare", [0, 1], [0.9, 0.8])], draws=20)
    assert np.array_equal(same, other)
    assert np.isnan(bare).all()
