"""What a training computes from a batch, what it minimises, and what it measures besides."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.statistics.calibration import expected_calibration_error
from vision_studies.statistics.diversity import diversity
from vision_studies.training.mixing import MixedBatch, mixed_hits, mixed_loss


class Objective:
    """The part of a training that depends on what the network is; here one network, whose outputs are its logits."""

    def outputs(self, forward: Callable[..., Tensor], images: Tensor, indices: Tensor) -> Tensor:  # noqa: ARG002
        """What the network says [B, ...] of images [B, C, H, W] that stand at `indices` [B] in the image set."""
        return forward(images)

    def loss(self, outputs: Tensor, mixed: MixedBatch, label_smoothing: float) -> Tensor:
        """The mean loss of a batch, which is minimised: cross-entropy."""
        return mixed_loss(outputs, mixed, label_smoothing)

    def logits(self, outputs: Tensor) -> Tensor:
        """The logits [B, classes] by which an image is classified."""
        return outputs

    def batch_metrics(self, outputs: Tensor, mixed: MixedBatch) -> dict[str, Tensor]:  # noqa: ARG002
        """Sums over a training batch whose means are columns of the history, besides loss and accuracy."""
        return {}

    def validation_metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Columns of the history from all validation images.

        Here they are mean cross-entropy (nats, no label smoothing) and accuracy (a fraction).
        """
        accuracy = (outputs.argmax(dim=1) == labels).double().mean()
        return {"validation_loss": float(F.cross_entropy(outputs, labels)), "validation_accuracy": float(accuracy)}


CLASSIFICATION = Objective()


@dataclass(frozen=True)
class JointStacking(Objective):
    """The losses of a meta-learner and of its base learners as one; its logits [B, learners + 1, classes] are the last.

    Source: the project "Stacked Generalization for Deep Learning"; `interpolation` is the path from joint to independent
    training of Webb et al. 2020 and Jeffares et al. 2023.

    Args:
        form: "sum": meta + alpha * sum of the base losses; "mean": meta + alpha * their mean; "interpolation":
            (1 - alpha) * meta + alpha * their mean.
        alpha: weight of the base learners' losses.
    """

    form: str
    alpha: float

    def loss(self, outputs: Tensor, mixed: MixedBatch, label_smoothing: float) -> Tensor:
        """All losses in one."""
        *base, meta = [mixed_loss(logits, mixed, label_smoothing) for logits in outputs.unbind(dim=1)]
        losses = torch.stack(base)
        further = self.alpha * (losses.sum() if self.form == "sum" else losses.mean())
        return ((1 - self.alpha) * meta if self.form == "interpolation" else meta) + further

    def logits(self, outputs: Tensor) -> Tensor:
        """The meta-learner's."""
        return outputs[:, -1]

    def batch_metrics(self, outputs: Tensor, mixed: MixedBatch) -> dict[str, Tensor]:
        """Loss (no label smoothing) and accuracy of every base learner, and the meta-learner's loss."""
        *base, meta = outputs.unbind(dim=1)
        count = len(mixed.labels)
        sums = {}
        for number, logits in enumerate(base, start=1):
            sums[f"train_loss_base_{number}"] = mixed_loss(logits, mixed, 0.0) * count
            sums[f"train_accuracy_base_{number}"] = mixed_hits(logits, mixed)
        return {**sums, "train_loss_meta": mixed_loss(meta, mixed, 0.0) * count}

    def validation_metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Loss and accuracy of meta-learner and base learners, the meta-learner's calibration error, and diversity."""
        *base, meta = outputs.unbind(dim=1)
        metrics = super().validation_metrics(meta, labels)
        for number, logits in enumerate(base, start=1):
            learner = super().validation_metrics(logits, labels)
            metrics |= {f"{name}_base_{number}": value for name, value in learner.items()}
        probabilities = meta.softmax(dim=1).numpy()
        metrics["validation_calibration_error"] = expected_calibration_error(probabilities, labels.numpy())
        predictions = torch.stack([logits.argmax(dim=1) for logits in base]).numpy()
        spread = diversity(predictions, labels.numpy())
        return metrics | {f"validation_{name}": value for name, value in spread.items()}


@dataclass(frozen=True)
class LevelOne(Objective):
    """A meta-learner over stored outputs of base learners.

    Args:
        table: [images in the image set, numbers an image]: what the base learners say; NaN where they were not asked.
    """

    table: Tensor

    def outputs(self, forward: Callable[..., Tensor], images: Tensor, indices: Tensor) -> Tensor:
        """Logits [B, classes] of a meta-learner."""
        return forward(self.table[indices.to(self.table.device)], images)
