"""Where features come from: trained networks, a pretrained one, or files of the original project. All end as the same folders.

Features and classifier of a trained network are its last linear layer, and what that layer is given. A pretrained network has
no classifier of these classes: logistic regression on the training images stands in its place.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.classifiers.logistic import chosen_logistic
from vision_studies.config.network_run import RunSettings
from vision_studies.data.class_splits import SPLITS, ClassSplits, read_class_splits, split_by_count
from vision_studies.data.loaders import Normalisation
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import BackboneError, DataError, ParameterError
from vision_studies.files import hash_json, write_json
from vision_studies.models.pretrained import OpenedBackbone
from vision_studies.pipelines.alphanet.settings import ClassSplitSettings
from vision_studies.pipelines.alphanet.work.features import (
    FeatureGroup,
    FeatureSet,
    has_feature_set,
    joined_rows,
    open_feature_set,
    write_feature_set,
)
from vision_studies.pipelines.alphanet.work.linear_classifier import load_classifier, save_classifier
from vision_studies.pipelines.alphanet.work.original_format import COMBINED, OriginalDataSet, import_data_set
from vision_studies.project_folders import in_project
from vision_studies.serving.backbone_features import BackboneFeatures
from vision_studies.serving.trained_backbones import open_any_backbone
from vision_studies.training.checkpoints import load_weights
from vision_studies.training.feature_store import stored_features
from vision_studies.training.network_run import WEIGHTS_FILE, build_network
from vision_studies.training.precision import autocast, place_images

_EXPERTS, _PRETRAINED = "experts.json", "pretrained.json"


@dataclass(frozen=True)
class FeatureSource:
    """Features with the classifiers that their networks were trained with.

    Attributes:
        features: of all experts, side by side.
        experts: classifier of each.
    """

    features: FeatureSet
    experts: tuple[LinearClassifier, ...]

    def taken(self, *, wide: bool) -> FeatureSet:
        """Features that a classifier takes: of all experts, or of the first alone."""
        if wide or len(self.experts) == 1:
            return self.features
        width = self.experts[0].weight.shape[1]
        groups = self.features.groups.items()
        narrow = {name: FeatureGroup(group.features[:, :width], group.labels) for name, group in groups}
        return replace(self.features, groups=narrow)


def class_counts(data: PreparedData) -> np.ndarray:
    """Images of each class that are not for test, int64 [classes]: those that learn and those that validate."""
    positions = np.concatenate([data.splits.train, data.splits.validation])
    return np.bincount(data.image_set.labels[positions], minlength=data.num_classes)


def class_splits(data: PreparedData, settings: ClassSplitSettings) -> ClassSplits:
    """Few, medium and many classes of prepared images.

    Raises:
        DataError: there are no few classes or no others, or the split files are wrong.
    """
    if settings.folder is not None:
        return read_class_splits(in_project(settings.folder), data.num_classes)
    return split_by_count(class_counts(data), few_below=settings.few_below, many_above=settings.many_above)


def classifier_layer(model: nn.Module) -> nn.Linear:
    """The last linear layer of a network, which takes the features and gives the logits.

    Raises:
        ParameterError: the network has no linear layer.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        name = getattr(model, "network", model)
        raise ParameterError(
            f"model: {type(name).__name__} has no linear layer, so that it has no classifier of features; choose a network "
            "that ends in one."
        )
    return layers[-1]


def own_classifier(model: nn.Module, logit_scale: float) -> LinearClassifier:
    """The classifier that a network was trained with; what its outputs are multiplied by is part of the weights.

    Raises:
        ParameterError: the network has no linear layer.
    """
    layer = classifier_layer(model)
    weight = layer.weight.detach().float() * logit_scale
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().float() * logit_scale
    return LinearClassifier(weight.cpu().numpy(), bias.cpu().numpy())


@torch.inference_mode()
def extract_features(
    model: nn.Module, data: PreparedData, split: str, *, settings: RunSettings, device: torch.device
) -> FeatureGroup:
    """What the classifier of a network is given for every image of a split, in evaluation mode and without augmentation.

    The network is moved to `device`, and its mode is left as it was; settings are of the run that it comes from, and decide
    loader, batch size and number format. Features [N, d] and labels [N] are in the order of the split.

    Raises:
        ParameterError: the network has no linear layer.
    """
    layer = classifier_layer(model.to(device))
    loader = data.loader(split, kind=settings.loader, batch_size=settings.evaluation.batch_size, device=device)
    features = np.empty((loader.num_samples, layer.in_features), dtype=np.float32)
    labels = np.empty(loader.num_samples, dtype=np.int64)
    start, stop = 0, 0

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        features[start:stop] = inputs[0].float().cpu().numpy()

    was_training = model.training
    hook = layer.register_forward_pre_hook(keep)
    model.eval()
    try:
        for batch in loader.epoch(0):
            stop = start + len(batch.labels)
            with autocast(settings.training, device):
                model(place_images(batch.images, settings.training, device))
            labels[start:stop] = batch.labels.cpu().numpy()
            start = stop
    finally:
        hook.remove()
        model.train(was_training)
    return FeatureGroup(features, labels)


def features_from_images(
    data: PreparedData,
    networks: Sequence[Path],
    run: RunSettings,
    splits: ClassSplits,
    folder: Path,
    device: torch.device,
    *,
    validated: bool,
) -> FeatureSource:
    """Features of prepared images, kept in `folder`; those of an earlier call where they are there.

    Networks are the folders of the trained experts, whose settings are `run`; validation images that are not `validated`
    with are trained on.
    """
    if not has_feature_set(folder / "features"):
        groups: dict[str, list[FeatureGroup]] = {"train": [], "validation": [], "test": []}
        for number, network in enumerate(networks):
            model = load_weights(build_network(run, data), network / WEIGHTS_FILE).to(device)
            save_classifier(own_classifier(model, run.model.logit_scale), folder / f"expert_{number}.safetensors")
            for split, parts in groups.items():
                parts.append(extract_features(model, data, split, settings=run, device=device))
        write_json(folder / _EXPERTS, len(networks))
        joined = {
            split: FeatureGroup(np.concatenate([part.features for part in parts], axis=1), parts[0].labels)
            for split, parts in groups.items()
        }
        _write(folder, data, splits, joined, validated=validated)
    return open_source(folder)


def features_from_backbone(
    data: PreparedData,
    whole: PreparedData,
    opened: OpenedBackbone,
    pixels: int,
    splits: ClassSplits,
    folder: Path,
    device: torch.device,
    *,
    validated: bool,
) -> FeatureSource:
    """Features of prepared images by a pretrained network as it is, kept in `folder`; those of an earlier call where they are
    there.

    Args:
        data: images and their splits.
        whole: images and splits that those of `data` are some of, and those of all other sets of features, too: each image
            goes through the network once.
        opened: the network.
        pixels: height and width that images are brought to.
        splits: few, medium and many classes.
        device: where features are computed.
        validated: with the validation images, which are trained on where it is false.

    Raises:
        StorageError: the disk is full.
    """
    if not has_feature_set(folder / "features"):
        every = np.unique(np.concatenate([whole.splits.train, whole.splits.validation, whole.splits.test]))
        images = whole.image_set.images if len(every) == len(whole.image_set.labels) else whole.image_set.images[every]
        store, named = folder.parent / "pretrained", hash_json([whole.image_set.fingerprint, every.tolist()])
        rows = stored_features(store, images, named, opened, pixels, mirror=False, device=device)
        labels = data.image_set.labels
        groups = {
            split: FeatureGroup(rows[np.searchsorted(every, positions)], labels[positions])
            for split in ("train", "validation", "test")
            for positions in [getattr(data.splits, split)]
        }
        train = groups["train"] if validated else joined_rows([groups["train"], groups["validation"]])
        own = chosen_logistic(np.asarray(train.features), train.labels, data.num_classes)
        save_classifier(own, folder / "expert_0.safetensors")
        write_json(folder / _EXPERTS, 1)
        seen = {"backbone": opened.backbone.name, "weights": opened.weights, "pixels": pixels}
        write_json(folder / _PRETRAINED, seen)
        _write(folder, data, splits, groups, validated=validated)
    return open_source(folder)


def pretrained_features(folder: Path, image_size: int) -> nn.Module | None:
    """The pretrained network that has made the features in `folder`: images [N, C, H, W], pixels from 0 to 1 -> features
    [N, d]; None where networks of a study have made them.

    Args:
        folder: that of `features_from_backbone`.
        image_size: height and width of the images that come in.

    Raises:
        BackboneError: its weights are gone, or others.
    """
    if not (folder / _PRETRAINED).is_file():
        return None
    told = json.loads((folder / _PRETRAINED).read_text(encoding="utf-8"))
    opened = open_any_backbone(told["backbone"])
    if opened.weights != told["weights"]:
        raise BackboneError(
            f"The weights of {told['backbone']} are others than those that the features in {folder} were made with; run the "
            "study again."
        )
    normalisation = Normalisation(opened.backbone.mean, opened.backbone.std)
    return BackboneFeatures(opened.network, normalisation, told["pixels"], mirror=False, image_size=image_size)


def _write(
    folder: Path, data: PreparedData, splits: ClassSplits, groups: dict[str, FeatureGroup], *, validated: bool
) -> None:
    """Write the features of all splits; validation images that are not `validated` with are trained on."""
    if not validated:
        groups["train"] = joined_rows([groups["train"], groups.pop("validation")])
    write_feature_set(
        folder / "features",
        name=data.image_set.name,
        class_names=data.image_set.class_names,
        splits=splits,
        counts=class_counts(data),
        groups=groups,
    )


def features_from_files(data_set: OriginalDataSet, folder: Path) -> FeatureSource:
    """Features and classifier of the original project's files; those of an earlier call where they are there."""
    if not has_feature_set(folder / "features"):
        classifier = import_data_set(data_set, folder / "features")
        save_classifier(classifier, folder / "expert_0.safetensors")
        write_json(folder / _EXPERTS, 1)
    return open_source(folder)


def open_source(folder: Path) -> FeatureSource:
    """What the functions above have left in `folder`; a DataError where there is nothing, or it is damaged."""
    if not has_feature_set(folder / "features"):
        raise DataError(f"There are no features in {folder} yet; make them first: the same command without --tags.")
    number = json.loads((folder / _EXPERTS).read_text(encoding="utf-8"))
    experts = tuple(load_classifier(folder / f"expert_{expert}.safetensors") for expert in range(number))
    return FeatureSource(open_feature_set(folder / "features"), experts)


@lru_cache(maxsize=1)
def baseline_scores(folder: Path, classifier_file: Path, *, wide: bool) -> np.ndarray:
    """Scores of the test images by a classifier as AlphaNet finds it, which all AlphaNets on it share; [N, classes].

    The folder is that of `open_source`; a `wide` classifier takes the features of all experts.
    """
    features = open_source(folder).taken(wide=wide)
    return load_classifier(classifier_file).scores(features.groups["test"].features)


def source_files(data_set: OriginalDataSet) -> list[Path]:
    """Files of a data set that are there."""
    files = [data_set.split_files_dir / f"{split}.txt" for split in SPLITS] + [data_set.classifier_file]
    files += [file for group in data_set.datagrps for file in data_set.feature_files_dir.glob(f"{group}*.pkl")]
    if data_set.classifier_loader == COMBINED:  # a list of experts, whose files lie beside it or below
        files += data_set.classifier_file.parent.rglob("*.pth")
    files += [data_set.label_names_file] if data_set.label_names_file is not None else []
    return sorted({file for file in files if file.is_file()})


def files_fingerprint(data_set: OriginalDataSet) -> str:
    """Hash of a data set's description, and of names, sizes and times of its files: another when they may have changed."""
    described = [data_set.name, data_set.classifier_loader, sorted(data_set.datagrps)]
    files = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in source_files(data_set)]
    return hash_json([described, files])[:16]
