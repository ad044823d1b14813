"""Files of trained networks. Whole commands are in test_run_commands.py and test_model_commands.py."""

import json

import pytest
import torch
from tests.data.conftest import make_image_set
from tests.test_base_parameters import base_run

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.errors import CheckpointError, ParameterError
from vision_studies.serving.opened_models import accuracy_of, data_description, read_trained
from vision_studies.training.checkpoints import save_state, save_weights
from vision_studies.training.network_run import build_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    image_set = make_image_set(count=60, size=8)
    return PreparedData(
        image_set,
        make_splits(image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, long_tail=None)),
        {},
    )


@pytest.fixture(scope="module")
def settings():
    return base_run(
        {
            "model": {"widths": [4], "blocks": [1], "strides": [1], "stem_width": 4, "squeeze_reduction": 2},
            "training": {"precision": "fp32"},
            "evaluation": {"batch_size": 10, "views": [1], "padding": 1},
        }
    )


@pytest.fixture
def model_file(tmp_path, data, settings):
    state = {
        "weights": build_network(settings, data).state_dict(),
        "configuration": settings.model_dump(mode="json"),
        "data": data_description(data),
        "data_fingerprint": data.fingerprint,
    }
    save_state(tmp_path / "model.safetensors", state)
    return tmp_path / "model.safetensors"


def test_weights_in_a_runs_folder_are_read_with_its_description(tmp_path, data, settings):
    save_weights(build_network(settings, data), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"run\.json is missing"):
        read_trained(tmp_path / "weights.safetensors")
    description = {
        "pipeline": "cifar_resnet",
        "configuration": settings.model_dump(mode="json"),
        "data_fingerprint": "x",
    }
    (tmp_path / "run.json").write_text(json.dumps(description))
    trained = read_trained(tmp_path / "weights.safetensors")
    assert trained.settings == settings
    (tmp_path / "run.json").write_text(json.dumps(description | {"pipeline": "mlp_transfer"}))
    with pytest.raises(ParameterError, match="belongs to mlp_transfer, and this command works on runs of cifar_resnet"):
        read_trained(tmp_path / "weights.safetensors")


def test_weights_of_another_network_are_refused(model_file, data):
    trained = read_trained(model_file)
    del trained.weights[next(iter(trained.weights))]
    with pytest.raises(CheckpointError, match="does not fit the network"):
        accuracy_of(trained, data, "validation", CPU)
