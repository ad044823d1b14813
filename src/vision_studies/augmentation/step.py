"""What every step of augmentation must say of itself. Those in the files of `augmentation.steps` are found by themselves.

Nothing here imports torch until a step is built, so that parameters are checked without it. The functions that are built take
images uint8 [B, C, H, W], which they do not change, and where they draw, a generator of the host, from which all randomness
comes: what is drawn is sent after the images (`draws.send`), so that it is the same on every device and no GPU is waited for.
"""

from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, NamedTuple

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
"""uint8 [B, C, H, W], a generator of the host and the occasion -> uint8 [B, C, H, W]."""


class AugmentationStep(Kind):
    """One of the things that are done to training images."""

    @abstractmethod
    def build(self, fill: tuple[float, ...], /) -> Augmentation:
        """What it does to a batch.

        Args:
            fill: value of each channel where pixels are erased: the mean, which is 0 after normalisation.
        """


def drawn_anew(module: str) -> Callable[[AugmentationStep, tuple[float, ...]], Augmentation]:
    """`build` of a step that is the same in every epoch: the function of its name in a file of `augmentation`.

    The function takes images, a generator and the step's parameters, and `fill` where it names it.
    """

    def build(self: AugmentationStep, fill: tuple[float, ...]) -> Augmentation:
        function = getattr(import_module(f"vision_studies.augmentation.{module}"), self.name)
        options = self.model_dump(exclude={"name"})
        if "fill" in signature(function).parameters:
            options["fill"] = fill
        return lambda images, generator, _: function(images, generator, **options)

    return build
