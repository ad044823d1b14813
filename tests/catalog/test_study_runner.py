"""What would be made again from the same is left out, and nothing else."""

import logging

import pytest
from kedro.framework.hooks.manager import _NullPluginManager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from vision_studies.catalog import FolderDataset
from vision_studies.catalog.atomic import JSONDataset
from vision_studies.catalog.partitioned_dataset import PartitionedDataset
from vision_studies.catalog.study_runner import StudyRunner, only_from_inputs

CALLS: list[str] = []


def train(folder):
    CALLS.append("train")
    return {"accuracy": len(list(folder.iterdir()))}


def describe(results, width):
    CALLS.append("describe")
    return {"sentence": f"{results['accuracy']:{width}}"}


def tabulate(description):
    CALLS.append("tabulate")
    return {"one": description, "two": description}


@pytest.fixture
def project(tmp_path):
    """Runs the pipeline of a study with parameters, and returns the names of the nodes that did something."""
    layer = tmp_path / "data/07_model_output/study"
    (tmp_path / "data/06_models/study").mkdir(parents=True)

    def run(width=3, fresh=False, describe=describe, indent=None):
        CALLS.clear()
        catalog = DataCatalog(
            {
                "runs": FolderDataset(filepath=str(tmp_path / "data/06_models/study")),
                "results": JSONDataset(filepath=str(layer / "results.json")),
                "description": JSONDataset(
                    filepath=str(layer / "description.json"), version=None, save_args={"indent": indent}
                ),
                "tables": PartitionedDataset(
                    path=str(layer / "tables"),
                    filename_suffix=".json",
                    dataset={"type": "vision_studies.catalog.atomic.JSONDataset"},
                ),
                "params:width": MemoryDataset(width),
                "params:fresh": MemoryDataset(fresh),
            }
        )
        nodes = [
            Node(train, ["runs"], "results"),
            Node(only_from_inputs(describe), ["results", "params:width"], "description", name="describe"),
            Node(only_from_inputs(tabulate), ["description"], "tables"),
        ]
        StudyRunner().run(Pipeline(nodes), catalog, _NullPluginManager())
        return list(CALLS)

    return layer, tmp_path / "data/06_models/study", run


def test_a_study_that_is_finished_draws_nothing_again(project, caplog):
    caplog.set_level(logging.INFO)
    _, _, run = project
    assert run() == ["train", "describe", "tabulate"]
    assert run() == ["train"]
    assert "2 of 3 steps had nothing new to work with" in caplog.text


def test_what_follows_from_a_new_result_or_parameter_is_made_again(project):
    _, runs, run = project
    run()
    (runs / "another").touch()
    assert run() == ["train", "describe", "tabulate"]
    assert run(width=5) == ["train", "describe", "tabulate"]
    assert run(width=5, fresh=True) == ["train"]  # which decides what is trained alone


def test_a_result_that_is_the_same_changes_nothing_behind_it(project):
    layer, _, run = project
    run()
    (layer / "results.json").write_text(
        '{"accuracy": 0 }'
    )  # which training writes anew, and the description is the same
    assert run() == ["train", "describe"]
    assert run() == ["train"]


@pytest.mark.parametrize("name", ["description.json", "tables/two.json"])
@pytest.mark.parametrize("harm", ["deleted", "changed"])
def test_what_was_deleted_or_changed_by_hand_is_made_again(project, name, harm):
    layer, _, run = project
    run()
    before = (layer / name).read_bytes()
    if harm == "deleted":
        (layer / name).unlink()
    else:
        (layer / name).write_text('{"accuracy": "made up"}')
    assert set(run()) >= {"train", "describe" if name == "description.json" else "tabulate"}
    assert (layer / name).read_bytes() == before


def test_what_is_to_be_written_otherwise_is_made_again(project):
    _, _, run = project
    run()
    assert run(indent=2) == ["train", "describe", "tabulate"]


def test_a_damaged_note_is_written_anew(project):
    layer, _, run = project
    run()
    for file in (layer.parents[1] / ".nodes").iterdir():
        file.write_text("{")
    assert run() == ["train", "describe", "tabulate"]
    assert run() == ["train"]


def test_another_version_of_the_program_makes_everything_again(project, monkeypatch):
    _, _, run = project
    run()
    monkeypatch.setattr("vision_studies.catalog.study_runner._program", lambda: "another")
    assert run() == ["train", "describe", "tabulate"]


def test_a_node_that_fails_is_done_again(project):
    _, _, run = project

    def fails(results, width):
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        run(describe=fails)
    assert run() == ["train", "describe", "tabulate"]


def test_a_result_that_changes_while_it_is_described_is_described_again(project):
    layer, runs, run = project

    def describe_while_another_process_trains(results, width):
        sentence = describe(results, width)
        (runs / "another").touch()
        JSONDataset(filepath=str(layer / "results.json")).save({"accuracy": 1})  # what training finds now
        return sentence

    run(describe=describe_while_another_process_trains)
    assert run() == ["train", "describe", "tabulate"]
    assert "1" in (layer / "description.json").read_text()
    assert run() == ["train"]
