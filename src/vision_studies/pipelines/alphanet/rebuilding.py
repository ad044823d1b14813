"""From the folder of a run of `alphanet` to a classifier of images: its networks, with the run's classifier as last layer."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.config.data_prep import LongTailSettings
from vision_studies.config.network_run import RunSettings
from vision_studies.data.loaders import Normalisation
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import CheckpointError, DataError
from vision_studies.pipelines.alphanet.plan import (
    CLASSIFIER_FILE,
    COMBINATIONS_FILE,
    FEATURES,
    features_name,
    noted_tail,
    with_tail,
)
from vision_studies.pipelines.alphanet.settings import CombinationRunSettings
from vision_studies.pipelines.alphanet.work.evaluation import improved_classifier
from vision_studies.pipelines.alphanet.work.experiments import read_combinations
from vision_studies.pipelines.alphanet.work.features import FeatureSet, has_feature_set
from vision_studies.pipelines.alphanet.work.linear_classifier import AlignedClassifier, load_classifier
from vision_studies.pipelines.alphanet.work.sources import classifier_layer, open_source, pretrained_features
from vision_studies.project_folders import run_records
from vision_studies.run_folders import descriptions
from vision_studies.serving.joined_networks import AlignedLayer, LastLayer, SummedLogits
from vision_studies.statistics.metrics import Split
from vision_studies.studies.method import WEIGHTS_FILE, StoredNetwork
from vision_studies.studies.question import read_records
from vision_studies.training.checkpoints import load_selected
from vision_studies.training.classifier import ImageClassifier, ImageFormat
from vision_studies.training.network_run import build_network
from vision_studies.training.precision import FLOAT32

_PRETRAINED_AT_ONCE = 32  # images


def rebuild(run: StoredNetwork, data: PreparedData) -> ImageClassifier:
    """The classifier of images that a run has left: a network, or a classifier or AlphaNet on the networks of its features.

    Raises:
        CheckpointError: the weights do not fit, or networks, features or a classifier that it needs are gone.
    """
    if "classifier" in run.configuration:
        features = pretrained_features(features_folder(run), data.image_size)
        if features is not None:
            return _on_pretrained(run, features, data)
    backbones = Backbones.of(run)
    settings, evaluation = backbones.settings, backbones.settings.evaluation
    networks = [load_selected(build_network(settings, data), weights) for weights in backbones.weights]
    if "classifier" in run.configuration:
        put_classifier_on(networks, fitted_classifier(run), settings.model.logit_scale)
    network = networks[0] if len(networks) == 1 else SummedLogits(networks)
    chosen = (settings.training, evaluation.batch_size, evaluation.padding, evaluation.seed)
    return ImageClassifier(run.path, network, ImageFormat.of(data), *chosen)


def _on_pretrained(run: StoredNetwork, features: nn.Module, data: PreparedData) -> ImageClassifier:
    """A run's classifier behind the pretrained network whose features it takes."""
    classifier = fitted_classifier(run)
    network = nn.Sequential(features, nn.Linear(classifier.weight.shape[1], len(classifier.bias)))
    put_classifier_on([network], classifier, 1.0)
    pixels = Normalisation((0.0,) * data.in_channels, (255.0,) * data.in_channels)
    return ImageClassifier(
        run.path, network.eval(), ImageFormat.of(data, pixels), FLOAT32, batch_size=_PRETRAINED_AT_ONCE
    )


def put_classifier_on(networks: list[nn.Module], classifier: LinearClassifier, logit_scale: float) -> None:
    """Give networks the last layers by which the sum of their logits is what a classifier says of their features side by side.

    Args:
        networks: in the order of their features; changed in place.
        classifier: weights [classes, sum of the networks' features].
        logit_scale: what each network multiplies the outputs of its last layer by.
    """
    layers = [classifier_layer(network) for network in networks]
    columns = np.split(classifier.weight, np.cumsum([layer.in_features for layer in layers])[:-1], axis=1)
    bias = classifier.bias
    if isinstance(classifier, AlignedClassifier):
        if len(networks) > 1:
            raise CheckpointError(
                "A classifier whose scores are aligned is one of a single network; run the study again."
            )
        arrays = (classifier.weight, bias, classifier.factors, classifier.shifts, classifier.gate)
        learnt = [torch.from_numpy(values) for values in arrays]
    for network, layer, weight in zip(networks, layers, columns, strict=True):
        name = next(name for name, module in network.named_modules() if module is layer)
        parent, _, leaf = name.rpartition(".")
        new: nn.Module = LastLayer(torch.from_numpy(weight / logit_scale), torch.from_numpy(bias / logit_scale))
        if isinstance(classifier, AlignedClassifier):
            new = AlignedLayer(*learnt, logit_scale=logit_scale)
        setattr(network.get_submodule(parent), leaf, new)
        bias = np.zeros_like(bias)  # once: the networks' logits are summed


@dataclass(frozen=True)
class Backbones:
    """Networks that give features, and where their weights lie."""

    settings: RunSettings
    weights: list[Path]

    @classmethod
    def of(cls, run: StoredNetwork) -> "Backbones":
        """The network that a run has trained, or those whose features its classifier takes.

        The name of a folder of features is a hash of the runs that have made them, so that they are known for certain.

        Raises:
            CheckpointError: they are gone, or the features are.
        """
        configuration = run.configuration
        if "classifier" not in configuration:
            return cls(RunSettings.model_validate(configuration["backbone"]), [run.weights])
        features, source = _features(run), open_source(features_folder(run))
        for experts in _sets_of_experts(run, len(source.experts)):
            fingerprints = [folder.name for folder, _ in experts]
            made = [features_name(features.splits, how, fingerprints) for how in ("carved", "none")]
            if configuration["features"] in made:
                settings = RunSettings.model_validate(experts[0][1]["backbone"])
                wide = configuration["classifier"]["name"] == "multi_expert"
                weights = [folder / WEIGHTS_FILE for folder, _ in experts]
                return cls(settings, weights if wide else weights[:1])
        raise CheckpointError(
            f"{run.folder} classifies features of networks whose runs lie no longer beside it; run the study again."
        )


def fitted_classifier(run: StoredNetwork) -> LinearClassifier:
    """The classifier that a run has fitted, or that an AlphaNet has made of another one.

    Raises:
        CheckpointError: its file is missing or damaged, or the features that say which classes are few are gone.
    """
    classifier = load_classifier(classifier_folder(run) / CLASSIFIER_FILE)
    if "combinations" not in run.configuration:
        return classifier
    scale = CombinationRunSettings.model_validate(run.configuration["combinations"]).training.prediction_scale
    return improved_classifier(
        classifier, *read_combinations(run.folder / COMBINATIONS_FILE, _features(run).splits), scale
    )


def features_folder(run: StoredNetwork) -> Path:
    """Folder of the features that a run's classifier takes."""
    return run.folder.parent / FEATURES / run.configuration["features"]


def classifier_folder(run: StoredNetwork) -> Path:
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


def data_of_images(run: StoredNetwork, prepared: Mapping[str, PreparedData]) -> PreparedData | None:
    """The images and splits that a run was trained on: prepared ones, or a long tail that the study has cut of these.

    The tail is the one that the study has noted or, of older runs, one that its records name; the fingerprint says whether
    the images are those of the run.
    """
    wanted = run.description["data_fingerprint"]
    if wanted in prepared:
        return prepared[wanted]
    for tail in _tails(run):
        for whole in prepared.values():
            with suppress(DataError):  # of other images, of which some class would keep none
                data = with_tail(whole, tail)
                if data.fingerprint == wanted:
                    return data
    return None


def positions(run: StoredNetwork, data: PreparedData, split: Split) -> np.ndarray:
    """Positions, in the image set, of the images that a run is validated or tested with, int64 [N]; none where the validation
    images were trained on.
    """
    if "classifier" in run.configuration and split not in _features(run).groups:
        return np.empty(0, np.int64)
    chosen: np.ndarray = getattr(data.splits, split)
    return chosen


def _features(run: StoredNetwork) -> FeatureSet:
    folder = features_folder(run)
    if not has_feature_set(folder / "features"):
        raise CheckpointError(f"{run.folder} needs the features in {folder}, which are gone; run the study again.")
    return open_source(folder).features


def _sets_of_experts(run: StoredNetwork, number: int) -> Iterator[list[tuple[Path, dict[str, Any]]]]:
    """Networks of one seed and of the same settings beside a run, the first `number` of them: folders and configurations."""
    sets: dict[str, dict[int, tuple[Path, dict[str, Any]]]] = {}
    for folder, description in descriptions(run.folder.parent):
        configuration = description["configuration"]
        if "backbone" in configuration and description["data_fingerprint"] == run.description["data_fingerprint"]:
            alike = json.dumps([description["seed"], configuration["backbone"]], sort_keys=True)
            sets.setdefault(alike, {})[configuration["expert"]] = (folder, configuration)
    for experts in sets.values():
        if set(range(number)) <= experts.keys():
            yield [experts[expert] for expert in range(number)]


def _tails(run: StoredNetwork) -> Iterator[LongTailSettings]:
    if (noted := noted_tail(run.folder.parent, run.description["data_fingerprint"])) is not None:
        yield noted
        return
    project, seen = run.folder.absolute().parents[5], []
    for record in reversed(read_records(run_records(project, run.description["study"]))):
        tail = record["parameters"].get(run.description["pipeline"], {}).get("long_tail")
        if tail is not None and tail not in seen:
            seen.append(tail)
            yield LongTailSettings.model_validate(tail)
