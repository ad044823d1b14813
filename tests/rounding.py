"""How far numbers computed in bfloat16 may lie from exact ones, on any processor."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from torch import nn

from vision_studies.training import frozen_features, optimizers, precision

BFLOAT16 = 2.0**-8
"""The largest relative error of one rounding to bfloat16, which keeps eight binary digits."""


def layers_of(model: nn.Module) -> int:
    """Layers with a matrix product, in which bfloat16 is rounded to."""
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules())


def bfloat16_bound(layers: int) -> float:
    """Error of what `layers` layers give in bfloat16, as a part of the largest of these numbers.

    Each layer rounds its inputs, its weights and its outputs. A rounding errs by up to half of the last digit, either way and
    equally likely: by `BFLOAT16 / sqrt(3)` of the smallest number with these digits in the mean of squares, and by 0.42 of
    `BFLOAT16` over all numbers. The errors are independent, so that their squares add up, and three times the root of the
    sum is allowed. Products are summed in float32 on every processor, which adds nothing to it.
    """
    return 3 * 0.42 * BFLOAT16 * math.sqrt(3 * layers)


@contextmanager
def in_float32() -> Iterator[None]:
    """Meanwhile "auto" chooses float32, as on a processor without bfloat16.

    For tests that compute the same in two ways, as features in one pass and a network from image to class in another: in
    float32 they differ alike on every processor, while in bfloat16 the roundings differ, and how far layers with trained
    weights amplify them has no bound that would say something.
    """
    with ExitStack() as patches:
        for module in (precision, frozen_features, optimizers):
            patches.enter_context(mock.patch.object(module, "has_fast_bfloat16", return_value=False))
        yield
