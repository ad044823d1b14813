"""From a study's runs to what its statistics take: which test images the runs of each variant got right.

Rows of the results table say which runs there are; their predictions lie in their folders. The seeds of a variant stand side by
side, image by image, with classes numbered as the networks' outputs are. Where that cannot be, the variant is told of by its
test accuracies alone, with the reason.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vision_studies.errors import StorageError
from vision_studies.files import atomic_file
from vision_studies.outcomes import COMPLETE
from vision_studies.run_folders import CACHE, predictions_file
from vision_studies.statistics.evidence import Evidence
from vision_studies.stored_predictions import (
    Unavailable,
    all_probabilities,
    hash_of_images,
    read_digest,
    read_predictions,
)

if TYPE_CHECKING:
    import pandas as pd

    from vision_studies.predictions import Predictions

logger = logging.getLogger(__name__)

Wanted = Literal["correct", "predicted", "probabilities"]
"""What is read of every image: whether it is right; the predicted class, too; the probability of every class, too."""

COMMON_SHARE = 0.5
"""Of the test images of each seed, how many all of them must share; with fewer, seeds stand alone."""

RUN_COLUMNS = (
    *("pipeline", "condition", "variant", "trial", "seed", "status"),
    *("run_fingerprint", "data_fingerprint", "test_accuracy", "validation_accuracy"),
)
"""Columns of the results table that say which runs there are."""

_READERS = 8  # threads: small files keep the disk waiting
_BATCH = 64  # files that a thread is given at a time
_WORTH_KEEPING = 200  # files: fewer are read again in no time
_CACHE_VERSION = 2
_NO_FOLDS = np.zeros(0, dtype=np.int64)
_SAME = 1e-6  # accuracies of a row and of predictions differ by less


@dataclass(frozen=True)
class VariantRuns:
    """Complete, scored runs of one variant, one a seed, as the results table has them.

    Attributes:
        pipeline, condition, variant, trial: of all of them; variants are compared where conditions are equal.
        seeds: of each.
        fingerprints: names of their folders.
        data: fingerprint of what each has learnt from.
        values: test accuracy of each.
        validation: validation accuracy of each; NaN where there is none.
    """

    pipeline: str
    condition: str | None
    variant: str
    trial: int
    seeds: tuple[int, ...]
    fingerprints: tuple[str, ...]
    data: tuple[str, ...]
    values: tuple[float, ...]
    validation: tuple[float, ...]

    @property
    def name(self) -> str:
        """How the variant is called, with its trial where it has one."""
        return f"{self.variant}, trial {self.trial}" if self.trial else self.variant

    def by_seed(self) -> Evidence:
        """Evidence without images, for which nothing is read."""
        return Evidence.of_seeds(self.name, self.seeds, self.values, self.validation)


@dataclass(frozen=True)
class VariantEvidence:
    """Evidence of a variant, and what is to be said of it, each in a sentence.

    Attributes:
        runs: whose it is.
        evidence: image by image where it could be read, else by seed.
        seeds_only: why it has no images; None where it has.
        aligned: which images were taken where those of its seeds differ; None where they are the same.
        no_probabilities: why it has none, where they were asked for.
    """

    runs: VariantRuns
    evidence: Evidence
    seeds_only: str | None = None
    aligned: str | None = None
    no_probabilities: str | None = None


def variant_runs(results: "pd.DataFrame") -> list[VariantRuns]:
    """Scored runs of each variant of a results table, in the order in which variants first come. Nothing is read.

    Runs that are not complete, or have no test accuracy, are left out.
    """
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in results[list(RUN_COLUMNS)].to_dict("records"):
        if is_scored(row):
            condition = row["condition"] if isinstance(row["condition"], str) else None
            rows.setdefault((row["pipeline"], condition, row["variant"], row["trial"]), []).append(row)
    return [runs_of_variant(own) for own in rows.values()]


def is_scored(row: Mapping[str, Any]) -> bool:
    """Whether a row of the results table is of a complete run with a test accuracy."""
    return row["status"] == COMPLETE and not math.isnan(_number(row["test_accuracy"]))


def runs_of_variant(rows: Sequence[Mapping[str, Any]]) -> VariantRuns:
    """The runs of rows, one at least, that are of one variant, condition and trial, in their order; all are scored."""
    first = rows[0]
    return VariantRuns(
        pipeline=str(first["pipeline"]),
        condition=first["condition"] if isinstance(first["condition"], str) else None,
        variant=str(first["variant"]),
        trial=int(first["trial"]),
        seeds=tuple(int(row["seed"]) for row in rows),
        fingerprints=tuple(row["run_fingerprint"] for row in rows),
        data=tuple(row["data_fingerprint"] for row in rows),
        values=tuple(_number(row["test_accuracy"]) for row in rows),
        validation=tuple(_number(row["validation_accuracy"]) for row in rows),
    )


def _number(value: Any) -> float:
    """A number of the results table, NaN where it is missing."""
    return math.nan if value is None else float(value)


def read_evidence(groups: Sequence[VariantRuns], runs: Path, wanted: Wanted = "correct") -> list[VariantEvidence]:
    """Evidence of variants, from the predictions of their runs. Nothing is raised for bad files: a variant of which one run has
    none that can be used is told of by its seeds alone, with the reason.

    Args:
        groups: variants, of `variant_runs`; of a study with thousands of runs, those that are asked about.
        runs: folder of the runs.
        wanted: what of every image. `correct` alone of many runs is kept in one file beside them for the next time.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from vision_studies.studies.evidence import VariantRuns, read_evidence
        >>> nothing = float("nan")
        >>> plain = VariantRuns("cifar_resnet", None, "plain", 0, (0,), ("0123",), ("data",), (0.9,), (nothing,))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [found] = read_evidence([plain], Path(folder))
        >>> found.evidence.values.tolist(), found.seeds_only.endswith("is not there any more.")
        ([0.9], True)
    """
    asked = [_Asked(*one) for group in groups for one in zip(group.fingerprints, group.data, group.values, strict=True)]
    read = _read_correct if wanted == "correct" else partial(_read_files, wanted=wanted)
    said = iter(read(asked, runs))
    return [_variant(group, [next(said) for _ in group.seeds], wanted) for group in groups]


class _Asked(NamedTuple):
    """A run, by the name of its folder, the fingerprint of its data, and its test accuracy."""

    fingerprint: str
    data: str
    value: float


class _Images(NamedTuple):
    """Test images of a run: positions int64 [N] and labels int64 [N]; runs of one test split share one object. `folds` int64
    [N] is that of a cross-validation in which each was held out; empty where there is one test split.
    """

    indices: np.ndarray
    labels: np.ndarray
    folds: np.ndarray


class _Said(NamedTuple):
    """What a run says of its test images."""

    images: _Images
    correct: np.ndarray
    predicted: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    no_probabilities: str | None = None


_Read = _Said | Unavailable


def _variant(group: VariantRuns, read: Sequence[_Read], wanted: Wanted) -> VariantEvidence:
    unavailable = [each.reason for each in read if isinstance(each, Unavailable)]
    if unavailable:
        number = f"{len(unavailable)} of its {len(read)} runs" if len(read) > 1 else "its run"
        reason = f"The predictions of {number} cannot be used: {unavailable[0]}"
        return VariantEvidence(group, group.by_seed(), seeds_only=reason)
    said = [each for each in read if isinstance(each, _Said)]
    common, aligned = _common(group, [each.images for each in said])
    if common is None:
        return VariantEvidence(group, group.by_seed(), seeds_only=aligned)
    places = [_places(each.images, common) for each in said]
    without = next((each.no_probabilities for each in said if each.no_probabilities), None)
    evidence = Evidence.of_images(
        group.name,
        group.seeds,
        common.indices,
        common.labels,
        correct=_stacked([each.correct for each in said], places),
        predicted=None if wanted == "correct" else _stacked([each.predicted for each in said], places),
        probabilities=None
        if wanted != "probabilities" or without
        else _stacked([each.probabilities for each in said], places),
        validation=group.validation,
        folds=_stacked([each.images.folds for each in said], places)
        if all(len(each.images.folds) for each in said)
        else None,
    )
    return VariantEvidence(group, evidence, aligned=aligned, no_probabilities=without)


def _common(group: VariantRuns, images: Sequence[_Images]) -> tuple[_Images | None, str | None]:
    """Images that all seeds were tested with, and what is to be said of them; None where they are too few."""
    first, kinds = images[0], list({id(each): each for each in images}.values())
    if all(all(map(np.array_equal, each[:2], first[:2])) for each in kinds[1:]):
        return first, None
    indices = first.indices
    for each in kinds[1:]:
        indices = np.intersect1d(indices, each.indices, assume_unique=True)
    sizes = [len(each.indices) for each in kinds]
    counted = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    if len(indices) < COMMON_SHARE * max(sizes):
        return None, (
            f"The {len(images)} runs of {group.name} were tested with different images ({counted}, of which all share "
            f"{len(indices)}), so that they cannot be compared image by image."
        )
    shared = np.searchsorted(first.indices, indices)
    common = _Images(indices, first.labels[shared], _NO_FOLDS)
    if any((each.labels[np.searchsorted(each.indices, indices)] != common.labels).any() for each in kinds):
        return None, f"The runs of {group.name} number the classes of the test images differently."
    return common, (
        f"The runs of {group.name} were tested with different images ({counted}); the {len(indices)} that all of them share "
        "are compared."
    )


def _places(images: _Images, common: _Images) -> np.ndarray | None:
    """Where the common images stand among those of a run; None where they are all of them."""
    return None if images is common else np.searchsorted(images.indices, common.indices)


def _stacked(arrays: Sequence[np.ndarray | None], places: Sequence[np.ndarray | None]) -> np.ndarray:
    parts = [
        array if place is None else array[place]
        for array, place in zip(arrays, places, strict=True)
        if array is not None
    ]
    return np.stack(parts)


def _read_files(asked: Sequence[_Asked], runs: Path, wanted: Wanted, known: Sequence[_Images] = ()) -> Iterable[_Read]:
    """What runs say, in their order, from a file each; of images that are known already, the same objects are given."""
    sets = {hash_of_images(*images): images for images in known}
    batches = [asked[start : start + _BATCH] for start in range(0, len(asked), _BATCH)]
    read = partial(_read_some, runs=runs, wanted=wanted, sets=sets)
    if len(batches) < 2:
        return chain.from_iterable(map(read, batches))
    with ThreadPoolExecutor(_READERS) as pool:
        return chain.from_iterable(list(pool.map(read, batches)))


def _read_some(asked: Sequence[_Asked], *, runs: Path, wanted: Wanted, sets: dict[str, _Images]) -> list[_Read]:
    return [
        (_from_digest(run, runs / run.fingerprint, sets) if wanted == "correct" else None)
        or _read_one(run, runs / run.fingerprint, wanted, partial(_shared, sets))
        for run in asked
    ]


def _from_digest(run: _Asked, folder: Path, sets: Mapping[str, _Images]) -> _Said | None:
    """What a run says of images that are known already; None where its file is to be read for that, or for what is wrong."""
    digest = read_digest(folder, run.data)
    images = None if digest is None else sets.get(digest.images)
    if digest is None or images is None or len(digest.bits) != -(-len(images.indices) // 8):
        return None
    correct = np.unpackbits(np.frombuffer(digest.bits, np.uint8), count=len(images.indices)).view(bool)
    return _Said(images, correct) if len(correct) and abs(correct.mean() - run.value) <= _SAME else None


def _read_one(run: _Asked, folder: Path, wanted: Wanted, shared: "Callable[[Predictions], _Images]") -> _Read:
    said = read_predictions(folder, data_fingerprint=run.data, probabilities=wanted == "probabilities")
    if isinstance(said, Unavailable):
        return said
    if not len(said.indices) or abs(said.accuracy - run.value) > _SAME:
        return Unavailable(
            f"{folder} says of its test images other than its result ({said.accuracy:.4f} are right, and its accuracy is "
            f"{run.value:.4f}); delete its evaluation.json and run the study again."
        )
    images = shared(said)
    if wanted == "correct":
        return _Said(images, said.correct)
    if wanted == "predicted":
        return _Said(images, said.correct, said.predicted)
    probabilities = all_probabilities(folder, said)
    if isinstance(probabilities, Unavailable):
        return _Said(images, said.correct, said.predicted, no_probabilities=probabilities.reason)
    return _Said(images, said.correct, said.predicted, probabilities)


def _shared(sets: dict[str, _Images], said: "Predictions") -> _Images:
    """The images of a run; the same object for all runs that were tested with them."""
    images = _Images(said.indices, said.labels, _NO_FOLDS if said.folds is None else said.folds)
    return sets.setdefault(hash_of_images(*images), images)


def _read_correct(asked: Sequence[_Asked], runs: Path) -> Iterable[_Read]:
    """Which images runs got right: from the file of all of them where it is as their own are, else from their own."""
    if len(asked) < _WORTH_KEEPING:
        return _read_files(asked, runs, "correct")
    cache = _Cache.read(runs / CACHE)
    stamps = _stamps(asked, runs)
    found: list[_Read | None] = [cache.said(run, stamp) for run, stamp in zip(asked, stamps, strict=True)]
    new = [place for place, said in enumerate(found) if said is None]
    read = list(_read_files([asked[place] for place in new], runs, "correct", cache.images))
    for place, said in zip(new, read, strict=True):
        found[place] = said
    if len(new) >= _WORTH_KEEPING:
        whole = [said for said in found if said is not None]
        _Cache.write(runs / CACHE, asked, stamps, whole)
    return [said for said in found if said is not None]


_Stamp = tuple[int, int]
"""When a file was last written, in nanoseconds, and its bytes."""

_NO_FILE = (0, 0)


def _stamps(asked: Sequence[_Asked], runs: Path) -> list[_Stamp]:
    def stamp(run: _Asked) -> _Stamp:
        try:
            status = predictions_file(runs / run.fingerprint, "test").stat()
        except OSError:
            return _NO_FILE
        return status.st_mtime_ns, status.st_size

    return [stamp(run) for run in asked]


@dataclass(frozen=True)
class _Cache:
    """Which images runs got right, of many runs in one file; what has changed since is not taken from it.

    Attributes:
        rows: (fingerprint, data, accuracy, stamp) -> number of the images, and eight images a byte.
        images: of the runs.
    """

    rows: dict[tuple[_Asked, _Stamp], tuple[int, np.ndarray]]
    images: list[_Images]

    def said(self, run: _Asked, stamp: _Stamp) -> _Said | None:
        """What it has of a run."""
        row = self.rows.get((run, stamp))
        if row is None:
            return None
        images = self.images[row[0]]
        return _Said(images, np.unpackbits(row[1], count=len(images.indices)).view(bool))

    @classmethod
    def read(cls, file: Path) -> "_Cache":
        """What `write` has left; nothing where there is nothing, or it is damaged: it is made again."""
        try:
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            if arrays["version"] != _CACHE_VERSION:
                return cls({}, [])
            numbers = range(int(arrays["number"]))
            images = [_Images(*(arrays[f"{name}_{n}"] for name in _Images._fields)) for n in numbers]
            names = [_Asked(*one) for one in zip(*(arrays[name].tolist() for name in _Asked._fields), strict=True)]
            stamps = [(time, size) for time, size in arrays["stamps"].tolist()]
            bits = np.split(arrays["bits"], arrays["ends"][:-1])
            rows = zip(names, stamps, arrays["set"].tolist(), bits, strict=True)
            return cls({(run, stamp): (place, some) for run, stamp, place, some in rows}, images)
        except Exception as error:  # numpy, zip and zlib have errors of their own for what a damaged file may be
            logger.debug("%s is not read: %s", file, error)
            return cls({}, [])

    @staticmethod
    def write(file: Path, asked: Sequence[_Asked], stamps: Sequence[_Stamp], said: Sequence[_Read]) -> None:
        """Write what runs say, those that have nothing to say left out. A folder that cannot be written is no error."""
        kept = [
            (run, stamp, each)
            for run, stamp, each in zip(asked, stamps, said, strict=True)
            if isinstance(each, _Said) and stamp != _NO_FILE
        ]
        images = list({id(each.images): each.images for *_, each in kept}.values())
        numbers = {id(each): number for number, each in enumerate(images)}
        bits = [np.packbits(each.correct) for *_, each in kept]
        arrays = {
            "version": np.array(_CACHE_VERSION),
            "number": np.array(len(images)),
            "stamps": np.array([stamp for _, stamp, _ in kept], dtype=np.int64).reshape(-1, 2),
            "set": np.array([numbers[id(each.images)] for *_, each in kept], dtype=np.int64),
            "bits": np.concatenate(bits) if bits else np.zeros(0, np.uint8),
            "ends": np.cumsum([len(each) for each in bits], dtype=np.int64),
            **{name: np.array([getattr(run, name) for run, *_ in kept]) for name in _Asked._fields},
            **{
                f"{name}_{number}": array
                for number, each in enumerate(images)
                for name, array in zip(_Images._fields, each, strict=True)
            },
        }
        with suppress(StorageError, OSError), atomic_file(file) as temporary, temporary.open("wb") as opened:
            np.savez(opened, **arrays)  # type: ignore[arg-type] # no array is called allow_pickle
