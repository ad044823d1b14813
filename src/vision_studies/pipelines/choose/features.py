"""Features of a study's images, computed once and kept beside its runs."""

import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vision_studies.files import hash_json, write_json
from vision_studies.pipelines.choose.candidates import COLOURS, Part

REFERENCE_PIXELS = 224
"""Height and width of the images that operations are counted for; they grow with the square of it."""

if TYPE_CHECKING:
    from vision_studies.data.image_set import ImageSet
    from vision_studies.studies.run_store import RunStore


class BackboneSize(NamedTuple):
    """Operations for an image of 224 pixels, and parameters, of a backbone."""

    operations: float
    parameters: int


@cache
def backbone_size(name: str) -> BackboneSize:
    """How large a backbone is. Raises BackboneError where its weights are not here."""
    from vision_studies.models.backbones import load_backbone
    from vision_studies.models.statistics import count_macs, count_parameters

    network = load_backbone(name).to("meta")  # its shapes are enough
    return BackboneSize(float(count_macs(network, (3, REFERENCE_PIXELS, REFERENCE_PIXELS))), count_parameters(network))


def features_folder(runs: "RunStore") -> Path:
    """Where the features of a study's images are kept."""
    return runs.folder.parent / "features"


def features_file(runs: "RunStore", images: "ImageSet", part: Part) -> Path:
    """The file that is there when the features of a part have been computed: it says how long that took."""
    return features_folder(runs) / f"{hash_json([images.fingerprint, part.configuration])[:16]}.json"


def write_features(runs: "RunStore", images: "ImageSet", part: Part) -> None:
    """Compute the features of all images, or what a killed process has left of them to do, and say how long it took."""
    begun = time.perf_counter()
    stored(runs, images, part)
    write_json(features_file(runs, images, part), {**part.configuration, "seconds": time.perf_counter() - begun})


def features_seconds(runs: "RunStore", images: "ImageSet", part: Part) -> float:
    """Seconds that the features of a part took; 0 of those that are not kept."""
    try:
        return float(json.loads(features_file(runs, images, part).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def stored(runs: "RunStore", images: "ImageSet", part: Part) -> np.ndarray:
    """Features float32 [N, D] of all images of a set."""
    from vision_studies.training.feature_store import stored_features

    if part.source == COLOURS:
        from vision_studies.pipelines.choose.colours import colour_features

        return colour_features(images.images)
    folder = features_folder(runs)
    return stored_features(folder, images.images, images.fingerprint, part.source, part.pixels, mirror=part.mirror)


def joined(runs: "RunStore", images: "ImageSet", parts: Sequence[Part], positions: np.ndarray) -> np.ndarray:
    """Features of several parts side by side, float32 [N, D], of the images at `positions` int64 [N]; of several, each on one
    scale, as `training.feature_store.joined_features` has it.
    """
    from vision_studies.training.feature_store import joined_features

    own = [np.asarray(stored(runs, images, part)[positions]) for part in parts]
    return own[0] if len(own) == 1 else joined_features(own)
