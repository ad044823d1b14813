"""Networks for use without this project: ONNX, TorchScript and `torch.export`, each checked against the original.

What is written takes pixels from 0 to 1 and gives probabilities: normalisation and softmax are part of it, and the names of
the classes lie in the file.
"""

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_studies.errors import MissingDependencyError, ParameterError, not_installed
from vision_studies.files import atomic_file, require_free_space
from vision_studies.serving.calibration import Calibration
from vision_studies.serving.image_classifier import PixelsToProbabilities
from vision_studies.training.classifier import ImageClassifier, ImageFormat

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "torch_export": ".pt2"}
"""Format -> usual end of its files' names."""

LARGEST_DIFFERENCE = 1e-4
"""Between probabilities of the exported network and of the original."""

INPUT, OUTPUT = "images", "probabilities"
_SHAPES = {"images": {0: torch.export.Dim("batch", min=1)}}

_OWN_MESSAGES: dict[str, type[Warning]] = {
    r"`isinstance\(treespec, LeafSpec\)` is deprecated": FutureWarning,
    r"`torch\.jit\.\w+` is deprecated": DeprecationWarning,
    r"Converting a tensor to a Python boolean might cause the trace to be incorrect": torch.jit.TracerWarning,
}
_TRACED_WITH = 2  # images; torch.export takes a dimension of 1 for a constant
_CHECKED_WITH = (1, 7)

Reloaded = Callable[[np.ndarray], np.ndarray]
"""float32 [N, C, H, W], pixels from 0 to 1 -> probabilities [N, classes]."""


def export_model(
    classifier: ImageClassifier, kind: str, path: Path, about: dict[str, Any], calibration: Calibration | None = None
) -> float:
    """Write a classifier to one file.

    Args:
        classifier: what to export.
        kind: one of `FORMATS`.
        path: where to; it is only written if the network read back from it says what the original says.
        about: goes into the file with class_names, image_size, in_channels and decoding.
        calibration: of the classifier; its temperature goes there, too, with how it is applied.

    Returns:
        The largest difference of a probability on random images.

    Raises:
        MissingDependencyError: the libraries for ONNX are not installed.
        ParameterError: the network cannot be written in this format, or what is read back differs.
        StorageError: the disk is full.
    """
    if kind == "onnx" and (missing := not_installed(("onnx", "onnxscript", "onnxruntime"))):
        raise MissingDependencyError(
            f"--format=onnx needs {missing}; run `pip install .[export]` in the project's folder, or choose "
            "--format=torch_export."
        )
    # A copy: the classifier's own may lie on a GPU, or in an order of memory that files have no word for.
    network = copy.deepcopy(PixelsToProbabilities(classifier)).cpu().eval()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # torch's stub lacks it
    example = random_images(classifier.images, _TRACED_WITH, seed=0)
    metadata = {**about, **_described(classifier.images), **_calibrated(calibration)}
    require_free_space(path.parent, sum(value.nbytes for value in network.state_dict().values()))
    with atomic_file(path, suffix=path.suffix) as temporary, warnings.catch_warnings():
        # What torch's exporters say of themselves, and nobody who exports can act on: parts that are about to be renamed, and
        # that tracing fixes what shapes decide. Images have one size here, and other numbers of them are tried below.
        for message, category in _OWN_MESSAGES.items():
            warnings.filterwarnings("ignore", message=message, category=category)
        try:
            _WRITERS[kind](network, example, temporary, metadata)
            reloaded = read_exported(temporary, kind)
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:  # how exporters decline a network
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ParameterError(
                f"This network cannot be written as {kind} ({first}); choose another --format."
            ) from error
        difference = max(_difference(network, reloaded, classifier.images, count) for count in _CHECKED_WITH)
        if not difference <= LARGEST_DIFFERENCE:
            raise ParameterError(
                f"Written as {kind}, the network gives probabilities that differ from the original's by up to {difference:.2g} "
                f"({LARGEST_DIFFERENCE:g} is allowed), so that no file was left; choose another --format."
            )
    return difference


def random_images(images: ImageFormat, count: int, seed: int) -> Tensor:
    """float32 [count, C, H, W], pixels from 0 to 1, such as 8 bits have."""
    shape = (count, images.in_channels, images.image_size, images.image_size)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return torch.from_numpy(pixels).float() / 255


def read_exported(path: Path, kind: str) -> Reloaded:
    """An exported network, ready for use."""
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda images: session.run([OUTPUT], {INPUT: images})[0]
    is_script = kind == "torchscript"
    network = torch.jit.load(str(path), map_location="cpu") if is_script else torch.export.load(path).module()
    return torch.no_grad()(lambda images: network(torch.from_numpy(images)).numpy())


def _write_onnx(network: torch.nn.Module, example: Tensor, path: Path, metadata: dict[str, str]) -> None:
    import onnx

    options: dict[str, Any] = {"dynamic_shapes": _SHAPES, "input_names": [INPUT], "output_names": [OUTPUT]}
    program = torch.onnx.export(network, (example,), dynamo=True, verbose=False, **options)
    assert program is not None  # noqa: S101 - the new exporter always gives one
    proto = program.model_proto
    onnx.helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


@torch.no_grad()
def _write_torchscript(network: torch.nn.Module, example: Tensor, path: Path, metadata: dict[str, str]) -> None:
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), str(path), _extra_files=metadata)


@torch.no_grad()
def _write_torch_export(network: torch.nn.Module, example: Tensor, path: Path, metadata: dict[str, str]) -> None:
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=_SHAPES), path, extra_files=metadata)


_WRITERS = {"onnx": _write_onnx, "torchscript": _write_torchscript, "torch_export": _write_torch_export}


@torch.no_grad()
def _difference(network: torch.nn.Module, reloaded: Reloaded, images: ImageFormat, count: int) -> float:
    example = random_images(images, count, seed=count)
    return float(np.abs(reloaded(example.numpy()) - network(example).numpy()).max())


def _calibrated(calibration: Calibration | None) -> dict[str, str]:
    """What softmax has been given at the temperature 1 is calibrated by a power of it: p ** (1 / T) is e ** (logit / T)."""
    if calibration is None:
        return {}
    return {
        "temperature": repr(float(calibration.temperature)),
        "temperature_images": str(calibration.images),
        "calibrated": f"{OUTPUT} ** (1 / temperature), divided by their sum",
    }


def _described(images: ImageFormat) -> dict[str, str]:
    return {
        "class_names": json.dumps(images.class_names, ensure_ascii=False),
        "image_size": str(images.image_size),
        "decoding": json.dumps(images.decoding.to_json()),
        "in_channels": str(images.in_channels),
        "input": f"{INPUT}: float32 [N, {images.in_channels}, {images.image_size}, {images.image_size}], pixels from 0 to 1",
        "output": f"{OUTPUT}: float32 [N, {len(images.class_names)}], in the order of class_names",
    }
