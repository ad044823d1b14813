import numpy as np
import pandas as pd
import pytest
from tests.data.conftest import make_image_set

from vision_studies.config.data_prep import LongTailSettings, SplitSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import NAMES, Splits, cut_tail, long_tail, make_splits, units_of_images
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


@pytest.mark.parametrize(
    ("count", "classes", "message"),
    [
        (
            4,
            3,
            "'class 1' has 1 image and training and test need one each at least; add images of it, or leave the class out",
        ),
        (12, 6, "'class 0' has 2 images and the test split would have 3 of 12 for 6 classes; add images or change"),
    ],
)
def test_too_few_images_of_a_class_say_which(count, classes, message):
    with pytest.raises(DataError, match=f"cannot be split by class: {message}"):
        make_splits(make_image_set(count=count, classes=classes), SETTINGS)


@pytest.mark.parametrize(("count", "fraction"), [(4, 0.6), (4, 0.9), (6, 0.7), (40, 0.97)])
def test_a_validation_split_that_leaves_too_little_is_one_sentence(count, fraction):
    image_set = make_image_set(count=count, classes=2, own_test=True)
    settings = SETTINGS.model_copy(update={"validation_fraction": fraction})
    message = (
        rf"validation_fraction \({fraction}\)"
        if count > 4
        else "'class 1' has 2 images, of which 1 is left, and training"
    )
    with pytest.raises(DataError, match=rf"cannot be split by class: .*{message}"):
        make_splits(image_set, settings)


def test_no_class_is_lost_to_training():
    labels = np.array([0] * 40 + [1] * 2)
    images = np.zeros((42, 2, 2, 1), np.uint8)
    image_set = ImageSet.create("rare", images, labels, ("often", "rare"), np.arange(42) < 0, {})
    settings = SETTINGS.model_copy(update={"test_fraction": 0.9, "validation_fraction": 0.5})
    with pytest.raises(DataError, match="of the 2 images of 'rare' the test split would take all"):
        make_splits(image_set, settings)


def test_a_class_of_two_images_is_said_to_have_two():
    labels = np.repeat([0, 1, 2], [20, 20, 2])
    image_set = ImageSet.create(
        "two", np.zeros((42, 2, 2, 1), np.uint8), labels, ("circle", "square", "cross"), np.zeros(42, bool), {}
    )
    with pytest.raises(
        DataError, match="'cross' has 2 images, of which 1 is left, and training and validation need one"
    ):
        make_splits(image_set, SETTINGS)


def test_a_source_that_is_all_test_cannot_be_trained_on():
    image_set = make_image_set()
    everything = ImageSet.create(
        "test", image_set.images, image_set.labels, image_set.class_names, np.ones(60, bool), {}
    )
    with pytest.raises(DataError, match="'class 0' has 20 images, of which none is left, and training"):
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
    with pytest.raises(DataError, match="One image of every class is left"):
        cut_tail(splits, labels, TAIL.model_copy(update={"factor": 10.0}))


def with_items(labels, split=None, group=None, copies=-1, classes=None):
    """An image set of blank images of which the source says something."""
    labels = np.asarray(labels)
    items = pd.DataFrame({"name": [f"{place}.png" for place in range(len(labels))]})
    items = items.assign(split=split, group=group, copies=np.broadcast_to(copies, len(labels)).astype(np.int64))
    is_test = (items["split"] == "test").to_numpy(bool)
    names = tuple(f"class {label}" for label in range(classes or labels.max() + 1))
    return ImageSet.create("said", np.zeros((len(labels), 2, 2, 1), np.uint8), labels, names, is_test, {}, items)


def sides(splits, numbers):
    """Numbers that stand in more than one split."""
    seen = [{numbers[place] for place in getattr(splits, part) if numbers[place] not in (None, -1)} for part in NAMES]
    return (seen[0] & seen[1]) | (seen[0] & seen[2]) | (seen[1] & seen[2])


LABELS = np.arange(200) % 4
PEOPLE = [f"person {place // 10}" for place in range(200)]


@pytest.mark.parametrize("tail", [None, TAIL.model_copy(update={"factor": 4.0})])
@pytest.mark.parametrize(
    ("group", "copies"),
    [(PEOPLE, -1), (None, np.arange(200) // 3), (PEOPLE, np.where(np.arange(200) < 12, np.arange(200) % 6, -1))],
    ids=["groups", "copies", "both"],
)
def test_what_belongs_together_stands_on_one_side(group, copies, tail):
    image_set = with_items(LABELS, group=group, copies=copies)
    splits = make_splits(image_set, SETTINGS.model_copy(update={"long_tail": tail}))
    assert not sides(splits, image_set.items["group"].tolist())
    assert not sides(splits, image_set.items["copies"].tolist())
    assert all(counted(image_set, splits.train))
    assert all(counted(image_set, splits.test))
    assert all(counted(image_set, splits.validation))
    if tail is None:
        assert len(splits.test) == pytest.approx(50, abs=10)
        assert len(splits.validation) == pytest.approx(30, abs=10)
        assert len(splits.train) + len(splits.validation) + len(splits.test) == 200


def test_copies_may_be_divided_like_other_images_and_lone_groups_change_nothing():
    plain = make_splits(with_items(LABELS), SETTINGS)
    assert make_splits(make_image_set(200, 2, 1, 4), SETTINGS).fingerprint == plain.fingerprint
    everyone = [f"person {place}" for place in range(200)]
    assert (
        make_splits(with_items(LABELS, group=everyone, copies=np.arange(200)), SETTINGS).fingerprint
        == plain.fingerprint
    )
    apart = SETTINGS.model_copy(update={"copies": "apart"})
    copied = with_items(LABELS, copies=np.arange(200) // 2)
    assert make_splits(copied, apart).fingerprint == plain.fingerprint
    assert make_splits(copied, SETTINGS).fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("splits", "sizes"),
    [
        (("train", "validation"), {"validation": 50}),
        (("train", "test"), {"test": 50}),
        (("train", "validation", "test"), {"validation": 50, "test": 50}),
        (("train", None, "test"), {"test": 50}),
    ],
    ids=str,
)
def test_splits_of_the_sources_own_are_kept_and_the_others_carved_from_training(splits, sizes):
    said = np.array(
        [*[splits[0]] * (200 - 50 * (len(splits) - 1)), *[split for split in splits[1:] for _ in range(50)]]
    )
    image_set = with_items(LABELS, split=said)
    divided = make_splits(image_set, SETTINGS)
    for split, size in sizes.items():
        assert getattr(divided, split).tolist() == np.flatnonzero(said == split).tolist()
        assert len(getattr(divided, split)) == size
    assert len(divided.train) + len(divided.validation) + len(divided.test) == 200
    assert all(all(counted(image_set, getattr(divided, part))) for part in NAMES)


@pytest.mark.parametrize(("copies", "left_out"), [("together", {0, 1, 5}), ("apart", set())])
def test_copies_of_the_sources_own_test_images_are_not_learnt_from(copies, left_out):
    said = np.repeat(["train", "validation", "test"], [100, 50, 50])
    numbers = np.full(200, -1)
    numbers[[0, 1, 150]] = 4  # two of training and one of test
    numbers[[5, 120]] = 7  # of training and validation
    image_set = with_items(LABELS, split=said, copies=numbers)
    divided = make_splits(image_set, SETTINGS.model_copy(update={"copies": copies}))
    together = {*divided.train.tolist(), *divided.validation.tolist(), *divided.test.tolist()}
    assert {*range(200)} - together == left_out
    assert len(divided.test) == len(divided.validation) == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": ["a"] * 40}, "'said' cannot be split by group: its 40 images stand in 1 groups and sets of copies"),
        (
            {"split": ["train"] * 20 + ["test"] * 20, "copies": np.where(np.arange(40) % 2, np.arange(40) % 20, -1)},
            "no image of 'class 1' to learn from: all of its training images are copies of images for test; set "
            "data_prep.splits.copies=apart",
        ),
        (
            {"split": ["test", "validation"] * 10 + ["train", "test"] * 10},
            "no image of 'class 1' to learn from: add images of it to the training split",
        ),
    ],
    ids=["one group", "all copies", "no training"],
)
def test_what_cannot_be_divided_without_losing_a_class_is_one_sentence(arguments, message):
    with pytest.raises(DataError, match=message):
        make_splits(with_items(np.arange(40) % 2, **arguments), SETTINGS)


def test_a_tail_that_is_cut_later_keeps_groups_together():
    image_set = with_items(LABELS, group=PEOPLE)
    units = units_of_images(image_set)
    splits = cut_tail(make_splits(image_set, SETTINGS), LABELS, TAIL.model_copy(update={"factor": 3.0}), units)
    assert not sides(splits, PEOPLE)
    assert all(counted(image_set, splits.validation))
