"""How large a network is, and how much it computes."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Number of parameters of `model`.

    Examples:
        >>> from torch import nn
        >>> from vision_studies.models.statistics import count_parameters
        >>> count_parameters(nn.Linear(10, 4))  # 10 * 4 weights and 4 biases
        44
    """
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulate operations of the convolutions and matrix products for one image.

    Args:
        model: a network; its mode is left as it was.
        image_shape: channels, height and width of an image.

    Examples:
        >>> from torch import nn
        >>> from vision_studies.models.statistics import count_macs
        >>> count_macs(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10)), (3, 8, 8))
        1920
    """
    parameter = next(model.parameters())
    image = torch.zeros((1, *image_shape), device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    model.eval()
    try:
        # With gradients on and attention as plain matrix products, every operation is one that the counter knows.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(image)
    finally:
        model.train(was_training)
    return counter.get_total_flops() // 2


def network_size(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """`parameters`, and `macs` for one image: columns of the results table; see `count_parameters` and `count_macs`."""
    return {"parameters": count_parameters(model), "macs": count_macs(model, image_shape)}
