"""Unlabelled images in the pickle that the project of the residual networks read its test images from."""

import os
import pickle

import numpy as np
import pytest
from click.testing import CliRunner
from tests.hostile_pickles import Call

from vision_studies.cli import cli
from vision_studies.data.sources.decoding import Decoding
from vision_studies.errors import DataError
from vision_studies.serving.unlabelled_pickle import open_unlabelled

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
FLAT = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2)).reshape(5, -1)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "content",
    [
        IMAGES,
        FLAT,
        {"images": IMAGES, "ids": [0, 1, 2, 3, 4]},
        {b"ids": np.arange(5), b"data": FLAT},
        {"pixels": IMAGES, "name": "test"},
    ],
    ids=["array", "flat", "images", "data", "first key"],
)
def test_every_form_that_the_project_took_is_read(tmp_path, content, protocol):
    file = tmp_path / "cifar_test_nolabel.pkl"
    file.write_bytes(pickle.dumps(content, protocol))
    source = open_unlabelled(file)
    assert list(source.names) == [0, 1, 2, 3, 4]
    [batch] = source.batches(8, decoding=Decoding(32), channels=3)
    assert np.array_equal(batch.images, IMAGES)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (Call(os.system, "touch run"), "asks for"),
        ({"images": Call(os.system, "touch run")}, "asks for"),
        ({"images": [1, 2]}, "no array of images"),
        ({}, "no array of images"),
        (IMAGES.astype(np.float32), r"float32 \[5, 32, 32, 3\]"),
        (FLAT[:, :100], r"uint8 \[5, 100\]"),
        (IMAGES[:0], r"uint8 \[0, 32, 32, 3\]"),
    ],
)
def test_nothing_else_is_read_and_nothing_is_run(tmp_path, monkeypatch, content, told):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "images.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=told) as error:
        open_unlabelled(file)
    assert "numpy.save" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_and_none_are_told(tmp_path):
    (tmp_path / "half.pkl").write_bytes(pickle.dumps(IMAGES)[:200])
    with pytest.raises(DataError, match="damaged or no pickle"):
        open_unlabelled(tmp_path / "half.pkl")
    with pytest.raises(DataError, match="does not exist"):
        open_unlabelled(tmp_path / "none.pkl")


def test_the_command_takes_the_file_by_its_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.pkl").write_bytes(pickle.dumps(Call(os.system, "touch run")))
    done = CliRunner().invoke(cli, ["models", "predict", "images.pkl"])
    assert done.exit_code != 0
    assert "no pickle of images" in done.output
    assert not (tmp_path / "run").exists()
