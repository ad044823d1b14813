"""Writing and checking FFCV's `.beton` files."""

import contextlib
import io
import sys
from pathlib import Path

import numpy as np

from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError, MissingDependencyError
from vision_studies.files import atomic_file, require_free_space

FFCV_MISSING = (
    "FFCV is not installed; install its system packages (pkg-config, libopencv-dev, libturbojpeg0-dev) and run "
    "`make install` again, or use loader=device."
)


class _Samples:
    """The samples of one split, as FFCV's writer reads them: image, label, position in the image set."""

    def __init__(self, image_set: ImageSet, indices: np.ndarray) -> None:
        self._image_set = image_set
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> tuple[np.ndarray, int, int]:
        index = int(self._indices[position])
        return np.ascontiguousarray(self._image_set.images[index]), int(self._image_set.labels[index]), index


def write_beton(image_set: ImageSet, indices: np.ndarray, path: Path) -> None:
    """Write the images at `indices`, uncompressed and in this order, with fields image, label and index.

    Raises:
        MissingDependencyError: FFCV is not installed.
        StorageError: the disk is full.
    """
    try:
        from ffcv.fields import IntField, NDArrayField, RGBImageField
        from ffcv.writer import DatasetWriter
    except ImportError as error:
        raise MissingDependencyError(FFCV_MISSING) from error

    height, width, channels = image_set.images.shape[1:]
    image_field = (
        RGBImageField(write_mode="raw", max_resolution=max(height, width))
        if channels == 3
        else NDArrayField(shape=(height, width, channels), dtype=np.dtype(np.uint8))
    )
    fields = {"image": image_field, "label": IntField(), "index": IntField()}
    require_free_space(path.parent, len(indices) * (height * width * channels + 64))
    # Every worker fills pages of its own: small pages and one worker keep small files small.
    page_size = max(1 << 21, 1 << (height * width * channels).bit_length())
    terminal = sys.stderr.isatty()
    with atomic_file(path) as temporary, contextlib.redirect_stderr(sys.stderr if terminal else io.StringIO()):
        DatasetWriter(str(temporary), fields, page_size=page_size, num_workers=1).from_indexed_dataset(
            _Samples(image_set, indices), chunksize=1000
        )


def check_beton(path: Path) -> int:
    """Number of samples in a file, after a look at whether it is whole: FFCV itself would crash on half a file.

    Raises:
        DataError: the file is missing, truncated or no `.beton` file.
    """
    from ffcv.types import ALLOC_TABLE_TYPE, CURRENT_VERSION, HeaderType

    mend = "delete its folder and run `kedro run --pipeline=data_prep` again"
    if not path.is_file():
        raise DataError(f"{path} is missing; {mend}.")
    size = path.stat().st_size
    if size < HeaderType.itemsize:
        raise DataError(f"{path} is truncated ({size} bytes); {mend}.")
    header = np.fromfile(path, dtype=HeaderType, count=1)[0]
    if header["version"] != CURRENT_VERSION or header["num_fields"] != 3:
        raise DataError(f"{path} is not a .beton file of this project; {mend}.")
    table_start = int(header["alloc_table_ptr"])
    table = max(0, size - table_start) // ALLOC_TABLE_TYPE.itemsize
    if table_start == 0 or table_start > size or table < int(header["num_samples"]):
        raise DataError(f"{path} is truncated ({size} bytes, {header['num_samples']} images announced); {mend}.")
    return int(header["num_samples"])
