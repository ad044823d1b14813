"""What a training computes from a batch, what it minimises, and what it measures besides."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.config.losses import LossForm
from vision_studies.statistics.calibration import expected_calibration_error
from vision_studies.statistics.diversity import diversity
from vision_studies.training.losses import LossTensors, losses
from vision_studies.training.mixing import MixedBatch, mixed_hits, mixed_loss


class Objective:
    """The part of a training that depends on what the network is; here one network, whose outputs are its logits."""

    def begin_epoch(self, progress: float) -> None:
        """Told before every epoch which share of the training is done; the loss may depend on it."""

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

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs, so that an interrupted training measures on as if nothing had happened."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called; nothing is there to be taken up here."""


CLASSIFICATION = Objective()


class UnevenClassification(Objective):
    """Classification by a loss for classes of uneven size; what is measured is what plain classification measures.

    Args:
        form: the loss, for the numbers of training images.
    """

    def __init__(self, form: LossForm) -> None:
        self._form, self._forms = form, LossTensors.of([form], 0.0)

    def begin_epoch(self, progress: float) -> None:
        """Weights that come late count from here on."""
        self._forms = LossTensors.of([self._form], progress)

    def loss(self, outputs: Tensor, mixed: MixedBatch, label_smoothing: float) -> Tensor:
        """The mean of the images' losses; label smoothing is added to what the loss has of its own."""
        forms = self._forms.to(outputs.device)
        if label_smoothing:
            forms = replace(forms, smoothing=forms.smoothing + label_smoothing)
        return mixed.weighted(lambda labels: losses(outputs[None], labels, forms).mean())


class FollowedClassification(Objective):
    """Classification that is followed from one validation to the next; one object serves one training.

    Source: the K-fold mode of the project "Stacked Generalization for Deep Learning".
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None  # probabilities [N, classes] at the last validation

    def validation_metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Loss and accuracy, and `validation_confidence` and `validation_stability`.

        Confidence is the mean over images of the highest probability; stability is Pearson's correlation of all probabilities
        with those of the validation before, NaN at the first.
        """
        probabilities = outputs.double().softmax(dim=1)
        stability = math.nan
        if self._before is not None:
            stability = float(torch.corrcoef(torch.stack([probabilities.flatten(), self._before.flatten()]))[0, 1])
        self._before = probabilities
        followed = {
            "validation_confidence": float(probabilities.amax(dim=1).mean()),
            "validation_stability": stability,
        }
        return super().validation_metrics(outputs, labels) | followed

    def state_dict(self) -> dict[str, Any]:
        """The probabilities of the last validation."""
        return {"before": self._before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; a training that was begun by an earlier version has none, and its next stability is NaN."""
        self._before = state.get("before")


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
        return self.joined([mixed_loss(logits, mixed, label_smoothing) for logits in outputs.unbind(dim=1)])

    def joined(self, losses: Sequence[Tensor]) -> Tensor:
        """Losses of the base learners and, the last, of the meta-learner in one."""
        *base, meta = losses
        stacked = torch.stack(base)
        further = self.alpha * (stacked.sum() if self.form == "sum" else stacked.mean())
        return ((1 - self.alpha) * meta if self.form == "interpolation" else meta) + further

    def logits(self, outputs: Tensor) -> Tensor:
        """The meta-learner's."""
        return outputs[:, -1]

    def batch_metrics(self, outputs: Tensor, mixed: MixedBatch) -> dict[str, Tensor]:
        """Loss and accuracy of every base learner, the meta-learner's loss, and all losses in one: none is smoothed."""
        heads = outputs.unbind(dim=1)
        losses = [mixed_loss(logits, mixed, 0.0) * len(mixed.labels) for logits in heads]
        sums = {}
        for number, (logits, loss) in enumerate(zip(heads[:-1], losses[:-1], strict=True), start=1):
            sums[f"train_loss_base_{number}"] = loss
            sums[f"train_accuracy_base_{number}"] = mixed_hits(logits, mixed)
        return {**sums, "train_loss_meta": losses[-1], "train_loss_unsmoothed": self.joined(losses)}

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
