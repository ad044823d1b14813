"""Trying a candidate: what it says of images that it has not seen, and its network, fitted to all that it may learn from."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vision_studies.errors import CheckpointError, DataError
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.choose.candidates import (
    BALANCED,
    CLASSIFIER,
    COLOURS,
    COMBINED,
    EVALUATION,
    STACK,
    Part,
    is_balanced,
    part_of,
)
from vision_studies.pipelines.choose.division import Division, divided
from vision_studies.pipelines.choose.features import REFERENCE_PIXELS, features_seconds, joined, known_backbone
from vision_studies.pipelines.choose.trained import Rival, read_array, train_candidate, write_array
from vision_studies.predictions import PredictedSplit, Predictions
from vision_studies.run_folders import WEIGHTS_FILE, predictions_file, read_description, read_stage
from vision_studies.statistics.metrics import measured
from vision_studies.stored_predictions import Unavailable, all_probabilities, read_predictions

if TYPE_CHECKING:
    from vision_studies.classifiers.family import Family, Fitted
    from vision_studies.classifiers.linear import LinearClassifier
    from vision_studies.classifiers.nested import Score
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
        validation: accuracy on the inner folds, and balanced accuracy.
        hyperparameters: of the network that is kept.
        usual: those that most outer folds have chosen, none of them by the images that it is tested with.
        temperature: that its logits are to be divided by.
        fitted: it; None of what is not a classifier of features.
    """

    tested: np.ndarray
    inner: np.ndarray
    validation: "Mapping[Score, float]"
    hyperparameters: Mapping[str, Any]
    usual: Mapping[str, Any]
    temperature: float
    fitted: "Fitted | None"


def try_candidate(
    run: "Run",
    folder: Path,
    data: "PreparedData",
    runs: "RunStore",
    clock: "Clock | None" = None,
    rival: "Run | None" = None,
) -> Outcome:
    """Score a run and keep its network, with what it says of images in its folder.

    Args:
        rival: a run with the same folds that has ended; a network that is clearly worse is not trained any longer.

    Raises:
        Hopeless: it is.
        OutOfTime: its network is trained, and the budget of the clock ends before the trainings do.
    """
    from vision_studies.training.checkpoints import save_state

    begun = time.perf_counter()
    division = divided(data, run.configuration, run.seed)
    if run.configuration["kind"] in COMBINED:
        tried, state, sizes = _combined(run, division, data, runs)
    elif run.configuration["kind"] == CLASSIFIER:
        tried, state, sizes = _classifier(run, division, data, runs)
    else:
        tried, state, sizes = _trained(run, folder, division, data, runs, clock, rival)
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
    if metric_of(run.configuration) == "balanced_accuracy":
        others[BALANCED] = tried.validation["balanced_accuracy"]
    metrics = {
        **measured(tried.tested, division.test_labels),
        "validation_accuracy": tried.validation["accuracy"],
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
    tried = tried_family(family, x, tested, division, run.seed, data.num_classes, metric_of(run.configuration))
    write_array(runs.path(run, INNER_FILE), "inner", tried.inner.astype(np.float16))
    assert tried.fitted is not None  # noqa: S101 - of all classifiers of features
    tensors = {name: np.ascontiguousarray(value) for name, value in tried.fitted.tensors().items()}
    numbers = sum(int(value.size) for value in tensors.values() if value.any())  # weights that are 0 for all are none
    sizes = {
        **_size(parts, numbers),
        "head_numbers": numbers,
        "feature_seconds": sum(features_seconds(runs, images, part) for part in parts),
    }
    return tried, {"head": {name: torch.from_numpy(value) for name, value in tensors.items()}}, sizes


def _trained(
    run: "Run",
    folder: Path,
    division: Division,
    data: "PreparedData",
    runs: "RunStore",
    clock: "Clock | None",
    rival: "Run | None",
) -> tuple[Tried, dict[str, Any], dict[str, Any]]:
    """A candidate whose network is trained. Raises OutOfTime and Hopeless."""
    import torch
    from scipy.special import softmax

    from vision_studies.classifiers.nested import temperature_of, tempered
    from vision_studies.pipelines.choose.joined_network import network_size

    other = None if rival is None else Rival(rival.variant, _read_inner(runs.path(rival)))
    said = train_candidate(run, folder, division, data.image_set, data.num_classes, clock, other)
    y = division.labels
    tested, inner = softmax(said.tested, axis=1), softmax(said.inner, axis=2)
    temperature = 1.0
    for fold, own in enumerate(inner):
        known = np.isfinite(own).all(axis=1)
        temperature = temperature_of(own[known], y[known])
        inner[fold, known] = tempered(own[known], temperature)
        held_out = slice(None) if division.outer is None else division.outer == fold
        tested[held_out] = tempered(tested[held_out], temperature)
    if division.outer is not None:
        temperature = temperature_of(softmax(said.tested, axis=1), y)
    write_array(runs.path(run, INNER_FILE), "inner", inner.astype(np.float16))
    head = {name: torch.from_numpy(value) for name, value in said.head.items()}
    recipe = run.configuration["recipe"]
    tried = Tried(tested, inner, _validation(inner, y), recipe, recipe, temperature, None)
    size = network_size(run.configuration, data, said.body, said.head)
    return (
        tried,
        {"body": said.body, "head": head},
        {**size, "head_numbers": 0, "feature_seconds": 0.0, "earlier": said.earlier},
    )


def metric_of(configuration: Mapping[str, Any]) -> "Score":
    """What hyperparameters of a run and it itself are chosen by."""
    return "balanced_accuracy" if is_balanced(configuration) else "accuracy"


def tried_family(
    family: "Family",
    x: np.ndarray,
    tested: np.ndarray,
    division: Division,
    seed: int,
    classes: int,
    metric: "Score" = "accuracy",
) -> Tried:
    """What classifiers of one family say of images, with hyperparameters that inner folds have chosen.

    Args:
        family: one of `classifiers.registry.FAMILIES`.
        x: features float32 [N, D] of the images that are learnt from.
        tested: of the test images [M, D], with one test split; in a cross-validation they are `x`.
        metric: what hyperparameters are chosen by.
    """
    from vision_studies.classifiers.nested import nested_probabilities, refitted, tempered

    y = division.labels
    if division.outer is None:
        found = refitted(family, x, y, division.folds_within(np.arange(len(y)), seed), classes, score=metric)
        said = tempered(found.fitted.probabilities(tested), found.temperature)
        usual, inner, validation = found.hyperparameters, found.out_of_fold[None], found.score
    else:
        nested = nested_probabilities(family, x, y, division.outer, division.inner_folds(seed), classes, score=metric)
        # The network that is kept; nothing is measured by it.
        found = refitted(family, x, y, division.outer, classes, score=metric)
        usual = max(nested.chosen, key=nested.chosen.count)
        said, inner, validation = nested.probabilities, nested.inside, float(nested.validation.mean())
    both = {**_validation(inner, y), metric: validation}
    return Tried(said, inner, both, found.hyperparameters, usual, found.temperature, found.fitted)


class _Combination(NamedTuple):
    """How members are combined: their weights in an average, float [M]; of a stack those that have one are its members."""

    weights: np.ndarray
    stack: "LinearClassifier | None"

    def __call__(self, said: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, C] of what members say, [M, N, C]."""
        from vision_studies.classifiers.averaging import said_of

        if self.stack is None:
            return np.tensordot(self.weights.astype(np.float32), said, axes=1).astype(np.float32)
        return self.stack.probabilities(said_of(said[self.weights > 0]))


def _combination(configuration: Mapping[str, Any], said: np.ndarray, y: np.ndarray, folds: np.ndarray) -> _Combination:
    """What combines members best that have said [M, N, C] of images with labels [N]; a stack chooses its penalty by folds."""
    from vision_studies.classifiers.averaging import fitted_stack, greedy_weights

    metric = metric_of(configuration)
    weights = greedy_weights(said, y, is_balanced=metric == "balanced_accuracy")
    if configuration["kind"] != STACK:
        return _Combination(weights, None)
    return _Combination(weights, fitted_stack(said[weights > 0], y, _from_0_on(folds), metric))


def _combined(
    run: "Run", division: Division, data: "PreparedData", runs: "RunStore"
) -> tuple[Tried, dict[str, Any], dict[str, Any]]:
    """The average of members that greedy selection takes, or a stack of these; all of it is learnt in inner folds alone."""
    import torch

    from vision_studies.classifiers.nested import temperature_of, tempered

    settings, members = run.configuration, run.configuration["members"]
    inner = np.stack([_read_inner(runs.folder / name) for name in members])  # [M, F, N, C]
    said = np.stack([_read(runs.folder / name, "test")[1] for name in members])
    y, everywhere, is_stack = division.labels, np.arange(len(division.labels)), settings["kind"] == STACK
    known, inside, crossed = (
        np.isfinite(inner).all(axis=(0, 3)),
        np.full_like(inner[0], np.nan),
        np.full_like(inner[0], np.nan),
    )
    several = (
        division.folds_within(everywhere, run.seed)[None] if division.outer is None else division.inner_folds(run.seed)
    )
    tested = np.zeros(said.shape[1:], np.float32)
    for fold, folds in enumerate(several):
        own, labels, own_folds = inner[:, fold, known[fold]], y[known[fold]], _from_0_on(folds[known[fold]])
        combination = _combination(settings, own, labels, own_folds)
        inside[fold, known[fold]] = combination(own)
        crossed[fold, known[fold]] = _cross_fitted(settings, own, labels, own_folds)
        tests = slice(None) if division.outer is None else folds < 0
        tested[tests] = combination(said[:, tests])
        if is_stack:  # whose penalty leaves it too unsure
            tested[tests] = tempered(tested[tests], temperature_of(crossed[fold, known[fold]], labels))
    if division.outer is None:
        temperature = temperature_of((crossed if is_stack else inside)[0, known[0]], y[known[0]])
    else:
        combination = _combination(
            settings, said, y, division.outer
        )  # the network that is kept; nothing is measured by it
        held_out = _cross_fitted(settings, said, y, division.outer) if is_stack else combination(said)
        temperature = temperature_of(held_out, y)
    taken = {name: float(weight) for name, weight in zip(members, combination.weights, strict=True) if weight > 0}
    state: dict[str, Any] = {"members": list(taken), "weights": list(taken.values())}
    if combination.stack is not None:
        state["head"] = {name: torch.from_numpy(value) for name, value in combination.stack.tensors().items()}
    sizes = _size_of_members([runs.folder / name for name in taken], data, runs)
    return Tried(tested, inside, _validation(crossed, y), {"weights": taken}, {}, temperature, None), state, sizes


def _from_0_on(folds: np.ndarray) -> np.ndarray:
    """Folds, numbered without a gap; two where there is one."""
    numbered: np.ndarray = np.unique(folds, return_inverse=True)[1]
    return numbered if numbered.any() else np.arange(len(folds)) % 2


def _cross_fitted(configuration: Mapping[str, Any], said: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Probabilities [N, C], each fold's by what has learnt from the others, of what members say, [M, N, C]."""
    combined = np.zeros(said.shape[1:], np.float32)
    for fold in range(int(folds.max()) + 1):
        own = folds == fold
        combined[own] = _combination(configuration, said[:, ~own], y[~own], folds[~own])(said[:, own])
    return combined


def _validation(inner: np.ndarray, y: np.ndarray) -> "dict[Score, float]":
    """Means over outer folds of scores on what is said [F, N, C] of images of their inner folds; NaN of others."""
    from vision_studies.classifiers.nested import scores

    known = [(own[said], y[said]) for own in inner for said in [np.isfinite(own).all(axis=1)]]
    return {
        name: float(np.mean([scores(own[None], labels, inner.shape[2], name)[0] for own, labels in known]))
        for name in ("accuracy", "balanced_accuracy")
    }


def _read_inner(folder: Path) -> np.ndarray:
    """Raises CheckpointError where it is missing or damaged."""
    inner = read_array(folder / INNER_FILE, "inner")
    if inner is None:
        raise CheckpointError(f"{folder / INNER_FILE} is missing or damaged; delete {folder} and run the study again.")
    return inner.astype(np.float32)


def held_out_predictions(folder: Path) -> tuple[Predictions, np.ndarray]:
    """What a run has said of the images that its network has learnt from, each by a model that had not seen it. Raises
    DataError where that is not kept.
    """
    split: PredictedSplit = "out_of_fold" if predictions_file(folder, "out_of_fold").is_file() else "test"
    return _read(folder, split)


def _read(folder: Path, split: PredictedSplit) -> tuple[Predictions, np.ndarray]:
    """Predictions, and all their probabilities [N, classes]. Raises DataError where they are not kept."""
    said = read_predictions(folder, split)
    if isinstance(said, Unavailable):
        raise DataError(said.reason)
    probabilities = all_probabilities(folder, said)
    if isinstance(probabilities, Unavailable):
        raise DataError(probabilities.reason)
    return said, probabilities


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
