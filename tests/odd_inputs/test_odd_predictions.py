"""What `kedro models predict` makes of images as they lie on people's disks: each is predicted, or named with a reason."""

import csv
import inspect
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.odd_inputs import pictures
from tests.odd_inputs.cases_files import SUFFIXES, heif_is_read
from tests.odd_inputs.pictures import cut, drawn, heic, jpeg, picture, png, saved
from tests.odd_inputs.trees import Tree, arrays, put
from tests.test_base_parameters import base_run
from torch import nn

from vision_studies.cli.models import predict
from vision_studies.data.loaders import Normalisation
from vision_studies.errors import DataError
from vision_studies.training.classifier import ImageClassifier, ImageFormat

CATS = {f"{number}.png": png(number) for number in range(6)}
HARMED = {
    "half.png": cut(png(1)),
    "half.jpg": cut(jpeg(1)),
    "nothing.png": b"",
    "text.png": b"no picture, but a text\n" * 9,
}


def npy(array: np.ndarray) -> bytes:
    """The array as numpy saves it."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@dataclass(frozen=True)
class Case:
    """What is to be predicted, and what comes of it.

    Attributes:
        name: what lies there.
        lies: gives the files.
        predicted: how many rows the table has.
        named: files that are named as left out.
        source: what is named on the command line, below the folder; empty for the folder.
        refused: pattern of the sentence where nothing can be predicted.
        only_where: whether it can be tried here.
    """

    name: str
    lies: Callable[[], Tree]
    predicted: int = 0
    named: tuple[str, ...] = ()
    source: str = ""
    refused: str = ""
    only_where: Callable[[], bool] = lambda: True


CASES = [
    Case("a folder of PNG", lambda: CATS, 6),
    Case("a single PNG", lambda: CATS, 1, source="0.png"),
    Case("a single JPEG without an ending", lambda: {"photograph": jpeg(1)}, 1, source="photograph"),
    Case(
        "every format that is read",
        lambda: {f"0.{suffix}": saved(picture(1), kind) for suffix, kind in SUFFIXES.items()},
        len(SUFFIXES),
    ),
    Case(
        "PNG without endings and with wrong ones",
        lambda: {"bare": png(1), "0.jpg": png(2), "1.bmp": jpeg(3), "2.png": png(4)},
        4,
    ),
    Case(
        "HEIC beside PNG",
        lambda: CATS | {"a.heic": heic(1), "b.HEIC": heic(2)},
        6,
        ("a.heic", "b.HEIC"),
        only_where=lambda: not heif_is_read(),
    ),
    Case(
        "a single HEIC",
        lambda: {"a.heic": heic(1)},
        source="a.heic",
        refused="pillow-heif",
        only_where=lambda: not heif_is_read(),
    ),
    Case(
        "HEIC alone",
        lambda: {"a.heic": heic(1), "b.heic": heic(2)},
        refused="pillow-heif",
        only_where=lambda: not heif_is_read(),
    ),
    Case(
        "pictures of formats that are not read beside PNG",
        lambda: CATS | {"a.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>', "b.psd": b"8BPS\0\1" + bytes(60)},
        6,
        ("a.svg", "b.psd"),
    ),
    Case("files that are cut, empty, or texts, beside PNG", lambda: CATS | HARMED, 6, tuple(HARMED)),
    Case("files that are cut, empty, or texts, alone", lambda: HARMED, refused="[Nn]one of the 4 images"),
    Case("a single file that is cut", lambda: HARMED, source="half.png", refused=r"half\.png|one image"),
    Case("a single file of no bytes", lambda: HARMED, source="nothing.png", refused=r"nothing\.png|one image"),
    Case(
        "every damage to EXIF",
        lambda: {
            f"{place}.jpg": pictures.camera_jpeg(place, notes)
            for place, notes in enumerate(pictures.ODD_NOTES.values())
        },
        len(pictures.ODD_NOTES),
    ),
    Case(
        "a picture of 12,000 pixels to a side beside PNG",
        lambda: CATS | {"huge.png": saved(Image.new("1", (12_000, 12_000)))},
        6,
        ("huge.png",),
    ),
    Case(
        "a picture of 12,000 pixels to a side alone",
        lambda: {"huge.png": saved(Image.new("1", (12_000, 12_000)))},
        refused="12,?000|large",
    ),
    Case(
        "alpha, palettes, printing colours, 16 bits, decimal numbers",
        lambda: {
            "a.png": saved(drawn(0, 1)),
            "b.png": pictures.palette_glyph(1),
            "c.jpg": saved(picture(1).convert("CMYK"), "JPEG"),
            "d.png": pictures.deep(1, 4095),
            "e.tif": pictures.decimal(1, -5, 9000, hole=True),
        },
        5,
    ),
    Case(
        "several pictures in a file",
        lambda: {"a.gif": pictures.frames(1, "GIF"), "b.tif": pictures.frames(2, "TIFF")},
        2,
    ),
    Case(
        "folders in folders, and what programs leave",
        lambda: {
            "a/b/0.png": png(1),
            "a/1.png": png(2),
            "Thumbs.db": b"x",
            "__MACOSX/a/._1.png": pictures.of_apple_double(1),
            "notes.txt": b"x",
        },
        2,
    ),
    Case(
        "names with commas, quotes, accents",
        lambda: {"a,b.png": png(1), 'say "a".png': png(2), "cafe\u0301.png": png(3), "圆.png": png(4)},
        4,
    ),
    Case("an empty folder", lambda: {"images/.keep": b""}, source="images", refused="no image"),
    Case("a folder that is not there", lambda: CATS, source="nowhere", refused="does not exist"),
    Case("a folder of texts", lambda: {"notes.txt": b"x"}, refused="no image"),
    Case("a single text", lambda: {"notes.txt": b"cats and dogs"}, source="notes.txt", refused=r"notes\.txt"),
    Case(
        "an array",
        lambda: {"x.npy": npy(np.stack([np.asarray(picture(number)) for number in range(5)]))},
        5,
        source="x.npy",
    ),
    Case(
        "an array of decimal numbers", lambda: {"x.npy": npy(np.zeros((2, 4, 4, 3)))}, source="x.npy", refused="uint8"
    ),
    Case(
        "an array that is cut",
        lambda: {"x.npy": cut(npy(np.zeros((2, 4, 4, 3), np.uint8)))},
        source="x.npy",
        refused=r"x\.npy",
    ),
    Case("an array of objects", lambda: {"x.npy": npy(np.array([None, 1], object))}, source="x.npy", refused=r"x\.npy"),
    Case(
        "several arrays",
        lambda: {"x.npz": arrays(a=np.zeros((2, 4, 4, 3), np.uint8))},
        source="x.npz",
        refused=r"x\.npz",
    ),
]


class Redness(nn.Module):
    """Says that an image is red when it has more red than blue."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = (images[:, 0] - images[:, 2]).mean(dim=(1, 2))
        return torch.stack([-red, red], dim=1)


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    images = ImageFormat(("blue", "red"), 16, 3, Normalisation((127.5,) * 3, (50.0,) * 3))
    training = base_run({"training": {"precision": "fp32"}}).training
    return ImageClassifier(Path("model"), Redness(), images, training, batch_size=8, padding=1, seed=0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_image_is_predicted_or_named(case, classifier, tmp_path, capsys):
    if not case.only_where():
        pytest.skip("cannot be tried here")
    folder = put(case.lies(), tmp_path / "data")
    output = tmp_path / "predictions.csv"

    def command() -> None:
        plain = {"views": 1, "top": 1, "column": None, "accepted": 0.95, "calibrate": False, "submission": False}
        plain |= {"coverage": None, "sets": "smallest", "calibrator": "temperature", "abstain": None}
        chosen = SimpleNamespace(open=lambda: classifier, chosen_text="")
        inspect.unwrap(predict.callback)(folder / case.source, lambda: chosen, **plain, device="cpu", output=output)

    if case.refused:
        with pytest.raises(DataError, match=case.refused) as refused:
            command()
        assert "\n" not in str(refused.value)
        assert not output.exists()
        return
    command()
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = capsys.readouterr().err
    assert len(rows) == case.predicted
    assert {line.strip().split(": ")[0] for line in told.splitlines() if line.startswith("  ")} == set(case.named)
    if not case.source:
        meant = {path for path in case.lies() if not path.endswith((".db", ".txt")) and "__MACOSX" not in path}
        assert {row["file"] for row in rows} | set(case.named) == meant
