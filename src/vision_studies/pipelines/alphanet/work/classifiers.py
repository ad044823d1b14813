"""Linear classifiers on fixed features that long-tailed recognition starts from: what AlphaNet works on and is compared with.

Source: Kang et al. 2020, "Decoupling Representation and Classifier for Long-Tailed Recognition" (cRT, LWS, tau-normalised,
nearest class mean); Wang et al. 2021 (RIDE) for the mean of several experts' scores. Methods with a knob stand in `retraining`.
"""

import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.settings import (
    AdjustedSettings,
    ClassifierSettings,
    CrtSettings,
    LwsSettings,
    MultiExpertSettings,
    NcmSettings,
    OwnSettings,
    RetrainedSettings,
    TauSettings,
)
from vision_studies.pipelines.alphanet.work.accuracy import class_accuracies
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, FeatureSet, class_means, row_blocks
from vision_studies.pipelines.alphanet.work.linear_classifier import class_norms
from vision_studies.pipelines.alphanet.work.retraining import adjusted, best_of, retrained
from vision_studies.training.runtime import derived_seed, peak_memory_mb, tune_process
from vision_studies.training.samplers import balanced_draws

CPU = torch.device("cpu")
_NOTHING_TO_CHOOSE_BY = (
    "values={} of the classifier {} are chosen from by validation images, of which there are none; give a single value, or "
    "prepare the data with a validation split."
)


def fit(
    settings: ClassifierSettings,
    features: FeatureSet,
    experts: Sequence[LinearClassifier],
    seed: int,
    device: torch.device,
) -> tuple[LinearClassifier, dict[str, Any], list[LinearClassifier]]:
    """Fit a classifier; return it with columns of the results table, and what it was chosen from: one a value of its knob.

    Args:
        features: of all experts for the one that averages them, else of the first.
        experts: the networks' own classifiers.
        seed: of first weights and draws.
    """
    tune_process()
    started = time.perf_counter()
    train, validation = features.groups["train"], features.groups.get("validation")
    candidates: list[LinearClassifier] = []
    if isinstance(settings, MultiExpertSettings):
        classifier = average_experts(experts, train, settings, seed, device)
    elif isinstance(settings, AdjustedSettings | RetrainedSettings):
        if isinstance(settings, AdjustedSettings):
            counts = np.bincount(train.labels, minlength=features.num_classes)
            candidates = adjusted(experts[0], counts, settings.values)
        else:
            candidates = retrained(settings, experts[0], train, seed, device)
        if len(candidates) > 1 and validation is None:
            raise ParameterError(_NOTHING_TO_CHOOSE_BY.format(list(settings.values), settings.name))
        best = 0 if validation is None else best_of(candidates, validation, features.splits, settings.selection)
        classifier = candidates[best]
    else:
        if isinstance(settings, TauSettings):
            candidates = [tau_normalise(experts[0], tau) for tau in settings.values]
        classifier = fit_classifier(settings, experts[0], train, validation, seed, device)
        if isinstance(settings, TauSettings) and settings.selection != "balanced_accuracy" and validation is not None:
            classifier = candidates[best_of(candidates, validation, features.splits, settings.selection)]
    metrics: dict[str, Any] = {
        "parameters": int(sum(values.size for values in vars(classifier).values())),
        "macs": int(classifier.weight.size),
        "seconds": time.perf_counter() - started,
        "peak_memory_mb": peak_memory_mb(device),
        "device": str(device),
    }
    if validation is not None:
        hits = classifier.scores(validation.features).argmax(axis=1) == validation.labels
        metrics["validation_accuracy"] = float(np.mean(hits))
    return classifier, metrics, candidates


def combined(classifiers: Sequence[LinearClassifier]) -> LinearClassifier:
    """One classifier for several experts, whose score is the mean of theirs.

    From the experts' weights [classes, d_e] come weights [classes, sum of d_e], for their features side by side in the same
    order.

    Raises:
        DataError: the experts do not know the same number of classes.
    """
    numbers = [len(classifier.weight) for classifier in classifiers]
    if len(set(numbers)) > 1:
        raise DataError(f"The experts' classifiers have {numbers} classes; experts of the same classes are wanted.")
    weight = np.concatenate([classifier.weight for classifier in classifiers], axis=1) / len(classifiers)
    bias = np.mean([classifier.bias for classifier in classifiers], axis=0)
    return LinearClassifier(weight.astype(np.float32), bias.astype(np.float32))


def fit_classifier(
    settings: ClassifierSettings,
    classifier: LinearClassifier,
    train: FeatureGroup,
    validation: FeatureGroup | None,
    seed: int,
    device: torch.device = CPU,
) -> LinearClassifier:
    """The classifier that `settings` ask for, which may be of any kind but multi_expert: `average_experts` is for that.

    Args:
        classifier: the backbone's own.
        train: features to learn from.
        validation: features that tau is chosen by; None where there are none.
        seed: of first weights and draws.

    Raises:
        ParameterError: tau has no validation images to choose by, training diverges, or the kind is multi_expert.
    """
    num_classes = len(classifier.bias)
    match settings:
        case OwnSettings():
            return classifier
        case CrtSettings():
            return retrain(train, num_classes, settings, seed, device)
        case LwsSettings():
            return rescale(classifier, train, settings, seed, device)
        case NcmSettings():
            return nearest_class_mean(train, num_classes, settings.metric)
        case TauSettings(values=(tau,)):
            return tau_normalise(classifier, tau)
        case TauSettings():
            if validation is None:
                raise ParameterError(_NOTHING_TO_CHOOSE_BY.format(list(settings.values), settings.name))
            return tau_normalise(classifier, choose_tau(classifier, validation, settings.values))
    raise ParameterError(
        "The classifier multi_expert averages the classifiers of several backbones, and there is one; choose another."
    )


def average_experts(
    experts: Sequence[LinearClassifier],
    train: FeatureGroup,
    settings: MultiExpertSettings,
    seed: int,
    device: torch.device = CPU,
) -> LinearClassifier:
    """The classifier whose score is the mean of several experts' scores.

    Args:
        experts: their own classifiers, weights [classes, d_e] each.
        train: features [N, sum of d_e]: the experts' side by side, in the order of `experts`.
        settings: which classifier of each expert is averaged.
        seed: of first weights and draws, from which every expert gets its own.

    Raises:
        DataError: the features are not as wide as the experts' classifiers together.
        ParameterError: training diverges.
    """
    widths = [expert.weight.shape[1] for expert in experts]
    if sum(widths) != train.features.shape[1]:
        raise DataError(
            f"The experts' classifiers take {widths} features, but an image has {train.features.shape[1]}; the features of "
            "all experts are wanted side by side."
        )
    if settings.crt is None:
        return combined(experts)
    columns = np.split(train.features, np.cumsum(widths)[:-1], axis=1)  # views: nothing is read
    groups = [FeatureGroup(features, train.labels) for features in columns]
    num_classes = len(experts[0].bias)
    return combined(
        [
            retrain(group, num_classes, settings.crt, derived_seed(seed, number), device)
            for number, group in enumerate(groups)
        ]
    )


def retrain(
    group: FeatureGroup, num_classes: int, settings: CrtSettings, seed: int, device: torch.device = CPU
) -> LinearClassifier:
    """A new linear classifier, trained on images of all classes alike (cRT); classes without an image are never drawn.

    Weights and bias start uniformly within 1 / sqrt(d) of 0, as those of `torch.nn.Linear` do. The seed decides the first
    weights, then the draws; no global generator is used.

    Raises:
        ParameterError: training diverges.
    """
    generator = np.random.default_rng(seed)
    num_features = group.features.shape[1]
    bound = num_features**-0.5
    weight, bias = (
        torch.tensor(generator.uniform(-bound, bound, shape), dtype=torch.float32, device=device, requires_grad=True)
        for shape in ((num_classes, num_features), (num_classes,))
    )
    _train([weight, bias], lambda rows: F.linear(rows, weight, bias), group, settings, generator, device)
    return LinearClassifier(weight.detach().cpu().numpy(), bias.detach().cpu().numpy())


def rescale(
    classifier: LinearClassifier, group: FeatureGroup, settings: LwsSettings, seed: int, device: torch.device = CPU
) -> LinearClassifier:
    """A classifier with a learnt factor for each class's scores (LWS); factors start at 1 and may take any value.

    Weights and biases are scaled, and what they point at stays. The seed decides the draws; no global generator is used.

    Raises:
        ParameterError: training diverges.
    """
    weight, bias = (torch.tensor(values, device=device) for values in (classifier.weight, classifier.bias))
    scale = torch.ones_like(bias, requires_grad=True)
    generator = np.random.default_rng(seed)
    _train([scale], lambda rows: F.linear(rows, weight, bias) * scale, group, settings, generator, device)
    factors = scale.detach().cpu().numpy()
    return LinearClassifier(classifier.weight * factors[:, None], classifier.bias * factors)


def tau_normalise(classifier: LinearClassifier, tau: float) -> LinearClassifier:
    """Every class's weights divided by their norm to the power of `tau` (zeros stay); the bias is dropped, as published."""
    factors = class_norms(classifier) ** np.float32(-tau)
    return LinearClassifier(classifier.weight * factors[:, None], np.zeros_like(classifier.bias))


def choose_tau(classifier: LinearClassifier, validation: FeatureGroup, values: Sequence[float]) -> float:
    """The tau of `values` with the highest mean accuracy of the classes that have validation images; of equals, the smallest.

    Scores are computed once for all taus.
    """
    taus = sorted(values)
    norms = class_norms(classifier)
    plain = tau_normalise(classifier, 0)
    hits = np.empty((len(taus), len(validation.labels)), dtype=bool)
    for block in row_blocks(len(validation.labels)):
        scores = plain.scores(validation.features[block])
        for position, tau in enumerate(taus):
            predictions = (scores * norms ** np.float32(-tau)).argmax(axis=1)
            hits[position, block] = predictions == validation.labels[block]
    num_classes = len(classifier.weight)
    accuracies = [np.nanmean(class_accuracies(of_tau, validation.labels, num_classes)) for of_tau in hits]
    # Means of the same numbers in another order differ in their last digits.
    return taus[int(np.argmax(np.round(accuracies, 12)))]


def nearest_class_mean(
    train: FeatureGroup, num_classes: int, metric: Literal["cosine", "euclidean"]
) -> LinearClassifier:
    """The classifier whose highest score is that of the class with the nearest mean feature (NCM).

    By cosine, weights are means of unit length, without bias; by euclidean distance they are the means, with a bias of minus
    half their squared length.

    Raises:
        DataError: a class has no image.
    """
    means = class_means(train, num_classes)
    missing = np.flatnonzero(np.isnan(means).any(axis=1))
    if len(missing):
        raise DataError(f"Class {missing[0]} has no training image and so no mean feature; every class needs an image.")
    if metric == "cosine":
        return tau_normalise(LinearClassifier(means, np.zeros(num_classes, dtype=np.float32)), 1)
    return LinearClassifier(means, -np.square(means).sum(axis=1) / 2)


def _train(
    parameters: list[Tensor],
    scores: Callable[[Tensor], Tensor],
    group: FeatureGroup,
    settings: CrtSettings | LwsSettings,
    generator: np.random.Generator,
    device: torch.device,
) -> None:
    """Lower the cross-entropy of `scores` on class-balanced draws; only the rows of a batch are copied from the features."""
    count = len(group.labels)
    optimizer = torch.optim.SGD(
        parameters, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * ceil(count / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for _ in range(settings.epochs):
        draws = balanced_draws(group.labels, count, generator)
        for start in range(0, count, settings.batch_size):
            chosen = draws[start : start + settings.batch_size]
            rows = torch.from_numpy(np.asarray(group.features[chosen], dtype=np.float32))
            labels = torch.from_numpy(group.labels[chosen])
            loss = F.cross_entropy(scores(rows.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    if not all(bool(parameter.isfinite().all()) for parameter in parameters):
        raise ParameterError(
            f"learning_rate={settings.learning_rate} of the classifier {settings.name} is too high: its weights are not "
            "finite after training; lower it."
        )
