"""One run of classical stacking: base learners by folds, and a meta-learner on what they say of images they never saw.

Sources: Wolpert 1992; van der Laan, Polley and Hubbard 2007; the K-fold mode of the project "Stacked Generalization for Deep
Learning", without its defects: parts are stratified, every training image is predicted exactly once and plainly (without
augmentation), by networks that were not trained on it, and test images are scored plainly, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor, nn

from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import units_of_images
from vision_studies.errors import DataError
from vision_studies.files import atomic_file
from vision_studies.models.stacked import MetaLearner
from vision_studies.models.statistics import count_macs, count_parameters
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.stacking.outputs import (
    SplitOutputs,
    from_probabilities,
    metrics_on_validation,
    save_outputs,
)
from vision_studies.pipelines.stacking.settings import CrossValidatedRun
from vision_studies.pipelines.stacking.stacked_networks import (
    build_learner,
    build_learners,
    build_meta_learner,
    order_seed,
)
from vision_studies.pipelines.stacking.work import Job, Report, fit_split, score
from vision_studies.predictions import Predictions
from vision_studies.run_folders import MEND, WEIGHTS_FILE
from vision_studies.stored_tables import read_table, write_table
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.objectives import FollowedClassification, LevelOne
from vision_studies.training.runtime import derived_seed, peak_memory_mb, tune_process

FOLDS_FILE = "out_of_fold.parquet"
TEMPERATURE = 0.1
"""Of the weights of folds: accuracies are divided by it before the softmax, as published."""

HISTORIES_FILE = "base_histories.parquet"
_REFIT = -1  # number that stands for "all folds" where networks have the number of the fold they did not see


class _Network(NamedTuple):
    """A base learner that has not seen one fold, or has seen all (`fold` is `_REFIT`)."""

    fold: int
    learner: int
    folder: Path
    positions: np.ndarray | None  # of the images it is trained on, in the training split


def assign_folds(labels: np.ndarray, number: int, seed: int, units: np.ndarray | None = None) -> np.ndarray:
    """Which of `number` folds each image is in, int64 [N] like its labels; every fold has its share of every class.

    Images of one unit (int64 [N]; None where each stands for itself) are in one fold, and shares are as near as they can be.

    Raises:
        DataError: a class has fewer images, or units, than there are folds.
    """
    rarest = np.unique(labels, return_counts=True)[1].min()
    if rarest < number:
        raise DataError(
            f"folds.number={number} but the rarest class has {rarest} training images, so that a fold would have none of it; "
            f"set stacking.run.folds.number to {max(2, rarest)} or less, or use more images."
        )
    if units is not None and len(np.unique(units)) == len(units):
        units = None
    if units is not None:
        fewest = min(len(np.unique(units[labels == label])) for label in np.unique(labels))
        if fewest < number:
            raise DataError(
                f"folds.number={number} but the training images of a class stand in {fewest} groups or sets of copies, so that "
                f"a fold would have none of it; set stacking.run.folds.number to {max(2, fewest)} or less, or use more groups."
            )
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = (StratifiedKFold if units is None else StratifiedGroupKFold)(number, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels, units)):
        folds[held_out] = fold
    return folds


def train(job: Job[CrossValidatedRun], report: Report | None = None) -> Outcome:
    """Train base learners and meta-learner; an interrupted call continues where it was.

    Writes `out_of_fold.parquet` (one row a training image: index, fold, label and the logits of every learner),
    `base_histories.parquet` (one row a learner, fold and epoch: a history with the confidence of the validation images'
    predictions and their stability from epoch to epoch), weights, and what the stack says of the validation images.
    """
    tune_process()
    run, seed, data, folder, device = job
    labels = np.asarray(data.image_set.labels[data.splits.train])
    units = units_of_images(data.image_set)
    folds = assign_folds(labels, run.folds, run.fold_seed, None if units is None else units[data.splits.train])
    held_out = np.full((len(labels), len(run.base_learners), data.num_classes), np.nan, dtype=np.float32)
    seconds, trained_images, histories = 0.0, 0, []
    for network in _networks(run, folds, folder):
        network_seed = derived_seed(seed, 2, network.fold + 1)
        model = build_learner(run.base_learners[network.learner], data, seed=network_seed, member=network.learner)
        result = fit_split(
            model,
            job,
            run.training,
            seed=order_seed(network_seed, network.learner),
            folder=network.folder / "checkpoints",
            positions=network.positions,
            objective=FollowedClassification(),
        )
        seconds += result.seconds
        images = len(labels) if network.positions is None else len(network.positions)
        trained_images += len(result.history) * images
        if result.best_epoch is None:
            return result.outcome({"seconds": seconds, "device": str(device)})
        model.load_state_dict(result.weights)
        save_weights(model, network.folder / WEIGHTS_FILE)
        if network.fold != _REFIT:
            histories.append(result.history.assign(learner=network.learner, fold=network.fold))
            held_out_positions = np.flatnonzero(folds == network.fold)
            fold_outputs = score(model, job, "train", positions=held_out_positions)
            held_out[held_out_positions, network.learner] = fold_outputs.logits[:, 0]
        del model
    _save_out_of_fold(folder, data, folds, labels, held_out)
    with atomic_file(folder / HISTORIES_FILE) as temporary:
        write_table(pd.concat(histories, ignore_index=True), temporary)
    ask = _Ask(job, *asked_networks(run, folder, lambda: _accuracies(held_out, labels, folds)))
    # It chooses the epoch: the mean over folds is near to what any of the ways of inference will give.
    validation = np.mean(ask.sets("validation"), axis=0)
    table = _level_one_table(run, data, {"train": held_out, "validation": validation})
    meta_learner = level_one_network(run, data, seed)
    result = fit_split(
        meta_learner,
        job,
        run.meta_training,
        seed=order_seed(seed),
        folder=folder / "meta_checkpoints",
        report=report,
        objective=LevelOne(table.to(device)),
    )
    metrics = _cost(run, data, seed, meta_learner) | {
        "seconds": seconds + result.seconds,
        "images_per_second": (trained_images + len(result.history) * len(labels)) / max(seconds + result.seconds, 1e-9),
        "peak_memory_mb": peak_memory_mb(device),
        "device": str(device),
    }
    # The meta-learner has learnt from these, so that it has nothing to say of images that it has not seen.
    said = softmax(held_out, axis=2).mean(axis=1)
    predictions = [Predictions.of("out_of_fold", data.splits.train, labels, said)]
    if result.best_epoch is not None:
        meta_learner.load_state_dict(result.weights)
        save_weights(meta_learner, folder / WEIGHTS_FILE)
        outputs = ask.stack(meta_learner, "validation")
        save_outputs(outputs, folder, "validation")
        predictions.append(outputs.predictions("validation"))
        right = held_out.argmax(axis=2) == labels[:, None]
        others = {f"out_of_fold_accuracy_base_{n}": float(column.mean()) for n, column in enumerate(right.T, start=1)}
        metrics |= {"best_epoch": result.best_epoch, **metrics_on_validation(outputs), "other_metrics": others}
    return replace(result.outcome(metrics), predictions=tuple(predictions))


def outputs_on_test(job: Job[CrossValidatedRun], view: int = 0) -> SplitOutputs:
    """What a trained stack says of the test images, in one view of them."""
    tune_process()
    networks = asked_networks(job.run, job.folder, lambda: stored_accuracies(job.run, job.folder))
    meta_learner = level_one_network(job.run, job.data, job.seed)
    load_weights(meta_learner, job.folder / WEIGHTS_FILE)
    return _Ask(job, *networks, view).stack(meta_learner, "test")


def stored_accuracies(run: CrossValidatedRun, folder: Path) -> np.ndarray:
    """Accuracy [folds, learners] of a trained stack's base learners on the images that each was kept from."""
    stored = read_table(folder / FOLDS_FILE, MEND)
    logits = stored.filter(like="logit_").to_numpy(np.float32).reshape(len(stored), len(run.base_learners), -1)
    return _accuracies(logits, stored["label"].to_numpy(), stored["fold"].to_numpy())


def asked_networks(
    run: CrossValidatedRun, folder: Path, accuracies: Callable[[], np.ndarray]
) -> tuple[list[list[Path]], np.ndarray]:
    """Folders of the networks that speak for each base learner, in sets; and the weight of each set's decision.

    The run's inference decides; `accuracies` gives those [folds, learners] on held-out images, where they are asked for.
    """
    learners = range(len(run.base_learners))
    if run.inference == "best_fold":
        sets = [accuracies().argmax(axis=0)]
    else:
        sets = [np.full(len(learners), fold) for fold in ([_REFIT] if run.inference == "refit" else range(run.folds))]
    weights = fold_weights(accuracies()) if run.inference == "weighted" else np.full(len(sets), 1 / len(sets))
    return [[_network_folder(folder, folds[learner], learner) for learner in learners] for folds in sets], weights


def fold_weights(accuracies: np.ndarray) -> np.ndarray:
    """Weights [folds] of the folds' decisions, which sum to 1, by the held-out accuracies [folds, learners]."""
    return softmax(accuracies.mean(axis=1) / TEMPERATURE)


@dataclass(frozen=True)
class _Ask:
    """What the networks of a run say of images that none of them was trained on."""

    job: Job[CrossValidatedRun]
    networks: list[list[Path]]
    weights: np.ndarray
    view: int = 0

    def sets(self, split: str) -> list[np.ndarray]:
        """Logits [N, learners, classes] that the meta-learner is given, once for every set of networks it is asked with."""
        return [
            np.stack([self._logits(learner, folder, split) for learner, folder in enumerate(folders)], axis=1)
            for folders in self.networks
        ]

    def stack(self, meta_learner: MetaLearner, split: str) -> SplitOutputs:
        """The stack's decisions, by its inference, with the mean logits of every base learner."""
        sets, votes, job = self.sets(split), [], self.job
        for logits in sets:
            objective = LevelOne(_level_one_table(job.run, job.data, {split: logits}).to(job.device))
            votes.append(score(meta_learner, job, split, objective, view=self.view))
        probabilities = sum(weight * outputs.probabilities for weight, outputs in zip(self.weights, votes, strict=True))
        return from_probabilities(votes[0], np.asarray(probabilities), np.mean(sets, axis=0))

    def _logits(self, learner: int, folder: Path, split: str) -> np.ndarray:
        job = self.job
        model = build_learner(job.run.base_learners[learner], job.data, seed=job.seed, member=learner)
        load_weights(model, folder / WEIGHTS_FILE)
        return score(model, job, split, view=self.view).logits[:, 0]


def meta_inputs(run: CrossValidatedRun, logits: Tensor) -> Tensor:
    """What the meta-learner is given [N, learners * classes] for logits [N, learners, classes]."""
    values = logits.softmax(dim=2) if run.meta_learner.inputs == "probabilities" else logits
    return values.flatten(1)


def level_one_network(run: CrossValidatedRun, data: PreparedData, seed: int) -> MetaLearner:
    """The meta-learner of a stack, as it is before training."""
    dimension = 0 if run.meta_learner.inputs == "none" else len(run.base_learners) * data.num_classes
    return build_meta_learner(run.meta_learner, dimension, data.in_channels, data.num_classes, seed=seed)


def _networks(run: CrossValidatedRun, folds: np.ndarray, folder: Path) -> list[_Network]:
    kept_from = [*range(run.folds), *([_REFIT] if run.inference == "refit" else [])]
    return [
        _Network(
            fold,
            learner,
            _network_folder(folder, fold, learner),
            None if fold == _REFIT else np.flatnonzero(folds != fold),
        )
        for fold in kept_from
        for learner in range(len(run.base_learners))
    ]


def _network_folder(folder: Path, fold: int, learner: int) -> Path:
    return folder / f"{'refit' if fold == _REFIT else f'fold_{fold}'}_learner_{learner}"


def _level_one_table(run: CrossValidatedRun, data: PreparedData, logits: Mapping[str, np.ndarray]) -> Tensor:
    """What the meta-learner is given for each image of these splits; NaN of all others."""
    _, learners, classes = next(iter(logits.values())).shape
    table = torch.full((len(data.image_set.labels), learners * classes), torch.nan)
    for split, split_logits in logits.items():
        table[torch.from_numpy(getattr(data.splits, split))] = meta_inputs(run, torch.from_numpy(split_logits))
    return table


def _accuracies(held_out: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    right = held_out.argmax(axis=2) == labels[:, None]
    return np.stack([right[folds == fold].mean(axis=0) for fold in range(int(folds.max()) + 1)])


def _cost(run: CrossValidatedRun, data: PreparedData, seed: int, meta_learner: MetaLearner) -> dict[str, Any]:
    """Parameters and operations an image of what is used in the end."""
    shape = data.image_shape
    learners = build_learners(run, data, seed=seed)
    sets = run.folds if run.inference in ("all_folds", "weighted") else 1
    features = meta_learner.image_features
    layers = [layer for layer in meta_learner.perceptron if isinstance(layer, nn.Linear)]
    decision = sum(layer.in_features * layer.out_features for layer in layers)
    return {
        "parameters": sets * sum(count_parameters(learner) for learner in learners) + count_parameters(meta_learner),
        "macs": sets * (sum(count_macs(learner, shape) for learner in learners) + decision)
        + (count_macs(features, shape) if features is not None else 0),
    }


def _save_out_of_fold(
    folder: Path, data: PreparedData, folds: np.ndarray, labels: np.ndarray, held_out: np.ndarray
) -> None:
    table = pd.DataFrame({"index": data.splits.train, "fold": folds, "label": labels})
    names = [
        f"logit_{learner + 1}_{label}" for learner in range(held_out.shape[1]) for label in range(held_out.shape[2])
    ]
    logits = pd.DataFrame(held_out.reshape(len(labels), -1), columns=names)
    with atomic_file(folder / FOLDS_FILE) as temporary:
        write_table(pd.concat([table, logits], axis=1), temporary)
