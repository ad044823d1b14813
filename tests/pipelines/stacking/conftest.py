from functools import cached_property

import pytest
import yaml
from tests.conftest import ROOT
from tests.data.conftest import make_image_set

from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.merge import merge_settings
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.pipelines.stacking.settings import StackingSettings, stack_run

SMALL = {
    "model": {
        "name": "resnet_small",
        "stem_width": 4,
        "widths": [4, 8],
        "blocks": [1, 1],
        "strides": [1, 2],
        "squeeze_reduction": None,
        "dropout": 0.0,
    },
    "weights_file": None,
    "frozen_blocks": 0,
}
RUN = {
    "base_learners": ["small", "small", "small"],
    "meta_learner": {"hidden": [8], "image_features": {"dimension": 4, "widths": [4, 4]}},
    "folds": {"number": 3},
    "augmentation": {"steps": [{"name": "random_crop", "padding": 1, "mode": "zero"}]},
    "training": {
        "epochs": 2,
        "batch_size": 16,
        "precision": "fp32",
        "checkpoint_every": 1,
        "optimizer": {"learning_rate": 0.05},
    },
    "evaluation": {"batch_size": 64},
}


class CountingData(PreparedData):
    """Prepared data that remember which part of which split was asked for, and which images training saw."""

    @cached_property
    def asked(self):
        """Split, whether it was shuffled (for training), and positions in the image set, of every loader."""
        return []

    def loader(self, split, *, positions=None, shuffle=False, **options):
        indices = getattr(self.splits, split)
        self.asked.append((split, shuffle, indices if positions is None else indices[positions]))
        return super().loader(split, positions=positions, shuffle=shuffle, **options)


def stacking_settings(**changes) -> StackingSettings:
    base = yaml.safe_load((ROOT / "conf/base/parameters_stacking.yml").read_text(encoding="utf-8"))["stacking"]
    base["networks"] |= {"small": SMALL, "wide": merge_settings(SMALL, {"model": {"stem_width": 6}})}
    return StackingSettings.model_validate(merge_settings(merge_settings(base, {"run": RUN}), changes))


def make_run(**changes):
    own = stacking_settings(run=changes)
    return stack_run(own.configured(own.variants[0]), own.networks)


@pytest.fixture
def counting_data():
    image_set = make_image_set(count=150, size=8)
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, copies="together", long_tail=None)
    )
    return CountingData(image_set, splits, {})
