"""Networks that `stacking` has trained or combined, in use."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.models import network_name, network_names
from vision_studies.pipelines.stacking.stages import TITLES, TRAINED
from vision_studies.studies.method import NO_WEIGHTS, WEIGHTS_FILE, Networks, StoredNetwork

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.classifier import ImageClassifier

_ONE_OF_SEVERAL = ("best_learner", "soup")
"""Rules that leave one network."""


def _title(configuration: Mapping[str, Any]) -> str:
    if configuration["method"] == "network":
        return network_name(configuration["learner"]["model"])
    if configuration["method"] == "ensemble":
        recipe = configuration["recipe"]
        return f"{TITLES[recipe['name']]} of {network_names([configuration['learner']['model']] * recipe['members'])}"
    if configuration["method"] != "combination":
        return f"stack of {network_names([learner['model'] for learner in configuration['base_learners']])}"
    models = [member["learner"]["model"] for member in configuration["members"]]
    return network_name(models[0]) if configuration["rule"] in _ONE_OF_SEVERAL else f"{network_names(models)} together"


def _unusable(configuration: Mapping[str, Any], folder: Path) -> str | None:
    if configuration.get("mock"):
        return "the mock trainer made up their results and trained no network"
    combined = configuration["method"] == "combination" and configuration["rule"] != "soup"
    return None if (folder / (TRAINED if combined else WEIGHTS_FILE)).is_file() else NO_WEIGHTS


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "ImageClassifier":
    from vision_studies.pipelines.stacking.rebuilding import rebuild

    return rebuild(run, data)


NETWORKS = Networks(_title, _rebuild, _unusable)
