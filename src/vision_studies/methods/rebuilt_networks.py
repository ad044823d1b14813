"""From the folder of a run to the network that it trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from vision_studies.config.cifar_resnet import RunSettings
from vision_studies.config.ensemble import EnsembleSettings
from vision_studies.config.mlp_transfer import MlpRunSettings
from vision_studies.config.stacking_runs import (
    CombinationRun,
    CrossValidatedRun,
    JointRun,
    LearnerSettings,
    NetworkRun,
    read_run,
)
from vision_studies.config.training import TrainingSettings
from vision_studies.config.transfer_cuts import CutRunSettings, PretrainingRunSettings
from vision_studies.data.loaders import Normalisation
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import CheckpointError
from vision_studies.methods import cifar_resnet, combinations, cross_validation, cut_networks, mlp_transfer, stacking
from vision_studies.methods.joined_networks import Cut, FoldedStack, LastHead, WeightedMean
from vision_studies.methods.run_architecture import WEIGHTS_FILE
from vision_studies.methods.stacked_networks import build_learner, build_meta_learner
from vision_studies.stored_tables import read_table
from vision_studies.training.checkpoints import load_state, load_weights

_HALF = 127.5  # networks of the cut study see pixels from -1 to 1
_BATCH = 256  # images at a time, where a run's settings do not say


@dataclass(frozen=True)
class Rebuilt:
    """A network as it was trained.

    Attributes:
        network: normalised images [N, C, H, W] -> logits [N, classes].
        class_names: one name a logit.
        normalisation: that it was trained with.
        training: its number format.
        batch_size: images at a time when it was scored.
        padding: of test-time crops in pixels; None where the run's settings do not say.
        seed: of test-time crops.
    """

    network: nn.Module
    class_names: tuple[str, ...]
    normalisation: Normalisation
    training: TrainingSettings | EnsembleSettings
    batch_size: int = _BATCH
    padding: int | None = None
    seed: int = 0


def rebuild(
    description: Mapping[str, Any], folder: Path, data: PreparedData, checkpoint: Path | None = None
) -> Rebuilt:
    """The network of a run.

    Args:
        description: content of the run's `run.json`; `why_unusable` finds nothing against it.
        folder: of the run.
        data: images and splits that the run was trained on.
        checkpoint: a numbered one, instead of the selected weights; of networks that are trained as one alone.

    Raises:
        CheckpointError: the weights do not fit the network that the run describes, or those of another run, which it needs,
            are gone.
    """
    configuration, seed = description["configuration"], description["seed"]
    weights = checkpoint or folder / WEIGHTS_FILE
    match description["pipeline"]:
        case "mlp_transfer":
            return _perceptron(MlpRunSettings.model_validate(configuration), weights, data)
        case "transfer_cuts" if "cut" in configuration:
            return _cut(CutRunSettings.model_validate(configuration), weights, data)
        case "transfer_cuts":
            return _pretrained(PretrainingRunSettings.model_validate(configuration), weights, data)
        case "stacking":
            return _stacking(read_run(configuration), seed, weights, folder, description, data)
    settings = RunSettings.model_validate(configuration)
    network = load_selected(cifar_resnet.build_network(settings, data), weights)
    evaluation = settings.evaluation
    return Rebuilt(
        network,
        data.image_set.class_names,
        data.normalisation,
        settings.training,
        evaluation.batch_size,
        evaluation.padding,
        evaluation.seed,
    )


def load_selected(network: nn.Module, file: Path) -> nn.Module:
    """Load weights, or those of a numbered checkpoint, into `network`.

    Raises:
        CheckpointError: the file is damaged or belongs to another network.
    """
    state = load_state(file)
    if not isinstance(state, dict) or "optimizers" not in state:
        return load_weights(network, file)
    try:
        network.load_state_dict(state["model"])
    except RuntimeError as error:
        raise CheckpointError(
            f"{file} is a checkpoint of another network than its run describes; it was moved or changed."
        ) from error
    return network


def _perceptron(settings: MlpRunSettings, weights: Path, data: PreparedData) -> Rebuilt:
    network = nn.Sequential(nn.Flatten(), load_weights(mlp_transfer.build_network(settings, data), weights))
    pixels = Normalisation((0.0,) * data.in_channels, (255.0,) * data.in_channels)
    normalisation = data.normalisation if settings.normalise else pixels
    return Rebuilt(network, data.image_set.class_names, normalisation, settings.training)


def _pretrained(settings: PretrainingRunSettings, weights: Path, data: PreparedData) -> Rebuilt:
    network = cut_networks.load_pretrained(settings.network, data, settings.classes, weights)
    return Rebuilt(network, _in_order(settings.classes, data), _from_minus_one(data), settings.training)


def _cut(settings: CutRunSettings, weights: Path, data: PreparedData) -> Rebuilt:
    cut, classes = settings.cut, settings.classes
    network: nn.Module = cut_networks.build_convnet(settings.network, data, len(classes), cut.frozen, cut.kept)
    load_weights(network, weights)
    if cut.frozen:
        first = weights.parent.parent / str(settings.pretrained)
        described = _description_of(first, weights)
        learnt = PretrainingRunSettings.model_validate(described["configuration"])
        whole = cut_networks.load_pretrained(learnt.network, data, learnt.classes, first / WEIGHTS_FILE)
        assert isinstance(network, cut_networks.ConvNet)  # noqa: S101 - built above
        network = Cut(whole, cut.frozen, network)
    return Rebuilt(network, _in_order(classes, data), _from_minus_one(data), settings.fine_tuning.training)


def _stacking(
    run: NetworkRun | JointRun | CrossValidatedRun | CombinationRun,
    seed: int,
    weights: Path,
    folder: Path,
    description: Mapping[str, Any],
    data: PreparedData,
) -> Rebuilt:
    shared = run.members[0] if isinstance(run, CombinationRun) else run
    if isinstance(run, CombinationRun):
        network = _combination(run, seed, weights, folder, description, data)
    elif isinstance(run, CrossValidatedRun):
        network = _folded(run, seed, weights, folder, data)
    else:
        network = _trained(run, seed, weights, data)
    return Rebuilt(
        network, data.image_set.class_names, data.normalisation, shared.training, shared.evaluation.batch_size
    )


def _trained(run: NetworkRun | JointRun, seed: int, weights: Path, data: PreparedData) -> nn.Module:
    if isinstance(run, NetworkRun):
        return load_selected(
            stacking.build(run.model_copy(update={"learner": _plain(run.learner)}), seed, data), weights
        )
    plain = run.model_copy(update={"base_learners": tuple(map(_plain, run.base_learners))})
    return LastHead(load_selected(stacking.build(plain, seed, data), weights))


def _combination(
    run: CombinationRun, seed: int, weights: Path, folder: Path, description: Mapping[str, Any], data: PreparedData
) -> nn.Module:
    if run.rule == "soup":
        return _trained(run.members[0], seed, weights, data)
    chosen = combinations.chosen_weights(json.loads((folder / "training.json").read_text(encoding="utf-8"))["metrics"])
    there = {_identity(own): path.parent for path, own in _siblings(folder)}
    networks, kept = [], []
    for member, share in zip(run.members, chosen, strict=True):
        if share > 0:
            wanted = _identity({**description, "configuration": member.model_dump(mode="json")})
            if wanted not in there:
                raise CheckpointError(
                    f"{folder} combines networks of which one ({member.learner.model.name}, number {member.member + 1}) "
                    "lies no longer beside it; run the study again."
                )
            networks.append(_trained(member, seed, there[wanted] / WEIGHTS_FILE, data))
            kept.append(share)
    return networks[0] if len(networks) == 1 else WeightedMean(networks, kept)


def _folded(run: CrossValidatedRun, seed: int, weights: Path, folder: Path, data: PreparedData) -> nn.Module:
    learners, everyone = run.base_learners, range(len(run.base_learners))

    def network(place: str, learner: int) -> nn.Module:
        model = build_learner(_plain(learners[learner]), data, seed=seed, member=learner)
        return load_weights(model, folder / f"{place}_learner_{learner}" / WEIGHTS_FILE)

    shares = [1.0]
    if run.inference == "refit":
        sets = [[network("refit", learner) for learner in everyone]]
    else:
        accuracies = _held_out_accuracies(folder, len(learners))
        if run.inference == "best_fold":
            best = accuracies.argmax(axis=0)
            sets = [[network(f"fold_{best[learner]}", learner) for learner in everyone]]
        else:
            sets = [[network(f"fold_{fold}", learner) for learner in everyone] for fold in range(run.folds)]
            weighted = run.inference == "weighted"
            shares = cross_validation.fold_weights(accuracies).tolist() if weighted else [1 / run.folds] * run.folds
    dimension = 0 if run.meta_learner.inputs == "none" else len(learners) * data.num_classes
    meta_learner = build_meta_learner(run.meta_learner, dimension, data, seed=seed)
    load_weights(meta_learner, weights)
    return FoldedStack(sets, shares, meta_learner, lambda logits: cross_validation.told(run, logits))


def _held_out_accuracies(folder: Path, learners: int) -> np.ndarray:
    """Accuracy [folds, learners] of the base learners on the images that each was kept from."""
    stored = read_table(folder / cross_validation.FOLDS_FILE, "delete its folder and run the study again")
    logits = stored.filter(like="logit_").to_numpy().reshape(len(stored), learners, -1)
    right = pd.DataFrame(logits.argmax(axis=2) == stored["label"].to_numpy()[:, None])
    return right.groupby(stored["fold"]).mean().to_numpy()


def _plain(learner: LearnerSettings) -> LearnerSettings:
    """Without a rule or a file for first weights, which may be gone: other weights take their place at once."""
    return learner.model_copy(update={"weights_file": None, "weights_hash": None, "initialisation": None})


def _siblings(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    files = sorted(folder.parent.glob("*/run.json"))
    return [(path, json.loads(path.read_text(encoding="utf-8"))) for path in files]


def _identity(description: Mapping[str, Any]) -> str:
    """What runs of one folder that share it have trained once."""
    decisive = ("pipeline", "configuration", "seed", "data_fingerprint", "method_version")
    return json.dumps([description[name] for name in decisive], sort_keys=True)


def _description_of(folder: Path, needed_by: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{needed_by} holds the layers after a cut, and the run with those before it, {folder}, is gone; run the study "
            "again."
        ) from error


def _in_order(classes: tuple[str, ...], data: PreparedData) -> tuple[str, ...]:
    """Classes in the order in which networks of the cut study tell them apart: that of the image set."""
    return tuple(name for name in data.image_set.class_names if name in classes)


def _from_minus_one(data: PreparedData) -> Normalisation:
    return Normalisation((_HALF,) * data.in_channels, (_HALF,) * data.in_channels)
