"""First weights of a network: drawn by a named rule, or read from a file; and layers that stay as they are."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from vision_studies.errors import CheckpointError, ParameterError
from vision_studies.models.torch_files import is_plain_tensor, load_torch_file

RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming_fan_out": partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    "kaiming_fan_in": partial(nn.init.kaiming_normal_, mode="fan_in", nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
}
"""Name -> what it does to a weight of a convolution or a linear layer. Biases and norms stay as they are."""


def initialise(network: nn.Module, rule: str) -> nn.Module:
    """Draw the weights of all convolutions and linear layers anew, from the global generator.

    Args:
        network: changed in place.
        rule: one of `RULES`: He et al. 2015 (kaiming), Saxe et al. 2014 (orthogonal), Glorot and Bengio 2010 (xavier).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            RULES[rule](module.weight)
    return network


def read_weights(file: Path, parameter: str = "weights_file") -> dict[str, Tensor]:
    """Named tensors from a file.

    Args:
        file: safetensors, or a file of torch with tensors only.
        parameter: that names it, for errors.

    Raises:
        CheckpointError: the file cannot be read, or holds something else.
    """
    try:
        weights: Any = load_file(file) if file.suffix == ".safetensors" else load_torch_file(file)
    except Exception as error:  # every library behind it has errors of its own
        reason = "it is missing" if isinstance(error, FileNotFoundError) else "damaged, or more than tensors"
        raise CheckpointError(f"{parameter} {file} cannot be read ({reason}); name another file, or null.") from error
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and is_plain_tensor(value) for name, value in weights.items()
    ):
        raise CheckpointError(f"{parameter} {file} holds more or other things than named tensors; name another file.")
    return weights


def load_pretrained(network: nn.Module, file: Path) -> nn.Module:
    """Take over the weights in a file, besides those of the last layer where it has other classes.

    Args:
        network: changed in place.
        file: safetensors, or a file of torch with tensors only.

    Raises:
        CheckpointError: the file cannot be read, or is of another architecture.
    """
    weights = read_weights(file)
    inner = getattr(network, "network", network)  # torchvision's files know nothing of what stands around the network
    expected = inner.state_dict()
    classifier = list(expected)[-1].rpartition(".")[0]
    other = {name for name, value in weights.items() if name in expected and expected[name].shape != value.shape}
    fitting = {name: value for name, value in weights.items() if name not in other or not name.startswith(classifier)}
    # What torchvision's older files lack has not been learned, such as the count of batches that a norm has seen.
    missing = [name for name in expected if name not in weights and not name.endswith("num_batches_tracked")]
    unknown = [name for name in weights if name not in expected]
    shapes = [name for name in fitting if name in other]
    if missing or unknown or shapes:
        raise CheckpointError(
            f"weights_file {file} is of another architecture ({(missing or unknown or shapes)[0]} does not fit); name a "
            "file of this network."
        )
    inner.load_state_dict(fitting, strict=False)
    return network


def freeze_blocks(network: nn.Module, blocks: Sequence[Sequence[nn.Parameter]], count: int) -> nn.Module:
    """Keep the first blocks of a network, and what stands before them, from learning.

    Args:
        network: changed in place.
        blocks: parameters of each block, from `Architecture.freezable_blocks`.
        count: how many of them.

    Raises:
        ParameterError: there are fewer.
    """
    if count > len(blocks):
        inner = getattr(network, "network", network)
        raise ParameterError(
            f"frozen_blocks={count} but {type(inner).__name__} has {len(blocks)} transformer blocks; set a smaller number."
        )
    for block in blocks[:count]:
        for parameter in block:
            parameter.requires_grad_(False)
    return network
