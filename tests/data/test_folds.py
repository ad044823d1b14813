import numpy as np
import pytest

from vision_studies.data.folds import assign_folds, most_folds
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
        ([0, 0, 0, 1, 1], 3, {}, r"folds=3, but class 1 has 2 images, .* set data_prep.splits.folds to 2 or less"),
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
