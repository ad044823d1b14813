"""One run of the stacking method that is trained from end to end: a joint stack, a network alone, or one with several heads.

Source: the project "Stacked Generalization for Deep Learning" (joint mode), without its defects: a stratified validation
split selects, label smoothing reaches every loss, and the test split is scored once.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn

from vision_studies.config.training import TrainingSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.models.statistics import network_size
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.stacking.outputs import SplitOutputs, save_outputs
from vision_studies.pipelines.stacking.settings import EnsembleRun, JointRun, NetworkRun
from vision_studies.pipelines.stacking.stacked_networks import build_ensemble, build_learner, build_stack, order_seed
from vision_studies.pipelines.stacking.views import ViewLoader
from vision_studies.predictions import Predictions
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.evaluation import predict_outputs
from vision_studies.training.fit import fit
from vision_studies.training.fit_result import FitResult
from vision_studies.training.objectives import CLASSIFICATION, JointStacking, Objective
from vision_studies.training.precision import place_model
from vision_studies.training.runtime import seed_everything, tune_process

R_co = TypeVar("R_co", covariant=True)

Report = Callable[[dict[str, Any]], bool | None]
"""Is given the history row of every epoch; True ends the training."""


class Job(NamedTuple, Generic[R_co]):
    """A run's settings and seed, the images and splits it works on, its folder, and where it computes."""

    run: R_co
    seed: int
    data: PreparedData
    folder: Path
    device: torch.device


OneNetwork = JointRun | NetworkRun | EnsembleRun
"""A run whose parts are trained together."""

MEAN_OF_MEMBERS = JointStacking("interpolation", 1.0)
"""Of an ensemble that is one network: members learn by their own losses, and the mean of their probabilities classifies."""


def build(run: OneNetwork, seed: int, data: PreparedData) -> nn.Module:
    """The network of a run, as it is before training."""
    if isinstance(run, EnsembleRun):
        return build_ensemble(run, data, seed=seed)
    if isinstance(run, JointRun):
        return build_stack(run, data, seed=seed)
    return build_learner(run.learner, data, seed=seed, member=run.member)


def train(job: Job[OneNetwork], report: Report | None = None) -> Outcome:
    """Train a stack or a network; an interrupted call continues from the checkpoints in its folder.

    Writes the weights of the best validation epoch and what all heads say of the validation images.
    """
    tune_process()
    run, seed, data, folder, device = job
    model = build(run, seed, data)
    order = order_seed(seed, 0 if isinstance(run, JointRun) else run.member)
    place = folder / "checkpoints"
    result = fit_split(model, job, run.training, seed=order, folder=place, report=report, objective=objective_of(run))
    predictions: tuple[Predictions, ...] = ()
    metrics = result.metrics(network_size(model, data.image_shape), device, images=len(data.splits.train))
    if result.best_epoch is not None:
        model.load_state_dict(result.weights)
        save_weights(model, folder / WEIGHTS_FILE)
        if result.ended != "pruned":
            outputs = score(model, job, "validation")
            save_outputs(outputs, folder, "validation")
            predictions = (outputs.predictions("validation"),)
        best = result.history.set_index("epoch").loc[result.best_epoch]
        others = best[best.index.str.startswith("validation_") & ~best.index.isin([*metrics])].astype(float)
        metrics["other_metrics"] = others.dropna().to_dict()
    return replace(result.outcome(metrics), predictions=predictions)


def outputs_on_test(job: Job[OneNetwork], view: int = 0) -> SplitOutputs:
    """What the selected weights of a run say of the test images, in one view of them."""
    tune_process()
    model = load_weights(build(job.run, job.seed, job.data), job.folder / WEIGHTS_FILE).to(job.device)
    return score(model, job, "test", view=view)


def fit_split(
    model: nn.Module,
    job: Job[Any],
    training: TrainingSettings,
    *,
    seed: int,
    folder: Path,
    report: Report | None = None,
    objective: Objective = CLASSIFICATION,
    positions: np.ndarray | None = None,
) -> FitResult:
    """Train a network in place on the training split of a job; the validation split selects the epoch.

    Args:
        positions: int64 [N], which of the training images; None for all.
    """
    seed_everything(seed)
    run, _, data, _, device = job
    loader = partial(data.loader, kind=run.loader, device=device)
    train_loader = loader(
        "train",
        batch_size=training.batch_size,
        seed=seed,
        shuffle=True,
        augmentation=run.augmentation.build(data.normalisation.mean),
        positions=positions,
    )
    validation = loader("validation", batch_size=run.evaluation.batch_size)
    options: dict[str, Any] = {"seed": seed, "device": device, "folder": folder}
    return fit(model, train_loader, validation, training, **options, on_epoch=report, objective=objective)


def score(
    model: nn.Module,
    job: Job[Any],
    split: str,
    objective: Objective = CLASSIFICATION,
    positions: np.ndarray | None = None,
    view: int = 0,
) -> SplitOutputs:
    """What a network says of the plain images of a split, or of a part of it; each image once, in the split's order.

    A `view` other than 0 shows it the images otherwise; see `views`.
    """
    run, _, data, _, device = job
    place_model(model, run.training, device)
    loader = data.loader(
        split, kind=run.loader, batch_size=run.evaluation.batch_size, device=device, positions=positions
    )
    if view:
        loader = ViewLoader(loader, view, run.evaluation.views)
    outputs, labels = predict_outputs(model, loader, run.training, device, objective)
    heads = outputs if outputs.ndim == 3 else outputs[:, None]
    indices = getattr(data.splits, split)
    return SplitOutputs(indices if positions is None else indices[positions], labels.numpy(), heads.numpy())


def objective_of(run: OneNetwork) -> Objective:
    """What the training of a run minimises."""
    if isinstance(run, EnsembleRun):
        return MEAN_OF_MEMBERS
    return JointStacking(run.loss.form, run.loss.alpha) if isinstance(run, JointRun) else CLASSIFICATION
