import json

import torch
from kedro.io import Version
from tests.data.conftest import make_image_set

from vision_studies.catalog import CheckpointDataset, ImageSetDataset


def test_an_image_set_is_shown_with_its_counts(tmp_path):
    dataset = ImageSetDataset(filepath=str(tmp_path / "set"))
    image_set = make_image_set()
    dataset.save(image_set)
    shown = json.loads(dataset.preview())
    assert shown["images"] == len(image_set.labels) == sum(shown["classes"].values())
    assert shown["size"] == list(image_set.images.shape[1:])
    assert list(shown["classes"].values()) == [
        int((image_set.labels == label).sum()) for label in range(len(image_set.class_names))
    ]


def test_tensors_beside_the_weights_are_shown_by_shape(tmp_path):
    dataset = CheckpointDataset(filepath=str(tmp_path / "state.safetensors"), version=Version(None, "1"))
    dataset.save({"weights": {"layer": torch.zeros(2)}, "moments": {"layer": torch.zeros(2, 3)}, "epoch": 4})
    assert json.loads(dataset.preview()) == {"moments": {"layer": "tensor of shape [2, 3]"}, "epoch": 4}
