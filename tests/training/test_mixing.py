import numpy as np
import pytest
import torch

from vision_studies.config.training import MixingSettings
from vision_studies.training.mixing import MixedBatch, cut_box, mix_batch, mixed_loss

IMAGES = torch.arange(8).float()[:, None, None, None].expand(8, 3, 12, 10).contiguous()
LABELS = torch.arange(8)


def mix(name, probability=1.0, seed=0, epoch=1, batch=0, alpha=1.0):
    settings = MixingSettings(name=name, alpha=alpha, probability=probability)
    return mix_batch(IMAGES, LABELS, settings, seed=seed, epoch=epoch, batch=batch)


@pytest.mark.parametrize("batch", range(8))
def test_cutmix_weight_is_the_area_that_was_left(batch):
    mixed = mix("cutmix", batch=batch)
    for image, label, other in zip(mixed.images, mixed.labels, mixed.other_labels, strict=True):
        if label != other:
            assert float((image == label).double().mean()) == pytest.approx(mixed.weight)
            assert bool(((image == label) | (image == other)).all())


def test_cutmix_boxes_have_the_area_of_their_distribution():
    # With alpha 1 the share u of a box is uniform. Its side is sqrt(u), of which the border leaves sqrt(u) - u / 4 on
    # average, so that the mean area pasted is the integral of (sqrt(u) - u / 4)^2, which is 0.3208.
    generator = np.random.default_rng(0)
    areas = []
    for weight in generator.random(20_000):
        top, bottom, left, right = cut_box(200, 200, weight, generator)
        areas.append((bottom - top) * (right - left) / 200**2)
    assert np.mean(areas) == pytest.approx(0.3208, abs=0.008)


def test_mixup_blends_by_its_weight():
    mixed = mix("mixup")
    expected = mixed.weight * mixed.labels + (1 - mixed.weight) * mixed.other_labels
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], expected.float())


def test_the_draw_depends_on_seed_epoch_and_batch_alone():
    torch.manual_seed(1)
    first = mix("cutmix", seed=4, epoch=5, batch=6)
    torch.manual_seed(2)
    np.random.seed(9)
    assert torch.equal(first.images, mix("cutmix", seed=4, epoch=5, batch=6).images)
    others = [
        mix("cutmix", **{"seed": 4, "epoch": 5, "batch": 6} | change)
        for change in ({"seed": 0}, {"epoch": 0}, {"batch": 0})
    ]
    assert len({first.weight, *(other.weight for other in others)}) == 4


def test_probability_is_kept():
    mixed = sum(mix("mixup", probability=0.7, batch=batch).other_labels is not None for batch in range(1000))
    assert 650 < mixed < 750


def test_nothing_is_mixed_without_settings():
    untouched = mix_batch(IMAGES, LABELS, None, seed=0, epoch=0, batch=0)
    assert untouched.images is IMAGES
    assert untouched.other_labels is None
    assert untouched.weight == 1.0


def test_given_images_are_left_as_they_are():
    before = IMAGES.clone()
    mix("cutmix")
    mix("mixup")
    assert torch.equal(IMAGES, before)


def test_a_box_never_leaves_the_image():
    generator = np.random.default_rng(0)
    for weight in generator.random(500):
        top, bottom, left, right = cut_box(7, 9, weight, generator)
        assert 0 <= top <= bottom <= 7
        assert 0 <= left <= right <= 9


def test_the_loss_of_certain_predictions_is_the_entropy_of_the_smoothed_labels():
    # 0.9 + 0.1 / 10 on the label and 0.1 / 10 on each other class: the published training loss cannot fall below .500.
    probabilities = torch.full((4, 10), 0.01)
    labels = torch.arange(4)
    probabilities[labels, labels] = 0.91
    loss = mixed_loss(probabilities.log(), MixedBatch(torch.zeros(4, 1, 1, 1), labels), 0.1)
    assert float(loss) == pytest.approx(0.5003, abs=1e-4)
    mixed = MixedBatch(torch.zeros(4, 1, 1, 1), labels, labels.flip(0), 0.3)
    separate = [
        float(mixed_loss(probabilities.log(), MixedBatch(mixed.images, each), 0.1)) for each in (labels, labels.flip(0))
    ]
    assert float(mixed_loss(probabilities.log(), mixed, 0.1)) == pytest.approx(0.3 * separate[0] + 0.7 * separate[1])
