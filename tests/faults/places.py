"""Every place where the project reads a file: how to make a good one, and how it is read."""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tests.data.conftest import make_image_set
from tests.data.test_sources import (
    png,
    settings,
    write_cifar_binary,
    write_cifar_python,
    write_folder,
    write_idx,
    write_parquet,
)
from torch import nn

from vision_studies.catalog.atomic import CSVDataset, JSONDataset, ParquetDataset, YAMLDataset
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.data.image_source import open_images
from vision_studies.data.sources.decoding import Decoding
from vision_studies.data.sources.read import read_source
from vision_studies.data.splits import make_splits
from vision_studies.errors import DataError
from vision_studies.models.initialisation import load_pretrained
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, open_feature_set, write_feature_set
from vision_studies.pipelines.alphanet.work.original_format import export_data_set, import_data_set, read_registry
from vision_studies.predictions import Predictions
from vision_studies.serving.stored_data import prepared_data_sets
from vision_studies.stored_predictions import Unavailable
from vision_studies.studies.results import history_table, read_results, results_table, write_results
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stored_runs import find_runs
from vision_studies.training.checkpoints import load_state, load_weights, save_state, save_weights

RUN = Run("cifar_resnet", "study", "base", 0, 3, {"epochs": 4}, "data", 1)


@dataclass(frozen=True)
class Place:
    """A kind of file.

    Attributes:
        name: of the table's row.
        build: writes good files into an empty folder.
        read: reads them as the project does, and returns what can be compared.
        harmed: pattern of the files to harm.
        guarded: whether whoever reads must notice any change of the content. Not where it is a picture or a text of the
            user's own, which holds nothing that it could be compared with.
    """

    name: str
    build: Callable[[Path], None]
    read: Callable[[Path], Any]
    harmed: str
    guarded: bool = False


def _image_set(folder: Path) -> None:
    make_image_set().save(folder / "image_set")


def _read_image_set(folder: Path) -> Any:
    from vision_studies.data.image_set import ImageSet

    opened = ImageSet.open(folder / "image_set")
    return [opened.images.tobytes(), opened.labels.tolist(), opened.is_test.tolist(), opened.class_names, opened.name]


def _prepared(folder: Path) -> None:
    image_set = make_image_set()
    image_set.save(folder / "data/03_primary/random-1/image_set")
    table = make_splits(image_set, settings("digits").splits).to_table()
    ParquetDataset(filepath=str(folder / "data/03_primary/random-1/splits.parquet")).save(table)


def _read_prepared(folder: Path) -> Any:
    (data,) = prepared_data_sets(folder).values()
    return [data.fingerprint, data.splits.train.tolist(), data.splits.validation.tolist(), data.splits.test.tolist()]


def _run(folder: Path) -> None:
    history = pd.DataFrame({"epoch": [1, 2, 3], "validation_accuracy": [0.25, 0.5, 0.75]})
    metrics = {"validation_accuracy": 0.75, "validation_loss": 1.25, "best_epoch": 3, "parameters": 1234}
    RunStore(folder / "study/cifar_resnet/runs").record(RUN, "training", Outcome(metrics, history=history))


def _read_run(folder: Path) -> Any:
    runs = folder / "study/cifar_resnet/runs"
    table = results_table([RUN], RunStore(runs), ["training"]).drop(columns=["versions", "finished_at", "git_commit"])
    return [table.to_json(), history_table([RUN], RunStore(runs)).to_json()]


def _said(folder: Path) -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    said = Predictions.of("test", np.arange(7, 57), np.arange(50) % 4, shares)
    store = RunStore(folder / "study/cifar_resnet/runs")
    store.begin(RUN)
    store.record(RUN, "evaluation", Outcome({"test_accuracy": said.accuracy}, predictions=(said,)))


def _read_said(folder: Path) -> Any:
    said = RunStore(folder / "study/cifar_resnet/runs").predictions(RUN)
    if isinstance(said, Unavailable):  # which is told of beside the run
        raise DataError(said.reason)
    return [array.tolist() for array in (said.indices, said.labels, said.predicted, said.probabilities)]


def _results(folder: Path) -> None:
    _run(folder)
    write_results(
        results_table([RUN], RunStore(folder / "study/cifar_resnet/runs"), ["training"]), folder / "results.parquet"
    )


def _state(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(8, 8, generator=generator) for name in ("model", "optimizer")}
    save_state(folder / "epoch_0001.safetensors", {**tensors, "epoch": 1, "history": [{"loss": 0.5}], "ended": False})


def _comparable(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return [list(state.shape), str(state.dtype), state.numpy().tobytes()]
    if isinstance(state, dict):
        return {key: _comparable(value) for key, value in state.items()}
    return state


def _network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))


def _weights(folder: Path) -> None:
    save_weights(_network(), folder / "weights.safetensors")


def _transfer_weights(folder: Path) -> None:
    torch.save(_network().state_dict(), folder / "weights.pth")


def _read_weights(reader: Callable[[nn.Module, Path], nn.Module], name: str, folder: Path) -> Any:
    return _comparable(dict(reader(_network(), folder / name).state_dict()))


def _features(folder: Path) -> None:
    generator = np.random.default_rng(0)
    groups = {
        name: FeatureGroup(generator.normal(size=(12, 3)).astype(np.float32), np.arange(12) % 4)
        for name in ("train", "validation", "test")
    }
    splits = ClassSplits(np.array([1, 3]), np.array([2]), np.array([0]))
    write_feature_set(
        folder / "written", name="pets", class_names=tuple("abcd"), splits=splits, counts=np.full(4, 3), groups=groups
    )


def _read_features(folder: Path) -> Any:
    opened = open_feature_set(folder)
    groups = {name: [own.features.tobytes(), own.labels.tolist()] for name, own in opened.groups.items()}
    return [opened.name, opened.class_names, opened.counts.tolist(), groups]


def _original(folder: Path) -> None:
    _features(folder)
    classifier = LinearClassifier(np.eye(4, 3, dtype=np.float32), np.arange(4, dtype=np.float32))
    export_data_set(open_feature_set(folder / "written"), classifier, folder / "project", "pets")


def _read_original(folder: Path) -> Any:
    described = read_registry(folder / "project/config/datasets.toml", "pets")
    target = folder / "imported"
    classifier = import_data_set(described, target)
    return [classifier.weight.tobytes(), classifier.bias.tobytes(), _read_features(target)]


def _packed_cifar(folder: Path) -> None:
    write_cifar_binary(folder / "unpacked/cifar-10-batches-bin")
    (folder / "source").mkdir()
    with tarfile.open(folder / "source/cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder / "unpacked/cifar-10-batches-bin", "cifar-10-batches-bin")


def _in_source(write: Callable[[Path], Any], folder: Path) -> None:
    (folder / "source").mkdir()
    write(folder / "source")


def _read_source(folder: Path) -> Any:
    read = read_source(settings(folder / "source"))
    return [read.fingerprint, read.class_names]


def _hub(folder: Path) -> None:
    rows = [(png(seed), seed % 2) for seed in range(8)]
    write_parquet(folder / "train-00000-of-00001.parquet", rows)
    write_parquet(folder / "test-00000-of-00001.parquet", rows[:4])


def _npy_images(folder: Path) -> None:
    np.save(folder / "images.npy", make_image_set().images)


def _read_npy_images(folder: Path) -> Any:
    batches = open_images(folder / "images.npy").batches(16, decoding=Decoding(6), channels=3)
    return [batch.images.tobytes() for batch in batches]


def _configuration(folder: Path) -> None:
    (folder / "conf/base").mkdir(parents=True)
    (folder / "conf/mine").mkdir()
    (folder / "conf/base/globals.yml").write_text("threads: 2\n", encoding="utf-8")
    (folder / "conf/mine/environment.yml").write_text("title: Mine\nquestion: Which one?\n", encoding="utf-8")


def _read_configuration(folder: Path) -> Any:
    loader = StudyConfigLoader(folder / "conf", env="mine", base_env="base", config_patterns={"globals": ["globals*"]})
    return [loader["globals"], loader.environment]


def _saved(dataset: type[Any], name: str, content: Any, folder: Path) -> None:
    options: dict[str, Any] = {"save_args": {"index": False}} if dataset is CSVDataset else {}
    dataset(filepath=str(folder / name), **options).save(content)


def _loaded(dataset: type[Any], name: str, folder: Path) -> Any:
    content = dataset(filepath=str(folder / name)).load()
    return content.to_json() if isinstance(content, pd.DataFrame) else content


TABLE = pd.DataFrame({"class": ["cat", "dog", "fox"], "accuracy": [0.5, 0.25, 0.125], "images": [30, 20, 10]})
WORDS = {"answer": "The first one is better.", "difference": 0.125}

PLACES = (
    Place("image set", _image_set, _read_image_set, "image_set/*"),
    Place("splits", _prepared, _read_prepared, "data/03_primary/*/splits.parquet", guarded=True),
    Place("results of a run (JSON)", _run, _read_run, "study/*/runs/*/training.json"),
    Place("history of a run", _run, _read_run, "study/*/runs/*/history.parquet", guarded=True),
    Place("predictions of a run", _said, _read_said, "study/*/runs/*/predictions_test.parquet", guarded=True),
    Place("description of a run", _run, lambda folder: len(find_runs(folder)), "study/*/runs/*/*.json"),
    Place(
        "results table",
        _results,
        lambda folder: read_results(folder / "results.parquet").to_json(),
        "results.parquet",
        True,
    ),
    Place(
        "checkpoint",
        _state,
        lambda folder: _comparable(load_state(folder / "epoch_0001.safetensors")),
        "*.safetensors",
        True,
    ),
    Place("weights", _weights, partial(_read_weights, load_weights, "weights.safetensors"), "*.safetensors", True),
    Place("weights from elsewhere", _transfer_weights, partial(_read_weights, load_pretrained, "weights.pth"), "*.pth"),
    Place("features", _features, lambda folder: _read_features(folder / "written"), "written/*"),
    Place("AlphaNet's original files", _original, _read_original, "project/*/**/*"),
    Place("packed archive", _packed_cifar, _read_source, "source/*.tar.gz", guarded=True),
    Place("CIFAR's Python files", partial(_in_source, write_cifar_python), _read_source, "source/*"),
    Place("idx files, packed", partial(_in_source, partial(write_idx, packed=True)), _read_source, "source/*", True),
    Place("Hugging Face parquet", partial(_in_source, _hub), _read_source, "source/*.parquet"),
    Place("folder of images", partial(_in_source, write_folder), _read_source, "source/*/*.png"),
    Place("array of images", _npy_images, _read_npy_images, "*.npy"),
    Place("configuration", _configuration, _read_configuration, "conf/*/*.yml"),
    Place(
        "table of the catalog (parquet)",
        partial(_saved, ParquetDataset, "t.parquet", TABLE),
        partial(_loaded, ParquetDataset, "t.parquet"),
        "t.parquet",
        True,
    ),
    Place(
        "table of the catalog (CSV)",
        partial(_saved, CSVDataset, "t.csv", TABLE),
        partial(_loaded, CSVDataset, "t.csv"),
        "t.csv",
    ),
    Place(
        "JSON of the catalog",
        partial(_saved, JSONDataset, "t.json", WORDS),
        partial(_loaded, JSONDataset, "t.json"),
        "t.json",
    ),
    Place(
        "YAML of the catalog",
        partial(_saved, YAMLDataset, "t.yaml", WORDS),
        partial(_loaded, YAMLDataset, "t.yaml"),
        "t.yaml",
    ),
)
