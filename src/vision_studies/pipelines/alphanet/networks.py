"""Classifiers and AlphaNets of `alphanet` scored again, on the features that their study has kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.errors import CheckpointError, DataError, ParameterError
from vision_studies.pipelines.alphanet.plan import CLASSIFIER_FILE, COMBINATIONS_FILE
from vision_studies.run_folders import descriptions
from vision_studies.studies.method import StoredNetwork, no_networks

if TYPE_CHECKING:
    import numpy as np

    from vision_studies.data.class_splits import ClassSplits
    from vision_studies.pipelines.alphanet.work.features import FeatureGroup
    from vision_studies.statistics.metrics import Split


def _no_title(_: Mapping[str, Any]) -> str:
    return ""


def _score(run: StoredNetwork, split: "Split") -> dict[str, float]:
    from scipy.special import softmax

    from vision_studies.statistics.metrics import measured

    values, group, _ = scores_of(run, split)
    scores = measured(softmax(values, axis=1), group.labels, split)
    # Nearest class means give distances, of which nothing is a probability.
    distances = run.configuration["classifier"]["name"] == "ncm"
    return {name: value for name, value in scores.items() if name.endswith("accuracy")} if distances else scores


def scores_of(run: StoredNetwork, split: "Split") -> "tuple[np.ndarray, FeatureGroup, ClassSplits]":
    """Scores [N, classes] of a classifier or an AlphaNet for the images of a split, their features with labels, and which
    classes are few, medium and many.

    Raises:
        ParameterError: the run is of a network that gives features, or a file of it is named that holds no classifier.
        DataError: the features are gone, or there are none of this split.
        CheckpointError: the classifier's file is missing or damaged.
    """
    from vision_studies.pipelines.alphanet.settings import CombinationRunSettings
    from vision_studies.pipelines.alphanet.work.classifiers import load_classifier
    from vision_studies.pipelines.alphanet.work.evaluation import improved_classifier
    from vision_studies.pipelines.alphanet.work.experiments import read_combinations
    from vision_studies.pipelines.alphanet.work.sources import open_source

    configuration = run.configuration
    if "classifier" not in configuration:
        raise ParameterError(
            f"{run.path} is of a network that gives features of a long tail which its run does not describe; name the run of "
            f"the classifier 'own' with the same seed ({run.seed}), which is this network's last layer."
        )
    if run.checkpoint is not None and run.checkpoint.name not in (CLASSIFIER_FILE, COMBINATIONS_FILE):
        raise ParameterError(f"{run.checkpoint} holds no classifier; name its run, {run.folder.name}, instead.")
    method = configuration["classifier"]["name"]
    features = open_source(run.folder.parent / "features" / configuration["features"]).taken(
        wide=method == "multi_expert"
    )
    if split not in features.groups:
        raise DataError(f"The study of {run.folder} has no {split} images; choose another split.")
    classifier = load_classifier(_classifier_folder(run) / CLASSIFIER_FILE)
    if "combinations" in configuration:
        scale = CombinationRunSettings.model_validate(configuration["combinations"]).training.prediction_scale
        learnt = read_combinations(run.folder / COMBINATIONS_FILE, features.splits)
        classifier = improved_classifier(classifier, *learnt, scale)
    group = features.groups[split]
    return classifier.scores(group.features), group, features.splits


def _classifier_folder(run: StoredNetwork) -> Path:
    """Folder of the run that has fitted the classifier which a run is, or improves."""
    wanted = {name: run.configuration[name] for name in ("classifier", "features")}
    if run.configuration == wanted:
        return run.folder
    for folder, description in descriptions(run.folder.parent):
        if description["configuration"] == wanted:
            return folder
    raise CheckpointError(
        f"{run.folder} improves a classifier whose run lies no longer beside it; run the study again."
    )


NETWORKS = no_networks(
    "they are parts (networks that give features, classifiers of these), and none classifies images alone; `kedro runs "
    "accuracy` scores the classifiers on the features",
    _no_title,
    _score,
)
