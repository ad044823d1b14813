"""What the processes of one training tell each other in the middle of it. A process that trains alone asks nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vision_studies.data.loaders import Loader, Share
from vision_studies.training.precision import at_least_float32


@dataclass(frozen=True)
class BatchPart:
    """The part of a batch that this process has.

    Attributes:
        share: what the process takes of every batch.
        places: where its images stand in this batch.
        count: images of this batch, all processes together.
    """

    share: Share
    places: slice
    count: int

    @classmethod
    def of(cls, loader: Loader, index: int) -> "BatchPart":
        """The part that `loader` gives of batch number `index`."""
        count = min(loader.batch_size, loader.num_samples - index * loader.batch_size)
        return cls(loader.share, loader.share.places(loader.batch_size, count), count)

    @property
    def weight(self) -> float:
        """What the mean over this process's images counts in the mean over processes that torch takes of gradients."""
        return self.share.processes * (self.places.stop - self.places.start) / self.count

    def whole(self, part: Tensor) -> Tensor:
        """The whole batch [count, ...] from the part [images of the process, ...] that each has."""
        return assemble(part, self.places, self.count, self.share)


def assemble(rows: Tensor, places: slice | Tensor, count: int, share: Share) -> Tensor:
    """A tensor [count, ...], the same in every process, of which each has some rows.

    Args:
        rows: those of this process.
        places: where they belong: a slice, or int64 [rows].
        count: rows, all processes together.
        share: which process this is.
    """
    if share.processes == 1:
        return rows
    whole = rows.new_zeros((count, *rows.shape[1:]))
    whole[places] = rows
    torch.distributed.all_reduce(whole)  # adding nothing but zeros changes no number
    return whole


def total(value: Tensor, share: Share) -> Tensor:
    """The sum of a value over the processes."""
    if share.processes > 1:
        value = value.clone()
        torch.distributed.all_reduce(value)
    return value


def agreed(decision: bool, share: Share, device: torch.device) -> bool:
    """The decision of the first process, in all of them."""
    if share.processes == 1:
        return decision
    answer = torch.tensor([int(decision)], device=device)
    torch.distributed.broadcast(answer, src=0)
    return bool(answer)


def joined(model: nn.Module, share: Share, device: torch.device) -> Callable[..., Any]:
    """What to call in training: `model`, with gradients averaged over the processes by torch's DistributedDataParallel.

    Args:
        model: on its device; its batch norms are made to see the whole batch.
        share: which process this is.
        device: where the model is.
    """
    if share.processes == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    synchronise_batch_norms(model, device)
    # Buffers are running statistics, which come out equal everywhere.
    devices = [torch.cuda.current_device()] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False)


def synchronise_batch_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Let every batch norm in `model` see the whole batch; parameters, buffers and their names stay.

    On a GPU they become torch's own `SyncBatchNorm`, which works there alone.

    Args:
        model: changed in place.
        device: where it will compute.

    Returns:
        `model`.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm):
            setattr(model, name, SynchronisedBatchNorm(child))
        else:
            synchronise_batch_norms(child, device)
    return model


class SynchronisedBatchNorm(_BatchNorm):
    """Batch norm over the images of all processes, on any device.

    The mean is exchanged before the variance: the sum of squares, which would come along in the same exchange, loses digits
    where the mean is large beside the spread.

    Args:
        norm: whose place it takes; parameters and buffers are shared with it.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self._parameters.update(norm._parameters)
        self._buffers.update(norm._buffers)
        self.train(norm.training)

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features [B, C, ...]; B may be 0 in some of the processes."""
        if not self.training:
            return super().forward(features)
        dimensions = [dimension for dimension in range(features.ndim) if dimension != 1]
        shape = [1, -1] + [1] * (features.ndim - 2)
        values = at_least_float32(features)
        count = values.new_tensor([features.numel() / features.shape[1]])
        sums: Tensor = _SumOfAll.apply(torch.cat([values.sum(dimensions), count]))
        count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centred = values - mean.view(shape)
        variance: Tensor = _SumOfAll.apply(centred.square().sum(dimensions)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(features.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, input: Tensor) -> None:
        """Whatever the norm that this one replaces was made for."""


class _SumOfAll(torch.autograd.Function):
    """Sum over the processes, of values on the way forward and of their gradients on the way back."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _SumOfAll.forward(None, gradient)
