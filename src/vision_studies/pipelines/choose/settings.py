"""Parameters of the `choose` pipeline."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vision_studies.config.fine_tuning import FineTuning, FromNothing
from vision_studies.config.lengths_of_time import LENGTH_OF_TIME, budget_seconds
from vision_studies.settings_base import Settings, refuse_repeated

_LARGEST_FROM_NOTHING = 64  # pixels

Name = Annotated[str, Field(min_length=1)]
Pixels = Annotated[int, Field(ge=16, le=512)]


class ChooseSettings(Settings):
    """Which classifiers are tried, on which folds, and for how long."""

    budget: str = Field(
        pattern=LENGTH_OF_TIME,
        description="time for all candidates together, such as 90s, 10m or 1h; what does not end in time is not begun, and a "
        "larger budget goes on",
    )
    seeds: tuple[int, ...] = Field(
        min_length=1,
        description="every candidate is tried with the folds of each seed, all of them with the first one first",
    )
    folds: int = Field(ge=2, description="of the cross-validation: every image is predicted once by a model without it")
    inner_folds: int = Field(
        ge=2, description="folds of the training images, in which hyperparameters and candidates are chosen"
    )
    one_split_from: int = Field(
        ge=2,
        description="from so many images on, and where the images have a test split of their own, candidates are tested once "
        "on the test images instead of cross-validated",
    )
    backbones: tuple[Name, ...] = Field(
        description="networks whose features are classified: efficientnet_lite0 to 2, of which those that are not installed "
        "are left out, torchvision/<network>, timm/<network>, or run:<run> of another study"
    )
    pixels: tuple[Pixels, ...] = Field(
        min_length=1,
        description="heights and widths that images are brought to for the backbones; for a run: its own alone",
    )
    metric: Literal["accuracy", "balanced_accuracy"] = Field(
        description="what hyperparameters and candidates are chosen by, and the verdict tells: the share of images that are "
        "right, or the mean of this share over classes"
    )
    mirror: bool = Field(description="features are the mean of those of an image and of its mirror image")
    roots: bool = Field(
        description="classifiers get the square roots of features, of length 1, which suits most of them better"
    )
    families: tuple[Name, ...] = Field(min_length=1, description="classifiers of features")
    long_tail_families: tuple[Name, ...] = Field(description="the same where classes are uneven, besides `families`")
    uneven_from: float = Field(
        ge=1, description="classes are uneven where the largest has so many times the images of the smallest"
    )
    join: bool = Field(description="features of several backbones and sizes side by side are tried, too")
    fine_tuned: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        description="shares of a pretrained network's layers, from the last one, that are trained on the images; each is tried "
        "with every backbone and size"
    )
    from_nothing: tuple[Literal["light", "heavy"], ...] = Field(
        description="a small ResNet is trained from random weights, with images that are changed so much"
    )
    average: bool = Field(description="the average of the best is tried, too; chosen greedily (Caruana 2004)")
    stack: bool = Field(
        description="logistic regression on what the same say is tried, too, learnt from images that they had not seen"
    )

    @model_validator(mode="after")
    def _lists_are_sets(self) -> "ChooseSettings":
        lists = ("seeds", "backbones", "pixels", "families", "long_tail_families", "fine_tuned", "from_nothing")
        refuse_repeated({name: getattr(self, name) for name in lists})
        return self

    def recipes(self, image_size: int) -> list[FineTuning | FromNothing]:
        """How networks are trained, on images of this side; those from nothing take no larger ones than 64 pixels."""
        pixels = min(image_size, _LARGEST_FROM_NOTHING)
        return [
            *(FineTuning(share=share) for share in self.fine_tuned),
            *(FromNothing(pixels, heavy=name == "heavy") for name in self.from_nothing),
        ]

    @property
    def seconds(self) -> float:
        """The budget."""
        return budget_seconds(self.budget)
