import numpy as np
import pytest
import torch
from torch import nn

from vision_studies.config.training import AdamWSettings, SgdSettings
from vision_studies.errors import CheckpointError
from vision_studies.models.pretrained import Backbone, OpenedBackbone
from vision_studies.training.fine_tuning import (
    FineTunedNetwork,
    FineTuning,
    Phase,
    balanced_positions,
    fine_tune,
    light_augmentation,
    train_network,
)
from vision_studies.training.optimizers import build_optimizers
from vision_studies.training.precision import has_fast_bfloat16

TOLERANCE = 0.02 if has_fast_bfloat16("cpu") else 1e-5
SETTINGS = FineTuning(pixels=12, phases=(Phase(1, 0.5, 0.01), Phase(2, 1.0, 0.01)), batch_size=8)
TRAIN, VALIDATION, PREDICT = np.arange(24), np.arange(24, 32), np.arange(32, 40)


class Small(nn.Module):
    """Features of two convolutions, each with batch normalisation."""

    def __init__(self):
        super().__init__()
        convolutions = [nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Conv2d(6, 8, 3, padding=1, bias=False)]
        norms = [nn.BatchNorm2d(6), nn.BatchNorm2d(8)]
        self.layers = nn.Sequential(convolutions[0], norms[0], nn.ReLU(), convolutions[1], norms[1], nn.ReLU())

    def forward(self, images):
        return self.layers(images).mean(dim=(2, 3))


@pytest.fixture
def opened():
    torch.manual_seed(0)
    facts = {"licence": "", "source": "", "sha256": None, "pixels": 12, "mean": (128.0,) * 3, "std": (64.0,) * 3}
    network = Small().eval().requires_grad_(False)
    return OpenedBackbone(Backbone(name="small", title="small", width=8, **facts), network, "none")


@pytest.fixture(scope="module")
def images():
    """Dark and bright ones, grey, in turns: uint8 [40, 10, 10, 1]."""
    random = np.random.default_rng(0)
    return np.where(np.arange(40) % 2, 180, 40).astype(np.uint8)[:, None, None, None] + random.integers(
        0, 40, (40, 10, 10, 1), dtype=np.uint8
    )


LABELS = np.arange(40) % 2


def trained(images, opened, **options):
    given = {"settings": SETTINGS, "classes": 2, "predict": PREDICT} | options
    return fine_tune(images, LABELS, TRAIN, VALIDATION, opened, **given)


def test_a_network_learns_what_images_show(images, opened):
    probabilities, network = trained(images, opened)
    assert probabilities.shape == (8, 2)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), LABELS[PREDICT])
    assert not network.training


def test_images_that_are_not_named_and_labels_of_those_to_predict_are_not_looked_at(images, opened):
    expected, _ = trained(images, opened, predict=PREDICT[:4])
    changed, labels = images.copy(), LABELS.copy()
    changed[36:], labels[32:] = 0, 0
    given = {"settings": SETTINGS, "classes": 2, "predict": PREDICT[:4]}
    again, _ = fine_tune(changed, labels, TRAIN, VALIDATION, opened, **given)
    np.testing.assert_array_equal(again, expected)


def test_it_begins_with_the_classifier_that_is_given(images, opened):
    torch.manual_seed(1)
    classifier = nn.Linear(8, 2)
    network = FineTunedNetwork(opened.network, 8, 2)
    network.classifier.load_state_dict(classifier.state_dict())
    pixels = torch.rand(2, 3, 12, 12)
    expected = classifier(opened.network(pixels))
    torch.testing.assert_close(network.eval()(pixels), expected, rtol=1e-4, atol=1e-5)
    still = FineTuning(pixels=12, phases=(Phase(1, 0.0, 1e-12),), batch_size=8)
    probabilities, _ = trained(images, opened, settings=still, classifier=classifier)
    uninformed, _ = trained(images, opened, settings=still)
    assert np.abs(probabilities - uninformed).max() > 0.01


@pytest.mark.parametrize(("share", "learning"), [(0.0, [False, False]), (0.5, [False, True]), (1.0, [True, True])])
def test_the_last_layers_learn_and_the_first_ones_at_the_lowest_rates(opened, share, learning):
    network = FineTunedNetwork(opened.network, 8, 2)
    network.unfreeze(share, 0.3, 0.1)
    adamw = {"name": "adamw", "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    sgd = {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    for settings in (AdamWSettings(learning_rate=0.1, **adamw), SgdSettings(learning_rate=0.1, **sgd)):
        [optimizer] = build_optimizers(network, settings)
        rates = [group["lr"] for group in optimizer.param_groups]
        expected = [0.1, *[rate for rate, learns in zip([0.003, 0.03], learning, strict=True) if learns]]
        np.testing.assert_allclose(rates, expected)
        held = {id(value) for group in optimizer.param_groups for value in group["params"]}
        assert held == {id(value) for value in network.parameters() if value.requires_grad}


def test_statistics_of_the_first_training_stay(images, opened):
    """Nothing of what a batch has beside an image changes what is said of it, in training neither."""
    network = FineTunedNetwork(opened.network, 8, 2).train()
    pixels = torch.rand(4, 3, 12, 12)
    torch.testing.assert_close(network(pixels)[:1], network(pixels[:1]))
    before = {name: value.clone() for name, value in opened.network.state_dict().items()}
    trained(images, opened)
    assert all(torch.equal(value, before[name]) for name, value in opened.network.state_dict().items())


def test_what_was_interrupted_is_continued_with_the_same_numbers(images, opened, tmp_path):
    expected, _ = trained(images, opened)

    def interrupt(row):
        if interrupt.rows == 2:
            raise KeyboardInterrupt
        interrupt.rows += 1

    interrupt.rows = 0
    with pytest.raises(KeyboardInterrupt):
        trained(images, opened, folder=tmp_path, on_epoch=interrupt)
    epochs = []
    again, _ = trained(images, opened, folder=tmp_path, on_epoch=lambda row: epochs.append(row["epoch"]))
    np.testing.assert_array_equal(again, expected)
    assert len(epochs) < 3
    with pytest.raises(CheckpointError, match="other settings"):
        trained(images, opened, folder=tmp_path, seed=1)


def test_rare_classes_are_shown_more_often():
    labels = np.array([0] * 400 + [1] * 100 + [2])
    shown = balanced_positions(labels, np.arange(501))
    assert np.bincount(labels[shown]).tolist() == [400, 200, 10]
    np.testing.assert_array_equal(balanced_positions(np.arange(10) % 2, np.arange(3, 9)), np.arange(3, 9))


def test_a_network_from_random_weights_is_trained_and_predicts(images):
    from vision_studies.training.fine_tuning import _fit_settings

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    settings = _fit_settings(SETTINGS, Phase(6, 1.0, 0.05))
    split = (TRAIN, VALIDATION)
    probabilities, normalisation = train_network(
        network, images, LABELS, *split, settings, light_augmentation(12), 2, PREDICT, pixels=12
    )
    np.testing.assert_array_equal(probabilities.argmax(axis=1), LABELS[PREDICT])
    assert len(normalisation.mean) == 1
    assert abs(normalisation.mean[0] - images[TRAIN].mean()) < 2
