"""Features of images from a frozen backbone, by one pass over them.

What makes it fast on a CPU: each thread computes images of its own from beginning to end, so that none waits for another;
batch normalisation is folded and activations are computed with the convolutions (`models.fused`); a few images at a time, so
that most of what a layer gives is still in the cache when the next one takes it; bfloat16 where the processor computes in it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.models.backbones import open_backbone
from vision_studies.models.fused import fused
from vision_studies.models.pretrained import Backbone, OpenedBackbone
from vision_studies.processors import processors
from vision_studies.training.precision import has_fast_bfloat16
from vision_studies.training.runtime import tune_process

CPU = torch.device("cpu")

_PIXELS_AT_ONCE = 16 * 128 * 128
"""Of all views that a thread of a CPU computes together."""

_VIEWS_AT_ONCE_ON_GPU = 512


def frozen_features(
    images: np.ndarray,
    backbone: str | OpenedBackbone,
    pixels: int,
    *,
    mirror: bool = True,
    threads: int | None = None,
    device: torch.device = CPU,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Features of images, float32 [N, D].

    Args:
        images: uint8 [N, H, W, C] with C in {1, 3}; read block by block, so that they may be memory-mapped.
        backbone: its name, or one that has been opened.
        pixels: height and width that images are brought to first, smoothed where they become smaller.
        mirror: mean of the features of each image and of its mirror image, at twice the time.
        threads: of the CPU; None for as many as the process has processors.
        device: where to compute.
        progress: called with the number of images that are done, from the calling thread.

    Raises:
        BackboneError: the backbone is unknown, or its weights are not here.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.training.frozen_features import frozen_features
        >>> images = np.zeros((3, 16, 16, 1), np.uint8)
        >>> features = frozen_features(images, "efficientnet_lite0", 32)
        >>> features.shape, features.dtype
        ((3, 1280), dtype('float32'))
    """
    opened = open_backbone(backbone) if isinstance(backbone, str) else backbone
    return FeatureExtractor(opened, pixels, mirror=mirror, threads=threads, device=device)(images, progress)


class FeatureExtractor:
    """What `frozen_features` computes with, made ready once for many blocks of images; arguments as there."""

    def __init__(
        self,
        opened: OpenedBackbone,
        pixels: int,
        *,
        mirror: bool = True,
        threads: int | None = None,
        device: torch.device = CPU,
    ) -> None:
        tune_process()
        self._dtype = feature_dtype(device)
        self._network = fused(opened.network, device, self._dtype)
        self._backbone, self._pixels, self._mirror, self._device = opened.backbone, pixels, mirror, device
        on_cpu = device.type == "cpu"
        self._workers = (threads or processors()) if on_cpu else 1
        views = max(1, _PIXELS_AT_ONCE // pixels**2) if on_cpu else _VIEWS_AT_ONCE_ON_GPU
        self._most_at_once = max(1, views // (2 if mirror else 1))

    def __call__(self, images: np.ndarray, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Features float32 [N, D] of images uint8 [N, H, W, C]."""
        features = np.empty((len(images), self._backbone.width), np.float32)
        step = max(1, min(self._most_at_once, -(-len(images) // self._workers)))
        blocks = [slice(start, start + step) for start in range(0, len(images), step)]
        done = 0
        with _one_thread_of_torch(), ThreadPoolExecutor(self._workers) as pool:
            computing = [pool.submit(self._features, images, block) for block in blocks]
            try:
                for block, future in zip(blocks, computing, strict=True):
                    features[block] = future.result()
                    done += len(features[block])
                    if progress is not None:
                        progress(done)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return features

    def _features(self, images: np.ndarray, block: slice) -> np.ndarray:
        """Of one block, on one thread."""
        with torch.inference_mode():
            prepared = prepared_images(images[block], self._backbone, self._pixels).to(self._device, self._dtype)
            views = torch.cat([prepared, prepared.flip(3)]) if self._mirror else prepared
            features = self._network(views.contiguous(memory_format=torch.channels_last)).float()
            if self._mirror:
                features = (features[: len(prepared)] + features[len(prepared) :]) / 2
            return features.cpu().numpy()


def feature_dtype(device: torch.device) -> torch.dtype:
    """Number format that features are computed in on a device; it changes their last digits."""
    return torch.bfloat16 if has_fast_bfloat16(device.type) else torch.float32


def prepared_images(images: np.ndarray, backbone: Backbone, pixels: int) -> Tensor:
    """Images as a backbone takes them: float32 [N, 3, pixels, pixels], channels last.

    Args:
        images: uint8 [N, H, W, C] with C in {1, 3}; grey ones are shown as three equal channels.
        backbone: whose mean and std are taken.
        pixels: height and width that they are brought to, smoothed where they become smaller.
    """
    own = torch.from_numpy(np.array(images))  # a copy, which may be written to
    resized = resized_images(own.permute(0, 3, 1, 2), pixels)
    values = resized.expand(-1, 3, -1, -1).to(torch.float32, memory_format=torch.channels_last)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (backbone.mean, backbone.std))
    return values.sub_(mean).div_(std)


def resized_images(images: Tensor, pixels: int) -> Tensor:
    """uint8 images [N, C, H, W] at another height and width, as Pillow's bicubic filter has them."""
    if images.shape[2:] == (pixels, pixels):
        return images
    return F.interpolate(images, (pixels, pixels), mode="bicubic", antialias=True, align_corners=False)


@contextmanager
def _one_thread_of_torch() -> Iterator[None]:
    """Let every thread compute by itself alone, and the process as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
