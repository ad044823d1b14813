"""What every step of augmentation must say of itself. Those in the files of `augmentation.steps` are found by themselves.

Nothing here imports torch until a step is built, so that parameters are checked without it. The functions that are built take
images uint8 [B, C, H, W], which they do not change, and where they draw, a generator on the images' device, from which all
randomness comes.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from vision_studies.settings_base import Kind

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Occasion(NamedTuple):
    """Which images of which epoch a batch holds, for augmentation that is not drawn anew each time.

    Attributes:
        seed: seed of the loader.
        epoch: number of the epoch, from 0.
        indices: int64 [B], positions in the image set.
    """

    seed: int
    epoch: int
    indices: "Tensor"


Augmentation = Callable[["Tensor", "Generator", Occasion], "Tensor"]
"""uint8 [B, C, H, W], a generator and the occasion -> uint8 [B, C, H, W]."""


class AugmentationStep(Kind):
    """One of the things that are done to training images."""

    @abstractmethod
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        """What it does to a batch.

        Args:
            fill: value of each channel where pixels are erased: the mean, which is 0 after normalisation.
        """

    def options(self) -> dict[str, Any]:
        """All parameters but the name."""
        return self.model_dump(exclude={"name"})


def drawn_anew(function: "Callable[..., Tensor]", **options: Any) -> Augmentation:
    """A step that is the same in every epoch: `function(images, generator, **options)`."""
    return lambda images, generator, _: function(images, generator, **options)
