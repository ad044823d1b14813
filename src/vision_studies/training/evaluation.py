"""What a network says about images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.config.training import TrainingSettings
from vision_studies.data.loaders import Loader
from vision_studies.training.objectives import CLASSIFICATION, Objective
from vision_studies.training.precision import autocast, place_images


@torch.inference_mode()
def predict_outputs(
    model: nn.Module,
    loader: Loader,
    settings: TrainingSettings,
    device: torch.device,
    objective: Objective = CLASSIFICATION,
) -> tuple[Tensor, Tensor]:
    """What a network says of every image that `loader` gives.

    Returns:
        Outputs float32 [N, ...], of a plain classifier its logits [N, classes], and labels int64 [N], on the CPU, in the
        loader's order.
    """
    was_training = model.training
    model.eval()
    outputs, labels = [], []
    for batch in loader.epoch(0):
        with autocast(settings, device):
            output = objective.outputs(model, place_images(batch.images, settings, device), batch.indices)
        outputs.append(output.float())
        labels.append(batch.labels)
    model.train(was_training)
    return torch.cat(outputs).cpu(), torch.cat(labels).cpu()


def evaluate(model: nn.Module, loader: Loader, settings: TrainingSettings, device: torch.device) -> tuple[float, float]:
    """Mean cross-entropy (nats, no label smoothing) and accuracy (a fraction) over all images of `loader`."""
    logits, labels = predict_outputs(model, loader, settings, device)
    accuracy = (logits.argmax(dim=1) == labels).double().mean()
    return float(F.cross_entropy(logits, labels)), float(accuracy)
