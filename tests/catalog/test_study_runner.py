"""What would be made again from the same is left out, and nothing else."""

import logging
import shutil
import time

import pytest
from kedro.framework.hooks.manager import _NullPluginManager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from vision_studies.catalog import FolderDataset, PartitionedDataset
from vision_studies.catalog.atomic import JSONDataset
from vision_studies.catalog.study_runner import StudyRunner, _state, only_from_inputs, only_from_runs
from vision_studies.outcomes import COMPLETE, FAILED
from vision_studies.project_folders import in_project
from vision_studies.run_folders import write_stage

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


@pytest.fixture
def runs(tmp_path):
    """Runs the pipeline of a study of two runs, and returns what was done; a run fails where its name says so."""
    models, outputs = tmp_path / "data/06_models/study", tmp_path / "data/07_model_output/study"
    outside = tmp_path / "outside.txt"

    def train(folder, names, _fresh):
        CALLS.append("train")
        for name in names:
            run = folder / name
            run.mkdir(parents=True, exist_ok=True)
            write_stage(run / "training.json", {}, FAILED if "fails" in name else COMPLETE, None, {})
            if "fails" in name:
                (run / "training_failure.txt").write_text("no luck", encoding="utf-8")
        return {"runs": len(names)}

    def run(names=("one", "two"), fresh=False):
        CALLS.clear()
        models.mkdir(parents=True, exist_ok=True)
        catalog = DataCatalog(
            {
                "runs": FolderDataset(filepath=str(models)),
                "results": JSONDataset(filepath=str(outputs / "results.json")),
                "params:names": MemoryDataset(list(names)),
                "params:fresh": MemoryDataset(fresh),
            }
        )
        node = Node(
            only_from_runs(train, outside=lambda parameters: [outside] if parameters["params:names"] else []),
            ["runs", "params:names", "params:fresh"],
            "results",
        )
        StudyRunner().run(Pipeline([node]), catalog, _NullPluginManager())
        return list(CALLS)

    run.models, run.outside = models, outside
    return run


def test_runs_that_are_all_finished_are_not_looked_for_again(runs):
    assert (runs(), runs(), runs(names=["three"]), runs(names=["three"])) == (["train"], [], ["train"], [])


def test_a_run_that_has_failed_is_tried_by_every_command(runs):
    for _ in range(2):
        assert runs(names=["one", "fails"]) == ["train"]
    write_stage(runs.models / "fails/training.json", {}, COMPLETE, None, {})  # what another command has done meanwhile
    assert (runs(names=["one"]), runs(names=["one"])) == (["train"], [])


def test_fresh_runs_are_done_again(runs):
    assert (runs(), runs(fresh=True), runs()) == (["train"], ["train"], [])


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: (runs.models / "one/training.json").unlink(),
        lambda runs: shutil.rmtree(runs.models / "two"),
        lambda runs: (runs.models / "two/training.json").write_text("{", encoding="utf-8"),
        lambda runs: runs.outside.touch(),
    ],
    ids=["a result deleted", "a run deleted", "a result damaged", "a file beside the catalog"],
)
def test_runs_that_have_changed_are_looked_for(runs, change):
    assert (runs(), runs()) == (["train"], [])
    change(runs)
    assert (runs(), runs()) == (["train"], [])


def test_locks_and_results_of_later_stages_are_no_change(runs):
    runs()
    for name in (".lock", ".holder"):
        (runs.models / "one" / name).touch()
    time.sleep(0.05)  # file systems tell times in steps
    write_stage(runs.models / "one/evaluation.json", {}, COMPLETE, None, {})
    assert runs() == []


def test_a_file_or_folder_that_a_parameter_names_is_part_of_it(runs, tmp_path):
    folder = tmp_path / "named"
    folder.mkdir()
    (folder / "one").touch()
    names = [str(folder), "no/such/file", "a text / with a slash " + 300 * "x"]
    state = _state("params:names", DataCatalog({"params:names": MemoryDataset({"deep": [names]})}))
    assert [file for file, *_ in state["files"]] == [str(folder / "one"), str(in_project("no/such/file"))]
    (folder / "two").touch()
    assert state != _state("params:names", DataCatalog({"params:names": MemoryDataset({"deep": [names]})}))
