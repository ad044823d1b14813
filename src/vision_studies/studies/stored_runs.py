"""Runs that lie in a project's folders: finding, labelling and tidying them."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from vision_studies.errors import DataError, ParameterError
from vision_studies.files import write_json
from vision_studies.run_folders import (
    FINAL_FILE,
    LABEL_FILE,
    LOCK_FILE,
    epoch_of,
    folds_of,
    read_description,
    read_history,
    read_label,
    read_stage,
    run_folders,
    stage_files,
    unneeded_checkpoints,
)
from vision_studies.studies.runs import run_name

if TYPE_CHECKING:
    import pandas as pd

UNFINISHED = "unfinished"

_IDENTITY = ("study", "pipeline", "variant", "seed", "trial")


@dataclass(frozen=True)
class StoredRun:
    """One run as it lies on the disk.

    Attributes:
        description: pipeline, study, variant, trial, seed, configuration, data_fingerprint and method_version.
        stages: name of each finished stage -> its metrics, status, reason and provenance.
        label: name that somebody gave it.
    """

    folder: Path
    description: dict[str, Any]
    stages: dict[str, dict[str, Any]]
    label: str | None

    @property
    def fingerprint(self) -> str:
        """What identifies the run."""
        return self.folder.name

    @property
    def configuration(self) -> dict[str, Any]:
        """What decides its numbers besides seed and images."""
        return dict(self.description["configuration"])

    @property
    def status(self) -> str:
        """Status of the newest stage, or `unfinished`."""
        newest = next(reversed(self.stages.values()), None)
        return newest["status"] if newest else UNFINISHED

    @property
    def name(self) -> str:
        """Its label, or else how its study calls it."""
        told = self.description
        return self.label or run_name(told["variant"], told["trial"], told["seed"], told.get("fold", 0))

    @property
    def fold(self) -> str:
        """Which fold of a cross-validation it is of, "all" where it is put together from those of the folds; else empty."""
        of_all = len(folds_of(self.folder))
        return f"all {of_all}" if of_all else str(self.description.get("fold", ""))

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(os.lstat(f"{folder}/{name}").st_size for folder, _, names in os.walk(self.folder) for name in names)

    def history(self) -> "pd.DataFrame":
        """What it measured, one row an epoch. Raises DataError where its training has not ended, or the file is damaged."""
        try:
            return read_history(self.folder)
        except FileNotFoundError as error:
            raise DataError(
                f"The run {self.fingerprint} has not finished its training yet; run its study again."
            ) from error

    def metric(self, name: str) -> Any:
        """A metric of any stage; None where there is none."""
        return next((stage["metrics"][name] for stage in self.stages.values() if name in stage["metrics"]), None)


def find_runs(models: Path, study: str | None = None) -> list[StoredRun]:
    """All runs below `models`, of one study or of every one, by study, variant and seed. Raises DataError where a run's file is
    damaged.
    """
    runs = [read_run(folder) for runs in sorted(models.glob(f"{study or '*'}/*/runs")) for folder in run_folders(runs)]
    return sorted(runs, key=lambda run: [run.description[key] for key in _IDENTITY])


def find_run(models: Path, named: str, study: str | None = None) -> StoredRun:
    """The run with this label, or whose fingerprint begins like this. Raises ParameterError where there is none, or more than
    one.
    """
    runs = find_runs(models, study)
    matches = [run for run in runs if run.label == named] or [run for run in runs if run.fingerprint.startswith(named)]
    if len(matches) == 1:
        return matches[0]
    where = f"the study '{study}'" if study else "any study"
    if not matches:
        raise ParameterError(f"No run of {where} is called '{named}'; `kedro runs list` shows what there is.")
    several = ", ".join(f"{run.description['study']}/{run.fingerprint}" for run in matches)
    raise ParameterError(f"'{named}' could be any of {several}; give more of its fingerprint, or the study with --env.")


def read_run(folder: Path) -> StoredRun:
    """The run in a folder. Raises FileNotFoundError where none has begun there, and DataError where a file is damaged."""
    stages = {path.stem: read_stage(path) for path in stage_files(folder)}
    try:
        stages = dict(sorted(stages.items(), key=lambda item: item[1]["provenance"]["finished_at"]))
    except (KeyError, TypeError) as error:
        raise DataError(f"A result in {folder} is damaged; delete the folder and run the study again.") from error
    return StoredRun(folder, read_description(folder, _IDENTITY), stages, read_label(folder))


def label_run(models: Path, run: StoredRun, label: str) -> None:
    """Give a run a name, or another one. Raises ParameterError where it cannot be one, or another run has it."""
    require_label(label)
    other = next((other for other in find_runs(models) if other.label == label and other.folder != run.folder), None)
    if other:
        raise ParameterError(
            f"The run {other.description['study']}/{other.fingerprint} is called '{label}' already; choose another label."
        )
    write_json(run.folder / LABEL_FILE, {"label": label})


def require_label(label: str) -> None:
    """Refuse a label that could not be the name of a folder, as exported runs have it. Raises ParameterError."""
    if not label.strip():
        raise ParameterError("A label needs at least one character.")
    if label.startswith(".") or not set(label).isdisjoint("/\\") or not label.isprintable():
        raise ParameterError(
            f"The label {label!r} could not be the name of a folder, which exported runs are called by; choose one that does "
            "not begin with a dot and has no slashes in it."
        )


def tidy_checkpoints(run: StoredRun, *, keep_every: int | None = None, delete: bool) -> dict[Path, int]:
    """Find, and delete where that is asked for, numbered checkpoints that nothing needs any more.

    What is selected and what is final is never among them, nor the newest of a training that has not ended, nor what the
    training keeps for good; and nothing of a run that is being worked on.

    Args:
        run: the run, with all trainings of which it consists.
        keep_every: keep those of every so many epochs instead of what the training keeps for good; 0: of none.
        delete: whether they are deleted, too.

    Returns:
        File -> its size in bytes.
    """
    sizes: dict[Path, int] = {}
    with suppress(Timeout), FileLock(run.folder / LOCK_FILE, blocking=False):
        for folder in sorted({file.parent for file in run.folder.rglob("*.safetensors") if epoch_of(file) is not None}):
            newest = 0 if (folder / FINAL_FILE).is_file() else 1
            sizes |= {
                file: file.stat().st_size for file in unneeded_checkpoints(folder, newest=newest, every=keep_every)
            }
        for file in sizes if delete else ():
            file.unlink()
    return sizes
