"""What kind of network a run trained, from its description alone: how it is called, and whether it can be used again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vision_studies.config.mlp_transfer import architecture_name
from vision_studies.config.models import ARCHITECTURES

WEIGHTS_FILE = "weights.safetensors"
_PIPELINES = ("cifar_resnet", "mlp_transfer", "stacking", "transfer_cuts")

_ONE_OF_SEVERAL = ("best_learner", "soup")
"""Rules that leave one network."""


def architecture(pipeline: str, configuration: Mapping[str, Any]) -> str:
    """Name of the network that a run trained; runs of `alphanet` are only parts of one.

    Args:
        pipeline: whose run it is.
        configuration: of the run.
    """
    if pipeline == "mlp_transfer":
        return f"perceptron {architecture_name(configuration['widths'])}"
    if pipeline == "stacking":
        return _stacked(configuration)
    return _network(configuration["network" if pipeline in ("transfer_cuts", "clustering") else "model"])


def why_unusable(description: Mapping[str, Any], folder: Path) -> str | None:
    """Why no classifier of images can be made of a run, in words that follow "cannot be used: "; None where one can.

    Args:
        description: content of the run's `run.json`.
        folder: of the run.
    """
    pipeline, configuration = description["pipeline"], description["configuration"]
    if pipeline == "alphanet":
        return "they are parts (networks that give features, classifiers of these), and none classifies images alone"
    if pipeline not in _PIPELINES:
        return "they keep no network"
    if configuration.get("mock"):
        return "the mock trainer made up their results and trained no network"
    combined = configuration.get("method") == "combination"
    needed = "training.json" if combined and configuration["rule"] != "soup" else WEIGHTS_FILE
    if not (folder / needed).is_file():
        return "they have no selected weights: they are unfinished, have failed, or their weights were deleted"
    return None


def _stacked(configuration: Mapping[str, Any]) -> str:
    if configuration["method"] == "network":
        return _network(configuration["learner"]["model"])
    if configuration["method"] != "combination":
        return f"stack of {_networks(configuration['base_learners'])}"
    members = [member["learner"] for member in configuration["members"]]
    return (
        _network(members[0]["model"]) if configuration["rule"] in _ONE_OF_SEVERAL else f"{_networks(members)} together"
    )


def _network(settings: Mapping[str, Any]) -> str:
    kind = ARCHITECTURES.get(settings["name"])  # of an older version's network nothing but the name is known
    return str(settings[kind.named_by if kind else "name"])


def _networks(learners: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(_network(learner["model"]) for learner in learners)
    return " + ".join(f"{number} × {name}" if number > 1 else name for name, number in counts.items())
