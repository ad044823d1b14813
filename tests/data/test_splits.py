import numpy as np
import pytest
from tests.data.conftest import make_image_set

from vision_studies.config.data_prep import LongTailSettings, SplitSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits, cut_tail, long_tail, make_splits
from vision_studies.errors import DataError

SETTINGS = SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, copies="together", long_tail=None)
TAIL = LongTailSettings(profile="exponential", factor=40, seed=0, reverse=False)
TAILED = SETTINGS.model_copy(update={"long_tail": TAIL})


def test_splits_are_disjoint_whole_and_stratified(image_set):
    splits = make_splits(image_set, SETTINGS)
    everything = np.concatenate([splits.train, splits.validation, splits.test])
    assert sorted(everything) == list(range(60))
    assert [
        np.bincount(image_set.labels[part]).tolist() for part in (splits.train, splits.validation, splits.test)
    ] == [
        [12, 12, 12],
        [3, 3, 3],
        [5, 5, 5],
    ]


def test_the_sources_own_test_split_is_kept():
    image_set = make_image_set(own_test=True)
    splits = make_splits(image_set, SETTINGS)
    assert splits.test.tolist() == list(range(45, 60))
    assert len(splits.validation) == 9


def test_splits_depend_on_data_and_seed_alone(image_set):
    assert make_splits(image_set, SETTINGS).fingerprint == make_splits(make_image_set(seed=5), SETTINGS).fingerprint
    other = SETTINGS.model_copy(update={"seed": 1})
    assert make_splits(image_set, SETTINGS).fingerprint != make_splits(image_set, other).fingerprint
    # Pinned: studies of different days and machines must share their splits.
    assert make_splits(image_set, SETTINGS).validation.tolist() == PINNED


PINNED = [3, 4, 8, 14, 21, 26, 31, 34, 51]


def test_a_table_and_back(image_set):
    splits = make_splits(image_set, SETTINGS)
    table = splits.to_table()
    assert table["index"].tolist() == list(range(60))
    assert Splits.from_table(table).fingerprint == splits.fingerprint


@pytest.mark.parametrize(("count", "classes"), [(4, 3), (12, 6)])
def test_too_few_images_of_a_class_say_which(count, classes):
    with pytest.raises(DataError, match=r"cannot be split by class: 'class \d' has \d images"):
        make_splits(make_image_set(count=count, classes=classes), SETTINGS)


@pytest.mark.parametrize(("count", "fraction"), [(4, 0.6), (4, 0.9), (6, 0.7), (40, 0.97)])
def test_a_validation_split_that_leaves_too_little_is_one_sentence(count, fraction):
    image_set = make_image_set(count=count, classes=2, own_test=True)
    settings = SETTINGS.model_copy(update={"validation_fraction": fraction})
    with pytest.raises(DataError, match=rf"cannot be split by class: .*validation_fraction \({fraction}\)"):
        make_splits(image_set, settings)


def test_no_class_is_lost_to_training():
    labels = np.array([0] * 40 + [1] * 2)
    images = np.zeros((42, 2, 2, 1), np.uint8)
    image_set = ImageSet.create("rare", images, labels, ("often", "rare"), np.arange(42) < 0, {})
    settings = SETTINGS.model_copy(update={"test_fraction": 0.9, "validation_fraction": 0.5})
    with pytest.raises(DataError, match="of the 2 images of 'rare' the test split would take all"):
        make_splits(image_set, settings)


def test_a_source_that_is_all_test_cannot_be_trained_on():
    image_set = make_image_set()
    everything = ImageSet.create(
        "test", image_set.images, image_set.labels, image_set.class_names, np.ones(60, bool), {}
    )
    with pytest.raises(DataError, match="has 0 images"):
        make_splits(everything, SETTINGS)


def counted(image_set, positions):
    return np.bincount(image_set.labels[positions], minlength=len(image_set.class_names)).tolist()


@pytest.mark.parametrize("own_test", [False, True])
def test_a_long_tail_is_drawn_from_what_is_not_for_test(own_test):
    image_set = make_image_set(count=480, classes=6, own_test=own_test)
    whole, splits = make_splits(image_set, SETTINGS), make_splits(image_set, TAILED)
    np.testing.assert_array_equal(splits.test, whole.test)
    rest = np.setdiff1d(np.arange(480), splits.test)
    kept = np.sort(np.concatenate([splits.train, splits.validation]))
    np.testing.assert_array_equal(kept, rest[long_tail(image_set.labels[rest], TAIL)])
    assert counted(image_set, kept) == [60, 28, 13, 6, 3, 1]
    assert not set(splits.train) & set(splits.validation)
    assert splits.train.dtype == splits.validation.dtype == np.int64
    assert (np.diff(splits.train) > 0).all()
    assert (np.diff(splits.validation) > 0).all()


@pytest.mark.parametrize(
    ("fraction", "validation"),
    [
        (0.2, [12, 6, 3, 1, 1, 0]),
        (0.001, [1, 1, 1, 1, 1, 0]),
        (0.5, [30, 14, 6, 3, 2, 0]),
        (0.99, [59, 27, 12, 5, 2, 0]),
    ],
)
def test_every_class_of_a_long_tail_validates_and_trains(fraction, validation):
    image_set = make_image_set(count=480, classes=6, own_test=True)
    splits = make_splits(image_set, TAILED.model_copy(update={"validation_fraction": fraction}))
    assert counted(image_set, splits.validation) == validation
    assert counted(image_set, splits.train) == [
        kept - own for kept, own in zip([60, 28, 13, 6, 3, 1], validation, strict=True)
    ]


def test_a_class_with_two_images_gives_one_to_each():
    labels = np.repeat([0, 1, 2], [30, 2, 1])
    image_set = ImageSet.create(
        "few",
        np.zeros((34, 2, 2, 1), np.uint8),
        np.append(labels, 0),
        ("many", "two", "one"),
        np.arange(34) == 33,
        {},
    )
    settings = TAILED.model_copy(update={"long_tail": TAIL.model_copy(update={"factor": 2.0})})
    splits = make_splits(image_set, settings)
    assert counted(image_set, splits.train) == [24, 1, 1]
    assert counted(image_set, splits.validation) == [6, 1, 0]


def test_a_long_tail_depends_on_data_and_seeds_alone():
    image_set = make_image_set(count=480, classes=6, own_test=True)
    splits = make_splits(image_set, TAILED)
    assert (
        make_splits(make_image_set(count=480, classes=6, own_test=True, seed=5), TAILED).fingerprint
        == splits.fingerprint
    )
    other_split = make_splits(image_set, TAILED.model_copy(update={"seed": 1}))
    other_tail = make_splits(image_set, TAILED.model_copy(update={"long_tail": TAIL.model_copy(update={"seed": 1})}))
    both = [np.union1d(own.train, own.validation).tolist() for own in (splits, other_split, other_tail)]
    assert both[0] == both[1]
    assert both[0] != both[2]
    assert splits.fingerprint != other_split.fingerprint


def test_a_table_has_no_row_for_what_a_long_tail_leaves_out():
    splits = make_splits(make_image_set(count=480, classes=6, own_test=True), TAILED)
    table = splits.to_table()
    assert len(table) == 111 + 120
    assert table["index"].is_monotonic_increasing
    assert Splits.from_table(table).fingerprint == splits.fingerprint


def test_a_class_that_is_all_test_has_no_place_in_a_long_tail():
    labels = np.array([0] * 20 + [1] * 20 + [2] * 5)
    images = np.zeros((45, 2, 2, 1), np.uint8)
    image_set = ImageSet.create("lost", images, labels, ("a", "b", "c"), np.arange(45) >= 40, {})
    with pytest.raises(DataError, match=r"^'lost' has no image of 'c' besides those for test, .*long_tail to null\.$"):
        make_splits(image_set, TAILED.model_copy(update={"long_tail": TAIL.model_copy(update={"factor": 2.0})}))


def test_a_tail_that_is_too_long_names_its_factor():
    with pytest.raises(
        DataError, match=r"long_tail\.factor=40 leaves class 2 without an image.*; lower it to 15 at most"
    ):
        make_splits(make_image_set(), TAILED)


def test_a_tail_of_single_images_leaves_nothing_to_validate_with():
    labels = np.array([0] + [1] * 10 + [0, 1])  # one image of the class that may keep all ten
    splits = Splits(np.arange(1, 11), np.array([0]), np.array([11, 12]))
    with pytest.raises(DataError, match="keeps one image of every class"):
        cut_tail(splits, labels, TAIL.model_copy(update={"factor": 10.0}))
