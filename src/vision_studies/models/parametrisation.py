"""How first weights and steps of AdamW depend on the width of a perceptron: standard, maximal-update (muP), neural tangent.

Sources: Yang and Hu et al. (2022), "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer",
tables 3 and 8, as the package `mup` (MIT) has them; Jacot et al. (2018) for the neural tangent parametrisation. Forward
multipliers are folded into the weights: a multiplier on a weight is the same network as another first weight, learning rate
and eps of that weight (Yang et al., lemma J.1), so that a trained network is a plain one whatever trained it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import nn

Parametrisation = Literal["standard", "mup", "ntk"]


@dataclass(frozen=True)
class StepScale:
    """What a tensor's steps of AdamW are multiplied by; its decay, learning rate x weight decay, stays as it is.

    Attributes:
        rate: factor of the learning rate.
        eps: factor of what is added to the denominator.
    """

    rate: float = 1.0
    eps: float = 1.0


class TensorScale(NamedTuple):
    """What a tensor's first values are multiplied by, and how it is stepped."""

    initial: float
    step: StepScale


def tensor_scales(parametrisation: Parametrisation, widths: Sequence[int], base_width: int) -> dict[str, TensorScale]:
    """Scales of the parameters of an `MLP`, by their names; empty for the standard parametrisation.

    At `base_width` in every layer all parametrisations are the standard one.

    Args:
        parametrisation: standard (PyTorch's first weights, one learning rate); mup (hidden layers learn at 1 / width, the
            output layer starts smaller); ntk (weights of unit size behind a factor of 1 / sqrt(width)).
        widths: units of each hidden layer.
        base_width: the width at which hyperparameters mean what they say.

    Examples:
        >>> from vision_studies.models.parametrisation import tensor_scales
        >>> scales = tensor_scales("mup", [256, 256], base_width=64)
        >>> scales["layers.1.weight"].step.rate  # a hidden layer four times as wide as the base
        0.25
        >>> scales["layers.2.weight"].initial  # the output layer
        0.5
        >>> tensor_scales("standard", [256], base_width=64)
        {}
    """
    if parametrisation == "standard":
        return {}
    scales = {}
    for layer, width in enumerate(widths, start=1):
        ratio = width / base_width
        if parametrisation == "mup" and layer < len(widths):
            weight = TensorScale(1.0, StepScale(rate=1 / ratio))
        elif parametrisation == "mup":  # a readout of sqrt(ratio) x PyTorch's weights, divided by the ratio
            weight = TensorScale(ratio**-0.5, StepScale(rate=1 / ratio, eps=ratio))
        else:  # PyTorch's first weights are unit ones / sqrt(width) already
            weight = TensorScale(1.0, StepScale(rate=ratio**-0.5, eps=ratio**0.5))
        scales[f"layers.{layer}.weight"] = weight
        scales[f"layers.{layer}.bias"] = TensorScale(
            ratio**0.5, StepScale()
        )  # PyTorch's shrink as the layer before grows
    return scales


def scale_first_weights(network: "nn.Module", scales: Mapping[str, TensorScale]) -> None:
    """Multiply parameters in place by the `initial` of their names."""
    for name, scale in scales.items():
        network.get_parameter(name).data.mul_(scale.initial)
