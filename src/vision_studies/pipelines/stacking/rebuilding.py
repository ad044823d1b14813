"""From the folder of a run of `stacking` to the network that it trained."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from vision_studies.data.prepared import PreparedData
from vision_studies.errors import CheckpointError
from vision_studies.pipelines.stacking import combinations, cross_validation
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.settings import (
    CombinationRun,
    CrossValidatedRun,
    EnsembleRun,
    JointRun,
    NetworkRun,
    read_run,
    with_any_weights,
)
from vision_studies.pipelines.stacking.stacked_networks import build_ensemble, build_learner
from vision_studies.pipelines.stacking.stages import TRAINED
from vision_studies.run_folders import descriptions, read_stage
from vision_studies.serving.joined_networks import FoldedStack, LastHead, WeightedMean
from vision_studies.studies.method import WEIGHTS_FILE, StoredNetwork
from vision_studies.training.checkpoints import load_selected, load_weights
from vision_studies.training.classifier import ImageClassifier, ImageFormat


def rebuild(stored: StoredNetwork, data: PreparedData) -> ImageClassifier:
    """The network of a run of `stacking` as it was trained. Raises CheckpointError where the weights do not fit the network
    that the run describes, or those of a run that it combines are gone.
    """
    run = read_run(stored.configuration)
    shared = run.members[0] if isinstance(run, CombinationRun) else run
    if isinstance(run, CombinationRun):
        network = _combination(run, stored, data)
    elif isinstance(run, CrossValidatedRun):
        network = _folded(run, stored, data)
    else:
        network = _trained(run, stored.seed, stored.weights, data)
    return ImageClassifier(stored.path, network, ImageFormat.of(data), shared.training, shared.evaluation.batch_size)


def _trained(run: NetworkRun | JointRun | EnsembleRun, seed: int, weights: Path, data: PreparedData) -> nn.Module:
    # Those that decide are read at once, and the files that the first ones came from may be gone.
    plain = with_any_weights(run)
    if isinstance(plain, EnsembleRun):
        ensemble = load_selected(build_ensemble(plain, data, seed=seed), weights)
        return LastHead(ensemble) if ensemble.decides is None else ensemble.decides  # type: ignore[return-value]
    network = load_selected(stacking.build(plain, seed, data), weights)
    return LastHead(network) if isinstance(plain, JointRun) else network


def _combination(run: CombinationRun, stored: StoredNetwork, data: PreparedData) -> nn.Module:
    folder, seed = stored.folder, stored.seed
    if run.rule == "soup":
        return _trained(run.members[0], seed, stored.weights, data)
    chosen = combinations.chosen_weights(read_stage(folder / TRAINED)["metrics"])
    siblings = {_identity(description): sibling for sibling, description in descriptions(folder.parent)}
    networks = []
    for member in (member for member, share in zip(run.members, chosen, strict=True) if share > 0):
        wanted = _identity({**stored.description, "configuration": member.model_dump(mode="json")})
        if wanted not in siblings:
            raise CheckpointError(
                f"{folder} combines networks of which one ({member.learner.model.name}, number {member.member + 1}) lies no "
                "longer beside it; run the study again."
            )
        networks.append(_trained(member, seed, siblings[wanted] / WEIGHTS_FILE, data))
    return networks[0] if len(networks) == 1 else WeightedMean(networks, [share for share in chosen if share > 0])


def _folded(run: CrossValidatedRun, stored: StoredNetwork, data: PreparedData) -> nn.Module:
    seed, folder = stored.seed, stored.folder

    def network(learner: int, path: Path) -> nn.Module:
        model = build_learner(run.base_learners[learner].with_any_weights, data, seed=seed, member=learner)
        return load_weights(model, path / WEIGHTS_FILE)

    sets, shares = cross_validation.asked_networks(run, folder, lambda: cross_validation.stored_accuracies(run, folder))
    networks = [[network(learner, path) for learner, path in enumerate(folders)] for folders in sets]
    meta_learner = cross_validation.level_one_network(run, data, seed)
    load_weights(meta_learner, stored.weights)
    return FoldedStack(networks, shares.tolist(), meta_learner, partial(cross_validation.meta_inputs, run))


def _identity(description: Mapping[str, Any]) -> str:
    """What runs of one folder that share it have trained once."""
    decisive = ("pipeline", "configuration", "seed", "data_fingerprint", "method_version")
    return json.dumps([description[name] for name in decisive], sort_keys=True)
