import numpy as np
import pandas as pd
import pytest

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.data_card import channel_statistics, data_card
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits, make_splits

SETTINGS = SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, copies="together", long_tail=None)


def test_channel_statistics_are_those_of_the_pixels(image_set):
    statistics = channel_statistics(image_set, np.arange(10, 50))
    pixels = image_set.images[10:50].reshape(-1, 3).astype(float)
    np.testing.assert_allclose(statistics.mean, pixels.mean(axis=0))
    np.testing.assert_allclose(statistics.std, pixels.std(axis=0))


def test_a_constant_channel_can_be_divided_by():
    images = np.zeros((6, 2, 2, 1), np.uint8)
    flat = ImageSet.create("flat", images, np.arange(6) % 2, ("a", "b"), np.zeros(6, bool), {})
    assert channel_statistics(flat, np.arange(6)).std == (1.0,)


def test_counts_and_duplicates_across_splits(image_set):
    images = image_set.images.copy()
    splits = make_splits(image_set, SETTINGS)
    images[splits.test[0]] = images[splits.train[2]]
    images[splits.train[5]] = images[splits.train[6]]
    repeated = ImageSet.create("repeated", images, image_set.labels, image_set.class_names, image_set.is_test, {})
    card = data_card(repeated, splits)
    assert card["counts"] == {"train": [12, 12, 12], "validation": [3, 3, 3], "test": [5, 5, 5]}
    assert card["duplicates"]["train and test"] == {"images": 1, "pairs": [(splits.train[2], splits.test[0])]}
    assert card["duplicates"]["train and validation"]["images"] == 0
    assert card["duplicates"]["within train"]["images"] == 1
    assert card["channel_mean"] == pytest.approx([0.5] * 3, abs=0.03)
    assert not card["own_test_split"]


def test_duplicates_are_listed_by_the_names_of_their_files(image_set):
    images = image_set.images.copy()
    splits = make_splits(image_set, SETTINGS)
    images[splits.test[0]] = images[splits.train[2]]
    names = [f"class/{place}.png" for place in range(60)]
    items = pd.DataFrame({"name": names, "split": None, "group": None, "copies": -1})
    own = (image_set.labels, image_set.class_names, image_set.is_test)
    card = data_card(ImageSet.create("named", images, *own, {}, items), splits)
    assert card["duplicates"]["train and test"]["pairs"] == [(names[splits.train[2]], names[splits.test[0]])]


def test_a_table_of_splits_gives_the_same_card(image_set):
    splits = make_splits(image_set, SETTINGS)
    assert data_card(image_set, Splits.from_table(splits.to_table())) == data_card(image_set, splits)
