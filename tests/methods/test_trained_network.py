"""Files of trained networks. Whole commands are in test_run_commands.py."""

import json

import numpy as np
import pytest
import torch
from tests.data.conftest import make_image_set
from tests.test_base_parameters import base_run

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.errors import CheckpointError, ParameterError
from vision_studies.methods.cifar_resnet import build_network
from vision_studies.methods.trained_network import data_description, predict, prediction_table, read_trained
from vision_studies.training.checkpoints import save_state, save_weights

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


def test_predictions_are_the_networks_on_images_normalised_as_in_training(model_file, data, settings):
    trained = read_trained(model_file)
    images = np.asarray(data.image_set.images[:7])
    probabilities = predict(trained, images, 1, CPU)
    network = build_network(settings, data).eval()
    network.load_state_dict(trained.weights)
    mean, std = (torch.tensor(values) for values in (data.normalisation.mean, data.normalisation.std))
    plain = ((torch.from_numpy(images).float() - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        np.testing.assert_allclose(probabilities, network(plain).softmax(dim=1).numpy(), atol=1e-5)


def test_images_of_another_shape_are_refused(model_file):
    with pytest.raises(ParameterError, match=r"wants images of 8 x 8 pixels with 3 channels, not \[9, 9, 3\]"):
        predict(read_trained(model_file), np.zeros((2, 9, 9, 3), np.uint8), 1, CPU)


def test_weights_in_a_runs_folder_are_read_with_its_description_but_say_nothing_of_images(tmp_path, data, settings):
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
    with pytest.raises(ParameterError, match="does not say which images"):
        predict(trained, np.zeros((2, 8, 8, 3), np.uint8), 1, CPU)
    (tmp_path / "run.json").write_text(json.dumps(description | {"pipeline": "mlp_transfer"}))
    with pytest.raises(ParameterError, match="belongs to mlp_transfer, and this command works on runs of cifar_resnet"):
        read_trained(tmp_path / "weights.safetensors")


def test_weights_of_another_network_are_refused(model_file, tmp_path):
    trained = read_trained(model_file)
    del trained.weights[next(iter(trained.weights))]
    with pytest.raises(CheckpointError, match="does not fit the network"):
        predict(trained, np.zeros((2, 8, 8, 3), np.uint8), 1, CPU)


def test_a_table_of_predictions_names_classes_where_asked():
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    assert prediction_table([3, 4], probabilities).to_dict("list") == {"ID": [3, 4], "Labels": [1, 0]}
    detailed = prediction_table(["a", "b"], probabilities, ["cat", "dog"])
    assert detailed["Class"].tolist() == ["dog", "cat"]
    assert detailed["Confidence"].tolist() == pytest.approx([0.8, 0.9])
