"""What every network must say of itself. Each is one file of `models.architectures`, which is found there by itself.

Nothing here imports torch until a network is built, so that parameters are checked without it.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from vision_studies.settings_base import Kind

if TYPE_CHECKING:
    from torch import nn

Count = Annotated[int, Field(ge=1)]


class Architecture(Kind):
    """A network and its options, complete after validation: what is not given comes from the preset that `name` names.

    Attributes:
        presets: name -> options.
        named_by: the option that says what the network is called where its results stand.
        images_at_first: how many training images the network's `initialise_from_data` is shown before training; 0 for none.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    named_by: ClassVar[str]
    images_at_first: ClassVar[int]

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        return {**cls.presets.get(str(given.get("name")), {}), **given} if isinstance(given, Mapping) else given

    @abstractmethod
    def build(self, *, in_channels: int, num_classes: int, image_size: int) -> "nn.Module":
        """The network, which gives logits [B, num_classes], with random weights drawn from the global generator.

        Args:
            in_channels: channels of the images.
            num_classes: number of logits.
            image_size: height and width of the images in pixels.

        Raises:
            ParameterError: the network cannot take images of this size.

        Examples:
            >>> import torch
            >>> from vision_studies.models.architectures.resnet import ResNetSettings
            >>> settings = ResNetSettings(name="resnet18", stem_width=8, widths=(8, 16), blocks=(1, 1), strides=(1, 2))
            >>> model = settings.build(in_channels=3, num_classes=10, image_size=16)
            >>> tuple(model(torch.zeros(2, 3, 16, 16)).shape)
            (2, 10)
        """

    @abstractmethod
    def widened(self, width: int) -> Self | None:
        """The network with `width` channels where it is narrowest (of a transformer: for each head), others in proportion.

        None where it has no width to change: it is no opponent of as many parameters then.
        """

    @property
    @abstractmethod
    def logit_scale(self) -> float:
        """What the outputs of its last linear layer are multiplied by to be its logits; 1 where they are the logits."""

    @abstractmethod
    def freezable_blocks(self, network: "nn.Module") -> "Sequence[Sequence[nn.Parameter]]":
        """Parameters of each block that may be kept from learning, first to last; none where there are no such blocks.

        Those of the first block are joined by what stands before it.

        Args:
            network: from `build`.
        """


def built_by(path: str) -> "Callable[..., nn.Module]":
    """The answer `build` by a class in a file of `models`, "file:Class", which takes the settings and what `build` takes."""

    def build(self: Architecture, *, in_channels: int, num_classes: int, image_size: int) -> "nn.Module":
        module, name = path.split(":")
        network: type[nn.Module] = getattr(import_module(f"vision_studies.models.{module}"), name)
        return network(self, in_channels=in_channels, num_classes=num_classes, image_size=image_size)

    return build


def no_blocks(_settings: Architecture, network: "nn.Module") -> tuple[()]:  # noqa: ARG001
    """The answer `freezable_blocks` of a network that has none."""
    return ()
