import numpy as np
import pytest
from PIL import Image, ImageEnhance
from tests.data.checks.pictures import encoded, photograph

from vision_studies.data.checks.copies import SIZE, near_copies
from vision_studies.data.groups import joined_groups, links_of, same_groups
from vision_studies.data.sources.image_facts import survey_image


def thumbnails(images):
    return np.stack([survey_image(encoded(image)).thumbnail for image in images])


CHANGES = {
    "resized": lambda image: image.resize((61, 61), Image.Resampling.LANCZOS),
    "squeezed": lambda image: image.resize((96, 64), Image.Resampling.LANCZOS),
    "cropped": lambda image: image.crop((3, 2, 93, 92)),
    "cropped on one side": lambda image: image.crop((8, 8, 96, 96)),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "grey": lambda image: image.convert("L"),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "pixelwise noise": lambda image: Image.fromarray(
        np.clip(np.asarray(image) + np.random.default_rng(0).normal(0, 6, (96, 96, 3)), 0, 255).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(change):
    images = [photograph(seed) for seed in range(60)]
    pairs = near_copies(thumbnails([*images, *(CHANGES[change](image) for image in images[:20])]))
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert found <= {(place, 60 + place) for place in range(20)}
    assert len(found) >= 19
    assert (pairs.alike <= 1.0001).all()


@pytest.mark.parametrize(
    "others",
    [
        lambda: [photograph(seed) for seed in range(200)],
        lambda: [Image.new("L", (64, 64), shade) for shade in range(0, 250, 5)],
        lambda: [
            Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32), np.uint8)) for seed in range(50)
        ],
        lambda: [Image.linear_gradient("L").rotate(angle).crop((60, 60, 196, 196)) for angle in range(0, 90, 2)],
        lambda: [
            Image.fromarray(np.where((np.indices((32, 32)) - place < 9).all(0), 0, 255).astype(np.uint8))
            for place in range(8, 24)
        ],
    ],
    ids=["different", "blank", "noise", "gradients", "one shape in many places"],
)
def test_what_only_looks_alike_is_no_copy(others):
    assert len(near_copies(thumbnails(others())).first) == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images_are_compared_too(count):
    one = thumbnails([photograph(1)])[0]
    pairs = near_copies(np.repeat(one[None], count, axis=0).reshape(-1, SIZE, SIZE))
    assert len(pairs.first) == int(count == 2)


def test_digits_are_no_copies_of_each_other():
    from sklearn.datasets import load_digits

    images = [
        Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((32, 32)) for pixels in load_digits().images[:600]
    ]
    assert len(near_copies(thumbnails(images)).first) <= 1


def test_groups_are_numbered_in_the_order_of_their_first_members():
    assert same_groups(["x", "a", "b", "a", "", "b", ""]).tolist() == [-1, 0, 1, 0, -1, 1, -1]
    groups = joined_groups(6, (np.array([4, 1]), np.array([5, 3])), (np.array([3]), np.array([5])))
    assert groups.tolist() == [-1, 0, -1, 0, 0, 0]


def test_links_make_their_groups_again():
    groups = np.array([1, -1, 0, 1, 0, 1])
    joined = joined_groups(6, links_of(groups))
    assert [set(np.flatnonzero(joined == number).tolist()) for number in (0, 1)] == [{0, 3, 5}, {2, 4}]
    assert joined[1] == -1
