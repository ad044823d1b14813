"""Imagenette as its archive unpacks, with `val` renamed to `test`: the images that the project of stacks scores on."""

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.conftest import ROOT

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.sources.read import read_source
from vision_studies.data.splits import make_splits

CLASSES = ("n01440764", "n02102040", "n02979186")


@pytest.fixture
def unpacked(tmp_path):
    """`imagenette2/{train,val}/<WordNet number>/<image>.JPEG`, of many sizes, some of them grey."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4)):
        for name in CLASSES:
            folder = tmp_path / "imagenette2" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                size = (*rng.integers(20, 50, 2), 3)
                picture = Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8))
                picture = picture.convert("L") if number == 0 else picture
                picture.save(
                    folder / f"ILSVRC2012_val_{number:08d}.JPEG" if split == "val" else folder / f"{name}_{number}.JPEG"
                )
    (tmp_path / "imagenette2/noisy_imagenette.csv").write_text("path,noisy_labels_0\n")
    return tmp_path / "imagenette2"


def test_the_projects_test_images_are_those_of_val_renamed_to_test(unpacked):
    (unpacked / "val").rename(unpacked / "test")
    base = yaml.safe_load((ROOT / "conf/base/parameters_data_prep.yml").read_text())["data_prep"]
    settings = DataPrepSettings(**{**base, "source": str(unpacked), "image_size": 16})
    image_set = read_source(settings)
    assert tuple(image_set.class_names) == CLASSES
    assert image_set.images.shape == (42, 16, 16, 3)
    assert np.bincount(image_set.labels[~image_set.is_test]).tolist() == [10, 10, 10]
    assert np.bincount(image_set.labels[image_set.is_test]).tolist() == [4, 4, 4]
    splits = make_splits(image_set, settings.splits)
    assert image_set.is_test[splits.test].all()
    assert len(splits.test) == 12
