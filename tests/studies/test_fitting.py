"""A study that cannot be done on the images says why, and stops no other."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from kedro.framework.hooks.manager import _NullPluginManager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from tests.conftest import ROOT
from tests.golden.blank_data import blank_data
from tests.studies.contexts import HERE, STUDY

from vision_studies.catalog.atomic import JSONDataset
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.catalog.study_runner import StudyRunner, only_from_inputs, only_from_runs
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Splits
from vision_studies.errors import DataError
from vision_studies.pipelines.reporting.study import StudyFolders
from vision_studies.run_folders import note_left_out, read_left_out
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.method import load_method, make_context
from vision_studies.studies.run_store import RunStore

TRANSFORMER = {"name": "vit_compact", "patch_size": 3, "width": 16, "depth": 1, "heads": 2}


@pytest.fixture(scope="module")
def demo():
    return StudyConfigLoader(ROOT / "conf", "demo", {}, **CONFIG_LOADER_ARGS)["parameters"]


def images(classes: int = 10, each: int = 40, size: int = 8, validation: int = 8, wide: int = 0, learnt: int = 10):
    """Image set and table of splits: `validation` and 8 test images of each class, others of the `learnt` for training."""
    labels = np.repeat(np.arange(classes), each)
    pixels = np.random.default_rng(0).integers(0, 255, (len(labels), size, size + wide, 1), dtype=np.uint8)
    names = tuple(str(number) for number in range(classes))
    image_set = ImageSet.create("made", pixels, labels, names, np.zeros(len(labels), bool), {})
    place = np.arange(len(labels)) % each
    test, validates = place < 8, (place >= 8) & (place < 8 + validation)
    splits = Splits(*(np.flatnonzero(part) for part in (~test & ~validates & (labels < learnt), validates, test)))
    return image_set, splits.to_table()


def fits(demo, name, data, folder, **changes):
    method = load_method(name)
    models = [settings_model(key).model_validate(demo[key] | changes.get(key, {})) for key in method.parameter_names]
    return method.fits(make_context(method, models, STUDY, HERE, False, data, RunStore(folder / "runs")))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_demo_can_be_done_on_its_images(demo, name, tmp_path):
    data = blank_data(DataPrepSettings.model_validate(demo["data_prep"]))
    assert fits(demo, name, data, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            {"learnt": 1},
            "'made' has training images of 1 class, and a network learns to tell two or more apart; add images",
        ),
        ({"validation": 0}, "'made' has no validation images; add some, or change data_prep.splits"),
        ({"wide": 2}, "square"),
    ],
    ids=["one class", "no validation", "not square"],
)
def test_no_method_can_be_done_on_images_that_none_can_learn_from(demo, name, data, reason, tmp_path):
    assert reason in fits(demo, name, images(**data), tmp_path, alphanet={"long_tail": None})


@pytest.mark.parametrize(
    ("name", "data", "changes", "reason"),
    [
        ("alphanet", {"classes": 2}, {}, "alphanet.splits"),
        (
            "transfer_cuts",
            {},
            {"classes": {"label": "one", "pretraining": ["0"], "fine_tuning": ["1"]}},
            "transfer_cuts.classes.pretraining has one class only (0)",
        ),
        ("clustering", {"classes": 2}, {}, "transfer_cuts.classes.pretraining has"),
        ("transfer_cuts", {}, {"subsets": [{"fraction": 0.001, "repeats": 2}]}, "a fraction of 0.001 of"),
        ("stacking", {"each": 18}, {"run": "folds"}, "folds.number=5 but the rarest class has 2 training images"),
        ("cifar_resnet", {}, {"run": "transformer"}, "patch"),
    ],
    ids=["alphanet", "cuts", "clustering", "fraction", "folds", "patches"],
)
def test_what_a_method_needs_besides_is_told_in_a_sentence(demo, name, data, changes, reason, tmp_path):
    run = demo[name].get("run", {})
    if changes.get("run") == "folds":
        changes = {"run": run | {"mode": "cross_validated", "folds": run["folds"] | {"number": 5}}}
    elif changes.get("run") == "transformer":
        changes = {"run": run | {"model": TRANSFORMER}}
    told = fits(demo, name, images(**data), tmp_path, **{name: changes})
    assert told is not None
    assert reason in told
    assert "\n" not in told


def test_the_demo_on_two_classes_does_what_it_can(demo, tmp_path):
    can = {name for name in METHODS if fits(demo, name, images(classes=2), tmp_path) is None}
    assert can == {"choose", "cifar_resnet", "stacking", "mlp_transfer"}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Runs two studies and a report; `reasons` say why a study cannot be done. Returns the nodes that did something."""
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    called = []

    def run(reasons, only=("one", "two")):
        called.clear()
        nodes, outputs = [], tmp_path / "data/07_model_output/some"
        catalog = DataCatalog(
            {"params:study": MemoryDataset(STUDY), "params:fresh": MemoryDataset(False), "data": MemoryDataset(1)}
        )
        for name in only:

            def train(data, name=name):
                called.append(name)
                return {"accuracy": data}

            def draw(table, name=name):
                called.append(f"{name} drawn")
                return table

            catalog[f"{name}.results"] = JSONDataset(filepath=str(outputs / name / "results.json"))
            catalog[f"{name}.figure"] = JSONDataset(filepath=str(outputs / name / "figure.json"))
            does = only_from_runs(
                train, fits=lambda names, load, name=name: reasons.get(name) if load(names[0]) else None
            )
            nodes += [
                Node(does, ["data"], f"{name}.results", name="train", namespace=name),
                Node(only_from_inputs(draw), [f"{name}.results"], f"{name}.figure", name="draw", namespace=name),
            ]

        def report(*tables):
            called.append(f"report of {len(tables)}")
            return {}

        catalog["pages"] = JSONDataset(filepath=str(tmp_path / "data/08_reporting/pages.json"))
        nodes.append(
            Node(
                only_from_inputs(report),
                [f"{name}.figure" for name in only],
                "pages",
                name="report",
                namespace="reporting",
            )
        )
        StudyRunner().run(Pipeline(nodes), catalog, _NullPluginManager())
        return list(called)

    return run


@pytest.mark.filterwarnings("ignore:One or more dataset names contain")
def test_a_study_that_cannot_be_done_is_left_out_and_told(study, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    reports = tmp_path / "data/08_reporting" / STUDY.name
    assert set(study({"two": "There are too few."})) == {"one", "one drawn", "report of 1"}
    assert "two is left out, for it cannot be done on these images: There are too few." in caplog.messages
    assert json.loads((reports / "two/left_out.json").read_text()) == {"reason": "There are too few."}
    assert set(study({})) >= {"two", "two drawn", "report of 2"}  # the images are others, for example
    assert read_left_out(reports / "two") is None


@pytest.mark.filterwarnings("ignore:One or more dataset names contain")
@pytest.mark.parametrize("only", [["two"], ["one", "two"]])
def test_where_no_study_is_left_the_run_stops_with_the_reason(study, only):
    with pytest.raises(DataError, match="There are too few."):
        study({"one": "There are too few.", "two": "There are too few."}, only)


def test_the_report_says_what_was_left_out(tmp_path):
    folders = StudyFolders("mine", tmp_path / "outputs", tmp_path / "reports")
    assert folders.left_out == []
    note_left_out(tmp_path / "reports/alphanet", "There are too few.")
    before = folders.fingerprint()
    sentence = "alphanet is left out of the study 'mine', for it cannot be done on its images: There are too few."
    again = replace(folders)
    assert again.left_out == [sentence]
    note_left_out(tmp_path / "reports/alphanet", None)
    assert replace(folders).left_out == []
    assert replace(folders).fingerprint() != before  # and its page is made again
