"""What the processes of one training tell each other in the middle of it. A process that trains alone asks nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from vision_studies.data.loaders import Loader, Share
from vision_studies.training.synchronised_batch_norm import synchronise_batch_norms


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
        """What the mean over the own images counts in the mean over processes that torch takes of gradients."""
        return self.share.processes * (self.places.stop - self.places.start) / self.count

    def whole(self, own: Tensor) -> Tensor:
        """The whole batch [count, ...] from the part [own images, ...] that each process has."""
        return assemble(own, self.places, self.count, self.share)


def assemble(own: Tensor, places: slice | Tensor, count: int, share: Share) -> Tensor:
    """A tensor [count, ...], the same in every process, of which each has some rows.

    Args:
        own: the rows of this process.
        places: where they belong: a slice, or int64 [rows].
        count: rows, all processes together.
        share: which process this is.
    """
    if share.processes == 1:
        return own
    whole = own.new_zeros((count, *own.shape[1:]))
    whole[places] = own
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
    told = torch.tensor([int(decision)], device=device)
    torch.distributed.broadcast(told, src=0)
    return bool(told)


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
    own = [torch.cuda.current_device()] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=own, forward_sync_buffers=False)
