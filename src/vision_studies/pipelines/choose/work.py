"""Trying a candidate: what it says of images that it has not seen, and its network, fitted to all that it may learn from."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vision_studies.outcomes import Outcome
from vision_studies.pipelines.choose.candidates import AVERAGE, CLASSIFIER, COLOURS, EVALUATION, Part, part_of
from vision_studies.pipelines.choose.division import Division, divided
from vision_studies.pipelines.choose.features import REFERENCE_PIXELS, features_seconds, joined, known_backbone
from vision_studies.predictions import PredictedSplit, Predictions
from vision_studies.run_folders import WEIGHTS_FILE, read_description, read_stage
from vision_studies.statistics.metrics import measured

if TYPE_CHECKING:
    from vision_studies.classifiers.family import Family, Fitted
    from vision_studies.data.prepared import PreparedData
    from vision_studies.pipelines.choose.budget import Clock
    from vision_studies.studies.run_store import RunStore
    from vision_studies.studies.runs import Run

INNER_FILE = "inner.safetensors"
"""What a run says of its inner folds: what averages are chosen by."""


class Tried(NamedTuple):
    """What a candidate says.

    Attributes:
        tested: probabilities float32 [M, classes] of the test images.
        inner: probabilities float32 [F, N, classes]: row f of images that are not in outer fold f, each by a model of an
            inner fold that has not seen it; NaN of those that are. With one test split F is 1. Networks that are trained say
            something of a part of these images alone; NaN of the others.
        validation: accuracy on the inner folds.
        hyperparameters: of the network that is kept.
        usual: those that most outer folds have chosen, none of them by the images that it is tested with.
        temperature: that its logits are to be divided by.
        fitted: it; None of an average.
    """

    tested: np.ndarray
    inner: np.ndarray
    validation: float
    hyperparameters: Mapping[str, Any]
    usual: Mapping[str, Any]
    temperature: float
    fitted: "Fitted | None"


def try_candidate(
    run: "Run", folder: Path, data: "PreparedData", runs: "RunStore", clock: "Clock | None" = None
) -> Outcome:
    """Score a run and keep its network, with what it says of images in its folder.

    Raises:
        OutOfTime: its network is trained, and the budget of the clock ends before the trainings do.
    """
    from vision_studies.training.checkpoints import save_state

    begun = time.perf_counter()
    division = divided(data, run.configuration, run.seed)
    if run.configuration["kind"] == AVERAGE:
        tried, state, sizes = _average(run, division, data, runs)
    elif run.configuration["kind"] == CLASSIFIER:
        tried, state, sizes = _classifier(run, division, data, runs)
    else:
        tried, state, sizes = _trained(run, folder, division, data, runs, clock)
    save_state(folder / WEIGHTS_FILE, state | {"temperature": tried.temperature})
    own = time.perf_counter() - begun + sizes.pop("earlier", 0.0)
    tested = Predictions.of("test", division.test, division.test_labels, tried.tested)
    if division.outer is not None:  # whose images stand in the order of their positions
        tested = replace(tested, folds=division.outer + 1)
    predictions = [tested]
    if division.outer is None:
        said = np.isfinite(tried.inner[0]).all(axis=1)  # of a network that is trained, of one inner fold
        held_out = (division.positions[said], division.labels[said], tried.inner[0, said])
        predictions.append(Predictions.of("out_of_fold", *held_out))
    others = {
        "hyperparameters": dict(tried.hyperparameters),
        "usual_hyperparameters": dict(tried.usual),
        "own_seconds": own,
        "temperature": tried.temperature,
        "training_images": len(division.positions),
        "folds": division.folds,
        "head_numbers": sizes.pop("head_numbers"),
    }
    metrics = {
        **measured(tried.tested, division.test_labels),
        "validation_accuracy": tried.validation,
        "seconds": own + sizes.pop("feature_seconds"),
        "device": "cpu",
        **sizes,
        "other_metrics": others,
        **({"condition": f"{division.folds} folds"} if division.folds else {}),
    }
    return Outcome(metrics, predictions=tuple(predictions))


def _classifier(
    run: "Run", division: Division, data: "PreparedData", runs: "RunStore"
) -> tuple[Tried, dict[str, Any], dict[str, Any]]:
    import torch

    from vision_studies.classifiers.registry import FAMILIES

    parts = [part_of(part) for part in run.configuration["features"]]
    images, family = data.image_set, FAMILIES[run.configuration["family"]]
    x = joined(runs, images, run.configuration, division.positions)
    tested = x if division.outer is not None else joined(runs, images, run.configuration, division.test)
    tried = tried_family(family, x, tested, division, run.seed, data.num_classes)
    _write_inner(runs.path(run, INNER_FILE), tried.inner)
    assert tried.fitted is not None  # noqa: S101 - of all but averages
    tensors = {name: np.ascontiguousarray(value) for name, value in tried.fitted.tensors().items()}
    numbers = sum(int(value.size) for value in tensors.values() if value.any())  # weights that are 0 for all are none
    sizes = {
        **_size(parts, numbers),
        "head_numbers": numbers,
        "feature_seconds": sum(features_seconds(runs, images, part) for part in parts),
    }
    return tried, {"head": {name: torch.from_numpy(value) for name, value in tensors.items()}}, sizes


def _trained(
    run: "Run", folder: Path, division: Division, data: "PreparedData", runs: "RunStore", clock: "Clock | None"
) -> tuple[Tried, dict[str, Any], dict[str, Any]]:
    """A candidate whose network is trained. Raises OutOfTime."""
    import torch
    from scipy.special import softmax

    from vision_studies.classifiers.nested import temperature_of, tempered
    from vision_studies.pipelines.choose.joined_network import network_size
    from vision_studies.pipelines.choose.trained import train_candidate

    said, y = train_candidate(run, folder, division, data.image_set, data.num_classes, clock), division.labels
    tested, inner = softmax(said.tested, axis=1), softmax(said.inner, axis=2)
    accuracies, temperature = [], 1.0
    for fold, own in enumerate(inner):
        known = np.isfinite(own).all(axis=1)
        accuracies.append(_accuracy(own[known], y[known]))
        temperature = temperature_of(own[known], y[known])
        inner[fold, known] = tempered(own[known], temperature)
        held_out = slice(None) if division.outer is None else division.outer == fold
        tested[held_out] = tempered(tested[held_out], temperature)
    if division.outer is not None:
        temperature = temperature_of(softmax(said.tested, axis=1), y)
    _write_inner(runs.path(run, INNER_FILE), inner)
    head = {name: torch.from_numpy(value) for name, value in said.head.items()}
    recipe = run.configuration["recipe"]
    tried = Tried(tested, inner, float(np.mean(accuracies)), recipe, recipe, temperature, None)
    size = network_size(run.configuration, data, said.body, said.head)
    return (
        tried,
        {"body": said.body, "head": head},
        {**size, "head_numbers": 0, "feature_seconds": 0.0, "earlier": said.earlier},
    )


def tried_family(
    family: "Family", x: np.ndarray, tested: np.ndarray, division: Division, seed: int, classes: int
) -> Tried:
    """What classifiers of one family say of images, with hyperparameters that inner folds have chosen.

    Args:
        family: one of `classifiers.registry.FAMILIES`.
        x: features float32 [N, D] of the images that are learnt from.
        tested: of the test images [M, D], with one test split; in a cross-validation they are `x`.
        division: which are which.
        seed: of the inner folds.
        classes: how many there are.
    """
    from vision_studies.classifiers.nested import nested_probabilities, refitted, tempered

    y = division.labels
    if division.outer is None:
        found = refitted(family, x, y, division.folds_within(np.arange(len(y)), seed), classes)
        said = tempered(found.fitted.probabilities(tested), found.temperature)
        usual, inner, validation = found.hyperparameters, found.out_of_fold[None], found.score
    else:
        nested = nested_probabilities(family, x, y, division.outer, division.inner_folds(seed), classes)
        found = refitted(family, x, y, division.outer, classes)  # the network that is kept; nothing is measured by it
        usual = max(nested.chosen, key=nested.chosen.count)
        said, inner, validation = nested.probabilities, nested.inside, float(nested.validation.mean())
    return Tried(said, inner, validation, found.hyperparameters, usual, found.temperature, found.fitted)


def _average(
    run: "Run", division: Division, data: "PreparedData", runs: "RunStore"
) -> tuple[Tried, dict[str, Any], dict[str, Any]]:
    """The average of members that greedy selection takes, chosen by inner folds alone."""
    from vision_studies.classifiers.averaging import greedy_weights
    from vision_studies.classifiers.nested import temperature_of

    members = run.configuration["members"]
    inner = np.stack([_read_inner(runs.folder / name) for name in members])  # [M, F, N, C]
    said = np.stack([_probabilities(_read(runs.folder / name, "test")) for name in members])
    y, everywhere = division.labels, np.arange(len(division.labels))
    if division.outer is None:
        known = np.isfinite(inner[:, 0]).all(axis=(0, 2))
        held_out, labels = inner[:, 0, known], y[known]
        weights, inside = greedy_weights(held_out, labels), np.full_like(inner[0], np.nan)
        tested, inside[0, known] = _mean(said, weights), _mean(held_out, weights)
        folds = division.folds_within(everywhere[known], run.seed)
        validation = _accuracy(_cross_fitted(held_out, labels, folds), labels)
    else:
        tested, inside, accuracies = np.zeros(said.shape[1:], np.float32), np.full_like(inner[0], np.nan), []
        for fold, folds in enumerate(division.inner_folds(run.seed)):
            left_out = folds < 0
            known = np.isfinite(inner[:, fold]).all(axis=(0, 2))  # to every member
            own = inner[:, fold, known]
            weights = greedy_weights(own, y[known])
            tested[left_out], inside[fold, known] = _mean(said[:, left_out], weights), _mean(own, weights)
            accuracies.append(_accuracy(_cross_fitted(own, y[known], _from_0_on(folds[known])), y[known]))
        weights, held_out, labels, validation = greedy_weights(said, y), said, y, float(np.mean(accuracies))
    temperature = temperature_of(_mean(held_out, weights), labels)
    taken = {name: float(weight) for name, weight in zip(members, weights, strict=True) if weight > 0}
    state = {"members": list(taken), "weights": list(taken.values())}
    sizes = _size_of_members([runs.folder / name for name in taken], data, runs)
    return Tried(tested, inside, validation, {"weights": taken}, {}, temperature, None), state, sizes


def _from_0_on(folds: np.ndarray) -> np.ndarray:
    """Folds, numbered without a gap; two where there is one."""
    numbered: np.ndarray = np.unique(folds, return_inverse=True)[1]
    return numbered if numbered.any() else np.arange(len(folds)) % 2


def _write_inner(file: Path, inner: np.ndarray) -> None:
    from safetensors.numpy import save_file

    from vision_studies.files import atomic_file

    with atomic_file(file) as temporary:
        save_file({"inner": inner.astype(np.float16)}, temporary)


def _cross_fitted(said: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Averages [N, C] of probabilities [M, N, C], each fold's with weights that the others have chosen."""
    from vision_studies.classifiers.averaging import greedy_weights

    averaged = np.zeros(said.shape[1:], np.float32)
    for fold in range(int(folds.max()) + 1):
        own = folds == fold
        averaged[own] = _mean(said[:, own], greedy_weights(said[:, ~own], y[~own]))
    return averaged


def _mean(said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean [N, C] of probabilities [M, N, C]."""
    mean: np.ndarray = np.tensordot(weights.astype(np.float32), said, axes=1).astype(np.float32)
    return mean


def _accuracy(said: np.ndarray, y: np.ndarray) -> float:
    return float((said.argmax(axis=1) == y).mean())


def _read_inner(folder: Path) -> np.ndarray:
    """Raises CheckpointError where it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from vision_studies.errors import CheckpointError

    try:
        return load_file(folder / INNER_FILE)["inner"].astype(np.float32)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{folder / INNER_FILE} is missing or damaged; delete {folder} and run the study again."
        ) from error


def held_out_predictions(folder: Path) -> Predictions:
    """What a run has said of the images that its network has learnt from, each by a model that had not seen it. Raises
    DataError where that is not kept.
    """
    from vision_studies.run_folders import predictions_file

    split: PredictedSplit = "out_of_fold" if predictions_file(folder, "out_of_fold").is_file() else "test"
    return _read(folder, split)


def _read(folder: Path, split: PredictedSplit) -> Predictions:
    """Predictions with all probabilities. Raises DataError where they are not kept."""
    from vision_studies.errors import DataError
    from vision_studies.stored_predictions import Unavailable, all_probabilities, read_predictions

    said = read_predictions(folder, split)
    if isinstance(said, Unavailable):
        raise DataError(said.reason)
    probabilities = all_probabilities(folder, said)
    if isinstance(probabilities, Unavailable):
        raise DataError(probabilities.reason)
    return said


def _probabilities(said: Predictions) -> np.ndarray:
    assert said.probabilities is not None  # noqa: S101 - `_read` has seen to it
    return said.probabilities


def _size(parts: Sequence[Part], head_numbers: int) -> dict[str, Any]:
    """Parameters, and operations of a prediction, of features and what classifies them."""
    own = [part for part in parts if part.source != COLOURS]
    sizes = {name: known_backbone(name) for name in dict.fromkeys(part.source for part in own)}
    views = [(2 if part.mirror else 1) * (part.pixels / REFERENCE_PIXELS) ** 2 for part in own]
    operations = sum(number * sizes[part.source].operations for number, part in zip(views, own, strict=True))
    return {
        "parameters": int(sum(size.parameters for size in sizes.values()) + head_numbers),
        "macs": int(operations + head_numbers),
    }


def _size_of_members(folders: Sequence[Path], data: "PreparedData", runs: "RunStore") -> dict[str, Any]:
    """Size and time of several runs together; features that they share count once."""
    metrics = [read_stage(folder / f"{EVALUATION}.json")["metrics"] for folder in folders]
    configurations = [read_description(folder)["configuration"] for folder in folders]
    frozen = [own for own, one in zip(metrics, configurations, strict=True) if one["kind"] == CLASSIFIER]
    trained = [own for own, one in zip(metrics, configurations, strict=True) if one["kind"] != CLASSIFIER]
    parts = list(
        dict.fromkeys(part_of(part) for one in configurations if one["kind"] == CLASSIFIER for part in one["features"])
    )
    seconds = sum(features_seconds(runs, data.image_set, part) for part in parts)
    head_numbers = sum(int(own["other_metrics"]["head_numbers"]) for own in frozen)
    size = _size(parts, head_numbers)
    return {
        "parameters": size["parameters"] + sum(int(own["parameters"]) for own in trained),
        "macs": size["macs"] + sum(int(own["macs"]) for own in trained),
        "feature_seconds": seconds + sum(float(own["other_metrics"]["own_seconds"]) for own in metrics),
        "head_numbers": head_numbers,
    }
