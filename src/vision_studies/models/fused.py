"""A network for inference alone: batch normalisation folded into the convolutions, and activations and sums computed by them.

On a CPU oneDNN computes a convolution, the activation and the sum after it in one pass over memory, with weights that are laid
out for it once. torch has these operators for its compiler; here they are put into the traced network directly, so that no
compiler is needed and no minute is spent in one.
"""

import copy
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "hardtanh",
    nn.Hardswish: "hardswish",
    nn.SiLU: "swish",
    nn.Sigmoid: "sigmoid",
}
_FUNCTIONS: Mapping[Any, str] = {F.relu: "relu", torch.relu: "relu", F.relu6: "hardtanh", F.silu: "swish"}
_SUMS = (operator.add, operator.iadd, torch.add)
_AFTER_SUMS = ("none", "relu")


def fused(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A network that gives what `network` gives, but for rounding, and faster; the network itself is left as it is.

    One whose course depends on its images, so that it cannot be traced, comes back as a copy in the number format.

    Args:
        network: frozen, in evaluation mode, for images [N, C, H, W].
        device: where it is to compute.
        dtype: float32 or bfloat16.

    Examples:
        >>> import torch
        >>> from vision_studies.models.efficientnet_lite import EfficientNetLite
        >>> from vision_studies.models.fused import fused
        >>> network = EfficientNetLite(0).eval().requires_grad_(False)
        >>> images = torch.rand(2, 3, 32, 32)
        >>> fast = fused(network, torch.device("cpu"), torch.float32)
        >>> bool(torch.allclose(fast(images), network(images), atol=1e-4))
        True
    """
    traced = folded(network).requires_grad_(False)
    traced = traced.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
    if isinstance(traced, fx.GraphModule) and device.type == "cpu" and torch.backends.mkldnn.is_available():
        traced = _joined(traced)
    return traced


def folded(network: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation mode, with batch normalisation folded into the convolutions before it.

    One that cannot be traced comes back as it is.
    """
    own = copy.deepcopy(network).eval()
    try:
        traced = fx.symbolic_trace(own)
    except Exception:  # tracing runs the network's own code, which may fail in any way at stand-ins of tensors
        return own
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if type(norm) is not nn.BatchNorm2d or norm.running_mean is None:
            continue
        before = node.args[0]
        convolution = modules.get(str(before.target)) if before.op == "call_module" else None
        if not isinstance(convolution, nn.Conv2d) or len(before.users) > 1 or _calls(traced, before.target) > 1:
            continue
        _put(traced, before.target, fuse_conv_bn_eval(convolution, norm))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.graph.lint()
    traced.recompile()
    return traced


def _joined(traced: fx.GraphModule) -> fx.GraphModule:
    """With each convolution, the sum and the activation after it as one operator."""
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        convolution = modules.get(str(node.target)) if node.op == "call_module" else None
        if (
            type(convolution) is not nn.Conv2d
            or convolution.padding_mode != "zeros"
            or isinstance(convolution.padding, str)
        ):
            continue
        last, other = node, None
        activation = _activation(_only_user(last), modules)
        if activation is None:
            other = _other_summand(last)
            if other is not None:
                last = _only_user(last)
                activation = _activation(_only_user(last), modules, allowed=_AFTER_SUMS)
        if activation is not None:
            last = _only_user(last)
        name = f"fused_{node.name}"
        traced.add_module(name, _FusedConvolution(convolution, activation or "none"))
        with traced.graph.inserting_before(last):
            inputs = (node.args[0],) if other is None else (node.args[0], other)
            replacement = traced.graph.call_module(name, inputs)
        last.replace_all_uses_with(replacement)
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.graph.lint()
    traced.recompile()
    return traced


class _FusedConvolution(nn.Module):
    """A convolution of the CPU with what comes after it; its weights are laid out for the size of the first images."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d, activation: str) -> None:
        super().__init__()
        self.register_buffer("weight", convolution.weight.detach(), persistent=False)
        bias = convolution.bias
        self.register_buffer("bias", None if bias is None else bias.detach(), persistent=False)
        self.geometry = (list(map(int, convolution.padding)), list(convolution.stride), list(convolution.dilation))
        self.groups = convolution.groups
        self.activation = activation
        self.scalars = [0.0, 6.0] if activation == "hardtanh" else []
        self._packed: tuple[torch.Size, Tensor] | None = None

    def forward(self, images: Tensor, other: Tensor | None = None) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        arguments = (self._weight(images.shape), self.bias, *self.geometry, self.groups)
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(images, *arguments, self.activation, self.scalars, "")
        if other.shape != self._shape(images.shape):  # oneDNN adds what has the same shape
            total = torch.ops.mkldnn._convolution_pointwise(images, *arguments, "none", [], "") + other
            return total if self.activation == "none" else F.relu(total)
        other = other.contiguous(memory_format=torch.channels_last)
        unary = None if self.activation == "none" else self.activation
        return torch.ops.mkldnn._convolution_pointwise.binary(images, other, *arguments, "add", 1.0, unary, [], None)

    def _shape(self, shape: torch.Size) -> torch.Size:
        """Of the result."""
        sides = (
            (side + 2 * padding - dilation * (length - 1) - 1) // stride + 1
            for side, length, padding, stride, dilation in zip(
                shape[2:], self.weight.shape[2:], *self.geometry, strict=True
            )
        )
        return torch.Size((shape[0], len(self.weight), *sides))

    def _weight(self, shape: torch.Size) -> Tensor:
        if self._packed is None or self._packed[0][2:] != shape[2:]:
            padding, stride, dilation = self.geometry
            layout = (padding, stride, dilation, self.groups, list(shape))
            self._packed = shape, torch.ops.mkldnn._reorder_convolution_weight(self.weight, *layout)
        return self._packed[1]


def _only_user(node: fx.Node | None) -> fx.Node | None:
    users = list(node.users) if node is not None else []
    return users[0] if len(users) == 1 else None


def _activation(
    node: fx.Node | None, modules: Mapping[str, nn.Module], allowed: tuple[str, ...] | None = None
) -> str | None:
    """What oneDNN calls the activation that a node computes; None where it computes none that may be joined."""
    if node is None:
        return None
    name = None
    if node.op == "call_module":
        name = _ACTIVATIONS.get(type(modules[str(node.target)]))
    elif node.op == "call_function" and len(node.args) == 1:
        name = _FUNCTIONS.get(node.target)
    return name if allowed is None or name in allowed else None


def _other_summand(node: fx.Node) -> fx.Node | None:
    """What is added to a node's tensor by its only user, where that is a sum of two tensors."""
    user = _only_user(node)
    if user is None or user.op != "call_function" or user.target not in _SUMS or len(user.args) != 2 or user.kwargs:
        return None
    others = [argument for argument in user.args if argument is not node]
    return others[0] if len(others) == 1 and isinstance(others[0], fx.Node) else None


def _calls(traced: fx.GraphModule, target: object) -> int:
    return sum(node.op == "call_module" and node.target == target for node in traced.graph.nodes)


def _put(traced: fx.GraphModule, target: str, module: nn.Module) -> None:
    parent, _, name = target.rpartition(".")
    setattr(traced.get_submodule(parent), name, module)
