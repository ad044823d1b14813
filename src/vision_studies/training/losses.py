"""Losses of `config.losses` on logits: of one network, or of many members at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vision_studies.config.losses import LossForm

_CLASSES = ("multiply", "add", "margin", "weight")
_NUMBERS = ("gamma", "smoothing", "scale")


@dataclass(frozen=True)
class LossTensors:
    """Losses of M members.

    Attributes:
        multiply, add, margin, weight: [M, classes].
        gamma, smoothing, scale: [M].
    """

    multiply: Tensor
    add: Tensor
    margin: Tensor
    weight: Tensor
    gamma: Tensor
    smoothing: Tensor
    scale: Tensor

    @classmethod
    def of(cls, forms: Sequence[LossForm], progress: float = 1.0, dtype: torch.dtype = torch.float32) -> "LossTensors":
        """The losses when a share `progress` of the training is done; weights that come later are 1."""
        due = [form.weight if progress >= form.weight_from else np.ones_like(form.weight) for form in forms]
        stacked = {name: np.stack([getattr(form, name) for form in forms]) for name in _CLASSES} | {
            name: np.array([getattr(form, name) for form in forms]) for name in _NUMBERS
        }
        return cls(
            **{name: torch.from_numpy(value).to(dtype) for name, value in (stacked | {"weight": np.stack(due)}).items()}
        )

    def to(self, device: torch.device) -> "LossTensors":
        """The same on a device."""
        return LossTensors(**{name: getattr(self, name).to(device) for name in (*_CLASSES, *_NUMBERS)})

    @cached_property
    def factors(self) -> Tensor | None:
        """What logits are multiplied by, [M, classes]; None where that is 1 throughout."""
        factors = self.multiply * self.scale[:, None]
        return factors if bool((factors != 1).any()) else None

    @cached_property
    def shifts(self) -> Tensor | None:
        """What is added to the multiplied logits, [M, classes]; None where that is nothing."""
        return self.add * self.scale[:, None] if bool(self.add.any()) else None

    @cached_property
    def lowered(self) -> Tensor | None:
        """What is added to the right class's logit besides, [M, classes]; None where that is nothing."""
        return -self.margin * self.scale[:, None] if bool(self.margin.any()) else None

    @cached_property
    def is_focal(self) -> bool:
        """Whether some member's images count by how wrong they are."""
        return bool(self.gamma.any())

    @cached_property
    def is_smoothed(self) -> bool:
        """Whether some member's labels are smoothed."""
        return bool(self.smoothing.any())


def losses(logits: Tensor, labels: Tensor, forms: LossTensors) -> Tensor:
    """Loss of every image [M, N], differentiable, of logits [M, N, classes] and labels int64 [N].

    Examples:
        >>> import numpy as np, torch
        >>> from vision_studies.config.losses import LogitAdjustedLoss
        >>> from vision_studies.training.losses import LossTensors, losses
        >>> form = LogitAdjustedLoss(name="logit_adjusted", tau=1.0).form(np.array([99, 1]))
        >>> losses(torch.zeros(1, 2, 2), torch.tensor([0, 1]), LossTensors.of([form]))  # -log 0.99, -log 0.01
        tensor([[0.0101, 4.6052]])
    """
    classes = logits.shape[-1]
    right = torch.nn.functional.one_hot(labels, classes).to(logits.dtype)
    adjusted = logits * forms.multiply[:, None] + forms.add[:, None] - right * forms.margin[:, None]
    logs = (adjusted * forms.scale[:, None, None]).log_softmax(dim=2)
    smoothing = forms.smoothing[:, None, None]
    entropies = -(((1 - smoothing) * right + smoothing / classes) * logs).sum(dim=2)
    chances = (logs * right).sum(dim=2).exp()
    # A power of 0 has no slope at 0, where an image that is surely right stands.
    hard = (1 - chances).clamp_min(torch.finfo(logits.dtype).tiny) ** forms.gamma[:, None]
    return forms.weight[:, labels] * hard * entropies


def logit_gradients_(logits: Tensor, labels: Tensor, forms: LossTensors) -> Tensor:
    """Gradients of the mean loss, in the place of logits [N, M, classes]; those of `losses`, without what autograd costs.

    Gamma and smoothing must not both be above 0.
    """
    number, members, classes = logits.shape
    places = labels[:, None, None].expand(-1, members, 1)
    if forms.factors is not None:
        logits *= forms.factors
    if forms.shifts is not None:
        logits += forms.shifts
    if forms.lowered is not None:
        logits.scatter_add_(2, places, forms.lowered[:, labels].T[:, :, None])
    torch.softmax(logits, dim=2, out=logits)
    weights = (forms.weight[:, labels].T / number)[:, :, None]  # [N, M, 1]
    if forms.is_focal:
        right = logits.gather(2, places)
        entropies, hard = -right.clamp_min(1e-30).log(), (1 - right).clamp_min(1e-30)
        gamma = forms.gamma[:, None]
        weights = weights * (hard**gamma + gamma * hard ** (gamma - 1) * entropies * right)
    smoothing = forms.smoothing[:, None]
    logits.scatter_add_(2, places, (smoothing - 1).expand(number, members, 1))
    if forms.is_smoothed:
        logits -= smoothing / classes
    logits *= weights
    if forms.factors is not None:
        logits *= forms.factors
    return logits
