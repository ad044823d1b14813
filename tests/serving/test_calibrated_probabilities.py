"""Temperature, and distances of features, from validation images."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax
from tests.test_base_parameters import base_run
from torch import nn

from vision_studies.data.loaders import Normalisation
from vision_studies.errors import DataError
from vision_studies.serving.calibration import Calibration, read_calibration, write_calibration
from vision_studies.serving.image_classifier import Predictor
from vision_studies.serving.joined_networks import WeightedMean
from vision_studies.statistics.calibration import expected_calibration_error, fitted_temperature
from vision_studies.training.classifier import ImageClassifier, ImageFormat


def drawn(temperature, count=20_000, classes=4, seed=0):
    """Logits, and labels drawn from what they say at a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, classes)).astype(np.float32)
    chances = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, (rng.random((count, 1)) < chances).argmax(axis=1)


def calibrated(count, temperature=1.0, width=6, seed=0):
    """A calibration by images whose features have scales of their own, of which one does not vary."""
    features = np.random.default_rng(seed).normal(5, [*np.logspace(-2, 2, width - 1), 0], (count, width))
    return Calibration.fitted(*drawn(temperature, count), features.astype(np.float32)), features.astype(np.float32)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 3.0, 20.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature):
    assert fitted_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.1)
    calibration, _ = calibrated(20_000, temperature)
    fresh, right = drawn(temperature, seed=1)
    probabilities = calibration.probabilities(fresh[None])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert expected_calibration_error(probabilities, right) < 0.015
    assert (probabilities.argmax(axis=1) == fresh.argmax(axis=1)).all()


@pytest.mark.parametrize("count", [300, 1000, 5000])  # of the last, a part is kept
def test_as_many_new_images_are_accepted_as_is_said_and_far_ones_are_not(count):
    calibration, features = calibrated(count)
    assert calibration.images == count
    assert len(calibration.features) == min(count, 2000)
    _, fresh = calibrated(4000, seed=1)
    likeness = calibration.likeness(fresh)
    for accepted in (0.5, 0.9, 0.95):
        assert (likeness >= 1 - accepted).mean() == pytest.approx(accepted, abs=0.05 if count < 1000 else 0.03)
    for column, scale in ((0, 0.01), (4, 100)):  # ten deviations off in a small feature as in a large one
        off = features[:3].copy()
        off[:, column] += 10 * scale
        assert calibration.likeness(off).tolist() == [0, 0, 0]


def test_likeness_is_the_share_of_validation_images_that_are_farther_off():
    calibration, features = calibrated(40)
    scaled = (features - features.mean(axis=0)) / np.where(features.std(axis=0) > 0, features.std(axis=0), 1)
    apart = np.sort(cdist(scaled, scaled), axis=1)[:, 5]  # of each, itself comes first
    _, fresh = calibrated(30, seed=1)
    moved = (fresh - features.mean(axis=0)) / np.where(features.std(axis=0) > 0, features.std(axis=0), 1)
    far = np.sort(cdist(moved, scaled), axis=1)[:, 4]
    expected = (apart > far[:, None]).mean(axis=1)
    np.testing.assert_allclose(calibration.likeness(fresh), expected, atol=1 / 40)


def test_a_few_images_are_enough_and_one_is_not():
    calibration, features = calibrated(2)
    assert calibration.likeness(features).shape == (2,)
    with pytest.raises(DataError, match="one validation image, and two are needed"):
        calibrated(1)


@pytest.mark.parametrize("name", ["temperature", "vector", "isotonic"])
def test_other_calibrators_are_fitted_to_the_same_images(name):
    calibration = calibrated(5000, temperature=3.0)[0].by(name)
    fresh, right = drawn(3.0, seed=1)
    probabilities = calibration.probabilities(fresh[None])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert expected_calibration_error(probabilities, right) < 0.03
    np.testing.assert_allclose(calibration.probabilities(np.stack([fresh, fresh])), probabilities, atol=1e-6)


def test_where_no_validation_image_is_wrong_the_network_is_not_made_surer():
    logits, _ = drawn(1.0, 300)
    calibration = Calibration.fitted(logits, logits.argmax(axis=1), logits)
    assert calibration.temperature == 1


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_answers_are_withheld_of_as_many_images_as_is_asked_and_the_others_are_better(share):
    calibration = calibrated(2000, temperature=3.0)[0]
    found = calibration.abstention(share)
    assert found.answered == round((1 - share) * 2000)
    fresh, right = drawn(3.0, seed=1)
    probabilities = calibration.probabilities(fresh[None])
    answered = probabilities.max(axis=1) >= found.least
    assert answered.mean() == pytest.approx(1 - share, abs=0.03)
    correct = probabilities.argmax(axis=1) == right
    assert correct[answered].mean() == pytest.approx(found.right / found.answered, abs=0.03)
    assert correct[answered].mean() > correct.mean() + 0.02


def test_a_share_of_too_few_images_is_refused():
    with pytest.raises(
        DataError, match=r"--abstain=0.01: of 20 validation images that is none; name a share between 0.05 and"
    ):
        calibrated(20)[0].abstention(0.01)


def test_features_are_what_the_layers_that_decide_are_given_for_the_plain_image():
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3)) for _ in range(2)]
    images = ImageFormat(("a", "b", "c"), 4, 1, Normalisation((127.5,), (50.0,)))
    training = base_run({"training": {"precision": "fp32"}}).training
    classifier = ImageClassifier(Path("m"), WeightedMean(networks, [0.5, 0.5]), images, training, padding=1)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1), dtype=np.uint8)
    logits, features = Predictor(classifier, torch.device("cpu"), views=4).features(pixels)
    plain = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.5) / 50
    expected = torch.cat([network[:3](plain) for network in networks], dim=1).detach().numpy()
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert logits.shape == (4, 7, 3)
    without = ImageClassifier(Path("m"), nn.Sequential(nn.Flatten(), nn.Softplus()), images, training)
    logits, features = Predictor(without, torch.device("cpu")).features(pixels)
    assert np.array_equal(features, logits[0])


def test_what_is_kept_is_read_again_for_the_same_run_alone(tmp_path):
    calibration, _ = calibrated(200)
    file = tmp_path / "calibration.safetensors"
    assert read_calibration(file, "a") is None
    write_calibration(file, calibration, "a")
    read = read_calibration(file, "a")
    for field in fields(Calibration):
        assert np.array_equal(getattr(read, field.name), getattr(calibration, field.name)), field.name
    assert read_calibration(file, "b") is None
    file.write_bytes(file.read_bytes()[:500])
    assert read_calibration(file, "a") is None
