"""Made-up trainings, to rehearse a study's logic in seconds: pruning, tables, figures and reports are real, numbers are not.

Curves rise smoothly to a level that depends on the configuration and the seed, and times follow from the operations of the
networks. Every run made here says `mock` in its configuration, by which tables and figures label it.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
import torch

from vision_studies.files import hash_json
from vision_studies.outcomes import PRUNED, Outcome
from vision_studies.pipelines.stacking.outputs import SplitOutputs, metrics_on_validation, save_outputs
from vision_studies.pipelines.stacking.settings import EnsembleRun, JointRun, NetworkRun, Trained
from vision_studies.pipelines.stacking.work import Job, Report
from vision_studies.statistics.diversity import diversity
from vision_studies.training.objectives import JointStacking

OPERATIONS_A_SECOND = 1e12
"""Of the machine that is made up."""

_GOOD_RATE = {"sgd": 0.3, "adamw": 1e-3, "muon": 0.02}  # learning rates that the made-up world likes best
_CONFIDENCE = 4.0  # logit of a made-up prediction


def train(job: Job[Trained], cost: dict[str, int], report: Report | None = None) -> Outcome:
    """Make up a training that costs `cost` (parameters and macs); the same for the same configuration and seed."""
    run, seed, data, folder, _ = job
    random = _generator(run, seed, 0)
    epochs = run.training.epochs
    top, chance = _level(run, random), 1 / data.num_classes
    seconds_an_epoch = 3 * cost["macs"] * len(data.splits.train) / OPERATIONS_A_SECOND
    rows = []
    for epoch in range(1, epochs + 1):
        progress = epoch / epochs
        accuracy = chance + (top - chance) * (1 - math.exp(-5 * progress)) / (1 - math.exp(-5))
        accuracy = float(np.clip(accuracy + random.normal(0, 0.005 * (1.05 - progress)), 0, 1))
        row = {
            "epoch": epoch,
            "train_loss": 2.3 * (1 - accuracy) + 0.02,
            "train_accuracy": min(1.0, accuracy + 0.02 * progress),
            "validation_loss": 2.3 * (1 - accuracy) + 0.05,
            "validation_accuracy": accuracy,
            "learning_rate": run.training.optimizer.learning_rate * (1 - progress),
            "seconds": epoch * seconds_an_epoch,
            "images_per_second": len(data.splits.train) / seconds_an_epoch,
            "peak_memory_mb": 0.0,
            **_heads(run, accuracy, random),
        }
        rows.append(row)
        pruned = report is not None and bool(report(row)) and epoch < epochs
        if pruned:
            break
    history = pd.DataFrame(rows)
    best = history.loc[history["validation_accuracy"].idxmax()]
    outputs = make_up_outputs(job, "validation", float(best["validation_accuracy"]))
    save_outputs(outputs, folder, "validation")
    metrics: dict[str, Any] = {
        **cost,
        "seconds": float(history["seconds"].iloc[-1]),
        "images_per_second": float(best["images_per_second"]),
        "device": "mock",
        "best_epoch": int(best["epoch"]),
        **metrics_on_validation(outputs),
    }
    if pruned:
        return Outcome(metrics, PRUNED, "the search ended it", history)
    return Outcome(metrics, history=history, predictions=(outputs.predictions("validation"),))


def make_up_outputs(job: Job[Trained], split: str, accuracy: float) -> SplitOutputs:
    """Logits that are right for about a share `accuracy` of the images of a split."""
    run, seed, data, *_ = job
    random = _generator(run, seed, 1 + ("train", "validation", "test").index(split))
    indices = getattr(data.splits, split)
    labels = np.asarray(data.image_set.labels[indices])
    learners = _learners(run)
    heads = []
    for level in [*(accuracy - 0.03 * random.random() for _ in range(learners)), accuracy]:
        wrong = (labels + random.integers(1, data.num_classes, len(labels))) % data.num_classes
        predictions = np.eye(data.num_classes)[np.where(random.random(len(labels)) < level, labels, wrong)]
        heads.append(predictions * _CONFIDENCE + random.normal(0, 1, predictions.shape) / 4)
    return SplitOutputs(indices, labels, np.stack(heads, axis=1).astype(np.float32))


def _level(run: Trained, random: np.random.Generator) -> float:
    """Accuracy that a made-up training ends with: better for stacks, and for learning rates near the good one."""
    optimizer = run.training.optimizer
    distance = abs(math.log10(optimizer.learning_rate / _GOOD_RATE[optimizer.name]))
    learners = max(1, _learners(run))
    preference = int(hash_json(run.model_dump(mode="json", exclude={"training", "evaluation"}))[:4], 16) / 0xFFFF
    return 0.9 + 0.01 * math.log2(learners) + 0.01 * preference - 0.04 * min(distance, 3) + random.normal(0, 0.004)


def _learners(run: Trained) -> int:
    """Heads besides the one that classifies."""
    if isinstance(run, EnsembleRun):
        return run.recipe.members
    return 0 if isinstance(run, NetworkRun) else len(run.base_learners)


def _heads(run: Trained, accuracy: float, random: np.random.Generator) -> dict[str, float]:
    """What a joint training reports of its base learners."""
    if not isinstance(run, JointRun):
        return {}
    heads = {"train_loss_meta": 2.3 * (1 - accuracy)}
    mistakes, labels = [], np.zeros(400, dtype=np.int64)
    for number in range(1, len(run.base_learners) + 1):
        level = accuracy - 0.03 * random.random()
        heads |= {
            f"train_loss_base_{number}": 2.3 * (1 - level),
            f"train_accuracy_base_{number}": level,
            f"validation_loss_base_{number}": 2.3 * (1 - level) + 0.03,
            f"validation_accuracy_base_{number}": level,
        }
        mistakes.append((random.random(len(labels)) > level).astype(np.int64))
    base = [torch.tensor(heads[f"train_loss_base_{number}"]) for number in range(1, len(mistakes) + 1)]
    heads["train_loss_unsmoothed"] = float(
        JointStacking(run.loss.form, run.loss.alpha).joined([*base, torch.tensor(heads["train_loss_meta"])])
    )
    heads["train_loss"] = heads["train_loss_unsmoothed"] + 0.02
    heads["validation_calibration_error"] = abs(random.normal(0.02, 0.005))
    return heads | {f"validation_{name}": value for name, value in diversity(np.stack(mistakes), labels).items()}


def _generator(run: Trained, seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([int(hash_json(run.model_dump(mode="json"))[:12], 16), seed, purpose])
