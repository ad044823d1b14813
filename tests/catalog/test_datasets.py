import json

import joblib
import pandas as pd
import pytest
import torch
from kedro.io import DatasetError, Version
from matplotlib.figure import Figure
from tests.data.conftest import make_image_set
from tests.studies.test_results import row

from vision_studies.catalog import (
    CheckpointDataset,
    FfcvFilesDataset,
    FolderDataset,
    ImageSetDataset,
    PartitionedDataset,
    ResultsTableDataset,
)
from vision_studies.catalog.atomic import JSONDataset, MatplotlibDataset, ParquetDataset, TextDataset, YAMLDataset
from vision_studies.errors import CheckpointError, DataError


def test_an_image_set_is_written_once_and_opened_memory_mapped(tmp_path):
    dataset = ImageSetDataset(filepath=str(tmp_path / "set"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="There is no image set"):
        dataset.load()
    dataset.save(make_image_set())
    written = (tmp_path / "set/images.npy").stat()
    dataset.save(make_image_set())
    assert (tmp_path / "set/images.npy").stat().st_ino == written.st_ino
    dataset.save(make_image_set(seed=1))
    assert (tmp_path / "set/images.npy").stat().st_ino != written.st_ino
    assert dataset.load().fingerprint == make_image_set(seed=1).fingerprint
    assert json.loads(dataset.preview())["name"] == "random"


def test_a_missing_or_damaged_image_set_may_be_made_again(tmp_path, caplog):
    dataset = ImageSetDataset(filepath=str(tmp_path / "set"), missing_ok=True)
    assert dataset.load() is None
    dataset.save(make_image_set())
    (tmp_path / "set/labels.npy").write_bytes(b"")
    assert dataset.load() is None
    assert "is made again" in caplog.text
    dataset.save(make_image_set())
    assert dataset.load().fingerprint == make_image_set().fingerprint


def test_ffcv_files_are_versioned_and_linked_when_they_are_known(tmp_path):
    folder = str(tmp_path / "ffcv")
    assert FfcvFilesDataset(filepath=folder, version=Version(None, None), missing_ok=True).load() == {}
    first = FfcvFilesDataset(filepath=folder, version=Version(None, "1"))
    first.save({"train-a": lambda path: path.write_bytes(b"images")})
    stored = first.load()
    second = FfcvFilesDataset(filepath=folder, version=Version(None, "2"))
    second.save({**stored, "test-b": lambda path: path.write_bytes(b"other")})
    newest = FfcvFilesDataset(filepath=folder, version=Version(None, None)).load()
    assert {name: path.read_bytes() for name, path in newest.items()} == {"train-a": b"images", "test-b": b"other"}
    assert newest["train-a"].stat().st_ino == stored["train-a"].stat().st_ino
    assert newest["train-a"].parent != stored["train-a"].parent


def test_a_version_of_ffcv_files_is_whole_or_absent(tmp_path):
    dataset = FfcvFilesDataset(filepath=str(tmp_path / "ffcv"), version=Version(None, "1"))

    def fail(path):
        path.write_bytes(b"half")
        raise OSError("stopped")

    with pytest.raises(DatasetError, match="stopped"):
        dataset.save({"train-a": lambda path: path.write_bytes(b"whole"), "test-b": fail})
    assert not dataset.exists()
    assert not list(tmp_path.rglob("*.beton"))


def test_a_checkpoint_keeps_tensors_and_what_describes_them(tmp_path):
    dataset = CheckpointDataset(filepath=str(tmp_path / "model.safetensors"), version=Version(None, "1"))
    dataset.save({"weights": {"layer": torch.arange(3.0)}, "variant": "plain", "seed": 3})
    loaded = dataset.load()
    assert torch.equal(loaded["weights"]["layer"], torch.arange(3.0))
    assert json.loads(dataset.preview()) == {"variant": "plain", "seed": 3}
    (tmp_path / "model.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(DatasetError, match="is not a whole checkpoint") as caught:
        CheckpointDataset(filepath=str(tmp_path / "model.safetensors"), version=Version(None, None)).load()
    assert isinstance(caught.value.__cause__, CheckpointError)


def test_results_take_the_place_of_those_before(tmp_path):
    dataset = ResultsTableDataset(filepath=str(tmp_path / "results.parquet"))
    dataset.save(pd.DataFrame([row(seed=0), row(seed=1)]))
    dataset.save(pd.DataFrame([row(seed=1, validation_accuracy=0.9)]))
    assert dataset.load()["validation_accuracy"].tolist() == [0.9]
    assert [entry["seed"] for entry in json.loads((tmp_path / "results.json").read_text())] == [1]


def test_partitions_take_the_place_of_those_before_but_for_those_of_others(tmp_path):
    def texts(**options):
        text = {"type": "vision_studies.catalog.atomic.TextDataset"}
        return PartitionedDataset(path=str(tmp_path), filename_suffix=".txt", dataset=text, **options)

    texts().save({"plain/curve": "a", "wide/curve": "b", "all": "c"})
    (tmp_path / "all.md").touch()
    texts().save({"plain/curve": "A", "all": "c"})
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")} == {
        "plain",
        "plain/curve.txt",
        "all.txt",
        "all.md",
    }
    texts(adds=True).save({"more": "d"})
    assert {name: load() for name, load in texts().load().items()} == {"plain/curve": "A", "all": "c", "more": "d"}
    texts().save({})
    assert texts().load() == {}


def test_wrong_rows_leave_the_stored_ones(tmp_path):
    dataset = ResultsTableDataset(filepath=str(tmp_path / "results.parquet"))
    dataset.save(pd.DataFrame([row(seed=0)]))
    with pytest.raises(DatasetError, match="unknown columns"):
        dataset.save(pd.DataFrame([row(seed=1, colour="red")]))
    assert dataset.load()["seed"].tolist() == [0]


def test_a_truncated_results_table_is_named(tmp_path):
    dataset = ResultsTableDataset(filepath=str(tmp_path / "results.parquet"))
    dataset.save(pd.DataFrame([row()]))
    (tmp_path / "results.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"results\.parquet cannot be read") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, DataError)


def test_a_working_folder_is_made_and_never_saved(tmp_path):
    dataset = FolderDataset(filepath=str(tmp_path / "a/b"))
    assert not dataset.exists()
    assert dataset.load() == tmp_path / "a/b"
    assert dataset.exists()
    with pytest.raises(DatasetError, match="nodes write into it themselves"):
        dataset.save("anything")


@pytest.mark.parametrize("version", [None, Version(None, "1")], ids=["plain", "versioned"])
def test_library_datasets_write_all_or_nothing(tmp_path, version):
    table = pd.DataFrame({"a": [1, 2]})
    cases = {
        "table.parquet": (ParquetDataset, table),
        "text.txt": (TextDataset, "first"),
        "value.json": (JSONDataset, {"a": 1}),
    }
    for name, (kind, value) in cases.items():
        dataset = kind(filepath=str(tmp_path / name), version=version)
        dataset.save(value)
        loaded = dataset.load()
        assert loaded.equals(value) if name == "table.parquet" else loaded == value
    assert {file.name for file in tmp_path.rglob(".*") if file.is_file()} <= {".lock"}


def test_a_failed_save_keeps_the_old_content(tmp_path):
    dataset = JSONDataset(filepath=str(tmp_path / "value.json"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError, match="not JSON serializable"):
        dataset.save({"a": object()})
    assert dataset.load() == {"a": 1}


def test_a_figure_loads_as_its_bytes(tmp_path):
    dataset = MatplotlibDataset(filepath=str(tmp_path / "figure.png"), version=Version(None, None))
    dataset.save(Figure(figsize=(1, 1)))
    assert dataset.load().startswith(b"\x89PNG")
    assert dataset.preview()


@pytest.mark.parametrize(
    "dataset",
    [
        ImageSetDataset(filepath="a"),
        FolderDataset(filepath="a"),
        ResultsTableDataset(filepath="a"),
        CheckpointDataset(filepath="a", version=Version(None, None)),
        FfcvFilesDataset(filepath="a", version=Version(None, None)),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_datasets_describe_themselves_and_travel_to_processes(dataset):
    assert "a" in str(dataset)
    (received,) = joblib.Parallel(n_jobs=2, backend="loky")([joblib.delayed(str)(dataset)])
    assert received == str(dataset)


@pytest.mark.parametrize("versioned", [None, Version(None, None)])
def test_a_file_that_nothing_has_made_yet_is_named_in_a_sentence(tmp_path, versioned):
    dataset = JSONDataset(filepath=str(tmp_path / "best.json"), version=versioned)
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, DataError)
    assert str(caught.value.__cause__).startswith(f"There is no {tmp_path}/best.json yet; run the part of the pipeline")
    dataset.save({"a": 1})
    assert dataset.load() == {"a": 1}


def test_yaml_is_written_atomically(tmp_path):
    dataset = YAMLDataset(filepath=str(tmp_path / "summary.yaml"))
    dataset.save({"mean": 0.5})
    with pytest.raises(DatasetError):
        dataset.save({"mean": (value for value in [1])})
    assert dataset.load() == {"mean": 0.5}
    assert [file.name for file in tmp_path.iterdir()] == ["summary.yaml"]
