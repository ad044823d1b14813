import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vision_studies.errors import ParameterError
from vision_studies.statistics.between_folds import OVERLAP
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.simultaneous import all_pairs, compare
from vision_studies.statistics.two_way import intervals


def drawn(advantages, seeds=3, images=200, start=0, seed_effect=0.1):
    """Variants that share how hard images are, with these advantages."""
    random = np.random.default_rng(start)
    hard = random.normal(size=images)
    found = []
    for number, advantage in enumerate(advantages):
        shift = 1 + advantage + seed_effect * random.normal(size=(seeds, 1))
        correct = shift + hard + 0.5 * random.normal(size=images) + 0.5 * random.normal(size=(seeds, images)) > 0
        labels = np.zeros(images, int)
        found.append(Evidence.of_images(f"v{number}", np.arange(seeds), np.arange(images), labels, correct=correct))
    return found


@given(
    advantages=st.lists(st.floats(-0.8, 0.8), min_size=2, max_size=5),
    seeds=st.integers(1, 4),
    images=st.integers(2, 120),
    confidence=st.sampled_from([0.8, 0.95, 0.99]),
    start=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_p_is_below_the_level_exactly_where_the_interval_excludes_no_difference(
    advantages, seeds, images, confidence, start
):
    evidence = drawn(advantages, seeds, images, start)
    for own in (*compare(evidence, 0, confidence), *all_pairs(evidence, confidence)):
        excluded = own.low > 0 or own.high < 0
        assert (own.p <= 1 - confidence) == excluded
        assert (own.says in ("better", "worse")) == excluded
        assert -1 <= own.low <= own.value <= own.high <= 1
        assert 0 < own.p <= 1


def test_seeds_alone_are_compared_by_students_t():
    first, second = [0.90, 0.92, 0.92, 0.97], [0.80, 0.82, 0.81, 0.93]
    [own] = compare([Evidence.of_seeds("a", range(4), first), Evidence.of_seeds("b", range(4), second)], 1)
    expected = stats.ttest_rel(first, second)
    assert (own.first, own.second, own.seeds, own.images) == ("a", "b", 4, 0)
    assert own.p == pytest.approx(expected.pvalue, rel=1e-4)
    assert (own.low, own.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-3)


def test_a_variant_is_paired_on_the_seeds_and_images_that_both_have():
    first, second = drawn([0.0, 0.5], seeds=3, images=50)
    fewer = Evidence.of_images("few", [1, 2, 9], np.arange(10, 60), np.zeros(50, int), correct=second.correct)
    [own] = compare([first, fewer], 0)
    assert (own.seeds, own.images) == (2, 40)
    assert own.value == pytest.approx(second.correct[:2, :40].mean() - first.correct[1:, 10:].mean())
    # image by image, too, of which the mean alone says nothing
    labels, images = np.zeros(40, int), np.arange(40)
    shared = [
        Evidence.of_images(name, [1, 2], images, labels, correct=correct)
        for name, correct in (("first", first.correct[1:, 10:]), ("few", second.correct[:2, :40]))
    ]
    [expected] = compare(shared, 0)
    assert (own.low, own.high, own.p) == pytest.approx((expected.low, expected.high, expected.p))


def test_variants_without_a_shared_seed_cannot_be_told():
    [own] = compare([Evidence.of_seeds("a", [0, 1], [0.9, 0.8]), Evidence.of_seeds("b", [2], [0.1])], 0)
    assert (own.says, own.seeds, own.needs) == ("cannot tell", 0, None)
    assert np.isnan([own.value, own.low, own.high, own.p]).all()


def test_equal_variants_are_as_good_as_each_other_with_many_images_only():
    for images, says in ((40, "cannot tell"), (4000, "as good as")):
        [own] = drawn([0.0], images=images)
        other = Evidence.of_images("other", own.seeds, own.images, own.labels, correct=own.correct)
        [difference] = compare([own, other], 0)
        assert (difference.value, difference.says, difference.within_margin) == (0, says, says == "as good as")


def test_what_is_told_of_a_difference_depends_on_the_margin():
    evidence = drawn([0.0, 1.5])
    for margin, within in ((0.01, False), (0.9, True)):
        [own] = compare(evidence, 0, margin=margin)
        assert (own.says, own.within_margin, own.needs) == ("better", within, None)


def test_a_lower_margin_needs_more_and_images_limit_what_seeds_can_tell():
    evidence = drawn([0.0, 0.02], seeds=4, images=300, seed_effect=0.01)
    wide, narrow = (compare(evidence, 0, margin=margin)[0] for margin in (0.04, 0.002))
    assert wide.says == narrow.says == "cannot tell"
    assert wide.needs.images < 10_000
    assert narrow.needs.seeds is None  # 300 images could not tell it with any number of seeds
    assert (wide.needs.of, wide.needs.is_seen) == (0.04, False)


def test_what_was_seen_is_what_more_would_tell_where_it_is_more_than_the_margin():
    evidence = drawn([0.0, 0.12], seeds=4, images=300, seed_effect=0.01)
    seen, wide, twice = (compare(evidence, 0, margin=margin)[0] for margin in (0.001, 0.002, 0.2))
    assert seen.says == "cannot tell"
    assert abs(seen.value) > 0.002
    assert (seen.needs.of, seen.needs.is_seen) == (abs(seen.value), True)
    assert seen.needs == wide.needs
    assert twice.needs is None or not twice.needs.is_seen
    [of_seeds] = compare(
        [Evidence.of_seeds("a", [0, 1, 2], [0.8, 0.9, 0.85]), Evidence.of_seeds("b", [0, 1, 2], [0.9, 0.8, 0.95])], 0
    )
    assert (of_seeds.says, of_seeds.needs.images) == ("cannot tell", None)
    assert of_seeds.needs.of == pytest.approx(0.1 / 3)
    assert of_seeds.needs.seeds > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": 2}, "The reference is variant 2, and there are 2"),
        ({"reference": 0, "confidence": 95}, "`confidence` is 95, and must be between 0 and 1"),
        ({"reference": 0, "margin": 0}, "`margin` is 0, and must be above 0"),
    ],
)
def test_what_is_out_of_range_is_named(options, message):
    with pytest.raises(ParameterError, match=message):
        compare(drawn([0.0, 0.0], images=5), **options)


def of_folds(correct, fold, name="v"):
    images = np.arange(correct.shape[1])
    return Evidence.of_images(name, np.arange(len(correct)), images, np.zeros_like(images), correct=correct, folds=fold)


def test_a_difference_that_one_fold_alone_shows_is_not_told_and_one_of_all_folds_is():
    random = np.random.default_rng(3)
    fold = np.repeat(np.arange(5), 20)
    other = random.random((1, 100)) < 0.5
    wrong = np.flatnonzero(~other[0])
    in_one, in_all = other.copy(), other.copy()
    in_one[0, np.flatnonzero((fold == 0) & ~other[0])[:6]] = True
    in_all[0, wrong[np.isin(wrong % 20, range(8))]] = True
    found = {}
    for name, first in (("one", in_one), ("all", in_all)):
        [alone] = compare([of_folds(first, None), of_folds(other, None)], 1)
        [folded] = compare([of_folds(first, fold), of_folds(other, fold)], 1)
        assert folded.value == alone.value
        assert (folded.p <= 0.05) == (folded.says == "better")
        found[name] = alone.says, folded.says, (folded.high - folded.low) / (alone.high - alone.low)
    assert found["one"][:2] == ("better", "cannot tell")
    assert found["all"][:2] == ("better", "better")
    assert found["one"][2] > 1.5 > found["all"][2] > 1.1


def test_folds_that_agree_by_chance_make_no_certainty_and_other_folds_are_not_paired():
    fold = np.repeat(np.arange(5), 4)
    right = np.tile([True, True, True, False], 5)[None]
    [same] = compare([of_folds(right, fold), of_folds(right, fold)], 1)
    [alone] = compare([of_folds(right, None), of_folds(right, None)], 1)
    assert same.high - same.low == pytest.approx(np.sqrt(OVERLAP) * (alone.high - alone.low))
    assert same.high > 0.05
    for other in (np.tile(np.arange(5), 4), None):
        [apart] = compare([of_folds(right, fold), of_folds(right, other)], 1)
        assert (apart.low, apart.high) == (same.low, same.high)


def several_folds(start, seeds):
    """Two variants of which one is right more often on what is hard, with folds of each seed."""
    random = np.random.default_rng(start)
    folds = np.stack([random.permutation(200) % 5 for _ in range(seeds)])
    hard = random.random(200) < 0.4
    return [of_folds((random.random((seeds, 200)) < share) | ~hard, folds) for share in (0.54, 0.44)]


def test_folds_of_several_seeds_tell_more_than_those_of_one():
    widths = {
        seeds: np.mean([own.high - own.low for start in range(10) for own in compare(several_folds(start, seeds), 1)])
        for seeds in (1, 3, 6)
    }
    assert widths[1] > 1.3 * widths[3] > 1.3 * widths[6]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_what_would_tell_a_difference_of_folds_is_said_in_seeds_and_in_images(seeds):
    found = [own for start in range(12) for own in compare(several_folds(start, seeds), 1)]
    unclear = [own.needs for own in found if own.says == "cannot tell"]
    assert len(unclear) > 3
    assert sum(needs.images is not None for needs in unclear) > len(unclear) / 2
    named = [needs.seeds for needs in unclear if needs.seeds is not None]
    assert named or seeds == 1  # which does not tell how much seeds vary
    assert all(number >= 1 for number in named)


def test_several_differences_of_folds_are_wider_than_one():
    random = np.random.default_rng(0)
    fold = np.tile(np.arange(5), 20)
    several = [of_folds(random.random((2, 100)) < 0.7, fold, f"v{number}") for number in range(4)]
    [one, *_] = compare(several, 3)
    [alone] = compare([several[0], several[3]], 1)
    assert one.high - one.low > alone.high - alone.low
    assert one.p >= alone.p


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "log_loss"])
def test_intervals_of_folds_are_wider_and_stay_in_their_range(metric):
    random = np.random.default_rng(1)
    labels = np.arange(60) % 2
    probabilities = random.dirichlet([2, 2], (3, 60)).astype(np.float32)
    shared = {"seeds": np.arange(3), "images": np.arange(60), "labels": labels, "probabilities": probabilities}
    plain, folded = (Evidence.of_images("v", **shared, folds=folds) for folds in (None, np.arange(60) % 5))
    [alone], [found] = intervals([plain], metric), intervals([folded], metric)
    assert found.value == alone.value
    assert found.high - found.low > alone.high - alone.low
    assert found.low >= 0
    assert found.source.endswith(
        ", for 5 folds, Wilson's form" if metric != "log_loss" else ", on the logarithmic scale"
    )
