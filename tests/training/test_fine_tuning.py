import numpy as np
import pytest
import torch
from torch import nn

from vision_studies.config.fine_tuning import FineTuning, FromNothing
from vision_studies.config.training import AdamWSettings, SgdSettings
from vision_studies.errors import CheckpointError
from vision_studies.models.pretrained import Backbone, OpenedBackbone
from vision_studies.training.fine_tuning import FineTuner, TrainerFromNothing, _fit_settings
from vision_studies.training.frozen_features import prepared_images
from vision_studies.training.optimizers import build_optimizers
from vision_studies.training.precision import has_fast_bfloat16

TOLERANCE = 0.02 if has_fast_bfloat16("cpu") else 1e-5
RECIPE = {"epochs": 4, "learning_rate": 0.02, "batch_size": 8, "body_rate": 0.5}
TRAIN, PREDICT = np.arange(24), np.arange(32, 40)


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


def tuner(images, opened, labels=LABELS, share=1.0, **options):
    return FineTuner(images, labels, opened, 12, 2, FineTuning(share=share, **RECIPE), **options)


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("mirror", [True, False])
def test_a_network_learns_what_images_show(images, opened, share, mirror):
    logits, network = tuner(images, opened, share=share, mirror=mirror).train(TRAIN, PREDICT)
    assert logits.shape == (8, 2)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits.argmax(axis=1), LABELS[PREDICT])
    assert not network.training


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_images_that_are_not_named_and_labels_of_those_to_predict_are_not_looked_at(images, opened, share):
    expected, _ = tuner(images, opened, share=share).train(TRAIN, PREDICT[:4])
    changed, labels = images.copy(), LABELS.copy()
    changed[36:], labels[32:] = 0, 0
    again, _ = tuner(changed, opened, labels, share=share).train(TRAIN, PREDICT[:4])
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_training_knows_nothing_of_those_before_it(images, opened, share):
    made = tuner(images, opened, share=share)
    first, _ = made.train(TRAIN, PREDICT)
    made.train(TRAIN[:8], PREDICT, seed=1)
    again, _ = made.train(TRAIN, PREDICT)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(("share", "learning"), [(0.5, [True]), (1.0, [True, True])])
def test_the_last_layers_learn_and_the_first_ones_at_the_lowest_rates(images, opened, share, learning):
    network = tuner(images, opened, share=share).network()
    adamw = {"name": "adamw", "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    sgd = {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    for settings in (AdamWSettings(learning_rate=0.1, **adamw), SgdSettings(learning_rate=0.1, **sgd)):
        [optimizer] = build_optimizers(network, settings)
        rates = [group["lr"] for group in optimizer.param_groups]
        np.testing.assert_allclose(rates, [0.1, *[0.005, 0.05][-len(learning) :]])
        held = {id(value) for group in optimizer.param_groups for value in group["params"]}
        assert held == {id(value) for value in network.parameters()}


def test_statistics_of_the_first_training_stay(images, opened):
    """Nothing of what a batch has beside an image changes what is said of it, in training neither."""
    made = tuner(images, opened)
    network, pixels = made.network().train(), torch.rand(4, 3, 12, 12)
    torch.testing.assert_close(network(pixels)[:1], network(pixels[:1]))
    before = {name: value.clone() for name, value in opened.network.state_dict().items()}
    made.train(TRAIN, PREDICT)
    assert all(torch.equal(value, before[name]) for name, value in opened.network.state_dict().items())


def test_layers_before_the_cut_and_behind_it_are_the_network(images, opened):
    from vision_studies.training.evaluation import predict_outputs

    made = tuner(images, opened, share=0.5)
    network = made.network()
    network.classifier = nn.Identity()
    said, _ = predict_outputs(network, made._loader(PREDICT, 0), _fit_settings(FineTuning()), torch.device("cpu"))
    expected = opened.network(prepared_images(images[PREDICT], opened.backbone, 12))
    torch.testing.assert_close(said, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_where_memory_is_short_layers_before_the_cut_are_computed_in_every_step(images, opened, monkeypatch):
    from vision_studies.training import fine_tuning

    _, kept = tuner(images, opened, share=0.5).train(TRAIN, PREDICT)
    monkeypatch.setattr(fine_tuning, "MOST_BYTES", 0)
    logits, network = tuner(images, opened, share=0.5).train(TRAIN, PREDICT)
    np.testing.assert_array_equal(logits.argmax(axis=1), LABELS[PREDICT])
    assert network.state_dict().keys() == kept.state_dict().keys()


KINDS = {
    "fine-tuned": lambda images, opened: tuner(images, opened, share=0.5),
    "from nothing": lambda images, _: TrainerFromNothing(images, LABELS, 2, FromNothing(12, heavy=True, epochs=4)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_interrupted_is_continued_with_the_same_numbers(images, opened, tmp_path, kind):
    made = KINDS[kind](images, opened)
    expected, *_ = made.train(TRAIN, PREDICT)

    def interrupt(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.train(TRAIN, PREDICT, folder=tmp_path, on_epoch=interrupt)
    epochs = []
    again, *_ = made.train(TRAIN, PREDICT, folder=tmp_path, on_epoch=lambda row: epochs.append(row["epoch"]))
    np.testing.assert_array_equal(again, expected)
    assert epochs[0] == 3
    with pytest.raises(CheckpointError, match="other settings"):
        made.train(TRAIN, PREDICT, folder=tmp_path, seed=1)


@pytest.mark.parametrize("heavy", [False, True])
def test_a_network_from_random_weights_is_trained_and_predicts(images, heavy):
    settings = FromNothing(12, heavy=heavy, epochs=12, batch_size=8)
    logits, network, normalisation = TrainerFromNothing(images, LABELS, 2, settings).train(TRAIN, PREDICT)
    assert (logits.argmax(axis=1) == LABELS[PREDICT]).mean() > 0.8
    assert normalisation.mean[0] == pytest.approx(images[TRAIN].mean(), abs=0.1)  # but for the resizing
    assert not network.training
