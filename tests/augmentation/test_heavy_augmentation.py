import math

import pytest
import torch
import yaml
from pydantic import ValidationError
from tests.conftest import ROOT

from vision_studies.augmentation.color import color_jitter, jitter_colors
from vision_studies.augmentation.erasing import random_erasing
from vision_studies.augmentation.rand_augment import OPERATIONS, build_operation, rand_augment
from vision_studies.augmentation.step import Occasion
from vision_studies.augmentation.warping import (
    corners_of,
    perspective,
    random_perspective,
    random_rotation,
    rotate,
)
from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.torchvision_compat import torchvision_module

functional = torchvision_module("torchvision.transforms.v2.functional")
modes = torchvision_module("torchvision.transforms").InterpolationMode

STUDY = yaml.safe_load((ROOT / "conf/resnet_randaugment/parameters.yml").read_text(encoding="utf-8"))
PUBLISHED = STUDY["cifar_resnet"]["variants"][1]["changes"]["augmentation"]["steps"]

OCCASION = Occasion(0, 0, torch.arange(64))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(count, channels, height, width):
    """Images with shades and edges: noise would hide an error of half a pixel nowhere, but flat images everywhere."""
    coarse = torch.randint(256, (count, channels, height // 4, width // 4), generator=generator(1)).float()
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


@pytest.fixture(params=[(24, 3, 32, 32), (24, 1, 28, 20)], ids=["colour", "grey, not square"])
def images(request):
    return smooth(*request.param)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_rotations_are_torchvisions_at_the_same_angles(images, interpolation):
    angles = torch.linspace(-40, 40, len(images))
    for ours, image, angle in zip(rotate(images, angles, interpolation), images, angles, strict=True):
        theirs = functional.rotate(image, float(angle), interpolation=modes(interpolation))
        different = (ours.int() - theirs.int()).abs() > 1
        # A place exactly between two pixels may go to either of them.
        assert different.float().mean() <= (0.01 if interpolation == "nearest" else 0)


def test_random_angles_stay_in_their_range_and_differ(images):
    turned = random_rotation(images, generator(), 10, "bilinear")
    assert len({image.numpy().tobytes() for image in turned}) == len(images)
    limit = rotate(images, torch.full((len(images),), 10.0), "nearest")
    assert (random_rotation(images, generator(), 10, "nearest") == 0).sum() <= (limit == 0).sum() * 2
    assert torch.equal(random_rotation(images, generator(), 0, "bilinear"), images)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_perspectives_are_torchvisions_at_the_same_corners(images, interpolation):
    before = corners_of(images)
    moves = torch.randint(0, 4, (len(images), 4, 2), generator=generator(2))
    corners = before + torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * moves
    for ours, image, after in zip(perspective(images, corners, interpolation), images, corners, strict=True):
        theirs = functional.perspective(
            image, before.int().tolist(), after.int().tolist(), interpolation=modes(interpolation)
        )
        different = (ours.int() - theirs.int()).abs() > 1
        assert different.float().mean() <= (0.01 if interpolation == "nearest" else 0.001)


def test_as_many_images_are_distorted_as_asked():
    images = smooth(400, 3, 32, 32)
    distorted = random_perspective(images, generator(), 0.4, 0.5, "bilinear")
    changed = (distorted != images).flatten(1).any(dim=1).sum()
    assert 160 < changed < 240
    assert torch.equal(random_perspective(images, generator(), 0.4, 0.0, "bilinear"), images)


def test_color_jitter_is_torchvisions_with_the_same_amounts_in_the_same_order(images):
    count = len(images)
    order = torch.rand(count, 4, generator=generator(3)).argsort(dim=1)
    amounts = torch.cat(
        [0.5 + torch.rand(count, 3, generator=generator(4)), torch.rand(count, 1, generator=generator(5)) - 0.5], dim=1
    )
    changes = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )
    for ours, image, own_order, own_amounts in zip(
        jitter_colors(images, amounts, order), images, order, amounts, strict=True
    ):
        theirs = image.float() / 255
        for index in own_order.tolist():
            theirs = changes[index](theirs, float(own_amounts[index]))
        assert (ours.float() - 255 * theirs).abs().max() <= 1


def test_color_jitter_draws_from_the_whole_range():
    grey = torch.full((2000, 3, 2, 2), 100, dtype=torch.uint8)
    brightness = color_jitter(grey, generator(), 0.3, 0.0, 0.0, 0.0)[:, 0, 0, 0]
    assert (brightness.min(), brightness.max()) == (70, 130)
    assert torch.equal(color_jitter(grey, generator(), 0, 0, 0, 0), grey)


@pytest.mark.parametrize("bins", [10, 31])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("direction", [1, -1])
def test_the_operations_of_rand_augment_are_torchvisions(images, bins, name, direction):
    autoaugment = torchvision_module("torchvision.transforms.autoaugment")
    spelled = "".join(part.capitalize() for part in name.split("_"))
    spelled = {"Autocontrast": "AutoContrast"}.get(spelled, spelled)
    size = tuple(images.shape[2:])
    magnitudes, has_direction = autoaugment.RandAugment(num_magnitude_bins=bins)._augmentation_space(bins, size)[
        spelled
    ]
    for magnitude in (0, 3, 9):
        amount = (direction if has_direction else 1) * (float(magnitudes[magnitude]) if magnitudes.ndim else 0.0)
        ours = build_operation(name, direction * magnitude / (bins - 1), size)(images)
        for own, image in zip(ours, images, strict=True):
            theirs = autoaugment._apply_op(image, spelled, amount, interpolation=modes.NEAREST, fill=None)
            assert (own.int() - theirs.int()).abs().max() <= 1  # its strengths are rounded to float32


def test_rand_augment_draws_every_operation_for_each_image_alone():
    images = smooth(1, 3, 16, 16).expand(600, -1, -1, -1)
    changed = rand_augment(images, generator(), 1, 9, 10)
    possible = {
        build_operation(name, sign, (16, 16))(images[:1]).numpy().tobytes() for name in OPERATIONS for sign in (1, -1)
    }
    assert {image.numpy().tobytes() for image in changed[:, None]} == possible
    twice = rand_augment(images, generator(), 2, 9, 10)
    assert len({image.numpy().tobytes() for image in twice}) > len(possible)
    assert images[0].equal(smooth(1, 3, 16, 16)[0])


def test_erased_boxes_have_the_sizes_and_the_frequency_asked_for():
    images = torch.full((2000, 1, 32, 32), 200, dtype=torch.uint8)
    erased = random_erasing(images, generator(), 0.3, (0.02, 0.2), (0.3, 3.3), (7.0,))
    covered = erased[:, 0] == 7
    touched = covered.flatten(1).any(dim=1)
    assert 500 < touched.sum() < 700
    for box in covered[touched]:
        rows, columns = box.any(dim=1).nonzero().squeeze(1), box.any(dim=0).nonzero().squeeze(1)
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert box.sum() == height * width
        assert math.isclose(height * width, 32 * 32 * 0.11, rel_tol=0.95)
        assert 0.2 < height / width < 5
    assert (erased[~covered[:, None]] == 200).all()
    assert covered.any(dim=(0, 1)).all()
    assert covered.any(dim=(0, 2)).all()


def test_boxes_that_never_fit_leave_the_image_alone():
    images = torch.full((10, 1, 8, 8), 200, dtype=torch.uint8)
    assert torch.equal(random_erasing(images, generator(), 1.0, (1.0, 1.0), (1.0, 1.0), (0.0,)), images)


def test_all_steps_together_repeat_with_their_generator(images):
    settings = AugmentationSettings.model_validate({"steps": [*PUBLISHED, {"name": "cutout", "size": 16}]})
    augment = settings.build((120.0,) * images.shape[1])
    before = images.clone()
    once, again, other = (augment(images, generator(seed), OCCASION) for seed in (5, 5, 6))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert (once.shape, once.dtype) == (images.shape, torch.uint8)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (
            {"name": "rand_augment", "num_ops": 2, "magnitude": 10, "num_magnitude_bins": 10},
            r"magnitude \(10\) must be below num_magnitude_bins \(10\)",
        ),
        (
            {"name": "random_erasing", "probability": 0.3, "scale": (0.3, 0.1), "ratio": (0.3, 3.3)},
            "scale goes from its smallest to its largest value",
        ),
    ],
)
def test_impossible_settings_are_refused(step, sentence):
    with pytest.raises(ValidationError, match=sentence):
        AugmentationSettings.model_validate({"steps": [step]})
