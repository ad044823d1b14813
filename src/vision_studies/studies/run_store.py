"""The runs of a pipeline as they lie in a folder: what each stage has found, and who works on what.

`begin` and `record` are the two moments of a stage: nothing of a run is written before the one or after the other, and
whoever calls them holds the lock of the run, or that of the group that it belongs to.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from vision_studies.errors import BusyError, DataError
from vision_studies.files import atomic_file, hash_json, json_text, now, remove_leftovers, write_json
from vision_studies.outcomes import COMPLETE, FAILED, Outcome
from vision_studies.predictions import PredictedSplit, Predictions
from vision_studies.run_folders import (
    DESCRIPTION_FILE,
    FAILURE_ENDING,
    GROUPS,
    HISTORY_FILE,
    LOCK_FILE,
    MEND,
    read_history,
    read_stage,
    write_stage,
)
from vision_studies.storage.kept_data import kept_with
from vision_studies.stored_predictions import Unavailable, read_predictions, write_predictions
from vision_studies.stored_tables import write_table
from vision_studies.studies.provenance import git_commit, library_versions
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import holder_of, this_process, try_to_hold

if TYPE_CHECKING:
    import pandas as pd

RESERVE_BYTES = 32_000_000
"""Room that the disk must have before a stage begins; each checkpoint asks for its own besides."""

_MEMBERS = "stack.json"


@dataclass(frozen=True)
class RunStore:
    """Runs in a folder, and the groups in which some are trained as one.

    Attributes:
        folder: holds one folder a run, and those of unfinished groups.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from vision_studies.studies.run_store import RunStore
        >>> from vision_studies.studies.runs import Run
        >>> from vision_studies.studies.stages import Outcome
        >>> run = Run("cifar_resnet", "widths", "narrow", 0, 0, {"width": 8}, "data", 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = RunStore(Path(folder))
        ...     _ = store.begin(run)
        ...     store.record(run, "training", Outcome({"validation_accuracy": 0.5}))
        ...     store.is_complete(run, "training"), store.is_finished(run, "evaluation")
        (True, False)
    """

    folder: Path

    def path(self, run: Run, *parts: str) -> Path:
        """Folder of a run's checkpoints, stage results and history, or something in it."""
        return self.folder.joinpath(run.fingerprint, *parts)

    def lock(self, run: Run) -> Path:
        """Lock that is held while a run is worked on alone."""
        return self.path(run, LOCK_FILE)

    def result(self, run: Run, stage: str) -> dict[str, Any] | None:
        """Metrics, status, reason and provenance of a stage that has ended; None where it has not. Raises DataError where the
        file is damaged.
        """
        try:
            return read_stage(self._stage_file(run, stage))
        except FileNotFoundError:
            return None

    def metrics(self, run: Run, stage: str) -> dict[str, Any]:
        """What a stage that has ended has measured. Raises DataError where it has not ended, or its file is damaged."""
        result = self.result(run, stage)
        if result is None:
            raise DataError(f"{self._stage_file(run, stage)} is not there any more; run the study again.")
        return result["metrics"]

    def status(self, run: Run, stage: str) -> str | None:
        """One of `outcomes.STATUSES`; None where the stage has not ended."""
        result = self.result(run, stage)
        return None if result is None else result["status"]

    def is_finished(self, run: Run, stage: str) -> bool:
        """Whether a stage has ended in any way but failure."""
        return self.status(run, stage) not in (None, FAILED)

    def is_complete(self, run: Run, stage: str) -> bool:
        """Whether a stage has given what it should."""
        return self.status(run, stage) == COMPLETE

    def failure_mark(self, run: Run, stage: str) -> int | None:
        """What tells one failure of a stage from a later one; None where it has not failed."""
        has_failed = self.status(run, stage) == FAILED
        return self._stage_file(run, stage).stat().st_mtime_ns if has_failed else None

    def ended_since(self, run: Run, stage: str, failed_before: int | None) -> Outcome | None:
        """What a stage has found that need not be done again; None where it has to be done.

        A failure is tried once more by every command. Where processes share the work, one of them is enough: a failure that
        came after the command began, when the `failure_mark` was `failed_before`, counts.
        """
        result = self.result(run, stage)
        if result is None or (result["status"] == FAILED and self.failure_mark(run, stage) == failed_before):
            return None
        return Outcome(result["metrics"], result["status"], result["reason"])

    def history(self, run: Run, columns: Collection[str] | None = None) -> "pd.DataFrame":
        """What a run measured, one row an epoch. Raises FileNotFoundError where it has no history, and DataError where the file
        is damaged.
        """
        return read_history(self.path(run), columns)

    def predictions(self, run: Run, split: PredictedSplit = "test", *, views: int = 1) -> Predictions | Unavailable:
        """What a run has said of the images of a split, or why that cannot be used; see `read_predictions`."""
        return read_predictions(self.path(run), split, views=views, data_fingerprint=run.data_fingerprint)

    def begin(self, run: Run) -> Path:
        """Make a run's folder, which is returned, ready to be worked in: what killed processes have left half written goes."""
        folder = self.path(run)
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        file, description = folder / DESCRIPTION_FILE, run.description
        if not file.exists() or file.read_text(encoding="utf-8") != json_text(description):
            write_json(file, description)
        return folder

    def record(self, run: Run, stage: str, outcome: Outcome) -> None:
        """Write what a stage of a run has found; the stage's own file comes last and makes it finished."""
        if outcome.history is not None:
            with atomic_file(self.path(run, HISTORY_FILE)) as temporary:
                write_table(outcome.history, temporary)
        for predictions in outcome.predictions:
            write_predictions(self.path(run), replace(predictions, data_fingerprint=run.data_fingerprint))
        provenance = {"git_commit": git_commit(), "versions": library_versions(), "finished_at": now()}
        write_stage(self._stage_file(run, stage), outcome.metrics, outcome.status, outcome.reason, provenance)

    def record_failure(self, run: Run, stage: str, error: Exception, traceback: str) -> Outcome:
        """Write why a stage of a run has failed, with its traceback."""
        with atomic_file(self.path(run, f"{stage}{FAILURE_ENDING}")) as temporary:
            temporary.write_text(traceback, encoding="utf-8")
        outcome = Outcome({}, FAILED, f"{stage}: {type(error).__name__}: {error}")
        self.record(run, stage, outcome)
        return outcome

    def forget(self, run: Run) -> None:
        """Delete all that is known of a run but its lock. Raises BusyError where another process works on it, and StorageError
        where a store keeps it, and cannot be reached.
        """
        folder = self.path(run)
        kept_data = kept_with(folder)
        if kept_data is not None:
            kept_data.forget(folder)
        if not folder.exists():
            return
        lock = self.lock(run)
        with try_to_hold(lock, this_process()) as held:
            _require_held(held, f"The run {run.fingerprint} is", lock)
            # What makes a stage finished goes first: a kill in between must not leave a result without its weights.
            for entry in sorted(folder.iterdir(), key=lambda entry: entry.suffix != ".json"):
                if entry.is_dir():
                    shutil.rmtree(entry)
                elif entry != lock:
                    entry.unlink()

    def forget_all(self, runs: Mapping[str, Run], stage: str) -> None:
        """Forget runs, by fingerprint, and the unfinished groups of a stage that they belong to. Raises BusyError where another
        process works on one of them, and StorageError where a store keeps one, and cannot be reached.
        """
        with ExitStack() as locks:
            if self._groups(stage).is_dir():
                locks.enter_context(self.claim(stage))
            begun = [(folder, members) for folder, members in self.groups(stage).items() if runs.keys() & set(members)]
            for _, members in begun:
                lock = self.group_lock(stage, members)
                held = locks.enter_context(try_to_hold(lock, this_process()))
                _require_held(held, f"{len(members)} runs are", lock)
            for run in runs.values():
                self.forget(run)
            for folder, _ in begun:
                shutil.rmtree(folder)

    def claim(self, stage: str) -> FileLock:
        """Held while groups are looked for and written down."""
        self._groups(stage).mkdir(parents=True, exist_ok=True)
        return FileLock(self._groups(stage) / "claim.lock")

    def group_folder(self, stage: str, members: Sequence[str]) -> Path:
        """Folder of the checkpoints of runs, named by their fingerprints, that are done together."""
        return self._groups(stage) / hash_json(list(members))[:16]

    def group_lock(self, stage: str, members: Sequence[str]) -> Path:
        """Lock that is held while a group is worked on."""
        return self.group_folder(stage, members).with_suffix(".lock")

    def write_group(self, stage: str, members: Sequence[str]) -> None:
        """Write down that runs are done together, until the last of them has ended."""
        write_json(self.group_folder(stage, members) / _MEMBERS, list(members))

    def is_group(self, stage: str, members: Sequence[str]) -> bool:
        """Whether it is written down that these runs are done together."""
        return (self.group_folder(stage, members) / _MEMBERS).exists()

    def groups(self, stage: str) -> dict[Path, list[str]]:
        """Folders of groups that were written down and have not ended, with the fingerprints of their runs. Raises DataError
        where a list of members is damaged.
        """
        groups = {}
        for file in sorted(self._groups(stage).glob(f"*/{_MEMBERS}")):
            try:
                with suppress(FileNotFoundError):  # another process has ended it just now
                    groups[file.parent] = list(json.loads(file.read_text(encoding="utf-8")))
            except ValueError as error:
                raise DataError(f"{file} is damaged; {MEND}.") from error
        return groups

    def _groups(self, stage: str) -> Path:
        return self.folder / GROUPS / stage

    def _stage_file(self, run: Run, stage: str) -> Path:
        return self.path(run, f"{stage}.json")


def _require_held(held: bool, what: str, lock: Path) -> None:
    if not held:
        raise BusyError(
            f"{what} being worked on by {holder_of(lock)}; stop it, or leave out fresh=true to share its work."
        )


def has_begun(group: Path) -> bool:
    """Whether a group has left more than the list of its runs."""
    return any(entry.name != _MEMBERS for entry in group.iterdir())


def fingerprints(runs: Iterable[Run]) -> list[str]:
    """Fingerprints of runs, in their order."""
    return [run.fingerprint for run in runs]
