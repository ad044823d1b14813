"""Networks, classifiers on their features and AlphaNets of `alphanet` in use: on images, and on the features that were kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.models import network_name
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.plan import CLASSIFIER_FILE, COMBINATIONS_FILE
from vision_studies.pipelines.alphanet.settings import gives_logits
from vision_studies.run_folders import read_description
from vision_studies.studies.method import NO_WEIGHTS, WEIGHTS_FILE, Networks, StoredNetwork

if TYPE_CHECKING:
    import numpy as np

    from vision_studies.data.class_splits import ClassSplits
    from vision_studies.data.prepared import PreparedData
    from vision_studies.pipelines.alphanet.work.features import FeatureGroup
    from vision_studies.statistics.metrics import Split
    from vision_studies.training.classifier import ImageClassifier

_TITLES = {
    "own": "own classifier",
    "crt": "classifier trained anew on balanced images (cRT)",
    "lws": "classifier with learnt scales (LWS)",
    "tau": "tau-normalised classifier",
    "ncm": "nearest class mean (NCM)",
    "multi_expert": "mean of several networks' classifiers",
    "adjusted": "classifier with adjusted logits",
    "retrained": "classifier trained anew",
}
IMPORTED = (
    "they classify features that were imported from files (alphanet.imported), and the network that makes such features of "
    "images is not in this project; `kedro runs accuracy` scores them on the features"
)


def _title(configuration: Mapping[str, Any]) -> str:
    if "backbone" in configuration:
        return network_name(configuration["backbone"]["model"])
    title = _TITLES[configuration["classifier"]["name"]]
    return f"AlphaNet on {title}" if "combinations" in configuration else title


def _unusable(configuration: Mapping[str, Any], folder: Path) -> str | None:
    if "classifier" not in configuration:
        return None if (folder / WEIGHTS_FILE).is_file() else NO_WEIGHTS
    file = COMBINATIONS_FILE if "combinations" in configuration else CLASSIFIER_FILE
    if not (folder / file).is_file():
        return f"they have no {file}: they are unfinished, have failed, or it was deleted"
    # Features of images are named after the networks, imported ones after the files that take the place of the images, too.
    return IMPORTED if read_description(folder)["data_fingerprint"] == configuration["features"] else None


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "ImageClassifier":
    from vision_studies.pipelines.alphanet.rebuilding import rebuild

    _require_own_file(run)
    return rebuild(run, data)


def _positions(run: StoredNetwork, data: "PreparedData", split: "Split") -> "np.ndarray":
    from vision_studies.pipelines.alphanet.rebuilding import positions

    return positions(run, data, split)


def _data(run: StoredNetwork, prepared: "Mapping[str, PreparedData]") -> "PreparedData | None":
    from vision_studies.pipelines.alphanet.rebuilding import data_of_images

    return data_of_images(run, prepared)


def _score(run: StoredNetwork, split: "Split") -> dict[str, float] | None:
    from scipy.special import softmax

    from vision_studies.statistics.metrics import measured

    if "classifier" not in run.configuration:
        return None
    values, group, _ = scores_of(run, split)
    scores = measured(softmax(values, axis=1), group.labels, split)
    if gives_logits(run.configuration["classifier"]):
        return scores
    return {name: value for name, value in scores.items() if name.endswith("accuracy")}  # nothing is a probability


def scores_of(run: StoredNetwork, split: "Split") -> "tuple[np.ndarray, FeatureGroup, ClassSplits]":
    """Scores [N, classes] of a classifier or an AlphaNet for the images of a split, their features with labels, and which
    classes are few, medium and many.

    Raises:
        ParameterError: a file of the run is named that holds no classifier.
        DataError: the features are gone, or there are none of this split.
        CheckpointError: the classifier's file is missing or damaged.
    """
    from vision_studies.pipelines.alphanet.rebuilding import features_folder, fitted_classifier
    from vision_studies.pipelines.alphanet.work.sources import open_source

    _require_own_file(run)
    wide = run.configuration["classifier"]["name"] == "multi_expert"
    features = open_source(features_folder(run)).taken(wide=wide)
    if split not in features.groups:
        raise DataError(f"The study of {run.folder} has no {split} images; choose another split.")
    group = features.groups[split]
    return fitted_classifier(run).scores(group.features), group, features.splits


def _require_own_file(run: StoredNetwork) -> None:
    """Refuse a file of a classifier's run that holds no classifier."""
    is_classifier = "classifier" in run.configuration
    if is_classifier and run.checkpoint is not None and run.checkpoint.name not in (CLASSIFIER_FILE, COMBINATIONS_FILE):
        raise ParameterError(f"{run.checkpoint} holds no classifier; name its run, {run.folder.name}, instead.")


NETWORKS = Networks(_title, _rebuild, _unusable, _positions, _data, _score)
