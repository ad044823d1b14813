import numpy as np
import pytest
import torch

from vision_studies.augmentation.erasing import cutout
from vision_studies.augmentation.geometry import (
    alternating_flip,
    crop_at,
    mirror,
    mirror_all,
    pad,
    random_crop,
    random_flip,
)
from vision_studies.augmentation.step import Occasion
from vision_studies.augmentation.views import average_probabilities, views_of
from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.torchvision_compat import torchvision_module

transforms = torchvision_module("torchvision.transforms.v2.functional")

OCCASION = Occasion(0, 0, torch.arange(64))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[(64, 3, 9, 9), (64, 1, 8, 8)], ids=["colour", "grey"])
def images(request):
    return torch.randint(256, request.param, dtype=torch.uint8, generator=generator(1))


def test_flips_are_torchvisions_and_as_frequent_as_asked(images):
    flipped = random_flip(images, generator(), 0.5)
    mirrored = [bool((ours != image).any()) for ours, image in zip(flipped, images, strict=True)]
    for ours, image, is_mirrored in zip(flipped, images, mirrored, strict=True):
        assert torch.equal(ours, transforms.horizontal_flip(image) if is_mirrored else image)
    assert 16 <= sum(mirrored) <= 48
    assert torch.equal(random_flip(images, generator(), 0.0), images)
    assert torch.equal(random_flip(images, generator(), 1.0), images.flip(3))


def test_a_choice_that_only_the_device_knows_is_mirrored_alike(images):
    chosen = torch.rand(len(images), generator=generator()) < 0.5
    assert torch.equal(mirror_all(images, chosen), mirror(images, chosen))


def test_alternating_flips_show_every_image_from_both_sides_in_two_epochs():
    images = torch.arange(2000).view(-1, 1, 1, 1) * 2 + torch.arange(2)  # every image differs from its mirror image
    indices = torch.arange(2000)
    first, second, third = (alternating_flip(images, 0, epoch, indices) for epoch in range(3))
    assert torch.equal(first.flip(3), second)
    assert torch.equal(first, third)
    mirrored = (first != images).flatten(1).any(dim=1)
    assert 900 < mirrored.sum() < 1100
    other = (alternating_flip(images, 1, 0, indices) != images).flatten(1).any(dim=1)
    assert 900 < (mirrored != other).sum() < 1100
    some = indices[::7]
    assert torch.equal(alternating_flip(images[some], 0, 0, some), first[some])


@pytest.mark.parametrize(("mode", "theirs"), [("zero", "constant"), ("reflect", "reflect")])
def test_crops_are_torchvisions_at_the_same_offsets(images, mode, theirs):
    size = images.shape[2]
    rows = torch.randint(7, (len(images),), generator=generator(2))
    columns = torch.randint(7, (len(images),), generator=generator(3))
    cropped = crop_at(images, rows, columns, 3, mode)
    for ours, image, row, column in zip(cropped, images, rows, columns, strict=True):
        padded = transforms.pad(image, [3], padding_mode=theirs)
        assert torch.equal(ours, transforms.crop(padded, int(row), int(column), size, size))


def test_crops_reach_every_offset_and_each_image_has_its_own():
    marked = torch.zeros(2000, 1, 5, 5, dtype=torch.uint8)
    marked[:, :, 2, 2] = 1
    places = [tuple(place) for place in random_crop(marked, generator(), 2).nonzero()[:, 2:].tolist()]
    assert len(set(places)) == 25
    assert max(np.unique(places, axis=0, return_counts=True)[1]) < 2 * 2000 / 25


def test_no_padding_changes_nothing(images):
    assert torch.equal(random_crop(images, generator(), 0), images)
    assert torch.equal(pad(images, 0, "reflect"), images)


def test_cutout_covers_a_square_with_the_fill(images):
    fill = (7.4,) * images.shape[1]
    covered = cutout(images.clamp(min=100), generator(), 3, fill)
    changed = (covered == 7).all(dim=1)
    sizes = changed.sum(dim=(1, 2))
    assert sizes.max() == 9
    assert sizes.min() >= 4  # a corner's square reaches over the edge
    assert torch.equal(
        covered[~changed[:, None].expand_as(covered)], images.clamp(min=100)[~changed[:, None].expand_as(images)]
    )


def test_steps_are_done_in_order_and_repeat_with_the_generator(images):
    settings = AugmentationSettings(
        steps=(
            {"name": "random_crop", "padding": 2, "mode": "zero"},
            {"name": "random_flip", "probability": 0.5},
            {"name": "cutout", "size": 3},
        )
    )
    augment = settings.build((10.0,) * images.shape[1])
    shared = generator(5)
    expected = cutout(random_flip(random_crop(images, shared, 2), shared, 0.5), shared, 3, (10.0,) * images.shape[1])
    assert torch.equal(augment(images, generator(5), OCCASION), expected)
    assert torch.equal(augment(images, generator(5), OCCASION), augment(images, generator(5), OCCASION))
    assert not torch.equal(augment(images, generator(5), OCCASION), augment(images, generator(6), OCCASION))
    assert augment(images, generator(5), OCCASION).dtype == torch.uint8


def test_no_steps_are_no_function():
    assert AugmentationSettings(steps=()).build((0.0,)) is None


def test_views_are_plain_mirrored_and_shifted_per_image(images):
    views = list(views_of(images.float(), 5, 2, generator()))
    assert len(views) == 5
    assert torch.equal(views[0], images.float())
    assert torch.equal(views[1], images.float().flip(3))
    shifts = {
        next(
            (row, column)
            for row in range(5)
            for column in range(5)
            if torch.equal(view, crop_at(image[None], torch.tensor([row]), torch.tensor([column]), 2, "reflect")[0])
        )
        for view, image in zip(views[2], images.float(), strict=True)
    }
    assert len(shifts) > 5
    again = list(views_of(images.float(), 3, 2, generator()))
    assert all(torch.equal(first, second) for first, second in zip(again, views[:3], strict=True))


def test_probabilities_are_averaged_and_one_view_is_plain():
    logits = torch.tensor([[[0.0, 9.0]], [[2.0, 0.0]], [[2.0, 0.0]]])
    assert torch.equal(average_probabilities(logits[:1]), logits[0].softmax(dim=1))
    average = average_probabilities(logits)
    assert average[0].tolist() == pytest.approx(
        [(0.000123 + 2 * 0.880797) / 3, (0.999877 + 2 * 0.119203) / 3], abs=1e-5
    )
    assert average.argmax() != logits.mean(dim=0).argmax()  # one loud view does not outvote two
