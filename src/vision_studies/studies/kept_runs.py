"""Runs that a store keeps: brought to whoever is about to work on them, kept when they end, brought back to the command.

The command and its workers may be on machines that share no folder. Nothing here is done where no store is named.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vision_studies.errors import StorageError
from vision_studies.outcomes import FAILED, Outcome
from vision_studies.storage.kept_data import KeptData
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run


@contextmanager
def kept_runs(kept: KeptData | None, store: RunStore, runs: Sequence[Run]) -> Iterator[None]:
    """Do a stage of runs with what the store knows of them, and keep what it finds; the caller holds their locks.

    A store that is down stops no work: what could not be kept follows at the end of the command, or with the next one.

    Args:
        kept: where the runs are kept; None for nowhere.
        store: where the runs lie.
        runs: those that are worked on, here and now.
    """
    if kept is None:
        yield
        return
    kept.attach()
    folders = [store.path(run) for run in runs]
    kept.fetch_or_later(folders)
    yield
    kept.keep_or_later(folders)


def bring_here(kept: KeptData | None, store: RunStore, run: Run, stage: str, outcome: Outcome) -> None:
    """See to it that what a stage has found lies here, too, where it has ended on a machine with another folder.

    Args:
        kept: where the run is kept; None for nowhere.
        store: where the runs lie.
        run: the run.
        stage: name of the stage.
        outcome: what the worker has told of it.

    Raises:
        StorageError: the store cannot be reached, or does not have it.
    """
    if kept is None or _is_recorded(store, run, stage, outcome):
        return
    if outcome.status == FAILED:  # is kept in no store, as it is tried again
        store.begin(run)
        store.record(run, stage, outcome)
        return
    kept.fetch(store.path(run))
    if not _is_recorded(store, run, stage, outcome):
        raise StorageError(
            f"The run {run.fingerprint} has ended on another machine, but {kept.store.url} does not have it; see to it that "
            "workers reach the store, and repeat the command: what they have finished is not done again."
        )


def _is_recorded(store: RunStore, run: Run, stage: str, outcome: Outcome) -> bool:
    return store.status(run, stage) == outcome.status
