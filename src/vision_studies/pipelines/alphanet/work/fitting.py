"""Fitting one of the classifiers that a study starts from."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vision_studies.pipelines.alphanet.classifier_settings import ClassifierSettings, MultiExpertSettings
from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier, average_experts, fit_classifier
from vision_studies.pipelines.alphanet.work.features import FeatureSet
from vision_studies.training.runtime import peak_memory_mb, tune_process


def fit(
    settings: ClassifierSettings,
    features: FeatureSet,
    experts: Sequence[LinearClassifier],
    seed: int,
    device: torch.device,
) -> tuple[LinearClassifier, dict[str, Any]]:
    """Fit a classifier; return it with columns of the results table.

    Args:
        settings: which classifier.
        features: of all experts for the one that averages them, else of the first.
        experts: the networks' own classifiers.
        seed: of first weights and draws.
        device: where it is trained.
    """
    tune_process()
    started = time.perf_counter()
    train, validation = features.groups["train"], features.groups.get("validation")
    if isinstance(settings, MultiExpertSettings):
        classifier = average_experts(experts, train, settings, features.num_classes, seed, device)
    else:
        classifier = fit_classifier(settings, experts[0], train, validation, features.num_classes, seed, device)
    metrics: dict[str, Any] = {
        "parameters": int(classifier.weight.size + classifier.bias.size),
        "macs": int(classifier.weight.size),
        "seconds": time.perf_counter() - started,
        "peak_memory_mb": peak_memory_mb(device),
        "device": str(device),
    }
    if validation is not None:
        hits = classifier.scores(validation.features).argmax(axis=1) == validation.labels
        metrics["validation_accuracy"] = float(np.mean(hits))
    return classifier, metrics
