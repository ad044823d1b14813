"""Seeds that are added until a study's validation images tell enough: for methods whose settings have `until`.

After all runs of the first seeds, and of each further one, have ended, their validation images are looked at
(`statistics.looks`). Test images never are. What a look shows follows from the runs alone, so that a command that goes on,
another one that shares the work, the forecast and the report all find the same seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vision_studies.config.study import UntilSettings, VariantSettings
from vision_studies.errors import ParameterError
from vision_studies.outcomes import COMPLETE, FAILED
from vision_studies.predictions import Predictions
from vision_studies.run_folders import read_stage
from vision_studies.stored_predictions import read_predictions
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Later, Steps

if TYPE_CHECKING:
    from vision_studies.costs import Costs
    from vision_studies.statistics.evidence import Evidence
    from vision_studies.statistics.looks import Look
    from vision_studies.studies.method import Context

TRAINING = "training"
"""Stage whose results have the validation accuracy of a run."""

Folders = Mapping[str, Mapping[int, Path]]
"""Variant -> seed -> folder of its run; the first variant is what the others are compared with."""


class SeededSettings(Protocol):
    """Settings of a method that can add seeds."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that are always done."""
        ...

    @property
    def variants(self) -> Sequence[VariantSettings]:
        """What is compared."""
        ...

    @property
    def until(self) -> UntilSettings | None:
        """What is to be known; None: `seeds` alone are done."""
        ...

    @property
    def possible_seeds(self) -> tuple[int, ...]:
        """All that may be done, in their order."""
        ...


def check_until(context: "Context[Any]") -> None:
    """Raises ParameterError where seeds are to be added and the images are in folds."""
    if context.settings.until is not None and context.images.folds:
        raise ParameterError(
            f"{context.method.name}.until looks at one set of validation images, and these images are in folds, each with "
            f"others; set {context.method.name}.until to null, or data_prep.splits.folds.when to never."
        )


def with_enough_seeds(
    context: "Context[Any]",
    train: Callable[[Sequence[int]], Steps],
    runs: Callable[[Sequence[int]], Sequence[Run]],
    cost: Callable[[Sequence[int]], "Costs"],
) -> Steps:
    """Train the first seeds and, where `until` asks for it, one more after the other until enough is known.

    Args:
        context: of a method with `SeededSettings`.
        train: seeds -> what is done of them; it returns whether all of that has ended.
        runs: seeds -> their rows of the results table, those of the variants among them.
        cost: seeds -> what they cost.

    Returns:
        The seeds that were done, or have begun.
    """
    settings: SeededSettings = context.settings
    done = list(settings.seeds)
    ended = yield from train(done)
    if settings.until is None:
        return done
    further = list(settings.possible_seeds[len(done) :])
    while ended and further:
        folders: dict[str, dict[int, Path]] = {variant.name: {} for variant in settings.variants}
        for run in runs(done):
            if run.variant in folders:
                folders[run.variant][run.seed] = context.runs.path(run)
        if look_at(folders, settings).reason != "wide":
            return done
        done.append(further.pop(0))
        ended = yield from train(done[-1:])
    if further:
        reason = f"as long as a difference is not known to {settings.until.half_width:g} points"
        yield Later(TRAINING, len(runs(further)), reason, lambda: cost(further))
    return done


def look_at(folders: Folders, settings: SeededSettings) -> "Look":
    """What the validation images of all runs so far show. Raises DataError where a result is damaged."""
    from dataclasses import replace

    from vision_studies.statistics.looks import Looks, look

    until = settings.until
    assert until is not None  # noqa: S101 - asked for only where there is one
    states = {name: {seed: _status(folder) for seed, folder in own.items()} for name, own in folders.items()}
    seeds = list(dict.fromkeys(seed for own in states.values() for seed in own))
    ended = [seed for seed in seeds if all(own.get(seed) not in (None, FAILED) for own in states.values())]
    evidence = []
    for name, own in folders.items():
        complete = {seed: own[seed] for seed in ended if states[name][seed] == COMPLETE}
        evidence += [_evidence(name, complete)] if complete else []
    if evidence and evidence[0].name != next(iter(folders)):
        evidence = []  # the others have nothing to be compared with
    points = 100
    found = look(
        evidence,
        Looks(len(settings.seeds), until.at_most),
        len(ended),
        asked=until.half_width / points,
        margin=until.margin / points,
    )
    return found if len(ended) == max(len(seeds), len(settings.seeds)) else replace(found, reason="unfinished")


def _status(folder: Path) -> str | None:
    """Of a run's training; None where it has not ended."""
    try:
        return str(read_stage(folder / f"{TRAINING}.json")["status"])
    except FileNotFoundError:
        return None


def _evidence(name: str, folders: Mapping[int, Path]) -> "Evidence":
    """Image by image where all runs have been validated with the same ones and keep what they said of them, else by seed."""
    import numpy as np

    from vision_studies.statistics.evidence import Evidence

    said = [read_predictions(folder, "validation", probabilities=False) for folder in folders.values()]
    known = [each for each in said if isinstance(each, Predictions)]
    seeds = list(folders)
    if len(known) == len(said) and all(np.array_equal(each.indices, known[0].indices) for each in known):
        correct = np.stack([each.correct for each in known])
        return Evidence.of_images(name, seeds, known[0].indices, known[0].labels, correct=correct)
    values = [read_stage(folder / f"{TRAINING}.json")["metrics"]["validation_accuracy"] for folder in folders.values()]
    return Evidence.of_seeds(name, seeds, values)
