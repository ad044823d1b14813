"""Networks of `choose` in use: an image is brought to each backbone's size, and its features are classified."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_studies.errors import ParameterError, VisionStudiesError
from vision_studies.pipelines.choose.candidates import (
    CLASSIFIER,
    COLOURS,
    COMBINED,
    EVALUATION,
    STACK,
    Part,
    features_title,
    network_name,
    part_of,
    recipe_of,
)
from vision_studies.pipelines.choose.features import joined
from vision_studies.pipelines.choose.work import held_out_predictions
from vision_studies.run_folders import is_run, read_description, read_stage
from vision_studies.studies.method import Networks, StoredNetwork, has_weights
from vision_studies.studies.run_store import RunStore

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from vision_studies.data.prepared import PreparedData
    from vision_studies.pipelines.choose.joined_network import ClassifiedFeatures
    from vision_studies.statistics.metrics import Split
    from vision_studies.training.classifier import ImageClassifier


def network_title(configuration: Mapping[str, Any]) -> str:
    """How the network of a configuration is called."""
    if configuration["kind"] in COMBINED:
        return str(configuration["kind"])
    parts = [part_of(part) for part in configuration["features"]]
    return (
        features_title(parts) if configuration["kind"] == CLASSIFIER else network_name(parts, recipe_of(configuration))
    )


def rebuilt(run: StoredNetwork, data: "PreparedData") -> "ImageClassifier":
    """The classifier that a run has left: pixels from 0 to 1 come in, logits go out."""
    from vision_studies.data.loaders import Normalisation
    from vision_studies.training.classifier import ImageClassifier, ImageFormat
    from vision_studies.training.precision import FLOAT32

    pixels = Normalisation((0.0,) * data.in_channels, (255.0,) * data.in_channels)
    return ImageClassifier(
        run.path, whole_network(run, data.image_size), ImageFormat.of(data, pixels), FLOAT32, batch_size=32
    )


def whole_network(run: StoredNetwork, image_size: int) -> "nn.Module":
    """The network of a run; of an average or a stack, with those of its members, which lie beside it."""
    from vision_studies.pipelines.choose.joined_network import (
        MeanOfNetworks,
        StackOfNetworks,
        opened_part,
        part_features,
    )
    from vision_studies.training.checkpoints import load_state

    opened = cache(opened_part)  # one backbone at several sizes has its weights once

    @cache  # members share the features of a part
    def features(part: Part) -> "nn.Module":
        backbone = None if part.source == COLOURS else opened(replace(part, pixels=0, mirror=False))
        return part_features(part, image_size, backbone)

    state = load_state(run.weights)
    if run.configuration["kind"] not in COMBINED:
        return _classifier(run, state, image_size, features).eval()
    networks = [
        _classifier(member, load_state(member.weights), image_size, features) for member in _members(run, state)
    ]
    temperature = float(state["temperature"])
    if run.configuration["kind"] == STACK:
        return StackOfNetworks(networks, state["head"]["weight"], state["head"]["bias"], temperature).eval()
    return MeanOfNetworks(networks, state["weights"], temperature).eval()


def _classifier(
    run: StoredNetwork, state: Mapping[str, Any], image_size: int, features: "Callable[[Part], nn.Module]"
) -> "ClassifiedFeatures":
    from vision_studies.pipelines.choose.joined_network import ClassifiedFeatures, trained_features

    if run.configuration["kind"] == CLASSIFIER:
        parts = [features(part_of(part)) for part in run.configuration["features"]]
    else:
        parts = [trained_features(run.configuration, state["body"], image_size)]
    roots = bool(run.configuration.get("roots"))
    return ClassifiedFeatures(parts, head_of(state["head"]), float(state["temperature"]), roots=roots)


def _members(run: StoredNetwork, state: Mapping[str, Any]) -> list[StoredNetwork]:
    """The runs beside one that combines them."""
    folders = [run.folder.parent / name for name in state["members"]]
    return [StoredNetwork(folder, read_description(folder)) for folder in folders]


def head_of(tensors: "Mapping[str, Tensor]") -> "nn.Module":
    """Features [N, D] -> logits [N, classes], of what a family has fitted."""
    from vision_studies.classifiers.registry import fitted_from

    return fitted_from({name: value.numpy() for name, value in tensors.items()}).module().eval()


def unusable(configuration: Mapping[str, Any], folder: Path) -> str | None:
    """Why a run's network cannot be used: its weights, those of a member or those of a backbone are gone."""
    missing = has_weights(configuration, folder)
    if missing is not None:
        return missing
    if configuration["kind"] in COMBINED:
        for name in configuration["members"]:
            member = folder.parent / name
            if not is_run(member):
                return f"the run {name}, which is part of the {configuration['kind']}, is not there any more"
            if (reason := unusable(read_description(member)["configuration"], member)) is not None:
                return reason
        return None
    gone = [part["source"] for part in configuration["features"] if not _is_here(part["source"])]
    return f"the weights of {gone[0]} are not here" if gone else None


def _is_here(source: str) -> bool:
    from vision_studies.models.backbones import available_backbones
    from vision_studies.serving.trained_backbones import OF_A_RUN, trained_on

    if source == COLOURS or source in available_backbones():
        return True
    try:
        trained_on(source)
    except VisionStudiesError:
        return False
    return source.startswith(OF_A_RUN)


def held_out(run: StoredNetwork, data: "PreparedData") -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Logits, labels and features of images by models that had not learnt from them; see `Networks.held_out`.

    Raises:
        DataError: the run has not kept what it said of them.
        CheckpointError: its network cannot be put together.
    """
    said, probabilities = held_out_predictions(run.folder)
    logits = np.log(np.maximum(probabilities, _SMALLEST))
    taken = _class_inputs(run, data, said.indices)
    return logits, said.labels, np.concatenate(taken, axis=1) if taken else logits


def _class_inputs(run: StoredNetwork, data: "PreparedData", positions: "np.ndarray") -> "list[np.ndarray]":
    """What the layers that decide for classes are given, [N, d] each, from features that are kept: as
    `serving.image_classifier.Predictor.features` finds it in the whole network.
    """
    import torch

    from vision_studies.serving.image_classifier import class_layers
    from vision_studies.training.checkpoints import load_state

    state = load_state(run.weights)
    if run.configuration["kind"] in COMBINED:
        return [own for member in _members(run, state) for own in _class_inputs(member, data, positions)]
    if run.configuration["kind"] != CLASSIFIER:
        return [_trained_inputs(run, data, positions)]
    head = head_of(state["head"])
    taken: list[np.ndarray] = []
    for layer in class_layers(head, data.num_classes):
        layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].float().numpy()))
    if class_layers(head, data.num_classes):
        with torch.inference_mode():
            head(torch.from_numpy(joined(RunStore(run.folder.parent), data.image_set, run.configuration, positions)))
    return taken


def _trained_inputs(run: StoredNetwork, data: "PreparedData", positions: "np.ndarray") -> "np.ndarray":
    """The same, [N, d], of a network that was trained, whose features are not kept."""
    import torch

    from vision_studies.pipelines.choose.joined_network import trained_features
    from vision_studies.training.checkpoints import load_state

    network = trained_features(run.configuration, load_state(run.weights)["body"], data.image_size)
    found = []
    with torch.inference_mode():
        for start in range(0, len(positions), _AT_ONCE):
            images = np.asarray(data.image_set.images[positions[start : start + _AT_ONCE]])
            found.append(network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).float().numpy())
    return np.concatenate(found)


def score(run: StoredNetwork, split: "Split") -> dict[str, float] | None:
    """What the run has measured of the images, none of which its own network may be scored with."""
    found = read_stage(run.folder / f"{EVALUATION}.json")["metrics"]
    columns = {name: value for name, value in found.items() if name.startswith(f"{split}_")}
    if not columns:
        raise ParameterError(f"{run.folder} has no {split} accuracy; it did not end well.")
    return columns


_SMALLEST = 1e-7
_AT_ONCE = 32

NETWORKS = Networks(network_title, rebuilt, unusable, score=score, held_out=held_out)
