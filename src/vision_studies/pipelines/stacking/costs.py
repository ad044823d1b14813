"""What the runs of a stacking study cost."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vision_studies.config.training import TrainingSettings
from vision_studies.costs import Cost, Measured
from vision_studies.data.prepared import PreparedData
from vision_studies.models.statistics import count_macs, without_values
from vision_studies.pipelines.stacking import work
from vision_studies.pipelines.stacking.cross_validation import level_one_network
from vision_studies.pipelines.stacking.settings import (
    SHARED,
    AnyRun,
    CombinationRun,
    CrossValidatedRun,
    EnsembleRun,
    JointRun,
    NetworkRun,
    with_any_weights,
)
from vision_studies.training.objectives import LevelOne
from vision_studies.training.timing import fit_costs

_MADE_UP = 5e-3  # seconds a network of made-up curves
_SHAPE = {"learner", "recipe", "base_learners", "meta_learner", "augmentation", "loader"}


def training_costs(run: AnyRun, data: PreparedData, device: torch.device) -> Sequence[Cost]:
    """What it costs to train a run, or to combine those that a combination is made of."""
    if run.mock:
        return [Cost("make up", {}, 1, lambda: 1e6, lambda: Measured((_MADE_UP,)))]
    if isinstance(run, CombinationRun):
        if run.rule != "soup":
            return ()
        # Every candidate is scored; norms are taken anew from the training images where weights were averaged, seldom.
        *_, predict = _fitted(run.members[0], data, device)
        images = len(run.members) * len(data.splits.validation)
        return [replace(predict, units=images, least=None)]
    if isinstance(run, CrossValidatedRun):
        return _cross_validated(run, data, device)
    if isinstance(run, EnsembleRun) and run.along_a_path:
        # The parts are validated at their ends alone; what decides is tried in about two ways for each member.
        *learnt, predict = _fitted(_member(run), data, device)
        return [*learnt, replace(predict, units=4 * run.recipe.members * len(data.splits.validation), least=None)]
    return _fitted(run, data, device)


def scoring_costs(run: AnyRun, data: PreparedData, device: torch.device) -> Sequence[Cost]:
    """What it costs to score a run on the test images, in all its views."""
    if run.mock or (isinstance(run, CombinationRun) and run.rule != "soup"):
        return ()
    shared = run.members[0] if isinstance(run, CombinationRun) else run
    views = max(1, *shared.evaluation.views.numbers) if shared.evaluation.views else 1
    images = views * len(data.splits.test)
    if isinstance(shared, EnsembleRun) and shared.along_a_path:
        *_, predict = _fitted(_member(shared), data, device)
        return [replace(predict, units=(shared.recipe.members + 1) * images, least=None)]
    if not isinstance(shared, CrossValidatedRun):
        *_, predict = _fitted(shared, data, device)
        return [replace(predict, units=images, least=None)]
    sets = 1 if shared.inference in ("best_fold", "refit") else shared.folds
    return [replace(_fitted(learner, data, device)[-1], units=sets * images, least=None) for learner in _alone(shared)]


def _member(run: EnsembleRun) -> NetworkRun:
    """The network of an ensemble along a path, trained as long without a break."""
    shared = {name: getattr(run, name) for name in SHARED}
    return NetworkRun(method="network", learner=run.learner, member=0, **shared)


def _fitted(run: JointRun | NetworkRun | EnsembleRun, data: PreparedData, device: torch.device) -> list[Cost]:
    def rehearse(training: TrainingSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
        few = run.model_copy(update={"training": training, "loader": "device"})
        history = work.train(work.Job(few, 0, small, folder, device)).history
        assert history is not None  # noqa: S101 - a training has one
        return history

    def operations() -> float:
        with without_values():
            return float(count_macs(work.build(with_any_weights(run), 0, data), data.image_shape))

    return fit_costs(_shape(run, data, device), run.training, rehearse, data, operations)


def _cross_validated(run: CrossValidatedRun, data: PreparedData, device: torch.device) -> list[Cost]:
    """Every base learner once a fold, without its images, and once more where it is trained again with all; then what is said
    of images that were left out, and the meta-learner.
    """
    train, validation = len(data.splits.train), len(data.splits.validation)
    refit = run.inference == "refit"
    passes = (run.folds - 1) + refit  # over all training images, in all
    sets = 1 if run.inference in ("best_fold", "refit") else run.folds
    costs = []
    for learner in _alone(run):
        *learnt, predicted = _fitted(learner, data, device)
        costs += [_times(cost, passes) for cost in learnt]
        said = train + 2 * sets * validation  # to choose the epoch of the meta-learner, and in the end
        costs.append(replace(_times(predicted, run.folds + refit), units=predicted.units * (run.folds + refit) + said))
    meta = run.meta_training
    images = train * meta.epochs + validation * ceil(meta.epochs / meta.validate_every)
    return [*costs, _meta_cost(run, data, device, images)]


def _meta_cost(run: CrossValidatedRun, data: PreparedData, device: torch.device, images: float) -> Cost:
    """Of the meta-learner, which sees numbers and, at most, a small network's view of an image."""

    def train(training: TrainingSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
        network = level_one_network(run, small, 0)
        width = len(run.base_learners) * small.num_classes
        table = torch.from_numpy(np.zeros((len(small.image_set.labels), width), dtype=np.float32))
        job = work.Job(run.model_copy(update={"loader": "device"}), 0, small, folder, device)
        objective = LevelOne(table.to(device))
        return work.fit_split(network, job, training, seed=0, folder=folder, objective=objective).history

    shape = {"meta": True, **_shape(run, data, device)}
    first, *_ = fit_costs(shape, run.meta_training, train, data, lambda: 1e6)
    return replace(first, units=images, least=None)


def _alone(run: CrossValidatedRun) -> list[NetworkRun]:
    """The base learners as networks that are trained alone."""
    shared = {name: getattr(run, name) for name in ("mock", "loader", "augmentation", "training", "evaluation")}
    return [NetworkRun(method="network", learner=learner, member=0, **shared) for learner in run.base_learners]


def _shape(run: AnyRun, data: PreparedData, device: torch.device) -> dict[str, Any]:
    dumped = run.model_dump(mode="json", include=_SHAPE)
    for learner in (dumped.get("learner"), *dumped.get("base_learners", ())):
        if learner is not None:  # first weights cost no time
            for name in ("initialisation", "weights_hash", "weights_file", "first_layer"):
                learner.pop(name, None)
    return {**dumped, "classes": data.num_classes, "device": device.type}


def _times(cost: Cost, factor: float) -> Cost:
    return replace(cost, units=cost.units * factor, least=None if cost.least is None else cost.least * factor)
