import numpy as np
import pytest
from tests.conftest import Project, quick_project

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.sources.downloads import read_digits
from vision_studies.data.splits import make_splits


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Project:
    """A project with prepared digits."""
    project = quick_project(tmp_path_factory.mktemp("prepared"))
    project.run("run", "--env=demo", "--pipeline=data_prep")
    return project


@pytest.fixture(scope="session")
def digits():
    """A part of scikit-learn's digits, real and small: 600 images for training."""
    whole = read_digits()
    chosen = np.random.default_rng(0).permutation(len(whole.labels))[:1000]
    parts = (whole.images[chosen], whole.labels[chosen], whole.class_names, whole.is_test[chosen])
    image_set = ImageSet.create("digits", *parts, {})
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.25, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    )
    return PreparedData(image_set, splits, {})
