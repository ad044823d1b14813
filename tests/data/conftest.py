from pathlib import Path

import numpy as np
import pytest
import yaml

from vision_studies.data.image_set import ImageSet

_BASE = Path(__file__).parents[2] / "conf/base/parameters_data_prep.yml"
_SETTINGS = yaml.safe_load(_BASE.read_text(encoding="utf-8"))["data_prep"]
READING = {
    **{name: _SETTINGS[name] for name in ("layout", "columns", "configuration", "resize", "background")},
    "accept": ("cannot_be_split",),
}
"""Settings of `data_prep` that say how images are read, where nobody asks for anything else; a few images may be read, too."""


def make_image_set(count=60, size=6, channels=3, classes=3, own_test=False, seed=0):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    labels = np.arange(count) % classes
    is_test = np.arange(count) >= count - count // 4 if own_test else np.zeros(count, bool)
    names = tuple(f"class {label}" for label in range(classes))
    return ImageSet.create("random", images, labels, names, is_test, {"seed": seed})


@pytest.fixture
def image_set():
    return make_image_set()
