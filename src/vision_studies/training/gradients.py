"""The gradients of one batch, at once or, where the memory does not hold that, part by part."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from vision_studies.config.training import TrainingSettings
from vision_studies.training.mixing import MixedBatch, mixed_hits
from vision_studies.training.objectives import Objective
from vision_studies.training.precision import at_least_float32, autocast
from vision_studies.training.runtime import is_out_of_memory

logger = logging.getLogger(__name__)


@dataclass
class BatchGradients:
    """Computes the gradients of a batch into the parameters that the optimisers hold.

    Args:
        forward: the network, compiled or not.
        objective: what is minimised and measured.
        optimizers: hold the parameters.
        settings: label smoothing and precision.
        device: where it is computed.
        alone: no other process shares the batches. Where others do, a batch that the memory does not hold is an error: all
            of them would have to divide theirs alike.
    """

    forward: Callable[..., Tensor]
    objective: Objective
    optimizers: Sequence[Optimizer]
    settings: TrainingSettings
    device: torch.device
    alone: bool = True
    _parts: int = field(default=1, init=False)

    def __call__(self, mixed: MixedBatch, indices: Tensor, weight: float = 1.0) -> dict[str, Tensor]:
        """Gradients of the batch's mean loss.

        A device whose memory is full is given the batch in twice as many parts, with a warning, and so are the batches
        after it. The sum of the parts' gradients is the batch's, but for norms that see a part at a time.

        Args:
            mixed: the batch.
            indices: int64 [B], where its images stand in the image set.
            weight: what the gradients are multiplied by.

        Returns:
            Sums over the images: of the loss ("loss"), of right predictions ("hits") and of the objective's metrics.
        """
        while True:
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            try:
                return self._accumulate(mixed, indices, weight)
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self.alone or 2 * self._parts > len(mixed.labels):
                    raise
            self._parts *= 2
            logger.warning(
                "memory does not hold a batch of %d images: from now on its gradients are summed over %d parts "
                "(norms then see a part at a time); training.batch_size=%d would do the same with shorter steps",
                len(mixed.labels),
                self._parts,
                -(-len(mixed.labels) // self._parts),
            )

    def _accumulate(self, mixed: MixedBatch, indices: Tensor, weight: float) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        parts = [mixed] if self._parts == 1 else mixed.split(self._parts)
        for part, positions in zip(parts, indices.tensor_split(len(parts)), strict=True):
            with autocast(self.settings, self.device):
                outputs = self.objective.outputs(self.forward, part.images, positions)
            outputs = at_least_float32(outputs)
            loss = self.objective.loss(outputs, part, self.settings.label_smoothing)
            count = len(part.labels)
            factor = weight * count / max(len(mixed.labels), 1)
            if count == 0:  # the others have the images, and wait for this process's gradients: zeros
                loss = outputs.sum()
            (loss if factor == 1 else loss * factor).backward()
            outputs = outputs.detach()
            hits = mixed_hits(self.objective.logits(outputs), part)
            further = self.objective.batch_metrics(outputs, part)
            for name, value in {"loss": loss.detach() * count, "hits": hits, **further}.items():
                term = value if count else torch.zeros_like(value)  # a mean over nothing is not a number
                sums[name] = sums[name] + term if name in sums else term
        return sums
