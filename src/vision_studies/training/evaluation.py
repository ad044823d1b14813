"""What a network says about images."""

import torch
from torch import Tensor, nn

from vision_studies.config.training import TrainingSettings
from vision_studies.data.loaders import Loader
from vision_studies.training.collectives import assemble
from vision_studies.training.objectives import CLASSIFICATION, Objective
from vision_studies.training.precision import at_least_float32, autocast, place_images


@torch.inference_mode()
def predict_outputs(
    model: nn.Module,
    loader: Loader,
    settings: TrainingSettings,
    device: torch.device,
    objective: Objective = CLASSIFICATION,
) -> tuple[Tensor, Tensor]:
    """What a network says of every image of `loader`; where processes share its batches, all of them are told all.

    Returns:
        Outputs [N, ...], of a plain classifier its logits [N, classes], float32 (float64 of a network in float64), and labels
        int64 [N], on the CPU, in the loader's order.
    """
    was_training = model.training
    model.eval()
    outputs, labels = [], []
    for batch in loader.epoch(0):
        with autocast(settings, device):
            output = objective.outputs(model, place_images(batch.images, settings, device), batch.indices)
        outputs.append(at_least_float32(output))
        labels.append(batch.labels)
    model.train(was_training)
    results: tuple[Tensor, ...] = (torch.cat(outputs), torch.cat(labels).to(device))
    if loader.share.processes > 1:
        positions = loader.share.positions(loader.batch_size, loader.num_samples).to(device)
        results = tuple(assemble(rows, positions, loader.num_samples, loader.share) for rows in results)
    return results[0].cpu(), results[1].cpu()


def evaluate(model: nn.Module, loader: Loader, settings: TrainingSettings, device: torch.device) -> tuple[float, float]:
    """Mean cross-entropy (nats, no label smoothing) and accuracy (a fraction) over all images of `loader`.

    Examples:
        >>> from pathlib import Path
        >>> import numpy as np, torch, yaml
        >>> from vision_studies.config.training import TrainingSettings
        >>> from vision_studies.data.image_set import ImageSet
        >>> from vision_studies.data.loaders import Normalisation, DeviceLoader
        >>> from vision_studies.training.evaluation import evaluate
        >>> base = yaml.safe_load(Path("conf/base/parameters_cifar_resnet.yml").read_text())["cifar_resnet"]["run"]
        >>> settings, cpu = TrainingSettings(**base["training"]), torch.device("cpu")
        >>> labels = np.array([0, 0, 0, 1])
        >>> image_set = ImageSet.create("blank", np.zeros((4, 2, 2, 1), np.uint8), labels, ("a", "b"), labels > 1, origin={})
        >>> plain = Normalisation(mean=(0.0,), std=(1.0,))
        >>> loader = DeviceLoader(image_set, np.arange(4), batch_size=4, normalisation=plain, device=cpu)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> _ = torch.nn.init.zeros_(model[1].weight), torch.nn.init.zeros_(model[1].bias)  # as likely one as the other
        >>> loss, accuracy = evaluate(model, loader, settings, cpu)
        >>> round(loss, 2), accuracy  # log(2), and the first class is taken
        (0.69, 0.75)
    """
    metrics = CLASSIFICATION.validation_metrics(*predict_outputs(model, loader, settings, device))
    return metrics["validation_loss"], metrics["validation_accuracy"]
