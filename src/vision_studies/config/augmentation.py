"""What is done to training images: steps, of the kinds that `augmentation.steps` has."""

from typing import TYPE_CHECKING, TypeAlias

from pydantic import Field

from vision_studies.augmentation.step import Augmentation, AugmentationStep, Occasion
from vision_studies.settings_base import Settings, one_of, read_kinds

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Step: TypeAlias = AugmentationStep
else:
    Step = one_of(read_kinds(AugmentationStep, "vision_studies.augmentation.steps", first=["standard"]))


class AugmentationSettings(Settings):
    """Steps of augmentation, in the order in which they are done."""

    steps: tuple[Step, ...] = Field(description="done one after the other; none leaves the images alone")

    def build(self, fill: tuple[float, ...]) -> Augmentation | None:
        """A function that does all steps to a batch, in order; None for no steps.

        Args:
            fill: value of each channel where pixels are erased: the mean, which is 0 after normalisation.

        Examples:
            >>> import torch
            >>> from vision_studies.config.augmentation import AugmentationSettings
            >>> from vision_studies.augmentation.step import Occasion
            >>> settings = AugmentationSettings.model_validate(
            ...     {"steps": [{"name": "random_crop", "padding": 2, "mode": "zero"}, {"name": "cutout", "size": 2}]}
            ... )
            >>> augment = settings.build(fill=(0.0,))
            >>> images = torch.full((3, 1, 8, 8), 255, dtype=torch.uint8)
            >>> occasion = Occasion(seed=0, epoch=0, indices=torch.arange(3))
            >>> changed = augment(images, torch.Generator().manual_seed(0), occasion)
            >>> changed.shape == images.shape, changed.unique().tolist()
            (True, [0, 255])
        """
        # Some steps take a second or two to import what they need: only those that are asked for wait for that.
        built = [step.build(fill) for step in self.steps]

        def augment(images: "Tensor", generator: "Generator", occasion: Occasion) -> "Tensor":
            for step in built:
                images = step(images, generator, occasion)
            return images

        return augment if built else None
