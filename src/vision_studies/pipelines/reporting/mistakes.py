"""What the gallery of a study's page is made of: stored predictions of its best variants, and the images themselves."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.reports.gallery import MOST_CLASSIFIERS, Judged, as_json, gallery
from vision_studies.stored_predictions import Unavailable, read_predictions
from vision_studies.studies.method import load_method

_TRIED = 12  # variants whose predictions are looked for
_HELD_OUT = ("out_of_fold", "validation", "test")
"""Predictions of images that the network has not learnt from: many of them first."""


def gallery_data(results: pd.DataFrame, models: Path, primary: Path, fingerprint: str) -> str | None:
    """The gallery of a study as JSON; None where it has no images, no stored predictions or no mistakes.

    Args:
        results: rows of the study's results tables.
        models: the study's folder of models, with a folder a pipeline.
        primary: folder in which prepared images lie, with a folder a data set.
        fingerprint: of the study's images.
    """
    images = _image_set(primary, fingerprint)
    if images is None:
        return None
    best = _best_runs(results)
    several = best["pipeline"].nunique() > 1
    found: list[tuple[Path, Judged]] = []
    for run in best.itertuples():
        name = f"{run.variant} ({run.pipeline})" if several else str(run.variant)
        folder = load_method(str(run.pipeline)).runs_folder(models) / str(run.run_fingerprint)
        judged = _judged(folder, "test", name, images)
        if judged is not None and (not found or np.array_equal(judged.indices, found[0][1].indices)):
            found.append((folder, judged))
        if len(found) == MOST_CLASSIFIERS:
            break
    if not found:
        return None
    content = gallery([judged for _, judged in found], _held_out(found, images), images.images, images.class_names)
    return None if content is None else as_json(content)


def _best_runs(results: pd.DataFrame) -> pd.DataFrame:
    """Of each variant that was scored, the run with the best validation accuracy; the best variants first."""
    scored = results.dropna(subset=["test_accuracy", "validation_accuracy"])
    ordered = scored.sort_values("validation_accuracy", ascending=False, kind="stable")
    return ordered.drop_duplicates(["pipeline", "variant"]).drop_duplicates("run_fingerprint").head(_TRIED)


def _held_out(found: Sequence[tuple[Path, Judged]], images: ImageSet) -> Judged | None:
    for split in _HELD_OUT:
        for folder, judged in found:
            other = judged if split == "test" else _judged(folder, split, judged.name, images)
            if other is not None and other.probabilities is not None:
                return other
    return None


def _judged(folder: Path, split: str, name: str, images: ImageSet) -> Judged | None:
    """What a run has kept, in the classes of the image set; None where that is nothing, or of other images."""
    found = read_predictions(folder, split)  # type: ignore[arg-type]
    if isinstance(found, Unavailable) or not len(found.indices) or found.indices.max() >= len(images.labels):
        return None
    classes = np.arange(len(images.class_names)) if found.classes is None else found.classes
    labels, predicted = classes[found.labels], classes[found.predicted]
    if not np.array_equal(images.labels[found.indices], labels):
        return None
    probabilities = None
    if found.probabilities is not None:
        probabilities = np.zeros((len(labels), len(images.class_names)), dtype=np.float32)
        probabilities[:, classes] = found.probabilities
    return Judged(name, found.indices, labels, predicted, probabilities)


def _image_set(primary: Path, fingerprint: str) -> ImageSet | None:
    for file in sorted(primary.glob("*/image_set/image_set.json")):
        try:
            if json.loads(file.read_text(encoding="utf-8")).get("fingerprint") == fingerprint:
                return ImageSet.open(file.parent)
        except (ValueError, DataError):
            continue  # damaged: whoever needs it says so
    return None
