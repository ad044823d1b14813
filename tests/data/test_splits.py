import numpy as np
import pytest
from tests.data.conftest import make_image_set

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits, make_splits
from vision_studies.errors import DataError

SETTINGS = SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0)


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
