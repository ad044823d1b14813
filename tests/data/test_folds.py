import numpy as np
import pandas as pd
import pytest
import yaml
from tests.conftest import ROOT

from vision_studies.config.data_prep import FOLDS, DataPrepSettings, LongTailSettings, SplitSettings, data_set_key
from vision_studies.data.folds import assign_folds, from_table, make_folds, most_folds, to_table
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import Splits, make_splits
from vision_studies.errors import DataError


def some_images(seed):
    """Labels, groups (None of some) and copies of a few images, at random."""
    generator = np.random.default_rng(seed)
    number, classes = int(generator.integers(40, 200)), int(generator.integers(2, 6))
    labels = generator.integers(0, classes, number)
    groups = np.where(generator.random(number) < 0.5, generator.integers(0, number // 3, number), None)
    copies = np.where(generator.random(number) < 0.1, generator.integers(0, 4, number), -1)
    return labels, groups, copies


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("copied", [False, True])
def test_every_image_is_held_out_once_and_nothing_that_belongs_together_is_divided(seed, grouped, copied):
    labels, groups, copies = some_images(seed)
    together = {"groups": groups if grouped else None, "copies": copies if copied else None}
    count = min(5, most_folds(labels, **together))
    folds = assign_folds(labels, count, seed, **together)
    assert folds.dtype == np.int64
    assert set(folds) == set(range(count))
    np.testing.assert_array_equal(folds, assign_folds(labels, count, seed, **together))
    for group in set(groups) - {None} if grouped else ():
        assert len(set(folds[groups == group])) == 1
    for copy in set(copies) - {-1} if copied else ():
        assert len(set(folds[copies == copy])) == 1
    shares = np.array(
        [[np.mean(folds[labels == label] == fold) for label in np.unique(labels)] for fold in range(count)]
    )
    largest = max(np.unique(groups[groups != None].astype(int), return_counts=True)[1]) if grouped else 1  # noqa: E711
    if not copied:
        assert (np.abs(shares - 1 / count) <= (largest + 1) / np.bincount(labels)).all()


def test_images_that_stand_for_themselves_even_out_what_groups_leave_uneven():
    labels = np.arange(100) % 2
    groups = np.where(np.arange(100) < 14, 0, None)  # one group of fourteen, and the rest alone
    folds = assign_folds(labels, 5, 0, groups=groups)
    assert np.bincount(folds).tolist() == [20] * 5
    assert np.bincount(folds[labels == 1]).tolist() == [10] * 5


def test_another_seed_divides_otherwise():
    labels = np.arange(60) % 3
    assert (assign_folds(labels, 5, 0) != assign_folds(labels, 5, 1)).any()
    groups = np.arange(60) // 2
    assert (assign_folds(labels, 5, 0, groups=groups) != assign_folds(labels, 5, 1, groups=groups)).any()


@pytest.mark.parametrize(
    ("labels", "count", "more", "said"),
    [
        ([0, 0, 0, 1, 1], 3, {}, r"=3, but class 1 has 2 images, .* set data_prep.splits.folds.number to 2 or"),
        (
            [0, 0, 1],
            2,
            {"class_names": ("cat", "dog")},
            r"'dog' has 1 image, .*; add images of it, or leave the class out",
        ),
        (
            [0, 0, 1, 1],
            2,
            {"copies": np.array([-1, -1, 3, 3])},
            r"class 1 has 2 images in 1 group .*; add groups of it",
        ),
        (
            [0, 0, 0, 1, 1, 1],
            3,
            {"groups": ["a", "b", "c", "d", "d", None]},
            r"class 1 has 3 images in 2 groups .* to 2",
        ),
        ([0, 0, 1, 1], 1, {"parameter": "choose.folds"}, r"choose.folds=1 is no cross-validation; set it to 2 or more"),
    ],
)
def test_what_cannot_be_divided_is_told_in_a_sentence(labels, count, more, said):
    with pytest.raises(DataError, match=said) as error:
        assign_folds(np.array(labels), count, 0, **more)
    assert str(error.value).count(". ") == 0


def image_set_of(number, *, classes=2, groups=None, said=None, is_test=None):
    labels = np.arange(number) % classes
    names = tuple(f"class {label}" for label in range(classes))
    items = None
    if groups is not None or said is not None:
        split = said if said is not None else [None] * number
        group = groups if groups is not None else [None] * number
        copies = np.full(number, -1)
        items = pd.DataFrame(
            {"name": [str(n) for n in range(number)], "split": split, "group": group, "copies": copies}
        )
    test = np.zeros(number, bool) if is_test is None else is_test
    return ImageSet.create("few", np.zeros((number, 4, 4, 1), np.uint8), labels, names, test, {}, items=items)


def settings_of(*, long_tail=None, **folds):
    chosen = FOLDS.model_copy(update=folds)
    shared = {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0, "copies": "together"}
    return SplitSettings(**shared, long_tail=long_tail, folds=chosen)


def folds_of(image_set, settings):
    return make_folds(image_set, make_splits(image_set, settings), settings)


@pytest.mark.parametrize("groups", [None, np.arange(120) // 4])
def test_each_image_is_tested_in_one_fold_and_is_learnt_from_in_no_fold_that_tests_it(groups):
    image_set = image_set_of(120, groups=None if groups is None else [f"camera {group}" for group in groups])
    folds = folds_of(image_set, settings_of())
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(120))
    for fold in folds:
        assert sorted(np.concatenate([fold.train, fold.validation, fold.test])) == list(range(120))
        assert set(image_set.labels[fold.validation]) == set(image_set.labels[fold.train]) == {0, 1}
        if groups is not None:
            sides = [set(groups[part]) for part in (fold.train, fold.validation, fold.test)]
            assert sum(map(len, sides)) == len(set(groups))


TAIL = LongTailSettings(profile="exponential", factor=10, seed=0, reverse=False)


@pytest.mark.parametrize(
    ("image_set", "settings", "number"),
    [
        (image_set_of(100), settings_of(), 5),
        (image_set_of(100), settings_of(number=10), 10),
        (image_set_of(100), settings_of(when="never"), 0),
        (image_set_of(1600), settings_of(), 0),
        (image_set_of(1600), settings_of(when="always"), 5),
        (image_set_of(1600), settings_of(test_images=321), 5),
        (image_set_of(1600, classes=40), settings_of(), 5),  # eight test images of each class
        (image_set_of(1600, classes=40), settings_of(test_images_of_a_class=8), 0),
        (image_set_of(100, is_test=np.arange(100) < 20), settings_of(), 0),
        (image_set_of(100, is_test=np.arange(100) < 20), settings_of(when="always"), 0),
        (image_set_of(100, said=["test"] * 20 + [None] * 80), settings_of(), 0),
        (image_set_of(100, said=["validation"] * 20 + [None] * 80), settings_of(), 5),
        (image_set_of(100, groups=[f"patient {n // 25}" for n in range(100)]), settings_of(), 4),
        (image_set_of(100), settings_of(long_tail=TAIL), 0),
    ],
)
def test_folds_take_the_place_of_a_small_test_split_that_is_none_of_the_source_s_own(image_set, settings, number):
    assert len(folds_of(image_set, settings)) == number


def test_what_cannot_be_in_folds_keeps_one_split_and_says_so_unless_folds_were_asked_for(caplog):
    image_set = image_set_of(100, groups=[f"patient {n // 50}" for n in range(100)])
    settings = settings_of()
    splits = make_splits(image_set_of(100), settings)
    assert make_folds(image_set, splits, settings) == ()
    assert "'few' has only 20 test images, and is not cross-validated: " in caplog.text
    with pytest.raises(DataError, match=r"'class 0' has 50 images in 2 groups"):
        make_folds(image_set, splits, settings_of(when="always"))
    with pytest.raises(DataError, match=r"set data_prep.splits.folds.when to never"):
        make_folds(image_set, splits, settings_of(when="always", long_tail=TAIL))


def test_folds_are_written_and_read_with_the_splits_that_they_take_the_place_of():
    image_set, settings = image_set_of(60), settings_of()
    splits = make_splits(image_set, settings)
    folds = make_folds(image_set, splits, settings)
    table = to_table(splits, folds)
    assert Splits.from_table(table).fingerprint == splits.fingerprint
    assert [fold.fingerprint for fold in from_table(table)] == [fold.fingerprint for fold in folds]
    pd.testing.assert_frame_equal(to_table(splits, ()), splits.to_table())


def test_images_in_folds_have_a_fingerprint_of_their_own_and_others_keep_theirs():
    image_set, settings = image_set_of(60), settings_of()
    splits = make_splits(image_set, settings)
    plain = PreparedData(image_set, splits, {})
    whole = PreparedData.from_catalog(image_set, to_table(splits, folds_of(image_set, settings)), {})
    assert whole.without_folds.fingerprint == plain.fingerprint
    assert len(whole.divisions) == 7
    assert set(whole.divisions) == {
        whole.fingerprint,
        plain.fingerprint,
        *(fold.fingerprint for fold in whole.each_fold),
    }


def test_prepared_images_keep_their_key_unless_folds_are_set_otherwise():
    base = yaml.safe_load((ROOT / "conf/base/parameters_data_prep.yml").read_text(encoding="utf-8"))["data_prep"]
    earlier = {**base, "splits": {name: value for name, value in base["splits"].items() if name != "folds"}}
    key = data_set_key(DataPrepSettings.model_validate(earlier))
    assert key == data_set_key(DataPrepSettings.model_validate(base)) == "cifar10-ad0d9483"
    base["splits"]["folds"]["number"] = 10
    assert data_set_key(DataPrepSettings.model_validate(base)) != key
