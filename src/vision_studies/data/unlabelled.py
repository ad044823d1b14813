"""Images whose classes nobody knows yet: a folder of image files, or an array."""

from pathlib import Path

import numpy as np

from vision_studies.data.image_set import LUMA
from vision_studies.data.sources.image_folder import image_files
from vision_studies.data.sources.raw import Encoded, decode_all, resize_all
from vision_studies.errors import DataError


def read_unlabelled(source: Path, *, image_size: int, channels: int) -> tuple[list[str] | list[int], np.ndarray]:
    """Read images and bring them to the size and the channels that a network wants.

    Args:
        source: a folder with image files at any depth, or a `.npy` file with uint8 [N, H, W, C] or [N, H, W].
        image_size: height and width wanted, in pixels.
        channels: 1 or 3; colour is turned into brightness, grey is repeated.

    Returns:
        File names relative to the folder, or positions in the array; and uint8 [N, image_size, image_size, channels].

    Raises:
        DataError: there is nothing to read, an image is corrupt, or the array is not of this kind.
    """
    if source.is_dir():
        files = image_files(source)
        if not files:
            raise DataError(f"{source} holds no image files.")
        names = [str(file.relative_to(source)) for file in files]
        encoded = (Encoded(name, file, 0, True) for name, file in zip(names, files, strict=True))
        raw = decode_all(encoded, ("unknown",), image_size=image_size, skip_corrupt=False, source=str(source))
        return names, _with_channels(raw.images, channels)
    if not source.exists():
        raise DataError(f"{source} does not exist; name a folder of images or a .npy file.")
    try:
        images = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{source} is no array that can be read ({error}); save it with numpy.save.") from error
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) == 0:
        raise DataError(
            f"{source} must hold uint8 images [N, H, W, 1 or 3], not {images.dtype} {list(images.shape)}; convert it first."
        )
    return list(range(len(images))), _with_channels(resize_all(images, image_size), channels)


def _with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    if images.shape[3] == channels:
        return images
    if channels == 1:
        return np.rint(images @ np.array(LUMA)).astype(np.uint8)[..., None]
    return np.repeat(images, channels, axis=3)
