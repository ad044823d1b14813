"""Saving and loading state without pickle: tensors as safetensors, everything else as JSON in the same file.

And networks as they were trained, with weights that were loaded into them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vision_studies.errors import CheckpointError
from vision_studies.files import atomic_file, require_free_space
from vision_studies.storage.kept_data import fetched

_CHECKSUM = "checksum"
_EARLIER_CHECKSUM = "sha256"
"""An entry of its own: safetensors writes two of them in whatever order, and equal states would not be equal files."""


def save_state(path: Path, state: Any) -> None:
    """Write nested dicts, lists and tuples of tensors, numbers, strings, booleans and None to one file, atomically.

    Equal states become equal bytes.

    Raises:
        StorageError: the disk is full; an older file stays as it was.
        TypeError: `state` holds something else.
    """
    tensors: dict[str, Tensor] = {}
    described = _describe(state, tensors)
    described = described if isinstance(described, dict) else {"value": described}
    require_free_space(path.parent, sum(tensor.nbytes for tensor in tensors.values()))
    with atomic_file(path) as temporary:
        checked = described | {_CHECKSUM: _checksum(described, tensors)}
        save_file(tensors, temporary, metadata={"state": json.dumps(checked)})


def load_state(path: Path) -> Any:
    """Read what `save_state` has written; tensors come to the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, changed since it was written, or of another kind.
    """
    try:
        with safe_open(fetched(path), framework="pt") as file:
            metadata = file.metadata() or {}
            description = json.loads(metadata["state"])
            # A set: names are looked up once for each tensor.
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        checksum = metadata.get(_EARLIER_CHECKSUM)  # files of before have none
        if isinstance(description, dict):
            checksum = description.pop(_CHECKSUM, checksum)
        if checksum not in (None, _checksum(description, tensors)):
            raise ValueError("its content has changed since it was written")
        return _restore(description, tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint {path}; train the model first.") from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint of this project ({error}); delete it.") from error


def copied_weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers as they are now, on the processor."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of `model`."""
    save_state(path, model.state_dict())


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """Load what `save_weights` has written into `model`, which must be of the same architecture.

    Raises:
        CheckpointError: the file is damaged or belongs to another architecture.
    """
    weights = load_state(path)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{path} holds the weights of another network than {type(model).__name__} as configured ({first}); use the "
            "configuration that it was trained with."
        ) from error
    return model


def load_selected(network: nn.Module, file: Path) -> nn.Module:
    """Load weights, or those of a numbered checkpoint, into `network`.

    Raises:
        CheckpointError: the file is damaged or belongs to another network.
    """
    state = load_state(file)
    if not isinstance(state, dict) or "optimizers" not in state:
        return load_weights(network, file)
    try:
        network.load_state_dict(state["model"])
    except RuntimeError as error:
        raise CheckpointError(
            f"{file} is a checkpoint of another network than its run describes; it was moved or changed."
        ) from error
    return network


def _checksum(described: Any, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of all that a file holds: safetensors itself would read a changed byte as another number."""
    digest = hashlib.sha256(json.dumps(described).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _describe(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON that says how `value` is built; tensors are put into `tensors` and named."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_describe(key, tensors), _describe(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_describe(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _restore(description: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(description, dict):
        return description
    (kind, content), *_ = description.items()
    match kind:
        case "value":
            return content
        case "tensor":
            return tensors[content]
        case "dict":
            return {_restore(key, tensors): _restore(item, tensors) for key, item in content}
        case "list":
            return [_restore(item, tensors) for item in content]
        case "tuple":
            return tuple(_restore(item, tensors) for item in content)
    raise ValueError(f"unknown kind '{kind}'")


def random_state() -> dict[str, Any]:
    """States of torch's global generators."""
    cuda = [state.clone() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else []
    mps = [torch.mps.get_rng_state()] if torch.backends.mps.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda, "mps": mps}


def restore_random_state(state: dict[str, Any]) -> None:
    """Put torch's global generators back to where they were."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    for kept in state.get("mps", []):  # earlier versions have kept none
        torch.mps.set_rng_state(kept)
