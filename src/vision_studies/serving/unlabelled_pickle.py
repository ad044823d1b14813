"""Unlabelled images in a pickle, as the project of the residual networks had its test images (`cifar_test_nolabel.pkl`).

The pickle is read and not run; see `data.restricted_pickle`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vision_studies.data.image_source import ImageSource
from vision_studies.data.restricted_pickle import NUMPY, Array, RefusedError, load_restricted
from vision_studies.errors import DataError

PICKLES = (".pkl", ".pickle")
"""How names of such files end."""

_KEYS = ("images", "data")
_FLAT = 3 * 32 * 32  # numbers of an image of CIFAR, channel after channel


def open_unlabelled(file: Path) -> ImageSource:
    """Read the images of a pickle; labels, if there are any, are left alone.

    It holds uint8 images [N, H, W, 1 or 3], [N, H, W] or, of CIFAR, [N, 3072] with channel after channel: as an array, or as
    the value of `images` or `data` in a dictionary, or else of its first key.

    Raises:
        DataError: there is no such file, it asks for more than numbers, or it holds something else.
    """
    try:
        with file.open("rb") as opened:
            content = load_restricted(opened, NUMPY, encoding="latin1")
        images = _images(content)
    except FileNotFoundError as error:
        raise DataError(f"{file} does not exist; name a folder of images, a .npy file or a .pkl file.") from error
    except (RefusedError, OSError, MemoryError) as error:
        reason = str(error) or "it does not fit into memory"
        raise DataError(
            f"{file} is no pickle of images that is read here ({reason}); save them with numpy.save as uint8 [N, H, W, 3] and "
            "name that .npy file."
        ) from error
    return ImageSource(range(len(images)), images)


def _images(content: object) -> np.ndarray:
    if isinstance(content, dict):
        named: dict[Any, Any] = {
            key.decode("latin1") if isinstance(key, bytes) else key: content[key] for key in content
        }
        content = next((named[key] for key in (*_KEYS, *named) if key in named), None)
    if not isinstance(content, Array) or content.value is None:
        raise RefusedError("it holds no array of images")
    images = content.value
    if images.ndim == 2 and images.shape[1] == _FLAT:
        images = np.ascontiguousarray(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    elif images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise RefusedError(
            f"its array is {images.dtype} {list(images.shape)}, not uint8 [N, H, W, 1 or 3] or [N, {_FLAT}]"
        )
    return images
