"""Trials of a search as they are stored, for those who only look: no trial is begun, continued or waited for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vision_studies.config.search import OptionSettings, SearchDomain
from vision_studies.outcomes import COMPLETE
from vision_studies.studies.sharing import is_held

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

JOURNAL = "journal.log"


@dataclass(frozen=True)
class StoredTrial:
    """A trial of a search.

    Attributes:
        number: from 1.
        ended: it has a result of some kind.
        busy: a process works on it now.
        status: one of `outcomes.STATUSES`; None where it has not ended.
        value: what is maximised; None where there is none.
        seconds: of training.
        params: dotted path -> what Optuna keeps of the draw: of an option its name.
    """

    number: int
    ended: bool
    busy: bool
    status: str | None
    value: float | None
    seconds: float
    params: dict[str, Any]


class _Valued(Protocol):
    @property
    def status(self) -> str | None: ...
    @property
    def value(self) -> float | None: ...


_Trial = TypeVar("_Trial", bound=_Valued)


def best_trial(trials: Iterable[_Trial]) -> _Trial | None:
    """The complete trial with the highest value, the first of equals; None where none is complete."""
    complete = [trial for trial in trials if trial.status == COMPLETE]
    return max(complete, key=lambda trial: trial.value or 0.0, default=None)


def meant(space: Mapping[str, SearchDomain], params: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna keeps of draws as settings have it: of an option what its name stands for."""

    def value_of(domain: SearchDomain, value: Any) -> Any:
        return domain.options[value] if isinstance(domain, OptionSettings) else value

    return {path: value_of(space[path], value) for path, value in params.items()}


def stored_trials(folder: Path, name: str, storage: str | None) -> list[StoredTrial]:
    """All trials of a search in their order; none where it has not begun.

    Args:
        folder: of its journal and its file locks.
        name: of the search.
        storage: Optuna storage for several machines; None for the journal.

    Raises:
        StorageError: the storage cannot be reached.
    """
    import optuna

    from vision_studies.studies.search_storage import database_errors, open_storage

    if storage is None and not (folder / JOURNAL).is_file():
        return []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found, locks = open_storage(storage, name, folder)

    def busy(trial: "FrozenTrial") -> bool:
        if storage is None:
            return is_held(folder / f"trial_{trial.number + 1}.lock")
        release = locks.take(trial.number)
        if release is not None:
            release()
        return release is None

    with database_errors(storage):
        try:
            trials = optuna.load_study(study_name=name, storage=found).get_trials(deepcopy=False)
        except KeyError:  # the storage holds other searches only
            return []
        return [
            StoredTrial(
                trial.number + 1,
                trial.state.is_finished(),
                not trial.state.is_finished() and busy(trial),
                trial.user_attrs.get("status"),
                trial.value if trial.state.is_finished() else None,
                trial.user_attrs.get("seconds", 0.0),
                dict(trial.params),
            )
            for trial in trials
        ]
