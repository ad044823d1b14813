"""From the folder of a run of `stacking` to the network that it trained."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from vision_studies.data.prepared import PreparedData
from vision_studies.errors import CheckpointError
from vision_studies.pipelines.stacking import combinations, cross_validation
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.plan import TRAINED
from vision_studies.pipelines.stacking.run_settings import (
    CombinationRun,
    CrossValidatedRun,
    JointRun,
    LearnerSettings,
    NetworkRun,
    read_run,
)
from vision_studies.pipelines.stacking.stacked_networks import build_learner, build_meta_learner
from vision_studies.run_folders import MEND, descriptions, read_stage
from vision_studies.serving.joined_networks import FoldedStack, LastHead, WeightedMean
from vision_studies.stored_tables import read_table
from vision_studies.studies.method import WEIGHTS_FILE, StoredNetwork
from vision_studies.training.checkpoints import load_weights
from vision_studies.training.rebuilt import Rebuilt, load_selected


def rebuild(stored: StoredNetwork, data: PreparedData) -> Rebuilt:
    """The network of a run of `stacking` as it was trained.

    Raises:
        CheckpointError: the weights do not fit the network that the run describes, or those of a run that it combines are gone.
    """
    run = read_run(stored.configuration)
    seed, weights, folder = stored.seed, stored.weights, stored.folder
    shared = run.members[0] if isinstance(run, CombinationRun) else run
    if isinstance(run, CombinationRun):
        network = _combination(run, stored, data)
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


def _combination(run: CombinationRun, stored: StoredNetwork, data: PreparedData) -> nn.Module:
    folder, seed = stored.folder, stored.seed
    if run.rule == "soup":
        return _trained(run.members[0], seed, stored.weights, data)
    chosen = combinations.chosen_weights(read_stage(folder / TRAINED)["metrics"])
    there = {_identity(description): sibling for sibling, description in descriptions(folder.parent)}
    networks, kept = [], []
    for member, share in zip(run.members, chosen, strict=True):
        if share > 0:
            wanted = _identity({**stored.description, "configuration": member.model_dump(mode="json")})
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
    stored = read_table(folder / cross_validation.FOLDS_FILE, MEND)
    logits = stored.filter(like="logit_").to_numpy().reshape(len(stored), learners, -1)
    right = pd.DataFrame(logits.argmax(axis=2) == stored["label"].to_numpy()[:, None])
    return right.groupby(stored["fold"]).mean().to_numpy()


def _plain(learner: LearnerSettings) -> LearnerSettings:
    """Without a rule or a file for first weights, which may be gone: other weights take their place at once."""
    return learner.model_copy(update={"weights_file": None, "weights_hash": None, "initialisation": None})


def _identity(description: Mapping[str, Any]) -> str:
    """What runs of one folder that share it have trained once."""
    decisive = ("pipeline", "configuration", "seed", "data_fingerprint", "method_version")
    return json.dumps([description[name] for name in decisive], sort_keys=True)
