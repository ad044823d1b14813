import json
from contextlib import contextmanager
from itertools import pairwise

import pandas as pd
import pytest
from tests.studies.engine import execute_stacks

from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import DataError, ParameterError
from vision_studies.outcomes import Outcome
from vision_studies.studies import execution
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

HERE = ExecutionSettings(
    backend="sequential", workers=1, scheduler_address=None, resources={}, processes_per_run=1, device="cpu"
)


def run(number, **changes):
    return Run("mlp_transfer", "study", "variant", number, 0, {"number": number, **changes}, "data", 1)


def in_pairs(runs):
    edges = [*range(0, len(runs), 2), len(runs)]
    return [runs[start:end] for start, end in pairwise(edges)]


class Work:
    """Remembers the stacks it was given; stops where it is told to."""

    def __init__(self, stop_after=None, error=None):
        self.stacks = []
        self.stop_after = stop_after
        self.error = error

    def __call__(self, stack, folder, record):
        self.stacks.append([own.trial for own in stack])
        (folder / "checkpoint").touch()
        for place, own in enumerate(stack):
            if self.stop_after is not None and place == self.stop_after:
                raise self.error or KeyboardInterrupt
            history = pd.DataFrame({"epoch": [1], "train_loss": [0.5]})
            record(own, Outcome({"validation_accuracy": 0.5 + own.trial / 100}, history=history))


def execute(runs, work, folder, **options):
    execute_stacks(runs, "training", work, options.pop("group", in_pairs), folder, HERE, **options)


def test_runs_are_kept_one_by_one_and_equal_ones_done_once(tmp_path):
    work = Work()
    runs = [run(0), run(1), run(0), run(2)]
    execute(runs, work, tmp_path)
    assert work.stacks == [[0, 1], [2]]
    for own in runs:
        assert RunStore(tmp_path).is_finished(own, "training")
        assert RunStore(tmp_path).result(own, "training")["metrics"]["validation_accuracy"] == 0.5 + own.trial / 100
        assert json.loads((RunStore(tmp_path).path(own) / "run.json").read_text())["configuration"] == own.configuration
        assert len(pd.read_parquet(RunStore(tmp_path).path(own) / "history.parquet")) == 1
    assert not list((tmp_path / "stacks/training").glob("*/"))
    execute(runs, work, tmp_path)
    assert len(work.stacks) == 2


def test_an_interrupted_stack_is_continued_in_the_same_company(tmp_path):
    runs = [run(number) for number in range(5)]

    def all_together(waiting):
        return [waiting]

    with pytest.raises(KeyboardInterrupt):
        execute(runs, Work(stop_after=2), tmp_path, group=all_together)
    assert [RunStore(tmp_path).is_finished(own, "training") for own in runs] == [True, True, False, False, False]
    before = RunStore(tmp_path).result(runs[0], "training")
    again = Work()
    execute([*runs, run(7)], again, tmp_path, group=all_together)
    assert again.stacks == [[0, 1, 2, 3, 4], [7]]
    assert RunStore(tmp_path).result(runs[0], "training") == before


def test_a_stack_with_a_run_that_the_study_no_longer_has_is_left_and_its_others_begin_anew(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        execute([run(0), run(1)], Work(stop_after=0), tmp_path)
    work = Work()
    execute([run(1)], work, tmp_path)
    assert work.stacks == [[1]]


def test_fresh_forgets_runs_and_stacks(tmp_path):
    runs = [run(0), run(1)]
    with pytest.raises(KeyboardInterrupt):
        execute(runs, Work(stop_after=1), tmp_path)
    work = Work()
    execute(runs, work, tmp_path, group=lambda waiting: [[own] for own in waiting], fresh=True)
    assert work.stacks == [[0], [1]]


def test_an_error_fails_those_that_have_not_ended_and_is_tried_again(tmp_path):
    runs = [run(0), run(1)]
    execute(runs, Work(stop_after=1, error=RuntimeError("no memory")), tmp_path)
    assert RunStore(tmp_path).result(runs[0], "training")["status"] == "complete"
    failed = RunStore(tmp_path).result(runs[1], "training")
    assert (failed["status"], failed["reason"]) == ("failed", "training: RuntimeError: no memory")
    assert "Traceback" in (RunStore(tmp_path).path(runs[1]) / "training_failure.txt").read_text()
    work = Work()
    execute(runs, work, tmp_path)
    assert work.stacks == [[1]]
    assert RunStore(tmp_path).is_finished(runs[1], "training")


def test_work_that_forgets_a_run_is_a_failure(tmp_path):
    def forgetful(stack, folder, record):
        record(stack[0], Outcome({}))

    runs = [run(0), run(1)]
    execute(runs, forgetful, tmp_path)
    assert "without a result of 1 runs" in RunStore(tmp_path).result(runs[1], "training")["reason"]


def test_an_error_of_the_users_stops_the_study(tmp_path):
    with pytest.raises(ParameterError):
        execute([run(0)], Work(stop_after=0, error=ParameterError("mend it")), tmp_path)


def test_a_damaged_list_of_members_is_told(tmp_path):
    (tmp_path / "stacks/training/x").mkdir(parents=True)
    (tmp_path / "stacks/training/x/stack.json").write_text("[")
    with pytest.raises(DataError, match="damaged"):
        execute([run(0)], Work(), tmp_path)


def test_runs_that_kill_the_workers_of_a_cluster_fail_and_the_others_are_done(tmp_path, monkeypatch):
    @contextmanager
    def deadly_to_the_second_stack(_settings):
        def do(tasks, *, when_lost):
            for function, arguments, keywords in tasks:
                lost = arguments[0] == 1
                yield when_lost(*arguments, reason="3 workers died of it") if lost else function(*arguments, **keywords)

        yield do

    monkeypatch.setattr(execution, "parallel_runs", deadly_to_the_second_stack)
    runs, work = [run(number) for number in range(4)], Work()
    execute_stacks(runs, "training", work, in_pairs, tmp_path, HERE)
    assert work.stacks == [[0, 1]]
    found = [RunStore(tmp_path).result(own, "training") for own in runs]
    assert [own["status"] for own in found] == ["complete", "complete", "failed", "failed"]
    assert found[3]["reason"] == "training: ClusterError: 3 workers died of it"
    monkeypatch.undo()
    execute_stacks(runs, "training", work, in_pairs, tmp_path, HERE)
    assert work.stacks == [[0, 1], [2, 3]]
