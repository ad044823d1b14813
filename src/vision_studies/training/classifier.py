"""A trained network with all that is needed to use it: how images have to look, and what its outputs are called."""

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from vision_studies.data.loaders import Normalisation
from vision_studies.data.prepared import PreparedData
from vision_studies.data.sources.decoding import Decoding
from vision_studies.training.precision import HasPrecision

_BATCH = 256  # images at a time, where a run's settings do not say


@dataclass(frozen=True)
class ImageFormat:
    """What a network's user has to know of images and classes.

    Attributes:
        class_names: one name a class, in the order of the network's outputs.
        image_size: height and width in pixels.
        in_channels: 1 or 3.
        normalisation: mean and standard deviation of each channel, on the scale 0 to 255, that the network was trained with.
        decoding: how the images that it was trained on were made of files.
    """

    class_names: tuple[str, ...]
    image_size: int
    in_channels: int
    normalisation: Normalisation
    decoding: Decoding = field(default_factory=Decoding)

    @classmethod
    def of(cls, data: PreparedData, normalisation: Normalisation | None = None) -> "ImageFormat":
        """What a network takes that was trained on all classes of `data`, with its normalisation or with another one."""
        names, decoding = data.image_set.class_names, data.image_set.decoding or Decoding()
        return cls(names, data.image_size, data.in_channels, normalisation or data.normalisation, decoding)


@dataclass(frozen=True)
class ImageClassifier:
    """A trained classifier.

    Attributes:
        path: its file, or the folder of its run where several files make it.
        network: normalised images [N, C, H, W] -> logits [N, classes]; on the CPU.
        images: what it takes and what it tells apart.
        training: decides the number format and the memory layout that it computes with.
        batch_size: images at a time when it was scored.
        padding: pixels that a test-time crop is shifted by, to each side; None where the run's settings do not say: an eighth
            of the image's side.
        seed: of these crops.
    """

    path: Path
    network: nn.Module
    images: ImageFormat
    training: HasPrecision
    batch_size: int = _BATCH
    padding: int | None = None
    seed: int = 0
