"""Real processes and threads that share the work of a study."""

import errno
import json
import logging
import multiprocessing
import os
import signal
import threading
import time

import pytest
from tests.studies.engine import execute, execute_stacks

from vision_studies import files
from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import costs_nothing
from vision_studies.errors import BusyError, StorageError
from vision_studies.outcomes import FAILED, Outcome
from vision_studies.studies.execution import execute_one
from vision_studies.studies.results import results_table
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import hold, is_held, share
from vision_studies.studies.stages import Artifact, Artifacts

HERE = ExecutionSettings(
    backend="sequential", workers=1, scheduler_address=None, resources={}, processes_per_run=1, device="cpu"
)
SECONDS = 60  # more than any of this takes: a test that hangs fails
FORK = multiprocessing.get_context("fork")


def run(number):
    return Run("mlp_transfer", "study", "variant", number, 0, {"number": number}, "data", 1)


RUNS = [run(number) for number in range(6)]


def pairs(runs):
    return [runs[start : start + 2] for start in range(0, len(runs), 2)]


def alone(runs):
    return [[own] for own in runs]


class Shared:
    """What two processes do, one of them held up in its first run until the other has done all that is left to it."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.begun, self.go_on, self.rest_done = (FORK.Event() for _ in range(3))

    def start(self, name, held_up, group=pairs):
        process = FORK.Process(target=self._work, args=(name, held_up, group), daemon=True)
        process.start()
        return process

    def _work(self, name, held_up, group):
        logging.getLogger().handlers = [logging.FileHandler(self.folder / f"{name}.log")]
        logging.getLogger().setLevel(logging.INFO)
        self.held_up = held_up
        if self.kind == "runs":
            execute(RUNS, "training", self._run, self.folder, HERE)
        else:
            execute_stacks(RUNS, "training", self._stack, group, self.folder, HERE)
        results_table(RUNS, RunStore(self.folder), ["training"]).to_csv(self.folder / f"{name}.csv")

    def _run(self, own, folder):
        with (folder / "calls").open("a") as calls:
            calls.write(f"{os.getpid()}\n")
        if self.held_up:
            self.begun.set()
            self.go_on.wait(SECONDS)
        elif own == RUNS[-1]:
            self.rest_done.set()
        return Outcome({"validation_accuracy": own.trial / 10})

    def _stack(self, stack, folder, record):
        with (self.folder / "stacks.txt").open("a") as calls:
            calls.write(f"{os.getpid()} {[own.trial for own in stack]} {(folder / 'checkpoint').exists()}\n")
        (folder / "checkpoint").touch()
        for own in stack:
            if not RunStore(self.folder).is_finished(own, "training"):
                record(own, self._run(own, RunStore(self.folder).path(own)))

    def both(self, end):
        """Process ids of the first and the second; `end(first)` comes when nothing is left but what the first holds."""
        first = self.start("first", held_up=True)
        assert self.begun.wait(SECONDS)
        second = self.start("second", held_up=False, group=alone)
        assert self.rest_done.wait(SECONDS)
        deadline = time.monotonic() + SECONDS
        while " elsewhere (" not in (self.folder / "second.log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        end(first)
        for process in (first, second):
            process.join(SECONDS)
        assert second.exitcode == 0
        return first.pid, second.pid

    def calls(self, own):
        return [int(line) for line in (RunStore(self.folder).path(own) / "calls").read_text().split()]


def test_two_processes_do_each_run_once_and_end_with_one_table(tmp_path):
    shared = Shared(tmp_path, "runs")
    first, second = shared.both(lambda process: shared.go_on.set())
    assert [shared.calls(own) for own in RUNS] == [[first]] + [[second]] * 5
    assert (tmp_path / "first.csv").read_text() == (tmp_path / "second.csv").read_text()
    assert f"1 run is worked on elsewhere (process {first} on " in (tmp_path / "second.log").read_text()


def test_a_run_of_a_killed_process_is_taken_over(tmp_path):
    shared = Shared(tmp_path, "runs")
    first, second = shared.both(lambda process: os.kill(process.pid, signal.SIGKILL))
    assert [shared.calls(own) for own in RUNS] == [[first, second]] + [[second]] * 5
    assert all(RunStore(tmp_path).is_finished(own, "training") for own in RUNS)


def test_two_processes_do_each_stack_once_in_the_company_that_the_first_has_chosen(tmp_path):
    shared = Shared(tmp_path, "stacks")
    first, second = shared.both(lambda process: shared.go_on.set())
    expected = [f"{first} [0, 1] False", f"{second} [2, 3] False", f"{second} [4, 5] False"]
    assert (tmp_path / "stacks.txt").read_text().splitlines() == expected
    assert [shared.calls(own) for own in RUNS] == [[first]] * 2 + [[second]] * 4
    assert (tmp_path / "first.csv").read_text() == (tmp_path / "second.csv").read_text()
    assert f"2 runs are worked on elsewhere (process {first} on " in (tmp_path / "second.log").read_text()
    assert not list((tmp_path / "stacks/training").glob("*/"))


def test_a_stack_of_a_killed_process_is_continued_by_the_other(tmp_path):
    shared = Shared(tmp_path, "stacks")
    first, second = shared.both(lambda process: os.kill(process.pid, signal.SIGKILL))
    assert (tmp_path / "stacks.txt").read_text().splitlines()[-1] == f"{second} [0, 1] True"
    assert [shared.calls(own) for own in RUNS] == [[first, second]] + [[second]] * 5


class Beside:
    """Does runs or stacks in another thread, which stops in its first work until `end`."""

    def __init__(self, function, *arguments):
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.error = None
        self.thread = threading.Thread(target=function, args=[*arguments[:2], self._held(arguments[2]), *arguments[3:]])
        self.thread.start()
        assert self.begun.wait(SECONDS)

    def _held(self, work):
        def held(*arguments):
            self.begun.set()
            self.may_end.wait(SECONDS)
            return work(*arguments)

        return held

    def end(self):
        self.may_end.set()
        self.thread.join(SECONDS)

    def end_when_waited_for(self):
        told = logging.Handler()
        told.emit = lambda _: self.may_end.set()
        LOGGER.addHandler(told)


LOGGER = logging.getLogger("vision_studies.studies.sharing")


@pytest.fixture(autouse=True)
def _told(caplog):
    caplog.set_level(logging.INFO)
    yield
    LOGGER.handlers.clear()


def fail(own, folder):
    with (folder / "calls").open("a") as calls:
        calls.write("x")
    raise RuntimeError("out of luck")


def test_a_failure_is_tried_again_once_by_a_later_command_and_not_by_one_that_shares_the_work(tmp_path):
    other = Beside(execute, [run(0)], "training", fail, tmp_path, HERE)
    other.end_when_waited_for()
    execute([run(0), run(1)], "training", lambda *_: Outcome({}), tmp_path, HERE)
    assert RunStore(tmp_path).result(run(0), "training")["status"] == FAILED
    assert RunStore(tmp_path).is_finished(run(1), "training")
    execute([run(0)], "training", fail, tmp_path, HERE)
    assert (RunStore(tmp_path).path(run(0)) / "calls").read_text() == "xx"


def keep_all(stack, folder, record):
    for own in stack:
        record(own, Outcome({"validation_accuracy": own.trial / 10}))


def test_a_run_in_a_stack_of_another_study_is_waited_for_and_not_begun(tmp_path):
    other = Beside(execute_stacks, [run(0), run(1)], "training", keep_all, pairs, tmp_path, HERE)
    done = []

    def note(stack, folder, record):
        done.append([own.trial for own in stack])
        other.may_end.set()
        keep_all(stack, folder, record)

    execute_stacks([run(1), run(7)], "training", note, pairs, tmp_path, HERE)
    other.end()
    assert done == [[7]]
    assert RunStore(tmp_path).is_finished(run(1), "training")


def test_fresh_wants_runs_that_nobody_works_on(tmp_path):
    other = Beside(execute, [run(0)], "training", lambda *_: Outcome({}), tmp_path, HERE)
    with pytest.raises(BusyError, match=r"being worked on by process \d+ on .* leave out fresh=true"):
        execute([run(0)], "training", lambda *_: Outcome({}), tmp_path, HERE, fresh=True)
    other.end()
    stacks = Beside(execute_stacks, [run(1)], "training", keep_all, pairs, tmp_path, HERE)
    with pytest.raises(BusyError, match="leave out fresh=true"):
        execute_stacks([run(1)], "training", keep_all, pairs, tmp_path, HERE, fresh=True)
    stacks.end()
    assert RunStore(tmp_path).is_finished(run(1), "training")


def test_one_run_alone_waits_for_whoever_works_on_it(tmp_path):
    other = Beside(execute, [run(0)], "training", lambda *_: Outcome({"best_epoch": 3}), tmp_path, HERE)
    threading.Timer(0.1, other.end).start()
    outcome = execute_one(run(0), "training", fail, RunStore(tmp_path))
    assert outcome.metrics == {"best_epoch": 3}


def test_what_was_written_down_and_nobody_will_begin_is_tidied_away(tmp_path):
    stacks = tmp_path / "stacks/training"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute_stacks([run(0), run(1), run(2)], "training", stop, pairs, tmp_path, HERE)
    assert sorted(len(json.loads(file.read_text())) for file in stacks.glob("*/stack.json")) == [1, 2]
    execute_stacks([run(1), run(2)], "training", keep_all, alone, tmp_path, HERE)
    assert not list(stacks.glob("*/"))
    assert RunStore(tmp_path).is_finished(run(1), "training")


def test_what_a_killed_process_has_left_half_written_goes_when_its_run_is_worked_on(tmp_path):
    folder = RunStore(tmp_path).path(run(0)) / "checkpoints"
    folder.mkdir(parents=True)
    gone = FORK.Process(target=os.getpid)
    gone.start()
    gone.join()
    left = folder / f".epoch_1.safetensors.{files._machine()}-{gone.pid}-abcdefgh.tmp"
    left.touch()
    execute([run(0)], "training", lambda *_: Outcome({}), tmp_path, HERE)
    assert not left.exists()


def test_a_full_disk_stops_the_study_instead_of_failing_run_after_run(tmp_path):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for do in (
        lambda: execute([run(0)], "training", fill, tmp_path, HERE),
        lambda: execute_stacks([run(0)], "training", fill, pairs, tmp_path, HERE),
    ):
        with pytest.raises(StorageError, match="disk is full"):
            do()
    assert RunStore(tmp_path).result(run(0), "training") is None


def test_a_stage_begins_only_where_the_disk_has_some_room(tmp_path, monkeypatch):
    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    with pytest.raises(StorageError, match="needs 32 MB but its disk has 10 MB free"):
        execute([run(0)], "training", lambda *_: Outcome({}), tmp_path, HERE)
    with pytest.raises(StorageError, match="needs 32 MB"):
        execute_stacks([run(0)], "training", keep_all, pairs, tmp_path, HERE)


def test_tasks_are_shared_and_a_lock_is_waited_for_with_a_word(tmp_path, caplog):
    file = tmp_path / "one.txt"
    holder = Beside(lambda _, lock, held: _hold(lock, held), None, tmp_path / ".one.lock", file.touch)
    assert is_held(tmp_path / ".one.lock")
    holder.end_when_waited_for()
    done = []
    other = tmp_path / "two.txt"
    items = [made(file, lambda: done.append("one")), made(other, other.touch)]
    share(Artifacts("clustering", "cluster", items))
    assert (done, (tmp_path / "two.txt").exists()) == ([], True)
    assert "clustering: 1 run is worked on elsewhere" in caplog.text
    again = Beside(lambda _, lock, held: _hold(lock, held), None, tmp_path / "again.lock", lambda: None)
    again.end_when_waited_for()
    with hold(tmp_path / "again.lock", "the features"):
        assert again.may_end.is_set()
    assert f"waiting for process {os.getpid()} on" in caplog.text


def test_fresh_artifacts_are_made_again(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    file = tmp_path / "one.txt"
    file.write_text("before")
    artifacts = Artifacts("clustering", "cluster", [made(file, lambda: file.write_text("anew"))])
    share(artifacts)
    assert (file.read_text(), "clustering: 1 of 1 are finished and reused" in caplog.text) == ("before", True)
    share(artifacts, fresh=True)
    assert file.read_text() == "anew"


def made(file, make):
    lock = file.with_name(f".{file.stem}.lock")
    return Artifact(file.stem, file, make, costs_nothing, lock, needs=[], waits="", new="", remove=file)


def _hold(lock, work):
    with hold(lock, "something"):
        work()


def test_the_lock_of_a_run_is_free_when_it_has_ended(tmp_path):
    execute([run(0)], "training", lambda *_: Outcome({}), tmp_path, HERE)
    assert RunStore(tmp_path).lock(run(0)).exists()
    assert not is_held(RunStore(tmp_path).lock(run(0)))
