"""Runs of a study whose workers are on a machine without its folder."""

import shutil
from contextlib import contextmanager

import pytest
from tests.storage.conftest import machine
from tests.studies.engine import execute, execute_stacks

from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import StorageError
from vision_studies.outcomes import Outcome
from vision_studies.storage.store import Store
from vision_studies.studies import execution
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

SEQUENTIAL = ExecutionSettings.model_construct(backend="sequential", workers=1)
RUNS = [Run("cifar_resnet", "study", "plain", 0, seed, {}, "data", 1) for seed in (0, 1)]


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "server").mkdir()
    return machine(tmp_path / "project", Store(f"file://{tmp_path}/server", {}))


@pytest.fixture
def folder(kept):
    return kept.root / "06_models/study/cifar_resnet/runs"


@pytest.fixture
def workers_elsewhere(kept, tmp_path, monkeypatch):
    """Tasks find, under the path of the study, the folder of another machine, and the command never sees that one."""
    here, there = tmp_path / "here", tmp_path / "there"

    def do(tasks, *, when_lost):
        assert callable(when_lost)
        for function, arguments, keywords in list(tasks):
            kept.root.rename(here)
            if there.exists():
                there.rename(kept.root)
            try:
                result = function(*arguments, **keywords)
            finally:
                if kept.root.exists():
                    kept.root.rename(there)
                here.rename(kept.root)
            yield result

    @contextmanager
    def parallel_runs(settings):
        yield do

    monkeypatch.setattr(execution, "parallel_runs", parallel_runs)
    return there


def train(run, folder):
    (folder / "weights.safetensors").write_bytes(b"%d" % run.seed)
    return Outcome({"validation_accuracy": 0.5 + run.seed / 10})


def test_what_workers_on_other_machines_find_comes_back(folder, workers_elsewhere):
    execute(RUNS, "training", train, folder, SEQUENTIAL)
    for run in RUNS:
        assert RunStore(folder).result(run, "training")["metrics"]["validation_accuracy"] == 0.5 + run.seed / 10
        assert (RunStore(folder).path(run) / "weights.safetensors").read_bytes() == b"%d" % run.seed
    assert (workers_elsewhere / folder.relative_to(folder.parents[3]) / RUNS[0].fingerprint / "training.json").exists()


def test_the_next_stage_finds_the_former_on_any_machine(folder, workers_elsewhere):
    execute(RUNS, "training", train, folder, SEQUENTIAL)
    shutil.rmtree(workers_elsewhere)  # another machine gets the work

    def evaluate(run, own_folder):
        return Outcome({"test_accuracy": int((own_folder / "weights.safetensors").read_bytes()) / 10})

    execute(RUNS, "evaluation", evaluate, folder, SEQUENTIAL)
    assert [RunStore(folder).result(run, "evaluation")["metrics"]["test_accuracy"] for run in RUNS] == [0.0, 0.1]


def test_a_failure_on_another_machine_is_told_here_and_tried_again(folder, workers_elsewhere):
    def fails(run, own_folder):
        raise ValueError("no luck")

    execute(RUNS[:1], "training", fails, folder, SEQUENTIAL)
    assert RunStore(folder).result(RUNS[0], "training")["reason"] == "training: ValueError: no luck"
    execute(RUNS[:1], "training", train, folder, SEQUENTIAL)
    assert RunStore(folder).result(RUNS[0], "training")["status"] == "complete"


def test_stacks_are_trained_on_other_machines(folder, workers_elsewhere):
    def train_stack(runs, own_folder, record):
        for run in runs:
            record(run, train(run, RunStore(folder).path(run)))

    execute_stacks(RUNS, "training", train_stack, lambda runs: [list(runs)], folder, SEQUENTIAL)
    assert [(RunStore(folder).path(run) / "weights.safetensors").read_bytes() for run in RUNS] == [b"0", b"1"]
    assert not [*(folder / "stacks/training").glob("*/stack.json")]


def test_results_that_no_store_has_are_missed_and_come_later(kept, folder, workers_elsewhere, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_index", lambda *_: (_ for _ in ()).throw(StorageError("The store is down.")))
        with pytest.raises(StorageError, match="has ended on another machine"):
            execute(RUNS[:1], "training", train, folder, SEQUENTIAL)
    (workers_elsewhere / ".store/paused").unlink()

    def again(run, own_folder):
        raise AssertionError("the worker has it already")

    execute(RUNS[:1], "training", again, folder, SEQUENTIAL)
    assert RunStore(folder).result(RUNS[0], "training")["status"] == "complete"


def test_a_run_of_another_machine_is_not_done_again(kept, folder, tmp_path):
    execute(RUNS, "training", train, folder, SEQUENTIAL)
    shutil.rmtree(kept.root)
    again = machine(tmp_path / "project", kept.store)
    done = []

    def counted(run, own_folder):
        done.append(run)
        return train(run, own_folder)

    execute(RUNS, "training", counted, folder, SEQUENTIAL)
    assert done == []
    execute(RUNS, "training", counted, folder, SEQUENTIAL, fresh=True)
    assert len(done) == 2
    assert again.compare() == ([], [])
