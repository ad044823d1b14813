"""A trial of a search."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vision_studies.config.search import OptionSettings
from vision_studies.outcomes import COMPLETE

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Report = Callable[[int, float], bool]
"""Is given epoch and value; tells whether the trial is hopeless."""

Drawn = Mapping[str, Any]
"""Dotted path -> value."""

RUNNING = "running"


@dataclass(frozen=True)
class SearchTrial:
    """A trial that is being worked on, or has ended.

    Attributes:
        number: from 1.
        drawn: dotted path -> value.
        names: dotted path -> how the value is called: of an option its name, else the value.
        status: one of `outcomes.STATUSES`, or "running".
        value: what is searched by; None where there is none.
        seconds: of training.
        busy: a process works on it now, as far as was asked.
    """

    number: int
    drawn: dict[str, Any]
    names: dict[str, Any] = field(default_factory=dict)
    status: str = RUNNING
    value: float | None = None
    seconds: float = 0.0
    busy: bool = False


def described_trial(trial: "FrozenTrial", space: Mapping[str, Any], *, busy: bool = False) -> SearchTrial:
    """A trial as Optuna keeps it, in the words of its space."""
    ended = trial.state.is_finished()
    return SearchTrial(
        trial.number + 1,
        meant(space, trial.params),
        dict(trial.params),
        trial.user_attrs.get("status", RUNNING) if ended else RUNNING,
        trial.value if ended else None,
        trial.user_attrs.get("seconds", 0.0),
        busy,
    )


def best_trial(trials: Iterable[SearchTrial]) -> SearchTrial | None:
    """The complete trial with the highest value, the first of equals; None where none is complete."""
    complete = [trial for trial in trials if trial.status == COMPLETE]
    return max(complete, key=lambda trial: trial.value or 0.0, default=None)


def meant(space: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna keeps of draws as settings have it: of an option what its name stands for."""

    def value_of(domain: Any, value: Any) -> Any:
        return domain.options[value] if isinstance(domain, OptionSettings) else value

    return {path: value_of(space[path], value) for path, value in params.items()}
