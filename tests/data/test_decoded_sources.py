"""How images were decoded is one thing for a whole source, is stored with them, and comes back."""

import numpy as np
import pytest
from PIL import Image
from tests.data.encoded_images import of, saved
from tests.data.test_sources import settings

from vision_studies.data.image_set import ImageSet
from vision_studies.data.image_source import open_images
from vision_studies.data.sources.decoding import Decoding
from vision_studies.data.sources.image_facts import survey_image
from vision_studies.data.sources.read import join_sources, read_source

RANDOM = np.random.default_rng(0)


def source(folder, draw):
    """Two classes of four images; `draw` makes the content of a file."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            (folder / name / f"{number}.png").write_bytes(draw())
    return folder


def glyph(value):
    """A shape that is in the alpha channel alone."""
    alpha = 255 * RANDOM.integers(0, 2, (8, 8), dtype=np.uint8)
    return saved(of(np.dstack([np.full((8, 8, 3), value, np.uint8), alpha]), "RGBA"))


def twelve_bits():
    return saved(of(RANDOM.integers(0, 4096, (8, 8)).astype(np.uint16)))


def wide():
    return saved(of(RANDOM.integers(0, 256, (8, 16), dtype=np.uint8)))


CASES = {
    # what lies there, settings, how it is decoded
    "black glyphs": (lambda: glyph(0), {}, Decoding(None, "squash", "white")),
    "white glyphs": (lambda: glyph(255), {}, Decoding(None, "squash", "black")),
    "black glyphs over black": (lambda: glyph(0), {"background": "black"}, Decoding(None, "squash", "white")),
    "12 of 16 bits": (twelve_bits, {}, Decoding(None, "squash", "white", (0, 4095))),
    "wide ones": (
        wide,
        {"image_size": 8, "resize": "letterbox", "background": "grey"},
        Decoding(8, "letterbox", "grey"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_source_is_decoded_one_way_that_is_stored_with_it(case, tmp_path):
    draw, changes, expected = CASES[case]
    folder = source(tmp_path / "source", draw)
    image_set = read_source(settings(folder, **changes))
    assert image_set.decoding == expected
    assert np.ptp(image_set.images, axis=(1, 2, 3)).min() > 100  # none is blank
    image_set.save(tmp_path / "set")
    assert ImageSet.open(tmp_path / "set").decoding == expected
    files = open_images(folder)
    (batch,) = files.batches(8, decoding=image_set.decoding, channels=image_set.images.shape[3])
    np.testing.assert_array_equal(batch.images, image_set.images)  # as `models predict` reads them


def test_arrays_are_brought_to_size_as_files_are():
    digits = read_source(settings("digits", image_size=20, resize="squash"))
    plain = read_source(settings("digits")).images
    assert digits.decoding == Decoding(20, "squash", "white")
    expected = Image.fromarray(plain[3, :, :, 0]).resize((20, 20), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(digits.images[3, :, :, 0], np.asarray(expected))


def test_a_set_that_says_nothing_of_it_is_read_as_before(image_set, tmp_path):
    image_set.save(tmp_path / "set")
    assert "decoding" not in (tmp_path / "set/image_set.json").read_text()
    assert ImageSet.open(tmp_path / "set").decoding is None


def test_joined_sources_keep_how_they_were_decoded(tmp_path):
    names = ("a", "b")
    sets = [read_source(settings(source(tmp_path / name, twelve_bits))) for name in names]
    assert join_sources(sets).decoding == Decoding(None, "squash", "white", (0, 4095))


def test_equal_pictures_are_found_whatever_they_are_called(tmp_path):
    content = wide()
    for name in ("a.png", "b", "c.jpg", "d.txt"):
        (tmp_path / name).write_bytes(content)
    files = open_images(tmp_path)
    assert list(files.names) == ["a.png", "b", "c.jpg", "d.txt"]
    assert len({survey_image(file).pixel_hash for file in files.content}) == 1
