import numpy as np
import pytest
from PIL import Image

from vision_studies.data.unlabelled import read_unlabelled
from vision_studies.errors import DataError


def test_files_at_any_depth_are_read_in_order_and_brought_to_size(tmp_path):
    (tmp_path / "more").mkdir()
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "b.png")
    Image.new("L", (9, 9), 7).save(tmp_path / "more/a.png")
    (tmp_path / "notes.txt").write_text("no image")
    names, images = read_unlabelled(tmp_path, image_size=8, channels=3)
    assert names == ["b.png", "more/a.png"]
    assert images.shape == (2, 8, 8, 3)
    assert images[0, 0, 0].tolist() == [255, 0, 0]
    assert (images[1] == 7).all()


def test_arrays_are_resized_and_change_their_channels(tmp_path):
    colour = np.zeros((2, 16, 16, 3), np.uint8)
    colour[..., 0] = 100
    np.save(tmp_path / "colour.npy", colour)
    np.save(tmp_path / "grey.npy", colour[..., 0])
    names, images = read_unlabelled(tmp_path / "colour.npy", image_size=8, channels=1)
    assert names == [0, 1]
    assert images.shape == (2, 8, 8, 1)
    assert (images == 30).all()
    _, images = read_unlabelled(tmp_path / "grey.npy", image_size=16, channels=3)
    assert (images == 100).all()
    assert images.shape == (2, 16, 16, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "holds no image files"),
        (lambda path: None, "does not exist"),
        (lambda path: path.write_bytes(b"no array"), "is no array that can be read"),
        (lambda path: np.save(path.open("wb"), np.zeros((2, 4, 4, 3))), "must hold uint8 images"),
        (lambda path: np.save(path.open("wb"), np.zeros((0, 4, 4, 3), np.uint8)), "must hold uint8 images"),
        (
            lambda path: np.save(path.open("wb"), np.array([object()]), allow_pickle=True),
            "is no array that can be read",
        ),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, make, message):
    make(tmp_path / "images")
    with pytest.raises(DataError, match=message):
        read_unlabelled(tmp_path / "images", image_size=8, channels=3)


def test_a_corrupt_image_is_named(tmp_path):
    (tmp_path / "half.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"half\.png"):
        read_unlabelled(tmp_path, image_size=8, channels=3)
