"""Number formats: where bfloat16 pays, and how a network is laid out in memory."""

import os
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HasPrecision(Protocol):
    """Settings that say in which number format a network computes."""

    @property
    def precision(self) -> str:
        """`auto`, `bf16` or `fp32`."""


class NumberFormat(NamedTuple):
    """The number format of a network that no training settings describe, `auto`, `bf16` or `fp32`, and its layout in memory."""

    precision: str
    channels_last: bool = False


FLOAT32 = NumberFormat("fp32", channels_last=True)
"""Of networks in use: convolutions of channels one by one, as in EfficientNet, are half again as fast on a CPU so laid out."""

_INSTRUCTION_SETS_WITHOUT_BFLOAT16 = frozenset(
    {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
)
"""Values of ONEDNN_MAX_CPU_ISA under which oneDNN has no fast products in bfloat16."""


@cache
def has_fast_bfloat16(device_type: str) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32: AMX or AVX512-BF16 on a CPU, Ampere or later.

    A processor whose instructions are held back by oneDNN's environment variable ONEDNN_MAX_CPU_ISA counts as the lesser
    one that it imitates.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type != "cpu":
        return False
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _INSTRUCTION_SETS_WITHOUT_BFLOAT16:
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def uses_bfloat16(settings: HasPrecision, device: torch.device) -> bool:
    """Whether networks compute in bfloat16 under these settings on this device."""
    return has_fast_bfloat16(device.type) if settings.precision == "auto" else settings.precision == "bf16"


def autocast(settings: HasPrecision, device: torch.device) -> AbstractContextManager[None]:
    """Context in which a network computes: bfloat16 where that pays, float32 weights either way."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(settings, device))


def at_least_float32(values: Tensor) -> Tensor:
    """`values` in float32, in which losses and statistics are computed; float64 stays what it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def place_model(model: nn.Module, settings: HasPrecision, device: torch.device) -> nn.Module:
    """Move `model` to `device` and into the memory format of the settings, in place."""
    model.to(device)
    return model.to(memory_format=memory_format(settings))  # type: ignore[call-overload] # torch's stub lacks it


def place_images(images: Tensor, settings: HasPrecision, device: torch.device) -> Tensor:
    """Images [B, C, H, W] as `place_model` wants them; the same tensor where nothing has to change."""
    if images.dtype == torch.bfloat16 and not uses_bfloat16(settings, device):
        images = images.float()
    return images.to(device, non_blocking=True).contiguous(memory_format=memory_format(settings))


def rescale(images: Tensor, scale: float) -> Tensor:
    """Images [B, C, H, W] at a part of their height and width, smoothed first; 1 leaves them alone."""
    if scale == 1:
        return images
    size = [max(1, round(length * scale)) for length in images.shape[2:]]
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def memory_format(settings: HasPrecision) -> torch.memory_format:
    """Order of an image's numbers in memory; channel after channel where the settings say nothing of it."""
    return torch.channels_last if getattr(settings, "channels_last", False) else torch.contiguous_format
