"""What a trained model says of the validation or test images that belong to its run, whichever pipeline it is of."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from vision_studies.augmentation.views import average_probabilities
from vision_studies.config.network_run import RunSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError, StorageError
from vision_studies.files import hash_file, hash_json
from vision_studies.predictions import Predictions
from vision_studies.run_folders import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    network_folder,
    read_description,
    run_folder_of,
    stage_files,
)
from vision_studies.serving.calibration import Calibration, read_calibration, write_calibration
from vision_studies.serving.image_classifier import Predictor
from vision_studies.serving.opened_models import open_model_file, open_run, selected_model
from vision_studies.serving.stored_data import data_of_file, data_of_run
from vision_studies.statistics.metrics import Split, measured
from vision_studies.stored_predictions import Unavailable, all_probabilities, read_predictions
from vision_studies.studies.method import StoredNetwork, networks_of, split_positions
from vision_studies.training.classifier import ImageClassifier
from vision_studies.training.network_run import divided

SERVING = ".serving"
"""Folder, in that of a run, of what is found when its network is used; hidden, as it is none of the run's own results."""


class SplitPredictions(NamedTuple):
    """What a model says of images: positions in the image set int64 [N], probabilities float32 [N, classes], and labels int64
    [N] of the classes with these names.
    """

    image_set: ImageSet
    positions: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """One row an image; see `Predictions.table`."""
        return Predictions.of("test", self.positions, self.labels, self.probabilities).table()


def score_model(path: Path, split: Split, device: torch.device) -> dict[str, float]:
    """Score a run, by its folder, or the model in a file: a study's model, weights, or a numbered checkpoint.

    Args:
        path: folder or file.
        split: which images.
        device: where to compute.

    Returns:
        Columns of the results table that tell of these images: accuracy and, where the model gives probabilities, loss.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or its weights fit another network.
        ParameterError: it is of a run that cannot be scored.
        DataError: the images that it was trained on are gone, or it has none of this split.
    """
    run = _run_of(path)
    score = networks_of(run.description["pipeline"]).score if run is not None else None
    if run is not None and score is not None and (scores := score(run, split)) is not None:
        return scores
    predicted = predict_split(path, split, device)
    return measured(predicted.probabilities, predicted.labels, split)


def predict_split(path: Path, split: Split, device: torch.device) -> SplitPredictions:
    """Class probabilities of the images, without augmentation, that a run was validated or tested with.

    They are found by the fingerprint of what it was trained on, so that it has learnt from none of them. Arguments and errors
    are those of `score_model`.
    """
    run = _run_of(path)
    if run is not None and networks_of(run.description["pipeline"]).held_out is not None:
        return _kept(run, split)
    shown = _shown(path, split)
    logits = [predictor.logits(images, number) for predictor, images, number in shown.batches(device)]
    probabilities = average_probabilities(torch.from_numpy(np.concatenate(logits, axis=1))).numpy()
    return SplitPredictions(shown.image_set, shown.positions, probabilities, shown.labels, shown.class_names)


def _kept(run: StoredNetwork, split: Split) -> SplitPredictions:
    """What a run has kept of its test images, each predicted by a network that had not learnt from it."""
    if split != "test":
        raise DataError(
            f"{run.path} has no {split} images of its own, for each image has been held out once; name the test images."
        )
    said, data = read_predictions(run.folder), data_of_run(run)
    probabilities = said if isinstance(said, Unavailable) else all_probabilities(run.folder, said)
    if isinstance(said, Unavailable) or isinstance(probabilities, Unavailable):
        reason = said.reason if isinstance(said, Unavailable) else probabilities.reason  # type: ignore[union-attr] # one is
        raise DataError(reason)
    return SplitPredictions(data.image_set, said.indices, probabilities, said.labels, data.image_set.class_names)


def calibrate(path: Path, device: torch.device) -> Calibration:
    """What the validation images tell of a model's confidence; found once, and kept beside the weights of a run.

    Args:
        path: as of `score_model`.
        device: where to compute.

    Raises:
        CheckpointError, ParameterError, DataError: as `score_model`; a model whose validation images are gone, or were trained
            on, cannot be calibrated.
    """
    run = _run_of(path)
    if run is None:
        return _calibration(path, device)
    file = (
        run.folder / SERVING / f"calibration{'' if run.checkpoint is None else f'_{run.checkpoint.stem}'}.safetensors"
    )
    found_from = hash_json(
        [hash_file(each) for each in (run.folder / DESCRIPTION_FILE, *sorted(stage_files(run.folder)))]
    )
    calibration = read_calibration(file, found_from)
    if calibration is None:
        calibration = _calibration(path, device)
        with suppress(StorageError):  # of a project that may only be read: found anew each time
            write_calibration(file, calibration, found_from)
    return calibration


def _calibration(path: Path, device: torch.device) -> Calibration:
    run = _run_of(path)
    if run is not None and (held_out := networks_of(run.description["pipeline"]).held_out) is not None:
        return Calibration.fitted(*held_out(run, data_of_run(run)))
    shown = _shown(path, "validation")
    said = [predictor.features(images, number) for predictor, images, number in shown.batches(device)]
    logits, features = (np.concatenate([each[part] for each in said], axis=-2) for part in (0, 1))
    return Calibration.fitted(logits[0], shown.labels, features)


class _Shown(NamedTuple):
    """What a classifier is shown of a split: positions int64 [N] in the image set, and labels int64 [N] of its classes."""

    classifier: ImageClassifier
    image_set: ImageSet
    positions: np.ndarray
    labels: np.ndarray

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classifier.images.class_names

    def batches(self, device: torch.device) -> Iterator[tuple[Predictor, np.ndarray, int]]:
        """The predictor with images of a batch, uint8 [B, H, W, C], and where it begins."""
        predictor, size = Predictor(self.classifier, device), self.classifier.batch_size
        for start in range(0, len(self.positions), size):
            yield predictor, self.image_set.images[self.positions[start : start + size]], start


def _shown(path: Path, split: Split) -> _Shown:
    run = _run_of(path)
    if run is None:
        classifier, selected = open_model_file(path), selected_model(path) or {}
        settings = RunSettings.model_validate(selected["configuration"])
        data = divided(settings, int(selected["seed"]), data_of_file(path, selected["data_fingerprint"]))
        positions = split_positions(None, data, split)
    else:
        classifier = open_model_file(path) if path.is_file() else open_run(run.folder)
        data = data_of_run(run)
        positions = networks_of(run.description["pipeline"]).positions(run, data, split)
    image_set, names = data.image_set, classifier.images.class_names
    known = np.array([image_set.class_names.index(name) for name in names])
    positions = positions[np.isin(image_set.labels[positions], known)]
    if not len(positions):
        raise DataError(f"{path} has no {split} images of its classes; name another split.")
    return _Shown(classifier, image_set, positions, np.searchsorted(known, image_set.labels[positions]))


def _run_of(path: Path) -> StoredNetwork | None:
    """The run in a folder, or that a file belongs to; None of a file that lies in none."""
    folder = path if path.is_dir() else run_folder_of(path)
    if folder is None:
        return None
    checkpoint = None if path == folder or path.absolute() == folder / WEIGHTS_FILE else path
    if checkpoint is None:
        folder = network_folder(folder)
    return StoredNetwork(folder, read_description(folder), checkpoint)
