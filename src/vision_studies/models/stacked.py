"""Stacked classifiers: base learners, and a meta-learner that decides by what they say (Wolpert 1992).

Source: the project "Stacked Generalization for Deep Learning", joint (end-to-end) mode, whose meta-learner reads the raw
logits of all base learners and the features of a small convolutional network of its own.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from vision_studies.errors import ParameterError

BaseInputs = Literal["logits", "probabilities", "features", "none"]


class ImageFeatures(nn.Module):
    """Three convolutions and a linear layer that look at the image for the meta-learner; 404,864 parameters by default.

    Args:
        in_channels: channels of the images.
        widths: channels of the convolutions.
        dimension: number of features.
    """

    def __init__(self, *, in_channels: int, widths: Sequence[int], dimension: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for index, width in enumerate(widths):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            if index < len(widths) - 1:
                layers.append(nn.MaxPool2d(2))
            channels = width
        self.convolutions = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.projection = nn.Sequential(nn.Linear(channels, dimension), nn.BatchNorm1d(dimension), nn.ReLU())
        self.dimension = dimension

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, dimension] of images [B, in_channels, H, W]."""
        return self.projection(self.convolutions(images))


class MetaLearner(nn.Module):
    """A perceptron over what the base learners say and, where it has them, features of the image.

    Args:
        base_dimension: numbers that the base learners give it for an image; 0 for none.
        image_features: sees the image; None for nothing.
        hidden: units of the hidden layers; none makes it linear.
        dropout: share of hidden units zeroed in training.
        num_classes: number of logits.

    Raises:
        ParameterError: it would see nothing.
    """

    def __init__(
        self,
        *,
        base_dimension: int,
        image_features: ImageFeatures | None,
        hidden: Sequence[int],
        dropout: float,
        num_classes: int,
    ) -> None:
        super().__init__()
        dimension = base_dimension + (image_features.dimension if image_features else 0)
        if dimension == 0:
            raise ParameterError(
                "meta_learner sees nothing: inputs is none and image_features is null; set one of them."
            )
        self.image_features = image_features
        self._sees_learners = base_dimension > 0
        layers: list[nn.Module] = []
        for before, after in pairwise([dimension, *hidden]):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(dropout)]
        self.perceptron = nn.Sequential(*layers, nn.Linear([dimension, *hidden][-1], num_classes))

    def forward(self, base: Tensor, images: Tensor) -> Tensor:
        """Logits [B, num_classes].

        Args:
            base: [B, base_dimension], what the base learners say; unread where that is 0.
            images: [B, C, H, W]; unread without image features.
        """
        inputs = [base] if self._sees_learners else []
        if self.image_features is not None:
            inputs.append(self.image_features(images))
        return self.perceptron(torch.cat(inputs, dim=1))


class StackedClassifier(nn.Module):
    """Base learners and a meta-learner as one network.

    Args:
        base_learners: networks that give logits [B, num_classes] for images.
        meta_learner: built for `base_dimension(...)` numbers from them.
        inputs: what it is told of each base learner: logits, probabilities, the features before the last linear layer, or
            nothing.
        detach: keep the gradient of the meta-learner out of the base learners.
    """

    def __init__(
        self, base_learners: Sequence[nn.Module], meta_learner: MetaLearner, *, inputs: BaseInputs, detach: bool
    ) -> None:
        super().__init__()
        self.base_learners = nn.ModuleList(base_learners)
        self.meta_learner = meta_learner
        self._inputs = inputs
        self._detach = detach
        self._features: dict[int, Tensor] = {}
        if inputs == "features":
            for index, learner in enumerate(base_learners):
                last_linear(learner).register_forward_pre_hook(partial(self._keep_features, index))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, learners + 1, num_classes] of images [B, C, H, W]: each base learner's, then the meta-learner's."""
        logits = [learner(images) for learner in self.base_learners]
        inputs = logits
        if self._inputs == "features":
            inputs = [self._features.pop(index) for index in range(len(logits))]
        elif self._inputs == "probabilities":
            inputs = [each.softmax(dim=1) for each in logits]
        base = torch.cat([each.detach() if self._detach else each for each in inputs], dim=1)
        return torch.stack([*logits, self.meta_learner(base, images)], dim=1)

    def _keep_features(self, index: int, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features[index] = inputs[0]


def base_dimension(base_learners: Sequence[nn.Module], inputs: BaseInputs, num_classes: int) -> int:
    """How many numbers the base learners give a meta-learner for an image."""
    if inputs == "none":
        return 0
    if inputs == "features":
        return sum(last_linear(learner).in_features for learner in base_learners)
    return len(base_learners) * num_classes


def last_linear(network: nn.Module) -> nn.Linear:
    """The linear layer that gives a network's logits.

    Raises:
        ParameterError: it has none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ParameterError(
            f"meta_learner.inputs=features needs networks that end in a linear layer, and {type(network).__name__} does not."
        )
    return layers[-1]
