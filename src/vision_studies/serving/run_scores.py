"""What a trained model says of the validation or test images that belong to its run, whichever pipeline it is of."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from vision_studies.config.network_run import RunSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.predictions import Predictions
from vision_studies.run_folders import WEIGHTS_FILE, read_description, run_folder_of
from vision_studies.serving.image_classifier import Predictor
from vision_studies.serving.opened_models import open_model_file, open_run, selected_model
from vision_studies.serving.stored_data import data_of_file, data_of_run
from vision_studies.statistics.metrics import Split, measured
from vision_studies.studies.method import StoredNetwork, networks_of, split_positions
from vision_studies.training.network_run import divided


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
    predictor, size = Predictor(classifier, device), classifier.batch_size
    batches = [predictor(image_set.images[positions[at : at + size]], at) for at in range(0, len(positions), size)]
    labels = np.searchsorted(known, image_set.labels[positions])
    return SplitPredictions(image_set, positions, np.concatenate(batches), labels, names)


def _run_of(path: Path) -> StoredNetwork | None:
    """The run in a folder, or that a file belongs to; None of a file that lies in none."""
    folder = path if path.is_dir() else run_folder_of(path)
    if folder is None:
        return None
    checkpoint = None if path == folder or path.absolute() == folder / WEIGHTS_FILE else path
    return StoredNetwork(folder, read_description(folder), checkpoint)
