"""A full disk, a training that diverges, a worker that dies, and a second command on the same study that is killed."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from tests.faults.comparison import contents, differences, table_content
from tests.faults.projects import STUDY, Project, arguments_of, ended_with, kill_group, own_folders
from tests.faults.tally import LOST, SKIPPED, SURVIVED, Trial

Told = Callable[[str], None]

FULL_DISK, DIVERGING, WORKER, SHARED = "full disk", "diverging training", "worker killed", "shared study, one killed"
_FILLED = "cifar_resnet"
_DIVERGING = """
cifar_resnet:
  variants:
    - {name: resnet_small, changes: {}}
    - {name: wild, changes: {training: {optimizer: {learning_rate: 1.0e+30}}}}
"""


def full_disks(reference: Project, scratch: Path, number: int, done: set[str], told: Told) -> Iterator[Trial]:
    """Let the disk fill up in the middle of a study, make room, and give the same command again."""
    expected = contents(own_folders(reference.folder, _FILLED), reference.folder)
    needed = sum(file.stat().st_size for folder in own_folders(reference.folder, _FILLED) for file in folder.rglob("*"))
    for place in range(number):
        share = (place + 0.5) / number
        fault = f"room for {share:.0%} of what is written"
        if fault in done:
            continue
        if os.geteuid() != 0 or shutil.which("mount") is None:
            yield Trial(FULL_DISK, _FILLED, fault, SKIPPED, "mounting a small disk needs root")
            return
        shutil.rmtree(scratch, ignore_errors=True)
        project = reference.copy(scratch).without(_FILLED)
        kept = project.folder / "kept"
        (project.folder / "data").rename(kept)
        (project.folder / "data").mkdir()
        blocks = sum(-(-file.stat().st_size // 4096) * 4096 + 4096 for file in kept.rglob("*"))
        try:
            _mount(project.folder / "data", blocks + int(share * needed))
        except (OSError, subprocess.CalledProcessError):
            yield Trial(FULL_DISK, _FILLED, fault, SKIPPED, "no small disk can be mounted here")
            return
        try:
            shutil.copytree(kept, project.folder / "data", dirs_exist_ok=True)
            before = contents([project.folder / "data"], project.folder)
            ended = project.run(*arguments_of(_FILLED))
            problems = _in_a_sentence(ended.output) if ended.code else ["the disk was not full"]
            after = contents([project.folder / "data"], project.folder)
            problems += [problem for problem in differences(before, after) if not problem.endswith("is there")]
            _mount(project.folder / "data", 0, again=True)
            ended = project.run(*arguments_of(_FILLED))
            if ended.code:
                problems.append(f"with room again it ended with {ended.code}")
            problems += differences(expected, contents(own_folders(project.folder, _FILLED), project.folder))
        finally:
            subprocess.run(["umount", str(project.folder / "data")], check=False)
        told(f"{FULL_DISK}: {fault}: {'; '.join(problems) or 'refused in a sentence, then continued'}")
        yield _trial(FULL_DISK, _FILLED, fault, problems, "refused in a sentence, then continued")
    shutil.rmtree(scratch, ignore_errors=True)


def diverging(reference: Project, scratch: Path, done: set[str], told: Told) -> Iterator[Trial]:
    """Train one variant at a learning rate of 1e30: it must be said to have diverged, and the others be as without it."""
    fault = "a learning rate of 1e30 in one of two variants"
    if fault in done:
        return
    shutil.rmtree(scratch, ignore_errors=True)
    project = reference.copy(scratch)
    (project.folder / "conf/diverging").mkdir()
    (project.folder / "conf/diverging/parameters.yml").write_text(_DIVERGING, encoding="utf-8")
    study = f"{STUDY}+diverging"
    ended = project.run("run", f"--env={study}", "--pipeline=cifar_resnet")
    problems = [] if ended.code == 0 else [f"the command ended with {ended.code}: {ended.output[-300:]}"]
    if not problems:
        table = _rows(project, study)
        wild = table[table["variant"] == "wild"]
        if set(wild["status"]) != {"diverged"} or wild["reason"].isna().any():
            problems.append(f"the wild ones are told as {sorted(set(wild['status']))}")
        alone = _rows(reference, STUDY)
        found, expected = (
            table_content(own[own["variant"] == "resnet_small"].drop(columns="study").reset_index(drop=True))
            for own in (table, alone)
        )
        if found != expected:
            problems.append("the other variant has other numbers")
    told(f"{DIVERGING}: {'; '.join(problems) or 'told as such, the other variant as without it'}")
    yield _trial(DIVERGING, "cifar_resnet", fault, problems, "told as such, the other variant as without it")
    shutil.rmtree(scratch, ignore_errors=True)


def workers_killed(reference: Project, scratch: Path, number: int, done: set[str], told: Told) -> Iterator[Trial]:
    """Kill one of two Dask workers in the middle of a study."""
    try:
        import distributed
    except ImportError:
        yield Trial(WORKER, _FILLED, "any", SKIPPED, "dask.distributed is not installed")
        return
    told(f"Dask {distributed.__version__}")
    expected = contents(own_folders(reference.folder, _FILLED), reference.folder)
    generator = random.Random(WORKER)  # noqa: S311 - drawn anew alike, not secret
    for place in range(number):
        after = 2 + 6 * generator.random()
        fault = f"kill {place}"
        if fault in done:
            continue
        shutil.rmtree(scratch, ignore_errors=True)
        project = reference.copy(scratch).without(_FILLED)
        with _cluster(project) as (address, workers):
            arguments = (
                *arguments_of(_FILLED),
                f"--params=execution.backend=dask,execution.scheduler_address={address}",
            )
            process = project.start(*arguments)
            with ended_with(process):
                _until(process, lambda project=project: any(_stage_folders(project)), 120)
                time.sleep(after if process.poll() is None else 0)
                kill_group(workers[place % len(workers)])
                code = process.wait(600)
        problems = [] if code == 0 else [f"the command ended with {code}", *_in_a_sentence(project.output())]
        problems += differences(expected, contents(own_folders(project.folder, _FILLED), project.folder))
        told(
            f"{WORKER}: {after:.1f} s after the first run began: {'; '.join(problems) or 'the other one did its work'}"
        )
        yield _trial(WORKER, _FILLED, fault, problems, "the other worker did its work")
    shutil.rmtree(scratch, ignore_errors=True)


def shared(reference: Project, scratch: Path, number: int, done: set[str], told: Told) -> Iterator[Trial]:
    """Give a command twice at once, and kill one of the two in the middle."""
    expected = contents(own_folders(reference.folder, _FILLED), reference.folder)
    generator = random.Random(SHARED)  # noqa: S311 - drawn anew alike, not secret
    for place in range(number):
        fault = f"kill {place}"
        if fault in done:
            continue
        shutil.rmtree(scratch, ignore_errors=True)
        project = reference.copy(scratch).without(_FILLED)
        second = Project(project.folder, output="second.txt")
        with ExitStack() as stack:
            processes = [own.start(*arguments_of(_FILLED)) for own in (project, second)]
            for process in processes:
                stack.enter_context(ended_with(process))
            _until(processes[0], lambda project=project: any(_stage_folders(project)), 120)
            time.sleep(6 * generator.random())
            kill_group(processes[place % 2])
            code = processes[1 - place % 2].wait(600)
        left = (project, second)[1 - place % 2]
        problems = [] if code == 0 else [f"the other command ended with {code}: {left.output()[-200:]}"]
        if code and "is being worked on by" in left.output():
            yield Trial(SHARED, _FILLED, fault, SKIPPED, "the second command was refused")
            continue
        problems += differences(expected, contents(own_folders(project.folder, _FILLED), project.folder))
        told(f"{SHARED}: {'; '.join(problems) or 'the other command did all of it'}")
        yield _trial(SHARED, _FILLED, fault, problems, "the other command did the rest")
    shutil.rmtree(scratch, ignore_errors=True)


def _trial(kind: str, subject: str, fault: str, problems: list[str], survived: str) -> Trial:
    return Trial(kind, subject, fault, LOST if problems else SURVIVED, "; ".join(problems[:5]) or survived)


def _in_a_sentence(output: str) -> list[str]:
    if "Traceback (most recent call last)" in output:
        return ["a traceback"]
    return [] if "Error: " in output else ["no sentence that says what is wrong"]


def _mount(folder: Path, size: int, *, again: bool = False) -> None:
    options = f"remount,size={1 << 30}" if again else f"size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)


def _rows(project: Project, study: str) -> pd.DataFrame:
    return pd.read_parquet(project.folder / "data/07_model_output" / study / "cifar_resnet/results.parquet")


def _stage_folders(project: Project) -> list[Path]:
    return list((project.folder / "data/06_models" / STUDY / _FILLED / "runs").glob("*/run.json"))


def _until(process: Any, condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@contextmanager
def _cluster(project: Project) -> Iterator[tuple[str, list[Any]]]:
    """A scheduler and two workers of one thread each, in processes of their own."""
    described = project.folder / "scheduler.json"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(project.folder / "src")}
    options: dict[str, Any] = {
        "cwd": project.folder, "env": environment, "start_new_session": True,
        "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
    }  # fmt: skip
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={described}"]
    worker = [*dask, "worker", "--nworkers=1", "--nthreads=1", "--no-dashboard", f"--scheduler-file={described}"]
    with ExitStack() as stack:
        started = [subprocess.Popen(scheduler, **options)]
        stack.enter_context(ended_with(started[0]))
        _until(started[0], lambda: described.exists() and described.stat().st_size > 0, 60)
        for number in range(2):
            local = project.folder / f"worker_{number}"
            started.append(subprocess.Popen([*worker, f"--local-directory={local}"], **options))
            stack.enter_context(ended_with(started[-1]))
        yield json.loads(described.read_text(encoding="utf-8"))["address"], started[1:]
