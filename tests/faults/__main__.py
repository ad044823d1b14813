"""All faults: `make faults`, or `python -m tests.faults --help`. Stop it whenever you like; it goes on where it was."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock

from tests.conftest import ROOT
from tests.faults import kills, odd_sets, others, page
from tests.faults.damage import KIND as DAMAGED
from tests.faults.damage import damaged
from tests.faults.hostile import hostile
from tests.faults.places import PLACES
from tests.faults.projects import PIPELINES
from tests.faults.tally import LOST, Journal, Trial

KINDS = ("files", "sets", "kills", "disk", "diverging", "worker", "shared")
Job = Callable[[], Iterator[Trial]]


def main() -> int:
    """Try what the command line asks for; 1 if something was lost."""
    asked = _arguments()
    work: Path = asked.work.absolute()
    if asked.fresh:
        shutil.rmtree(work, ignore_errors=True)
    journal, lock, began = Journal(work / "journal.jsonl"), Lock(), time.monotonic()
    os.environ["OMP_NUM_THREADS"] = "1"

    def told(text: str) -> None:
        with lock:
            print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    def do(job: Job) -> None:
        for trial in job():
            with lock:
                journal.add(trial)
            if trial.outcome == LOST:
                told(f"LOST {trial.kind}, {trial.subject}, {trial.fault}: {trial.told}")

    if "files" in asked.only:
        for job in _file_jobs(work / "files", journal, told):
            do(job)
    if "sets" in asked.only:
        for job in _set_jobs(work / "sets", journal, asked.sets, told):
            do(job)
    if set(asked.only) - {"files", "sets"}:
        reference = kills.reference_project(work / "reference", told)
        jobs: list[Job] = []
        if "kills" in asked.only:
            chosen = [asked.pipeline] if asked.pipeline else PIPELINES
            jobs += [
                partial(kills.killed, name, reference, work / name, asked.kills, journal.done(kills.KIND, name), told)
                for name in sorted(chosen, key=PIPELINES.index, reverse=True)
            ]
        filled = "cifar_resnet"
        if "disk" in asked.only:
            done = journal.done(others.FULL_DISK, filled)
            jobs.append(partial(others.full_disks, reference, work / "disk", asked.others, done, told))
        if "diverging" in asked.only:
            done = journal.done(others.DIVERGING, filled)
            jobs.append(partial(others.diverging, reference, work / "diverging", done, told))
        if "worker" in asked.only:
            done = journal.done(others.WORKER, filled)
            jobs.append(partial(others.workers_killed, reference, work / "worker", asked.others, done, told))
        if "shared" in asked.only:
            done = journal.done(others.SHARED, filled)
            jobs.append(partial(others.shared, reference, work / "shared", asked.others, done, told))
        with ThreadPoolExecutor(asked.jobs) as pool:
            list(pool.map(do, jobs))
    trials = journal.trials()
    day = f"{datetime.now(UTC):%d %B %Y}".lstrip("0")
    print(f"\n{page.table(trials, day)}\n")
    if asked.write:
        page.write(trials, day)
        print(f"The table is in {page.PAGE.relative_to(ROOT)}.")
    return int(any(trial.outcome == LOST for trial in trials))


def _file_jobs(folder: Path, journal: Journal, told: Callable[[str], None]) -> Iterator[Job]:
    canary = folder / "canary"
    for place in PLACES:
        if journal.done(DAMAGED, place.name):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        told(f"damaged files: {place.name}")
        yield partial(damaged, place, folder / "place", canary)
    shutil.rmtree(folder, ignore_errors=True)
    told("hostile files")
    yield partial(hostile, folder / "hostile", canary)
    shutil.rmtree(folder, ignore_errors=True)


def _set_jobs(folder: Path, journal: Journal, count: int, told: Callable[[str], None]) -> Iterator[Job]:
    done = {fault.split(":")[0] for form in odd_sets.FORMS for fault in journal.done(odd_sets.KIND, form)}
    told(f"odd data sets: {count}")
    for number in range(count):
        if str(number) not in done:
            yield partial(odd_sets.odd_sets, folder / "set", folder / "canary", [number])
    shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=KINDS, help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--pipeline", choices=PIPELINES, help="kill this one alone")
    parser.add_argument("--kills", type=int, default=20, help="kills of each pipeline (20)")
    parser.add_argument("--sets", type=int, default=odd_sets.COUNT, help=f"odd data sets ({odd_sets.COUNT})")
    parser.add_argument("--others", type=int, default=5, help="full disks, workers killed and shared studies (5)")
    parser.add_argument("--jobs", type=int, default=2, help="pipelines side by side, a core each (2)")
    parser.add_argument("--work", type=Path, default=ROOT / ".faults", help="folder to work in (.faults)")
    parser.add_argument("--fresh", action="store_true", help="forget what was tried before")
    parser.add_argument("--write", action="store_true", help="write the table into docs/faults.md")
    asked = parser.parse_args()
    unknown = sorted(set(asked.only) - set(KINDS))
    if unknown:
        parser.error(f"--only={unknown[0]} is not known; it may be some of {', '.join(KINDS)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
