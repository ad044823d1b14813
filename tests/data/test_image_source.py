import numpy as np
import pytest
from PIL import Image

from vision_studies.data.image_source import open_images
from vision_studies.data.sources.decoding import Decoding
from vision_studies.errors import DataError


def write(path, array, save=np.save):
    """An array in a file of this name, which has no suffix."""
    with path.open("wb") as file:
        save(file, array)


def read(source, image_size=8, **options):
    decoding = Decoding(image_size)
    return list(open_images(source).batches(**{"batch_size": 100, "decoding": decoding, "channels": 3} | options))


def test_files_at_any_depth_are_read_in_order_and_brought_to_size(tmp_path):
    (tmp_path / "more").mkdir()
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "b.png")
    Image.new("L", (9, 9), 7).save(tmp_path / "more/a.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert open_images(tmp_path).names == ["b.png", "more/a.png"]
    (batch,) = read(tmp_path)
    assert batch.images.shape == (2, 8, 8, 3)
    assert batch.images[0, 0, 0].tolist() == [255, 0, 0]
    assert (batch.images[1] == 7).all()
    assert batch.corrupt == {}


def test_arrays_are_resized_and_change_their_channels(tmp_path):
    colour = np.zeros((2, 16, 16, 3), np.uint8)
    colour[..., 0] = 100
    np.save(tmp_path / "colour.npy", colour)
    np.save(tmp_path / "grey.npy", colour[..., 0])
    assert list(open_images(tmp_path / "colour.npy").names) == [0, 1]
    (batch,) = read(tmp_path / "colour.npy", channels=1)
    assert batch.images.shape == (2, 8, 8, 1)
    assert (batch.images == 30).all()
    (batch,) = read(tmp_path / "grey.npy", image_size=16)
    assert (batch.images == 100).all()
    assert batch.images.shape == (2, 16, 16, 3)


def test_batches_are_full_and_in_order_whatever_is_corrupt(tmp_path):
    for number in range(100):
        Image.new("L", (2, 2), number).save(tmp_path / f"{number:03d}.png")
    for number in (0, 41, 42, 99):
        (tmp_path / f"{number:03d}.png").write_bytes(b"\x89PNG")
    batches = read(tmp_path, batch_size=30, image_size=2, channels=1)
    good = [number for number in range(100) if number not in (0, 41, 42, 99)]
    assert [len(batch.images) for batch in batches] == [30, 30, 30, 6]
    assert np.concatenate([batch.positions for batch in batches]).tolist() == good
    assert np.concatenate([batch.images[:, 0, 0, 0] for batch in batches]).tolist() == good
    assert sorted(place for batch in batches for place in batch.corrupt) == [0, 41, 42, 99]


def test_what_is_corrupt_is_said_why(tmp_path):
    whole = tmp_path / "whole.bmp"
    Image.new("RGB", (50, 50)).save(whole)
    (tmp_path / "half.bmp").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "text.png").write_text("no picture")
    (batch,) = read(tmp_path)
    names = open_images(tmp_path).names
    assert {names[place]: reason.split(" (")[0] for place, reason in batch.corrupt.items()} == {
        "half.bmp": "cut off",
        "text.png": "no image",
    }
    whole.unlink()
    (only,) = read(tmp_path)
    assert len(only.images) == 0
    assert len(only.corrupt) == 2


def test_no_more_than_a_few_batches_are_decoded_before_they_are_asked_for(tmp_path, monkeypatch):
    for number in range(400):
        Image.new("L", (2, 2), number % 256).save(tmp_path / f"{number:03d}.png")
    decoded = []
    own = Image.open
    monkeypatch.setattr(Image, "open", lambda *given, **options: decoded.append(1) or own(*given, **options))
    batches = open_images(tmp_path).batches(32, decoding=Decoding(2), channels=1)
    next(batches)
    batches.close()
    assert 32 <= len(decoded) <= 4 * 32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "holds no image files; name a folder"),
        (lambda path: None, "does not exist"),
        (lambda path: path.write_bytes(b"no array"), "is no image, and no array that can be read"),
        (lambda path: write(path, np.zeros((2, 4, 4, 3))), "must hold uint8 images"),
        (lambda path: write(path, np.zeros((0, 4, 4, 3), np.uint8)), "must hold uint8 images"),
        (lambda path: write(path, np.zeros((2, 4, 4, 3), np.uint8), np.savez), "holds several arrays"),
        (
            lambda path: write(path, np.array([object()])),
            "is no image, and no array that can be read",
        ),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, make, message):
    make(tmp_path / "images")
    with pytest.raises(DataError, match=message):
        open_images(tmp_path / "images")
