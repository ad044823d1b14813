"""Laws of splits, long tails and samplers over any number of classes and images."""

from typing import get_args

import numpy as np
import pandas as pd
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.data.conftest import make_image_set
from tests.properties.law_profiles import law

from vision_studies.config.data_prep import LongTailSettings, SplitSettings
from vision_studies.data.class_splits import split_by_count
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits, cut_tail, long_tail, long_tail_counts, make_splits
from vision_studies.data.subsets import balanced_subset, held_out
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.settings import SamplerName, SamplerSettings
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, draw_epoch, epoch_length

FRACTIONS = st.floats(0.01, 0.99)
TAILS = st.builds(
    LongTailSettings,
    profile=st.sampled_from(["exponential", "step"]),
    factor=st.floats(1.0, 60, exclude_min=True),
    seed=st.integers(0, 9),
    reverse=st.booleans(),
)


def image_sets():
    return st.builds(
        lambda classes, each, seed, own_test: make_image_set(classes * each, 2, 1, classes, own_test, seed),
        st.integers(2, 6),
        st.integers(1, 30),
        st.integers(0, 3),
        st.booleans(),
    )


def divided(image_set, **changes):
    try:
        return make_splits(image_set, SplitSettings(**changes))
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None


@law
@given(image_sets(), FRACTIONS, FRACTIONS, st.integers(0, 9), st.none() | TAILS)
def test_splits_are_disjoint_whole_and_repeatable(image_set, validation, test, seed, tail):
    own = {
        "validation_fraction": validation,
        "test_fraction": test,
        "seed": seed,
        "copies": "together",
        "long_tail": tail,
    }
    splits = divided(image_set, **own)
    assume(splits is not None)
    parts = [splits.train, splits.validation, splits.test]
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together)
    assert all((np.diff(part) > 0).all() and len(part) for part in parts)
    assert set(together) <= set(range(len(image_set.labels)))
    if tail is None:
        assert len(together) == len(image_set.labels)
    if image_set.is_test.any():
        np.testing.assert_array_equal(splits.test, np.flatnonzero(image_set.is_test))
    classes = len(image_set.class_names)
    assert np.bincount(image_set.labels[splits.train], minlength=classes).all()
    again = divided(image_set, **own)
    assert again.fingerprint == splits.fingerprint
    restored = Splits.from_table(splits.to_table().sample(frac=1, random_state=seed))
    assert restored.fingerprint == splits.fingerprint


@law
@given(st.integers(2, 5), st.integers(8, 40), st.floats(0.1, 0.6), st.integers(0, 9))
def test_every_class_gives_its_share_within_one_image(classes, each, fraction, seed):
    image_set = make_image_set(classes * each, 2, 1, classes)
    own = {
        "validation_fraction": fraction,
        "test_fraction": fraction,
        "seed": seed,
        "copies": "together",
        "long_tail": None,
    }
    splits = divided(image_set, **own)
    assume(splits is not None)
    rest = np.concatenate([splits.train, splits.validation])
    for part, whole in ((splits.test, np.arange(classes * each)), (splits.validation, rest)):
        carved = np.bincount(image_set.labels[part], minlength=classes)
        shares = np.bincount(image_set.labels[whole], minlength=classes) * len(part) / len(whole)
        assert (np.abs(carved - shares) < 1 + 1e-9).all()


def test_another_seed_divides_otherwise():
    image_set = make_image_set(90, 2, 1, 3)
    own = {"validation_fraction": 0.2, "test_fraction": 0.2, "copies": "together", "long_tail": None}
    assert len({divided(image_set, seed=seed, **own).fingerprint for seed in range(20)}) == 20


@law
@given(st.lists(st.integers(1, 40), min_size=2, max_size=8), TAILS)
def test_a_long_tail_only_falls(available, settings):
    available = np.array(available)
    try:
        counts = long_tail_counts(np.full_like(available, available.max()), settings)
        kept = long_tail_counts(available, settings)
    except DataError:
        assume(False)
    assert (np.diff(counts[::-1] if settings.reverse else counts) <= 0).all()
    assert counts.max() == available.max()
    assert (kept == np.minimum(counts, available)).all()
    labels = np.repeat(np.arange(len(available)), available)
    drawn = long_tail(labels, settings)
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(np.bincount(labels[drawn], minlength=len(available)), kept)
    np.testing.assert_array_equal(long_tail(labels, settings), drawn)


@law
@given(image_sets(), TAILS)
def test_a_tail_cut_afterwards_leaves_the_test_alone(image_set, settings):
    splits = divided(image_set, validation_fraction=0.3, test_fraction=0.3, seed=0, copies="together", long_tail=None)
    assume(splits is not None)
    try:
        cut = cut_tail(splits, image_set.labels, settings)
    except DataError:
        assume(False)
    np.testing.assert_array_equal(cut.test, splits.test)
    pool = set(splits.train) | set(splits.validation)
    assert set(cut.train) | set(cut.validation) <= pool
    assert not set(cut.train) & set(cut.validation)


@law
@given(st.integers(2, 5), st.integers(4, 30), st.integers(0, 5), FRACTIONS, FRACTIONS)
def test_a_smaller_subset_lies_within_a_larger_one(classes, each, seed, first, second):
    labels = np.arange(classes * each) % classes
    small, large = sorted((first, second))
    drawn = [balanced_subset(labels, share, seed) for share in (small, large, 1.0)]
    for label in range(classes):
        few, many, every = (own[label].tolist() for own in drawn)
        assert many[: len(few)] == few
        assert every[: len(many)] == many
        assert sorted(every) == np.flatnonzero(labels == label).tolist()
    parts = [held_out(own, 0.25) for own in drawn]
    for (learn, validate), own in zip(parts, drawn, strict=True):
        assert sorted([*learn, *validate]) == sorted(np.concatenate(own))
    assert set(parts[0][0]) <= set(parts[1][0])
    assert set(parts[0][1]) <= set(parts[1][1])


@st.composite
def class_indices(draw):
    sizes = np.array(draw(st.lists(st.integers(1, 12), min_size=3, max_size=9)))
    below = draw(st.integers(2, 12))
    try:
        splits = split_by_count(sizes, few_below=below, many_above=draw(st.integers(below, 14)))
    except DataError:
        assume(False)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return ClassIndex(np.random.default_rng(draw(st.integers(0, 9))).permutation(labels), splits)


@law
@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(1, 20), st.integers(0, 10))
def test_every_class_is_few_medium_or_many(counts, below, more):
    counts = np.array(counts)
    try:
        splits = split_by_count(counts, few_below=below, many_above=below + more)
    except DataError:
        few = counts < below
        assert few.all() or not few.any()
        return
    together = np.concatenate([splits.few, splits.medium, splits.many])
    assert sorted(together) == list(range(len(counts)))
    assert (counts[splits.few] < below).all()
    assert (counts[splits.many] > below + more).all()
    assert set(splits.base) == set(together) - set(splits.few)
    assert (splits.names() != "").all()


@law
@given(class_indices(), st.lists(st.sampled_from(get_args(SamplerName)), min_size=1, max_size=3), st.data())
def test_samplers_draw_from_their_split_as_many_as_they_say(index, names, data):
    samplers = []
    for name in names:
        ratio = None if name.startswith("all") else data.draw(st.floats(0.1, 1 if name.endswith("_class") else 3))
        samplers.append(SamplerSettings(name=name, ratio=ratio))
    seed = data.draw(st.integers(0, 9))
    try:
        drawn = draw_epoch(samplers, index, np.random.default_rng(seed))
        length = epoch_length(samplers, index)
    except (DataError, ParameterError) as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    again = draw_epoch(samplers, index, np.random.default_rng(seed))
    np.testing.assert_array_equal(again, drawn)
    assert drawn.dtype == np.int64
    assert ((drawn >= 0) & (drawn < len(index.labels))).all()
    if length is not None:
        assert len(drawn) == length
    allowed = set()
    for name in names:
        split = next(split for split in ("few", "medium", "many", "base") if f"_{split}" in name)
        allowed |= set(index.classes(split).tolist())
    assert set(index.labels[drawn].tolist()) <= allowed
    for name in names:
        if name.startswith("all"):
            every = np.isin(index.labels, index.classes(name.removeprefix("all_")))
            assert set(np.flatnonzero(every)) <= set(drawn)


@law
@given(class_indices(), st.sampled_from(["medium", "many", "base"]), st.floats(0.1, 1), st.integers(0, 9))
def test_uniform_classes_take_no_image_twice(index, split, ratio, seed):
    sampler = SamplerSettings(name=f"uniform_{split}_class", ratio=ratio)
    try:
        drawn = draw_epoch([sampler], index, np.random.default_rng(seed))
    except (DataError, ParameterError):
        return
    assert len(np.unique(drawn)) == len(drawn)
    per_class = np.bincount(index.labels[drawn], minlength=index.splits.num_classes)
    assert np.count_nonzero(per_class) == int(ratio * len(index.splits.few))
    assert per_class.max(initial=0) <= index.sizes[index.splits.few].max()


@st.composite
def related_images(draw):
    """Images that belong together by group or as copies, and splits that the source says of some."""
    classes, number = draw(st.integers(2, 4)), draw(st.integers(20, 120))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, number)])
    places = np.arange(len(labels))
    groups = random.integers(0, draw(st.integers(4, 60)), len(labels))
    copies = np.where(random.random(len(labels)) < draw(st.floats(0, 0.5)), random.integers(0, 30, len(labels)), -1)
    said = draw(st.sampled_from([(None,), ("train", "test"), ("train", "validation"), ("train", "validation", "test")]))
    split = np.array(said, dtype=object)[random.integers(0, len(said), len(labels))]
    split[:classes] = said[0]
    items = pd.DataFrame({"name": places.astype(str), "split": split, "copies": copies})
    items["group"] = [f"g{group}" for group in groups] if draw(st.booleans()) else None
    is_test = (items["split"] == "test").to_numpy(bool)
    names = tuple(f"class {label}" for label in range(classes))
    return ImageSet.create("related", np.zeros((len(labels), 1, 1, 1), np.uint8), labels, names, is_test, {}, items)


@law
@given(
    related_images(), st.floats(0.1, 0.5), st.integers(0, 9), st.sampled_from(["together", "apart"]), st.none() | TAILS
)
def test_no_group_and_no_picture_is_carved_to_two_sides(image_set, fraction, seed, copies, tail):
    own = {
        "validation_fraction": fraction,
        "test_fraction": fraction,
        "seed": seed,
        "copies": copies,
        "long_tail": tail,
    }
    splits = divided(image_set, **own)
    assume(splits is not None)
    items, labels, whole = image_set.items, image_set.labels, {*range(len(image_set.labels))}
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    where = pd.Series(pd.NA, index=items.index, dtype=object)
    for name, part in parts.items():
        assert where[part].isna().all()  # disjoint
        where[part] = name
    assert np.bincount(labels[splits.train], minlength=len(image_set.class_names)).all()
    carved = [name for name in ("validation", "test") if not (items["split"] == name).any()]
    for column in ("group", "copies") if copies == "together" else ("group",):
        linked = items[column].where(items[column] != -1)
        for name in carved:  # what stands in a carved split stands in no other that the source has not said
            inside = set(linked[where == name].dropna())
            others = where.isin([*{"train", *carved} - {name}])
            assert not inside & set(linked[others].dropna())
        if column == "copies":
            assert not set(linked[where == "train"].dropna()) & set(linked[where.isin(["validation", "test"])].dropna())
    if tail is None:
        left_out = whole - {*np.concatenate([*parts.values()]).tolist()}
        assert not left_out or copies == "together"
        assert not any(items["copies"][place] == -1 for place in left_out)
