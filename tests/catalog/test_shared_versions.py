"""Every data set of the catalog is versioned by Kedro's means, or of a kind of which the documentation says why it is not."""

import json

import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError, Version
from tests.conftest import ROOT
from tests.golden.test_catalog import ENVIRONMENTS, described_catalog
from tests.studies.test_results import row

from vision_studies.catalog.atomic import JSONDataset
from vision_studies.catalog.datasets import versions_in

ATOMIC = "vision_studies.catalog.atomic"
KINDS = {
    "by content": lambda entry: "/DATA_SET/" in entry.get("filepath", ""),
    "working folder": lambda entry: entry["type"].endswith("FolderDataset"),
    "working table": lambda entry: entry["metadata"]["kedro-viz"]["layer"] == "models",
    "text for readers": lambda entry: "TextDataset" in json.dumps(entry) or _lies_beside_all_studies(entry),
}
"""What is not versioned, as docs/versions.md has it -> whether an entry of the catalog is of that kind."""


def _lies_beside_all_studies(entry):
    return entry.get("filepath", "").startswith("data/08_reporting/") and entry["filepath"].count("/") == 2


def dataset(folder, version):
    return JSONDataset(filepath=str(folder / "card.json"), version=Version(None, version))


def test_every_data_set_is_versioned_or_of_a_kind_that_is_not():
    rest = {name: entry for name, entry in described_catalog("base").items() if not entry.get("versioned")}
    kinds = {name: {kind for kind, holds in KINDS.items() if holds(entry)} for name, entry in rest.items()}
    assert {name for name in rest if not kinds[name]} == set()
    assert set().union(*kinds.values()) == {*KINDS}


@pytest.mark.parametrize(
    "name",
    [
        *("cifar_resnet.results", "stacking.results", "stacking.conclusions", "stacking.comparison"),
        *("cifar_resnet.confusion_matrix", "alphanet.figures", "transfer_cuts.heat_map", "stacking.search_figures"),
        *("cifar_resnet.model", "cifar_resnet.evaluated_model", "cifar_resnet.evaluation_predictions"),
        *("cifar_resnet.evaluation_summary", "data_prep.data_card", "mlp_transfer.transfer", "clustering.summary"),
    ],
)
def test_what_a_study_is_about_is_versioned(name):
    assert described_catalog("base")[name]["versioned"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_two_data_sets_keep_their_versions_in_one_folder(environment):
    catalog = DataCatalog.from_config(described_catalog(environment))
    folders = [versions.folder for versions in versions_in(catalog, described_catalog(environment)).values()]
    assert len(folders) > 70
    assert len(set(folders)) == len(folders)


def test_the_documentation_tells_of_the_same_kinds():
    page = (ROOT / "docs/versions.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"| {kind} |" not in page] == []


def test_two_processes_may_save_one_version_and_each_goes_on_with_its_own(tmp_path):
    first, second, later = dataset(tmp_path, "1"), dataset(tmp_path, "1"), dataset(tmp_path, "2")
    later.save({"by": "later"})
    first.save({"by": "first"})  # without the warning that a later version is there
    second.save({"by": "second"})
    assert first.load() == second.load() == dataset(tmp_path, None).load() == {"by": "second"}
    assert later.load() == {"by": "later"}


def entries(folder):
    return {
        "card": {"type": f"{ATOMIC}.JSONDataset", "filepath": str(folder / "card.json"), "versioned": True},
        "cards": {
            "type": "vision_studies.catalog.PartitionedDataset",
            "path": str(folder / "cards"),
            "filename_suffix": ".json",
            "versioned": True,
            "dataset": {"type": f"{ATOMIC}.JSONDataset"},
        },
        "results": {
            "type": "vision_studies.catalog.ResultsTableDataset",
            "filepath": str(folder / "results.parquet"),
            "versioned": True,
        },
        "plain": {"type": f"{ATOMIC}.JSONDataset", "filepath": str(folder / "plain.json")},
    }


def loaded(catalog, **versions):
    """What a catalog gives of its versioned data sets; `versions` of some of them, as a notebook asks for them."""
    cards = catalog.load("cards", version=versions.get("cards"))
    return (
        catalog.load("card", version=versions.get("card")),
        {name: load() for name, load in cards.items()},
        catalog.load("results", version=versions.get("results"))["validation_accuracy"].tolist(),
    )


@pytest.fixture
def history(tmp_path):
    """Two sessions have saved into a catalog, and a third saves the same again."""
    for version, number in (("1", 1), ("2", 2), ("3", 2)):
        catalog = DataCatalog.from_config(entries(tmp_path), save_version=version)
        catalog.save("card", {"number": number})
        catalog.save("cards", {f"of/{number}": {"number": number}})
        catalog.save("results", pd.DataFrame([row(seed=0, validation_accuracy=number / 4)]))
    return tmp_path


def test_kedros_load_versions_give_what_was_saved_then(history):
    newest = ({"number": 2}, {"of/2": {"number": 2}}, [0.5])
    oldest = ({"number": 1}, {"of/1": {"number": 1}}, [0.25])
    assert loaded(DataCatalog.from_config(entries(history))) == newest
    pinned = dict.fromkeys(("card", "cards", "results"), "1")
    assert loaded(DataCatalog.from_config(entries(history), load_versions=pinned)) == oldest
    assert loaded(DataCatalog.from_config(entries(history)), **pinned) == oldest
    kept = versions_in(DataCatalog.from_config(entries(history)), entries(history))
    assert {name: versions.names() for name, versions in kept.items()} == {name: ["2", "1"] for name in pinned}
    catalog = DataCatalog.from_config(entries(history))
    assert [catalog.get(name).list_versions(full_path=False) for name in ("card", "results")] == [["2", "1"]] * 2


@pytest.mark.parametrize("name", ["card", "cards", "results"])
def test_a_version_that_is_gone_is_told_in_a_sentence_by_the_catalog(history, name):
    with pytest.raises(DatasetError) as caught:
        DataCatalog.from_config(entries(history), load_versions={name: "9"}).load(name)
    assert "There is no version '9' of " in str(caught.value)
    assert "there are 2, 1 (`kedro versions list`" in str(caught.value)
