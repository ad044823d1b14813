"""Classifiers in the original project's files (github.com/jayanthkoushik/alphanet), read without running what they may hide."""

from pathlib import Path

import torch

from vision_studies.errors import DataError
from vision_studies.models.torch_files import is_plain_tensor, load_torch_file
from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier, combined

LINEAR = "LinearClassifierLoader"
COMBINED = "CombinedClassifierLoader"


def read_classifier(file: Path, loader: str) -> LinearClassifier:
    """Read a classifier that torch.save has written, without running anything that the file may hide.

    Args:
        file: of a dictionary with "weight" [classes, d] and "bias" ([classes], or None for zeros); or of a list of
            dictionaries with "classifier_file", relative to the folder of `file`, and "classifier_loader".
        loader: "LinearClassifierLoader" for the first, "CombinedClassifierLoader" for the second.

    Returns:
        The classifier; of experts, the one whose score is the mean of theirs.

    Raises:
        DataError: a file is missing, damaged, holds more than weights, or its shapes disagree.
    """
    content = _load_weights(file)
    if loader == LINEAR:
        return _linear(file, content)
    if not isinstance(content, list) or not content:
        raise DataError(
            f"{file} holds no list of experts' classifiers; set classifier_loader to {LINEAR} if it holds one classifier."
        )
    experts = []
    for number, entry in enumerate(content, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("classifier_file"), str):
            raise DataError(
                f"{file} names no classifier_file for expert {number}; write its path, relative to that file."
            )
        if entry.get("classifier_loader") != LINEAR:
            raise DataError(
                f"{file} has the classifier_loader '{entry.get('classifier_loader')}' for expert {number}; {LINEAR} is wanted."
            )
        path = file.parent / entry["classifier_file"]
        experts.append(_linear(path, _load_weights(path)))
    shapes = [list(expert.weight.shape) for expert in experts]
    if any(shape != shapes[0] for shape in shapes):
        raise DataError(f"The experts of {file} have weights of the shapes {shapes}; the same shape is wanted for all.")
    return combined(experts)


def _load_weights(file: Path) -> object:
    try:
        return load_torch_file(file)
    except FileNotFoundError as error:
        raise DataError(f"{file} is missing; it holds a classifier.") from error
    except Exception as error:  # what is no file of torch raises errors of many kinds
        raise DataError(
            f"{file} is damaged or holds more than weights and was not read; write it with torch.save as a dictionary of the "
            "tensors 'weight' and 'bias'."
        ) from error


def _linear(file: Path, content: object) -> LinearClassifier:
    if not isinstance(content, dict) or not isinstance(content.get("weight"), torch.Tensor) or "bias" not in content:
        raise DataError(f"{file} holds no dictionary of the tensors 'weight' and 'bias'; check its classifier_loader.")
    if not all(
        is_plain_tensor(content[name]) for name in ("weight", "bias") if isinstance(content[name], torch.Tensor)
    ):
        raise DataError(f"{file} holds a tensor that is sparse, or larger than its numbers; save plain tensors.")
    weight = content["weight"].detach().float()
    bias = torch.zeros(weight.shape[:1]) if content["bias"] is None else content["bias"]
    if weight.ndim != 2 or not isinstance(bias, torch.Tensor) or bias.shape != weight.shape[:1]:
        shape = list(bias.shape) if isinstance(bias, torch.Tensor) else type(bias).__name__
        raise DataError(
            f"{file} has a weight of the shape {list(weight.shape)} and a bias of {shape}; [classes, features] and [classes] "
            "are wanted."
        )
    bias = bias.detach().float()
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise DataError(f"{file} holds a number that is not finite; fetch it again.")
    return LinearClassifier(weight.contiguous().numpy(), bias.contiguous().numpy())
