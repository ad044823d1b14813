"""Features of a study's images, computed once and kept beside its runs."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vision_studies.files import hash_json, write_json
from vision_studies.pipelines.choose.budget import Clock, OutOfTime, read_seconds
from vision_studies.pipelines.choose.candidates import COLOURS, Part, part_of

REFERENCE_PIXELS = 224
"""Height and width of the images that operations are counted for; they grow with the square of it."""

if TYPE_CHECKING:
    from vision_studies.data.image_set import ImageSet
    from vision_studies.models.pretrained import Backbone
    from vision_studies.studies.run_store import RunStore


class KnownBackbone(NamedTuple):
    """What is known of a backbone whose weights are here.

    Attributes:
        backbone: what it is.
        weights: SHA-256 of its weights.
        operations: for an image of 224 pixels.
        parameters: how many it has.
    """

    backbone: "Backbone"
    weights: str
    operations: float
    parameters: int

    def sides(self, pixels: Sequence[int]) -> Sequence[int]:
        """The sides that images are brought to, where `pixels` are asked for: a study's network knows its own size alone."""
        from vision_studies.serving.trained_backbones import OF_A_RUN

        return (self.backbone.pixels,) if self.backbone.name.startswith(OF_A_RUN) else pixels


@cache
def known_backbone(name: str) -> KnownBackbone:
    """A backbone by any name that `serving.trained_backbones.open_any_backbone` takes; raises as there."""
    from vision_studies.models.statistics import count_macs, count_parameters
    from vision_studies.serving.trained_backbones import open_any_backbone

    backbone, network, weights = open_any_backbone(name)
    network, side = network.to("meta"), backbone.pixels  # its shapes are enough
    operations = count_macs(network, (3, side, side)) * (REFERENCE_PIXELS / side) ** 2
    return KnownBackbone(backbone, weights, float(operations), count_parameters(network))


def features_folder(runs: "RunStore") -> Path:
    """Where the features of a study's images are kept."""
    return runs.folder.parent / "features"


def features_file(runs: "RunStore", images: "ImageSet", part: Part) -> Path:
    """The file that is there when the features of a part have been computed: it says how long that took."""
    return features_folder(runs) / f"{hash_json([images.fingerprint, part.configuration])[:16]}.json"


def write_features(runs: "RunStore", images: "ImageSet", part: Part, clock: Clock) -> None:
    """Compute the features of all images, or what a killed process has left of them to do, and say how long it took. Raises
    OutOfTime where the budget has ended before; whole blocks of features are kept.
    """
    begun = time.perf_counter()

    def look(done: int) -> None:
        if clock.left <= 0 and done < len(images.labels):
            raise OutOfTime((time.perf_counter() - begun) / done * (len(images.labels) - done))

    stored(runs, images, part, look)
    write_json(features_file(runs, images, part), {**part.configuration, "seconds": time.perf_counter() - begun})


def features_seconds(runs: "RunStore", images: "ImageSet", part: Part) -> float:
    """Seconds that the features of a part took; 0 of those that are not kept."""
    return read_seconds(features_file(runs, images, part))


def stored(
    runs: "RunStore", images: "ImageSet", part: Part, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """Features float32 [N, D] of all images of a set; for `progress` see `training.feature_store.stored_features`."""
    if part.source == COLOURS:
        from vision_studies.pipelines.choose.colours import colour_features

        return colour_features(images.images)
    from vision_studies.serving.trained_backbones import open_any_backbone
    from vision_studies.training.feature_store import feature_key, read_features, stored_features

    folder = features_folder(runs)
    key = feature_key(images.fingerprint, part.source, part.weights, part.pixels, mirror=part.mirror)
    whole = read_features(folder, key, len(images.images))
    if whole is not None:
        return whole
    which = (images.fingerprint, open_any_backbone(part.source), part.pixels)
    return stored_features(folder, images.images, *which, mirror=part.mirror, progress=progress)


def joined(runs: "RunStore", images: "ImageSet", configuration: Mapping[str, Any], positions: np.ndarray) -> np.ndarray:
    """Features as a candidate of this configuration has them, float32 [N, D], of the images at `positions` int64 [N].

    Of several parts they stand side by side, each on one scale; with `roots` they are square roots.
    """
    from vision_studies.classifiers.transforms import rooted
    from vision_studies.training.feature_store import joined_features

    own = [np.asarray(stored(runs, images, part_of(part))[positions]) for part in configuration["features"]]
    if configuration.get("roots"):
        return np.concatenate([rooted(each) for each in own], axis=1)
    return own[0] if len(own) == 1 else joined_features(own)
