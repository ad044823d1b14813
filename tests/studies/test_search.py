"""The search that several processes share; what is maximised here is a function, not a network."""

import multiprocessing
import os
import signal
import time
from contextlib import ExitStack

import optuna
import pytest
from pydantic import TypeAdapter

from vision_studies.config.search import PrunerSettings, SearchDomain, SharedSearchSettings, pruner_name
from vision_studies.errors import BusyError
from vision_studies.outcomes import Outcome
from vision_studies.studies.search import SharedSearch, build_pruner, is_hopeless

BASE = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "onecycle", "pct_start": 0.3}, "layers": 2}
SPACE = {
    "optimizer.lr": {"low": 1e-3, "high": 1.0, "scale": "log"},
    "layers": {"lowest": 1, "highest": 4},
    "schedule": {"options": {"up": {"name": "onecycle", "pct_start": 0.3}, "flat": {"name": "constant"}}},
    "schedule.pct_start": {"low": 0.2, "high": 0.4, "scale": "uniform"},
}


def make(folder, pruner=None, **changes):
    settings = SharedSearchSettings.model_validate(
        {
            "trials": 8,
            "timeout": None,
            "seed": 3,
            "storage": None,
            "sampler": {"name": "tpe", "startup_trials": 3},
            "pruner": None,
            "spaces": {"only": SPACE},
            **changes,
        }
    )
    space = TypeAdapter(dict[str, SearchDomain]).validate_python(SPACE)
    return SharedSearch(settings, space, BASE, name="s", folder=folder, pruner=pruner or optuna.pruners.NopPruner())


def value_of(trial):
    return 1 - abs(trial.drawn["optimizer.lr"] - 0.2) + 0.01 * trial.drawn["layers"]


def evaluate(trial, _report):
    return Outcome({"validation_accuracy": value_of(trial), "seconds": 1.0})


def test_as_many_trials_as_asked_for_and_the_best_is_found(tmp_path):
    search = make(tmp_path)
    assert search.work(evaluate) == 8
    trials = search.trials()
    assert [trial.number for trial in trials] == list(range(1, 9))
    assert search.best().value == max(trial.value for trial in trials)
    assert make(tmp_path).work(evaluate) == 0
    assert make(tmp_path, trials=10).work(evaluate) == 2


def test_a_path_is_drawn_only_where_the_draws_before_it_leave_it(tmp_path):
    search = make(tmp_path, trials=20)
    search.work(evaluate)
    kinds = {trial.names["schedule"]: "schedule.pct_start" in trial.names for trial in search.trials()}
    assert kinds == {"up": True, "flat": False}
    up = next(trial for trial in search.trials() if trial.names["schedule"] == "up")
    assert up.drawn["schedule"] == {"name": "onecycle", "pct_start": 0.3}
    assert all(trial.drawn["layers"] in (1, 2, 3, 4) for trial in search.trials())


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_was_stopped_draws_what_it_would_have_drawn(tmp_path, sampler):
    options = {"sampler": {"name": sampler, "startup_trials": 2}}
    whole = make(tmp_path / "whole", **options)
    whole.work(evaluate)

    def stop(trial, report):
        if trial.number == 5:
            raise KeyboardInterrupt
        return evaluate(trial, report)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "stopped", **options).work(stop)
    resumed = make(tmp_path / "stopped", **options)
    assert resumed.work(evaluate) == 4  # the fifth goes on, under its number
    assert resumed.trials() == whole.trials()


def test_time_that_is_used_up_ends_a_search(tmp_path):
    search = make(tmp_path, timeout=3.5)
    assert search.work(evaluate) == 4
    assert make(tmp_path, timeout=3.5).work(evaluate) == 0


def test_a_hopeless_trial_is_pruned_and_a_diverged_one_is_no_candidate(tmp_path):
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=0)
    search = make(tmp_path, pruner)

    def by_epochs(trial, report):
        if trial.number == 2:
            return Outcome({"seconds": 1.0}, "diverged")
        for epoch in range(1, 6):
            if report(epoch, value_of(trial) if trial.number < 6 else -1.0 * epoch):
                return Outcome({"seconds": 1.0}, "pruned")
        return Outcome({"validation_accuracy": value_of(trial), "seconds": 1.0})

    search.work(by_epochs)
    status = [trial.status for trial in search.trials()]
    assert status[1] == "diverged"
    assert status[5:] == ["pruned"] * 3
    assert search.best().status == "complete"


def test_hyperband_gives_more_epochs_to_the_better_trials(tmp_path):
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3)
    search = make(tmp_path, pruner, trials=25, sampler={"name": "random", "startup_trials": 1})
    epochs = {}

    def by_epochs(trial, report):
        for epoch in range(1, 10):
            epochs[trial.number] = epoch
            if report(epoch, value_of(trial) * epoch / 9):
                return Outcome({"seconds": 1.0}, "pruned")
        return Outcome({"validation_accuracy": value_of(trial), "seconds": 1.0})

    search.work(by_epochs)
    status = [trial.status for trial in search.trials()]
    assert {"pruned", "complete"} == set(status)
    assert min(epochs.values()) < 9 == max(epochs.values())
    assert search.best().value == pytest.approx(max(map(value_of, search.trials())), abs=0.05)


@pytest.mark.slow
def test_what_matters_is_told_and_too_few_trials_tell_nothing(tmp_path):
    search = make(tmp_path, trials=30, sampler={"name": "random", "startup_trials": 1})
    search.work(evaluate)
    assert next(iter(search.importance())) == "optimizer.lr"
    few = make(tmp_path / "few", trials=3)
    few.work(evaluate)
    assert few.importance() == {}


def test_a_trial_that_ends_while_another_process_looks_for_one_is_not_begun_again(tmp_path, monkeypatch):
    other, mine = make(tmp_path, trials=2), make(tmp_path, trials=2)
    held = ExitStack()
    trial = held.enter_context(other._next())
    take = mine._locks.take

    def take_late(number):
        if number == trial.number:
            other._evaluate(trial, evaluate)
            held.close()
        return take(number)

    monkeypatch.setattr(mine._locks, "take", take_late)
    assert mine.work(evaluate) == 1
    assert [own.status for own in mine.trials()] == ["complete", "complete"]


def work_slowly(folder, done):
    def slow(trial, report):
        time.sleep(0.15)
        return evaluate(trial, report)

    done.put(make(folder, trials=12).work(slow))


@pytest.mark.slow
def test_several_processes_share_the_trials_and_overshoot_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    workers = [context.Process(target=work_slowly, args=(tmp_path, done)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    counts = [done.get() for _ in workers]
    assert sum(counts) == 12
    trials = make(tmp_path).trials()
    assert len(trials) == 12
    assert {trial.status for trial in trials} == {"complete"}
    assert len({trial.drawn["optimizer.lr"] for trial in trials}) == 12


def hang_in_the_third(folder):
    def hang(trial, report):
        if trial.number == 3:
            (folder / "hanging").touch()
            time.sleep(600)
        return evaluate(trial, report)

    make(folder).work(hang)


def test_a_search_is_forgotten_unless_another_process_works_on_it(tmp_path):
    search = make(tmp_path, trials=3)

    def forget_meanwhile(trial, report):
        if trial.number == 2:
            with pytest.raises(BusyError, match="Another process works on trial 2; stop it, or leave out fresh=true"):
                make(tmp_path).forget()
        return evaluate(trial, report)

    search.work(forget_meanwhile)
    drawn = [trial.drawn for trial in search.trials()]
    assert [trial.drawn for trial in make(tmp_path).forget()] == drawn
    again = make(tmp_path, trials=3)
    assert again.trials() == []
    assert again.work(evaluate) == 3
    assert [trial.drawn for trial in again.trials()] == drawn  # the seed decides


@pytest.mark.slow
def test_a_trial_whose_process_was_killed_is_taken_up_by_another(tmp_path):
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=hang_in_the_third, args=(tmp_path,))
    worker.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "hanging").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    numbers = []

    def noted(trial, report):
        numbers.append(trial.number)
        return evaluate(trial, report)

    search = make(tmp_path)
    search.work(noted)
    assert numbers == [3, 4, 5, 6, 7, 8]
    whole = make(tmp_path / "whole")
    whole.work(evaluate)
    assert search.trials() == whole.trials()


@pytest.mark.parametrize(
    ("direction", "values", "ends_at"),
    [
        ("maximize", [0.1, 0.2, 0.2, 0.2, 0.9], 4),  # two validations without a gain
        ("maximize", [0.1, 0.2, 0.205, 0.209, 0.9], 4),  # gains that are too small do not count, not even together
        ("maximize", [0.1, 0.2, 0.19, 0.22, 0.23, 0.3], None),
        ("maximize", [0.1, 0.2, 0.3, 0.4], None),
        ("maximize", [0.5, float("nan"), 0.6, 0.6, 0.6], 5),
        ("minimize", [2.0, 1.0, 1.5, 0.999, 0.1], 4),
    ],
)
def test_patience_ends_a_trial_that_has_stopped_improving_whatever_others_reached(direction, values, ends_at):
    settings = TypeAdapter(PrunerSettings).validate_python({"name": "patience", "patience": 2, "min_delta": 0.015})
    study = optuna.create_study(direction=direction, pruner=build_pruner(settings, 10))
    trial = study.ask()
    ended = [epoch for epoch, value in enumerate(values, start=1) if is_hopeless(trial, epoch, value)]
    assert ended[:1] == ([] if ends_at is None else [ends_at])


def test_pruners_are_told_apart_by_their_values_and_those_there_were_have_their_names():
    def name(**values):
        return pruner_name(TypeAdapter(PrunerSettings).validate_python(values))

    patient = {"name": "patience", "patience": 5, "min_delta": 0.001}
    names = [name(**patient), name(**patient | {"patience": 6}), name(**patient | {"min_delta": 0.002})]
    assert len(set(names)) == 3
    # Runs that it has ended are stored with this name.
    assert name(name="median", startup_trials=3, warmup_epochs=10) == "a2f13d02"
