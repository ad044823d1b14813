import json

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import Version
from matplotlib.figure import Figure
from tests.data.conftest import make_image_set

from vision_studies.catalog import (
    CheckpointDataset,
    FfcvFilesDataset,
    FolderDataset,
    ImageSetDataset,
    PartitionedDataset,
    ResultsTableDataset,
    atomic,
)
from vision_studies.catalog.previews import LONGEST_TEXT, NOT_MADE

ATOMIC = "vision_studies.catalog.atomic"
NEW = Version(None, "1")


def test_an_image_set_is_shown_with_its_counts(tmp_path):
    dataset = ImageSetDataset(filepath=str(tmp_path / "set"))
    image_set = make_image_set()
    dataset.save(image_set)
    shown = json.loads(dataset.preview())
    assert shown["images"] == len(image_set.labels) == sum(shown["classes"].values())
    assert shown["size"] == list(image_set.images.shape[1:])
    assert list(shown["classes"].values()) == [
        int((image_set.labels == label).sum()) for label in range(len(image_set.class_names))
    ]


def test_tensors_beside_the_weights_are_shown_by_shape(tmp_path):
    dataset = CheckpointDataset(filepath=str(tmp_path / "state.safetensors"), version=NEW)
    dataset.save({"weights": {"layer": torch.zeros(2)}, "moments": {"layer": torch.zeros(2, 3)}, "epoch": 4})
    assert json.loads(dataset.preview()) == {"moments": {"layer": "tensor of shape [2, 3]"}, "epoch": 4}


@pytest.mark.parametrize("kind", [atomic.ParquetDataset, atomic.CSVDataset])
def test_tables_are_shown_short(tmp_path, kind):
    dataset = kind(filepath=str(tmp_path / "table"), save_args={"index": False})
    rows = {"loss": [0.000123456, np.nan, 1234.5678], "empty": [None] * 3, "why": ["x" * 200, "short", "_"]}
    dataset.save(pd.DataFrame(rows))
    shown = dataset.preview(nrows=2)
    assert shown["columns"] == ["loss", "why"]
    assert shown["data"] == [[0.0001235, "x" * 58 + " …"], ["", "short"]]
    assert dataset.preview()["data"][2] == [1234.57, "_"]


def test_a_table_is_shown_with_the_columns_asked_for(tmp_path):
    dataset = atomic.ParquetDataset(filepath=str(tmp_path / "table"))
    dataset.save(pd.DataFrame({"a": [1], "b": [2], "c": [3]}))
    assert dataset.preview(columns=["c", "a"]) == {"columns": ["c", "a"], "data": [[3, 1]]}


def test_a_table_without_rows_shows_its_columns(tmp_path):
    dataset = atomic.ParquetDataset(filepath=str(tmp_path / "table"))
    dataset.save(pd.DataFrame({"a": pd.Series([], dtype=float), "b": pd.Series([], dtype=str)}))
    assert dataset.preview() == {"columns": ["a", "b"], "data": []}


def partitions(folder, suffix, kind, content):
    dataset = PartitionedDataset(path=str(folder), dataset=f"{ATOMIC}.{kind}", filename_suffix=suffix)
    dataset.save({f"part_{number}": content for number in range(3)})
    return dataset


def test_figures_in_a_folder_are_shown_as_pictures(tmp_path):
    figure = Figure(figsize=(1, 1))
    shown = partitions(tmp_path, ".png", "MatplotlibDataset", figure).preview(number=2)
    assert shown.count('<img src="data:image/png;base64,iVBOR') == 2
    assert "and 1 more" in shown


def test_tables_in_a_folder_are_shown_as_tables(tmp_path):
    shown = partitions(tmp_path, ".csv", "CSVDataset", pd.DataFrame({"mean_loss": [0.123456]})).preview()
    assert shown.count("<table>") == 3
    assert "0.1235" in shown


def test_texts_in_a_folder_are_shown_as_written(tmp_path):
    shown = partitions(tmp_path, ".tex", "TextDataset", r"\label{a_b_c} & <b>" + "x" * LONGEST_TEXT).preview()
    assert r"<pre>\label{a" in shown
    assert "&amp; &lt;b&gt;" in shown
    assert "_" not in shown  # kedro-viz would set what is between two of them in italics
    assert len(shown) < 4 * LONGEST_TEXT


def test_markdown_in_a_folder_is_left_to_kedro_viz(tmp_path):
    shown = partitions(tmp_path, ".md", "TextDataset", "## A table\n\n| a |\n| --- |\n| 1 |").preview()
    assert "\n## A table\n\n| a |\n| --- |\n| 1 |\n" in shown
    assert "<pre>" not in shown


def test_json_in_a_folder_is_shown_indented(tmp_path):
    assert "<pre>{\n" in partitions(tmp_path, ".json", "JSONDataset", {"accuracy": 0.9}).preview()


def test_a_working_folder_is_shown_with_what_lies_in_it(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / ".lock").touch()
    (tmp_path / "notes.txt").touch()
    shown = json.loads(FolderDataset(filepath=str(tmp_path)).preview())
    assert shown == {"folders": 1, "files": 1, "first": ["notes.txt", "run"]}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: atomic.ParquetDataset(filepath=path),
        lambda path: atomic.CSVDataset(filepath=path),
        lambda path: atomic.JSONDataset(filepath=path, version=NEW),
        lambda path: ResultsTableDataset(filepath=path),
        lambda path: ImageSetDataset(filepath=path),
        lambda path: CheckpointDataset(filepath=path, version=NEW),
        lambda path: FfcvFilesDataset(filepath=path, version=NEW),
        lambda path: FolderDataset(filepath=path),
        lambda path: PartitionedDataset(path=path, dataset=f"{ATOMIC}.TextDataset", filename_suffix=".md"),
    ],
)
def test_what_has_not_been_made_says_so(tmp_path, make):
    assert NOT_MADE in str(make(str(tmp_path / "missing")).preview())
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("kind", [atomic.MatplotlibDataset, atomic.TextDataset])
def test_what_has_no_words_of_its_own_shows_nothing(tmp_path, kind):
    assert not kind(filepath=str(tmp_path / "missing"), version=NEW).preview()


def test_a_working_folder_of_partitions_that_must_be_there_is_missed(tmp_path):
    dataset = PartitionedDataset(path=str(tmp_path / "none"), dataset=f"{ATOMIC}.CSVDataset", missing_ok=False)
    with pytest.raises(Exception, match="No partitions found"):
        dataset.load()
