"""Predictions as tables of every kind."""

import json

import numpy as np
import pandas as pd
import pytest

from vision_studies.data.image_source import ImageSource
from vision_studies.errors import ParameterError
from vision_studies.serving.image_predictions import PredictedBatch
from vision_studies.serving.prediction_tables import TableForm, write_predictions

NAMES = ("cat", "dog, or so", "fish")
SAID = np.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25], [0.1, 0.3, 0.6]], np.float32)


def batches():
    """Two batches of three images, of which the second cannot be read, with what validation images tell."""
    likeness = np.array([0.5, 0.01, 0.04])
    yield PredictedBatch(np.array([0]), SAID[:1], {1: "no image"}, SAID[:1] ** 2, likeness[:1])
    yield PredictedBatch(np.array([2, 3]), SAID[1:], {}, SAID[1:] ** 2, likeness[1:])


def read(file):
    readers = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".json": lambda path: pd.DataFrame(json.loads(path.read_text())),
    }
    return readers[file.suffix](file)


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_every_kind_of_file_holds_the_same(tmp_path, ending):
    source, file = ImageSource(["a.png", "bad.png", "c.png", "d.png"], []), tmp_path / f"new.{ending}"
    corrupt, counted = write_predictions(batches(), source, NAMES, file, TableForm(top=2, least=0.3))
    assert (corrupt, counted) == ({1: "no image"}, {"unlike": 2, "abstained": 1})
    table = read(file)
    assert table.to_dict("list") == {
        "file": ["a.png", "c.png", "d.png"],
        "class": ["dog, or so", "cat", "fish"],
        "confidence": [0.7, 0.5, 0.6],
        "probability": [0.49, 0.25, 0.36],
        "class_2": ["cat", "dog, or so", "dog, or so"],
        "confidence_2": [0.2, 0.25, 0.3],
        "probability_2": [0.04, 0.0625, 0.09],
        "likeness": [0.5, 0.01, 0.04],
        "unlike": [False, True, True],
        "abstained": [False, True, False],
    }
    assert table["unlike"].dtype == bool


def test_no_more_classes_than_there_are_and_another_rate(tmp_path):
    source = ImageSource(range(4), np.zeros((4, 1, 1, 1), np.uint8))
    _, counted = write_predictions(batches(), source, NAMES, tmp_path / "n.csv", TableForm(top=9, accepted=0.97))
    assert (counted["unlike"], counted["abstained"]) == (1, 0)
    assert list(pd.read_csv(tmp_path / "n.csv").columns)[:2] == ["index", "class"]
    assert "class_4" not in pd.read_csv(tmp_path / "n.csv")


@pytest.mark.parametrize("ending", ["parquet", "json"])
def test_names_that_are_no_text_are_shown_as_far_as_they_are(tmp_path, ending):
    write_predictions(
        batches(), ImageSource(["\udcff.png", "b", "c", "d"], []), NAMES, tmp_path / f"n.{ending}", TableForm()
    )
    assert read(tmp_path / f"n.{ending}")["file"][0].endswith(".png")


def test_another_kind_of_file_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(ParameterError, match=r"written as .csv, .parquet or .json"):
        write_predictions(iter(()), ImageSource([], []), NAMES, tmp_path / "n.xlsx", TableForm())
    assert not list(tmp_path.iterdir())
