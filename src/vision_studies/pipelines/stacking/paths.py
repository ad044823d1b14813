"""Ensembles along the path of one training: snapshots, stochastic weight averaging, a soup of branches.

Sources: Huang et al. 2017 (snapshot ensembles), Izmailov et al. 2018 (SWA), Wortsman et al. 2022 (greedy soup). The path is a
row of trainings, each with a schedule of its own; momentum starts anew with each.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from vision_studies.config.training import ConstantSettings, TrainingSettings
from vision_studies.models.statistics import network_size
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.stacking.combinations import greedy_ingredients, soup_accuracy
from vision_studies.pipelines.stacking.outputs import metrics_on_validation, save_outputs
from vision_studies.pipelines.stacking.settings import EnsembleRun
from vision_studies.pipelines.stacking.stacked_networks import build_ensemble, build_learner, order_seed
from vision_studies.pipelines.stacking.work import Job, Report, fit_split, score
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.training.checkpoints import save_weights
from vision_studies.training.fit_result import FitResult
from vision_studies.training.runtime import tune_process


def train(job: Job[EnsembleRun], report: Report | None = None) -> Outcome:  # noqa: ARG001 - nothing searches these
    """Train the parts of a path; an interrupted call continues from the checkpoints in its folder.

    Writes the weights of all members and of what decides, and what they say of the validation images, which choose the members
    of a soup, and between the average of `swa` and its last point.
    """
    tune_process()
    run, seed, data, folder, device = job
    network = build_learner(run.learner, data, seed=seed, member=0)
    parts, results = part_trainings(run), list[FitResult]()
    beginning = len(parts) - run.recipe.members
    parting: dict[str, Tensor] = {}
    for number, training in enumerate(parts):
        if run.recipe.name == "shared_soup" and number > beginning:
            network.load_state_dict(parting)
        place = folder / "checkpoints" / f"part_{number}"
        result = fit_split(network, job, training, seed=order_seed(seed, number), folder=place)
        results.append(result)
        if result.best_epoch is None or result.ended == "diverged":
            return joined(results).outcome(joined(results).metrics({}, device))
        if number < beginning:
            parting = result.final_weights
    whole = joined(results)
    ensemble = build_ensemble(run, data, seed=seed)
    states = [result.weights for result in results[beginning:]]
    for member, state in zip(ensemble.members.networks, states, strict=True):  # type: ignore[arg-type] # separate members
        member.load_state_dict(state)
    weights: dict[str, float] = {}
    if ensemble.decides is not None:
        chosen = _ingredients(job, ensemble.decides, states)
        shares = np.bincount(chosen, minlength=len(states)) / len(chosen)
        weights = {f"weight_{number}": float(share) for number, share in enumerate(shares, start=1)}
    save_weights(ensemble, folder / WEIGHTS_FILE)
    outputs = score(ensemble, job, "validation")
    save_outputs(outputs, folder, "validation")
    used = ensemble.members if ensemble.decides is None else ensemble.decides
    metrics = whole.metrics(network_size(used, data.image_shape), device, images=len(data.splits.train))
    metrics |= {**metrics_on_validation(outputs), "other_metrics": weights}
    return replace(whole.outcome(metrics), predictions=(outputs.predictions("validation"),))


def part_trainings(run: EnsembleRun) -> list[TrainingSettings]:
    """How each part of the path is trained, in order: what members share, where they share anything, then one a member.

    Parts are validated at their end alone, where a member is taken. After a shared beginning, images have their last scale.
    """
    recipe, training = run.recipe, run.training
    lengths = part_epochs(run)
    parts = []
    for number, epochs in enumerate(lengths):
        schedule, optimizer, scales = training.schedule, training.optimizer, training.image_scales
        if recipe.shared and number:
            optimizer, scales = _slower(optimizer, recipe.rate), scales[-1:]
            if recipe.name == "swa":
                schedule = ConstantSettings(name="constant", warmup_epochs=0)
        if getattr(schedule, "warmup_epochs", 0):
            warmup = schedule.warmup_epochs * epochs / training.epochs  # type: ignore[union-attr] # as seen above
            schedule = schedule.model_copy(update={"warmup_epochs": warmup})
        changes = {"epochs": epochs, "schedule": schedule, "optimizer": optimizer, "validate_every": epochs}
        parts.append(training.model_copy(update={**changes, "image_scales": scales, "early_stopping": None}))
    return parts


def part_epochs(run: EnsembleRun) -> list[int]:
    """Epochs of the parts, which together are those of the run.

    Examples:
        >>> from types import SimpleNamespace
        >>> from vision_studies.pipelines.stacking.paths import part_epochs
        >>> from vision_studies.pipelines.stacking.settings import Recipe
        >>> run = SimpleNamespace(recipe=Recipe(name="snapshot", members=3), training=SimpleNamespace(epochs=10))
        >>> part_epochs(run)
        [3, 3, 4]
    """
    recipe, epochs = run.recipe, run.training.epochs
    first = min(max(1, round(recipe.shared * epochs)), epochs - recipe.members) if recipe.shared else 0
    edges = [first + (epochs - first) * part // recipe.members for part in range(recipe.members + 1)]
    lengths = [later - earlier for earlier, later in pairwise(edges)]
    return [first, *lengths] if first else lengths


def joined(results: Sequence[FitResult]) -> FitResult:
    """Trainings that followed each other, as one whose weights are those of its end."""
    histories, epochs, seconds = [], 0, 0.0
    for result in results:
        rows = result.history.assign(
            epoch=result.history["epoch"] + epochs, seconds=result.history["seconds"] + seconds
        )
        histories.append(rows)
        epochs, seconds = epochs + len(rows), seconds + result.seconds
    last = results[-1]
    best = None if last.best_epoch is None else epochs - len(last.history) + last.best_epoch
    return replace(last, history=pd.concat(histories, ignore_index=True), best_epoch=best, seconds=seconds)


def _ingredients(job: Job[EnsembleRun], network: nn.Module, states: Sequence[dict[str, Tensor]]) -> list[int]:
    """The members whose mean decides, by validation accuracy; `network` is left with their mean."""

    def accuracy_of(chosen: Sequence[int]) -> float:
        return soup_accuracy(network, [states[member] for member in chosen], job)

    members = list(range(len(states)))
    if job.run.recipe.name == "swa":
        chosen = max(members, [members[-1]], key=accuracy_of)  # of equals the average
    else:
        alone = [accuracy_of([member]) for member in members]
        chosen = greedy_ingredients(sorted(members, key=lambda member: -alone[member]), accuracy_of)
    accuracy_of(chosen)
    return chosen


def _slower(optimizer: Any, rate: float) -> Any:
    changes: dict[str, Any] = {"learning_rate": rate * optimizer.learning_rate}
    if optimizer.name == "muon":
        changes["rest"] = _slower(optimizer.rest, rate)
    return optimizer.model_copy(update=changes)
