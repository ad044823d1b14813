import logging
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from tests.studies.engine import execute

from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import DataError
from vision_studies.outcomes import DIVERGED, FAILED, Outcome
from vision_studies.studies import execution
from vision_studies.studies.results import history_table, results_table
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

SEQUENTIAL = {
    "backend": "sequential",
    "workers": 1,
    "scheduler_address": None,
    "resources": {},
    "processes_per_run": 1,
    "device": "cpu",
}


def settings(**changes):
    return ExecutionSettings(**(SEQUENTIAL | changes))


def make_run(seed, variant="plain"):
    return Run("cifar_resnet", "s", variant, 0, seed, {"epochs": 1}, "data", 1)


def measure(run: Run, folder: Path) -> Outcome:
    with (folder / "calls").open("a") as calls:
        calls.write("x")
    history = pd.DataFrame({"epoch": [1], "train_loss": [0.5]})
    return Outcome({"validation_accuracy": run.seed / 10, "other_metrics": {"views": 3}}, history=history)


def fail_on_seed_one(run: Run, folder: Path) -> Outcome:
    if run.seed == 1 and not (folder / "mended").exists():
        raise RuntimeError("out of luck")
    return measure(run, folder)


def refuse(run: Run, folder: Path) -> Outcome:
    raise DataError("the images are gone.")


def calls(folder, run):
    return len((RunStore(folder).path(run) / "calls").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "execution", [settings(), settings(backend="loky", workers=2)], ids=["sequential", "processes"]
)
def test_every_run_is_done_once_and_reused_afterwards(tmp_path, execution, caplog):
    caplog.set_level(logging.INFO)
    runs = [make_run(seed) for seed in range(3)]
    execute(runs, "training", measure, tmp_path, execution)
    execute(runs, "training", measure, tmp_path, execution)
    assert [calls(tmp_path, run) for run in runs] == [1, 1, 1]
    assert "3 of 3 runs are finished and reused" in caplog.text
    table = results_table(runs, RunStore(tmp_path), ["training"])
    assert table["validation_accuracy"].tolist() == [0.0, 0.1, 0.2]
    assert table["other_metrics"].tolist() == ['{"views": 3}'] * 3
    assert set(history_table(runs, RunStore(tmp_path))["run"]) == {"plain, seed 0", "plain, seed 1", "plain, seed 2"}


def test_runs_of_one_configuration_under_two_names_are_trained_once_and_both_reported(tmp_path):
    runs = [make_run(0, "plain"), make_run(0, "same")]
    execute(runs, "training", measure, tmp_path, settings())
    assert calls(tmp_path, runs[0]) == 1
    assert results_table(runs, RunStore(tmp_path), ["training"])["variant"].tolist() == ["plain", "same"]


def test_a_failing_run_is_recorded_the_others_go_on_and_it_is_tried_again(tmp_path):
    runs = [make_run(seed) for seed in range(3)]
    execute(runs, "training", fail_on_seed_one, tmp_path, settings())
    table = results_table(runs, RunStore(tmp_path), ["training"]).set_index("seed")
    assert table["status"].tolist() == ["complete", FAILED, "complete"]
    assert "out of luck" in table.loc[1, "reason"]
    assert "Traceback" in (RunStore(tmp_path).path(runs[1]) / "training_failure.txt").read_text()
    (RunStore(tmp_path).path(runs[1]) / "mended").touch()
    execute(runs, "training", fail_on_seed_one, tmp_path, settings())
    assert results_table(runs, RunStore(tmp_path), ["training"])["status"].tolist() == ["complete"] * 3
    assert calls(tmp_path, runs[0]) == 1


def test_an_error_of_the_user_stops_the_study(tmp_path):
    with pytest.raises(DataError, match="images are gone"):
        execute([make_run(0)], "training", refuse, tmp_path, settings())
    assert not RunStore(tmp_path).is_finished(make_run(0), "training")


def test_a_diverged_run_is_finished_and_has_no_later_stage(tmp_path):
    run = make_run(0)
    execute([run], "training", lambda *_: Outcome({}, DIVERGED, "loss not finite"), tmp_path, settings())
    assert RunStore(tmp_path).is_finished(run, "training")
    table = results_table([run], RunStore(tmp_path), ["training", "evaluation"])
    assert table.loc[0, ["status", "reason"]].tolist() == [DIVERGED, "loss not finite"]


def test_fresh_forgets_every_stage(tmp_path):
    run = make_run(0)
    for stage in ("training", "evaluation"):
        execute([run], stage, measure, tmp_path, settings())
    execute([run], "training", measure, tmp_path, settings(), fresh=True)
    assert calls(tmp_path, run) == 1
    assert not RunStore(tmp_path).is_finished(run, "evaluation")


def test_a_damaged_stage_file_is_named(tmp_path):
    run = make_run(0)
    execute([run], "training", measure, tmp_path, settings())
    (RunStore(tmp_path).path(run) / "training.json").write_text('{"metr')
    with pytest.raises(DataError, match="training.json is damaged"):
        results_table([run], RunStore(tmp_path), ["training"])


def test_no_history_is_a_clear_error(tmp_path):
    with pytest.raises(DataError, match="has a history"):
        history_table([make_run(0)], RunStore(tmp_path))


@pytest.mark.slow
def test_a_dask_cluster_does_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    runs = [make_run(seed) for seed in range(3)]
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        execute(
            runs, "training", measure, tmp_path, settings(backend="dask", scheduler_address=cluster.scheduler_address)
        )
    assert results_table(runs, RunStore(tmp_path), ["training"])["validation_accuracy"].tolist() == [0.0, 0.1, 0.2]


def test_a_run_that_kills_the_workers_of_a_cluster_fails_and_the_others_are_done(tmp_path, monkeypatch):
    @contextmanager
    def deadly_to_seed_one(_settings):
        def do(tasks, *, when_lost):
            for function, arguments, keywords in tasks:
                lost = arguments[1].runs[0].seed == 1
                yield when_lost(*arguments, reason="3 workers died of it") if lost else function(*arguments, **keywords)

        yield do

    monkeypatch.setattr(execution, "parallel_runs", deadly_to_seed_one)
    runs = [make_run(seed) for seed in range(3)]
    execute(runs, "training", measure, tmp_path, settings())
    table = results_table(runs, RunStore(tmp_path), ["training"]).set_index("seed")
    assert table["status"].tolist() == ["complete", FAILED, "complete"]
    assert table.loc[1, "reason"] == "training: ClusterError: 3 workers died of it"
    monkeypatch.undo()
    execute(runs, "training", measure, tmp_path, settings())
    assert [calls(tmp_path, own) for own in runs] == [1, 1, 1]
