"""A method's stages once for each fold of a cross-validation, and its runs put together from those of the folds.

A method knows nothing of folds: it is asked for its stages with the images as each fold divides them, and once more with all of
them. A run of all images is never trained: it is put together from the runs that stand at its place in the folds. Its test
predictions are those of all folds, so that every image is predicted once, by a network that has not seen it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.costs import Costs
from vision_studies.files import write_json
from vision_studies.outcomes import COMPLETE, FAILED, Outcome
from vision_studies.predictions import PredictedSplit, Predictions, TopClasses
from vision_studies.run_folders import FOLDS_FILE, HISTORY_FILE
from vision_studies.statistics.metrics import METRICS
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Artifacts, GroupWork, Item, Later, Record, Stage, Steps

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_MOST_VIEWS = 32


@dataclass(frozen=True)
class WorkOfFolds:
    """Work on runs of several folds, by the images that each is of; those that are done together are of one fold.

    Attributes:
        works: fingerprint of a run -> place of its fold's work in `each`.
    """

    works: Mapping[str, int]
    each: Sequence[GroupWork]

    def __call__(self, runs: Sequence[Run], folder: Path, record: Record) -> None:
        """Do the work of the fold that the runs are of."""
        self.each[self.works[runs[0].fingerprint]](runs, folder, record)


def steps_by_folds(each: Sequence[Steps], whole: Steps) -> Steps:
    """Stages of a method for each fold, as one, and after each of them the stage that puts its runs together.

    Args:
        each: the method's stages with the images of each fold.
        whole: its stages with all images; its runs are put together, and none of its work is done.
    """
    answers: list[Any] = [None] * len(each)
    answer = None
    while True:
        items = [_next(steps, own) for steps, own in zip(each, answers, strict=True)]
        joined = _next(whole, answer)
        labels = {None if item is None else item.label for item in (*items, joined)}
        if len(labels) != 1:
            raise RuntimeError(f"folds have other stages each: {sorted(map(str, labels))}")
        if joined is None:
            return
        if isinstance(joined, Stage):
            stages = [item for item in items if isinstance(item, Stage)]
            answers = [(yield _stage_of_folds(stages))] * len(each)
            answer = yield _joining(joined, stages)
        elif isinstance(joined, Artifacts):
            parts = [artifact for item in items if isinstance(item, Artifacts) for artifact in item.items]
            answer = yield replace(joined, items=tuple({part.file: part for part in parts}.values()))
            answers = [answer] * len(each)
        elif isinstance(joined, Later):
            laters = [item for item in items if isinstance(item, Later)]
            cost = partial(_costs_of_all, [item.cost for item in laters])
            answer = yield replace(joined, count=joined.count * len(each), cost=cost)
            answers = [answer] * len(each)
        else:
            raise RuntimeError(f"{joined.label}: what a search finds cannot be put together from folds")


def _next(steps: Steps, answer: Any) -> Item | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _stage_of_folds(stages: Sequence[Stage]) -> Stage:
    """The stage of all folds: of each run all folds, before the next run."""
    runs = [run for same in zip(*(stage.runs for stage in stages), strict=True) for run in same]
    of_run = {run.fingerprint: place for place, stage in reversed([*enumerate(stages)]) for run in stage.runs}
    first = stages[0]

    def grouped(some: Sequence[Run]) -> list[Sequence[Run]]:
        parts = [[run for run in some if of_run[run.fingerprint] == place] for place in range(len(stages))]
        return [
            group
            for stage, part in zip(stages, parts, strict=True)
            if part and stage.group is not None
            for group in stage.group(part)
        ]

    def cost(some: Sequence[Run]) -> Costs:
        return stages[of_run[some[0].fingerprint]].cost(some)

    work = WorkOfFolds(of_run, [stage.work for stage in stages])
    return replace(first, runs=runs, work=work, cost=cost, group=None if first.group is None else grouped)


def _costs_of_all(each: Sequence[Callable[[], Costs]]) -> Costs:
    return [cost for costs in each for cost in costs()]


def _joining(whole: Stage, stages: Sequence[Stage]) -> Stage:
    """The stage that puts the runs of a stage together from those of the folds."""
    members = {run.fingerprint: same for run, *same in zip(whole.runs, *(stage.runs for stage in stages), strict=True)}
    again = None if whole.after is not None else _may_have_ended_better
    return replace(whole, work=Alone(_Join("", {})), group=None, required=None, again=again, joins=members)


def _may_have_ended_better(result: Mapping[str, Any]) -> str | None:
    """A fold that had diverged may have been deleted, and done again, since."""
    return None if result["status"] == COMPLETE else "one of its folds had not given a network"


def joined_stage(stage: Stage, store: RunStore) -> Stage:
    """A stage of `steps_by_folds` that puts runs together, with its work in a store."""
    return replace(stage, work=Alone(_Join(stage.name, stage.joins or {}, store)))


@dataclass(frozen=True)
class _Join:
    """Work on a run that puts it together from the runs of the folds, which have ended."""

    stage: str
    members: Mapping[str, Sequence[Run]]
    store: RunStore | None = None

    def __call__(self, run: Run, folder: Path) -> Outcome:
        if self.store is None:
            raise RuntimeError("runs are put together in a store")
        return join_runs(self.members[run.fingerprint], self.stage, self.store, folder)


def join_runs(runs: Sequence[Run], stage: str, store: RunStore, folder: Path) -> Outcome:
    """What a stage has found of all folds.

    Accuracies and losses of test images are those of all images, others are means over folds, times are sums. Which runs they
    are, and which of them is best by validation, is written into `folder`.

    Args:
        runs: one a fold, in their order.
        stage: which has ended for all of them.
        store: where they lie.
        folder: of the run that is put together.

    Raises:
        RuntimeError: one of them has failed, or has not ended.
    """
    results = [store.result(run, stage) for run in runs]
    for fold, result in enumerate(results, start=1):
        if result is None or result["status"] == FAILED:
            raise RuntimeError(f"fold {fold}: {'it has not ended' if result is None else result['reason']}")
    known = [result for result in results if result is not None]
    ended = next((one for one in enumerate(known, start=1) if one[1]["status"] != COMPLETE), None)
    if ended is not None:
        fold, result = ended
        return Outcome({}, result["status"], f"fold {fold}: {result['reason'] or result['status']}")
    metrics = [result["metrics"] for result in known]
    predictions = tuple(_joined_predictions(runs, store)) if any("test_accuracy" in own for own in metrics) else ()
    sizes = [1.0] * len(runs)
    plain = next((one for one in predictions if one.views == 1), None)
    if plain is not None and plain.folds is not None:
        sizes = [float((plain.folds == fold).sum()) for fold in range(1, len(runs) + 1)]
    joined = _joined_metrics(metrics, sizes)
    if plain is not None and plain.probabilities is not None:
        of_all = {
            metric.column: metric.measure(plain.probabilities, plain.labels)
            for metric in METRICS
            if metric.column in joined and metric.column in _NO_MEANS and metric.measure is not None
        }
        joined |= of_all
    has_begun = (folder / FOLDS_FILE).exists()  # the first stage tells of validation and epochs
    if not has_begun:
        write_json(folder / FOLDS_FILE, _members(runs, metrics))
    return Outcome(joined, history=None if has_begun else _joined_history(runs, store), predictions=predictions)


_NO_MEANS = ("test_calibration_error",)
"""Metrics of all test images that are not the mean of those of parts of them."""


def _members(runs: Sequence[Run], metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    validation = [own.get("validation_accuracy") for own in metrics]
    known = [-1.0 if value is None else float(value) for value in validation]
    return {
        "runs": [run.fingerprint for run in runs],
        "validation_accuracy": validation,
        "best": runs[known.index(max(known))].fingerprint,
    }


def _joined_metrics(metrics: Sequence[Mapping[str, Any]], sizes: Sequence[float]) -> dict[str, Any]:
    """Those that all folds have; what is no number only where it is the same of all."""
    kinds = {metric.column: metric for metric in METRICS}
    found: dict[str, Any] = {}
    for name, first in metrics[0].items():
        values: list[Any] = [own.get(name) for own in metrics]
        kind = kinds.get(name)
        if isinstance(first, Mapping):
            found[name] = _joined_metrics([value or {} for value in values], sizes)
        elif not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found |= {name: first} if all(value == first for value in values) else {}
        elif name == "seconds":
            found[name] = sum(values)
        elif name == "peak_memory_mb":
            found[name] = max(values)
        elif kind is not None and kind.is_whole:
            found[name] = round(sum(values) / len(values))
        else:
            weights = sizes if name.startswith("test_") else [1.0] * len(values)
            found[name] = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
    return found


def _joined_history(runs: Sequence[Run], store: RunStore) -> "pd.DataFrame | None":
    """Mean over the folds of what was measured in each epoch; None where nothing was."""
    import pandas as pd

    if not all(store.path(run, HISTORY_FILE).is_file() for run in runs):
        return None
    whole = pd.concat([store.history(run) for run in runs], ignore_index=True)
    key = "epoch" if "epoch" in whole else None
    if key is None:
        return None
    numbers = whole.select_dtypes("number")
    means = numbers.groupby(key, as_index=False, sort=True).mean()
    return means[[name for name in whole.columns if name in means.columns]]


def _joined_predictions(runs: Sequence[Run], store: RunStore) -> Iterator[Predictions]:
    """What was said of the test images of all folds, once for every number of views that all have kept."""
    split: PredictedSplit = "test"
    for views in range(1, _MOST_VIEWS + 1):
        said = [store.predictions(run, split, views=views) for run in runs]
        known = [one for one in said if isinstance(one, Predictions)]
        if len(known) == len(runs):
            yield joined_predictions(known)


def joined_predictions(parts: Sequence[Predictions]) -> Predictions:
    """What was said of the test images of each fold, as of all of them.

    Args:
        parts: one a fold, in their order; no image is in two of them.

    Raises:
        ValueError: an image is in two of them, or they number the classes differently.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.predictions import Predictions
        >>> from vision_studies.studies.folds import joined_predictions
        >>> said = np.array([[0.75, 0.25]])
        >>> first = Predictions.of("test", np.array([4]), np.array([0]), said)
        >>> second = Predictions.of("test", np.array([2]), np.array([1]), said)
        >>> both = joined_predictions([first, second])
        >>> both.indices.tolist(), both.folds.tolist(), both.accuracy
        ([2, 4], [2, 1], 0.5)
    """
    import numpy as np

    first = parts[0]
    indices = np.concatenate([one.indices for one in parts])
    order = np.argsort(indices, kind="stable")
    if len(np.unique(indices)) < len(indices):
        raise ValueError("an image is tested in two folds")
    if any(one.num_classes != first.num_classes or not _same(one.classes, first.classes) for one in parts):
        raise ValueError("folds number the classes differently")

    def whole(arrays: "Sequence[np.ndarray]") -> "np.ndarray":
        return np.concatenate(arrays)[order]

    probabilities = [one.probabilities for one in parts if one.probabilities is not None]
    tops = [one.top for one in parts if one.top is not None]
    top = None
    if len(tops) == len(parts):
        top = TopClasses(whole([one.classes for one in tops]), whole([one.probabilities for one in tops]))
    marks = [name for name in first.marks if all(name in one.marks for one in parts)]
    return replace(
        first,
        indices=indices[order],
        labels=whole([one.labels for one in parts]),
        predicted=whole([one.predicted for one in parts]),
        probabilities=whole(probabilities) if len(probabilities) == len(parts) else None,
        top=top,
        marks={name: whole([one.marks[name] for one in parts]) for name in marks},
        folds=whole([np.full(len(one.indices), fold) for fold, one in enumerate(parts, start=1)]),
    )


def _same(one: "np.ndarray | None", other: "np.ndarray | None") -> bool:
    if one is None or other is None:
        return one is other
    return one.tolist() == other.tolist()
