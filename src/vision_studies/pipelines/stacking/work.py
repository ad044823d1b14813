"""One run of the stacking method that is trained from end to end: a joint stack, a network alone, or one with several heads.

Source: the project "Stacked Generalization for Deep Learning" (joint mode), without its defects: a stratified validation
split selects, label smoothing reaches every loss, and the test split is scored once.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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

Report = Callable[[dict[str, Any]], bool | None]
"""Is given the history row of every epoch; True ends the training."""


MEAN_OF_MEMBERS = JointStacking("interpolation", 1.0)
"""Of an ensemble that is one network: members learn by their own losses, and the mean of their probabilities classifies."""


def build(run: JointRun | NetworkRun | EnsembleRun, seed: int, data: PreparedData) -> nn.Module:
    """The network of a run, as it is before training."""
    if isinstance(run, EnsembleRun):
        return build_ensemble(run, data, seed=seed)
    if isinstance(run, JointRun):
        return build_stack(run, data, seed=seed)
    return build_learner(run.learner, data, seed=seed, member=run.member)


def train(
    run: JointRun | NetworkRun | EnsembleRun,
    seed: int,
    data: PreparedData,
    folder: Path,
    device: torch.device,
    report: Report | None = None,
) -> Outcome:
    """Train a stack or a network; an interrupted call continues from the checkpoints in `folder`.

    Writes the weights of the best validation epoch and what all heads say of the validation images.
    """
    tune_process()
    model = build(run, seed, data)
    order = order_seed(seed, 0 if isinstance(run, JointRun) else run.member)
    options: dict[str, Any] = {"device": device, "folder": folder / "checkpoints", "report": report}
    result = fit_split(model, run, run.training, data, seed=order, objective=objective_of(run), **options)
    predictions: tuple[Predictions, ...] = ()
    metrics = result.metrics(network_size(model, data.image_shape), device, images=len(data.splits.train))
    if result.best_epoch is not None:
        model.load_state_dict(result.weights)
        save_weights(model, folder / WEIGHTS_FILE)
        if result.ended != "pruned":
            outputs = score(model, run, data, "validation", device)
            save_outputs(outputs, folder, "validation")
            predictions = (outputs.predictions("validation"),)
        best = result.history.set_index("epoch").loc[result.best_epoch]
        others = best[best.index.str.startswith("validation_") & ~best.index.isin([*metrics])].astype(float)
        metrics["other_metrics"] = others.dropna().to_dict()
    return replace(result.outcome(metrics), predictions=predictions)


def outputs_on_test(
    run: JointRun | NetworkRun | EnsembleRun,
    seed: int,
    data: PreparedData,
    folder: Path,
    device: torch.device,
    view: int = 0,
) -> SplitOutputs:
    """What the selected weights of a run say of the test images, in one view of them."""
    tune_process()
    model = load_weights(build(run, seed, data), folder / WEIGHTS_FILE).to(device)
    return score(model, run, data, "test", device, view=view)


def fit_split(
    model: nn.Module,
    run: Any,
    training: TrainingSettings,
    data: PreparedData,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    report: Report | None = None,
    objective: Objective = CLASSIFICATION,
    positions: np.ndarray | None = None,
) -> FitResult:
    """Train a network in place on the training split; the validation split selects the epoch.

    Args:
        model: the network.
        run: a run's settings: loader, augmentation and evaluation.
        training: how to train.
        data: images and splits.
        seed: seed of order, augmentation and dropout.
        device: where to train.
        folder: where checkpoints are kept.
        report: is given every epoch.
        objective: what is minimised and measured.
        positions: int64 [N], which of the training images; None for all.
    """
    seed_everything(seed)
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
    run: Any,
    data: PreparedData,
    split: str,
    device: torch.device,
    objective: Objective = CLASSIFICATION,
    positions: np.ndarray | None = None,
    view: int = 0,
) -> SplitOutputs:
    """What a network says of the plain images of a split, or of a part of it; each image once, in the split's order.

    A `view` other than 0 shows it the images otherwise; see `views`.
    """
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


def objective_of(run: JointRun | NetworkRun | EnsembleRun) -> Objective:
    """What the training of a run minimises."""
    if isinstance(run, EnsembleRun):
        return MEAN_OF_MEMBERS
    return JointStacking(run.loss.form, run.loss.alpha) if isinstance(run, JointRun) else CLASSIFICATION
