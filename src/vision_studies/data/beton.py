"""Writing and checking FFCV's `.beton` files."""

from pathlib import Path
from typing import Any

import numpy as np
from rich import get_console
from rich.progress import track

from vision_studies.data.ffcv_compat import import_ffcv
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError, MissingDependencyError
from vision_studies.files import atomic_file, require_free_space

FFCV_MISSING = (
    "FFCV is not installed; install its system packages (pkg-config, libopencv-dev, libturbojpeg0-dev) and run "
    "`make install` again, or use loader=device."
)


MEND = "delete its folder and run `kedro run --pipeline=data_prep` again"
_FIELDS = ("image", "label", "index")


def write_beton(image_set: ImageSet, indices: np.ndarray, path: Path) -> None:
    """Write the images at `indices`, uncompressed and in this order, with fields image, label and index.

    Raises:
        MissingDependencyError: FFCV is not installed.
        StorageError: the disk is full.
    """
    try:
        import_ffcv()
        from ffcv.fields import IntField, NDArrayField, RGBImageField
    except ImportError as error:
        raise MissingDependencyError(FFCV_MISSING) from error

    height, width, channels = image_set.images.shape[1:]
    image_field = (
        RGBImageField(write_mode="raw", max_resolution=max(height, width))
        if channels == 3
        else NDArrayField(shape=(height, width, channels), dtype=np.dtype(np.uint8))
    )
    require_free_space(path.parent, len(indices) * (height * width * channels + 64))
    with atomic_file(path) as temporary:
        _write(image_set, indices, temporary, dict(zip(_FIELDS, (image_field, IntField(), IntField()), strict=True)))
        check_beton(temporary)


def _write(image_set: ImageSet, indices: np.ndarray, path: Path, fields: dict[str, Any]) -> None:
    """FFCV's writer, sample by sample in this process.

    Its own loop, `DatasetWriter.from_indexed_dataset`, hands the samples to a process that it forks and waits for without
    end: when that process fails, on a full disk for example, the program never goes on.
    """
    from ffcv.memory_allocator import MemoryAllocator
    from ffcv.writer import MIN_PAGE_SIZE, DatasetWriter, handle_sample

    # The last page is written whole, so small pages keep small files small; a page must hold an image.
    page_size = max(MIN_PAGE_SIZE, 1 << int(image_set.images[0].nbytes).bit_length())
    writer = DatasetWriter(str(path), fields, page_size=page_size, num_workers=1)
    writer.num_samples = len(indices)
    writer.prepare()
    console = get_console()
    positions = track(
        range(len(indices)),
        "writing .beton file",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    metadata = np.zeros(len(indices), writer.metadata_type)
    try:
        allocator = MemoryAllocator(str(path), writer.data_region_start, page_size)
        with allocator:
            for position in positions:
                index = int(indices[position])
                sample = (np.ascontiguousarray(image_set.images[index]), int(image_set.labels[index]), index)
                handle_sample(sample, position, metadata.dtype.names, metadata, allocator, fields)
        writer.metadata_sm.buf[: metadata.nbytes] = metadata.tobytes()
        writer.finalize(allocator.allocations)
    finally:
        writer.metadata_sm.close()
        writer.metadata_sm.unlink()


def check_beton(path: Path) -> int:
    """Number of samples in a file, after a look at whether it is whole.

    FFCV follows the file's own pointers without a check, so a damaged file would crash the program or hang it. All that
    FFCV relies on is compared here: header, fields, where each image is and how large. Only pixels and labels may still be
    wrong in a file that passes.

    Raises:
        DataError: the file is missing, truncated, damaged or no `.beton` file of this project.
    """
    import_ffcv()
    from ffcv.types import ALLOC_TABLE_TYPE, CURRENT_VERSION, FieldDescType, HeaderType

    if not path.is_file():
        raise DataError(f"{path} is missing; {MEND}.")
    size = path.stat().st_size
    if size < HeaderType.itemsize:
        raise DataError(f"{path} is truncated ({size} bytes); {MEND}.")
    header = np.fromfile(path, dtype=HeaderType, count=1)[0]
    if header["version"] != CURRENT_VERSION or header["num_fields"] != len(_FIELDS):
        raise DataError(f"{path} is not a .beton file of this project; {MEND}.")
    samples, table_start = int(header["num_samples"]), int(header["alloc_table_ptr"])
    expected_size = table_start + samples * ALLOC_TABLE_TYPE.itemsize
    if table_start == 0 or size < expected_size:
        raise DataError(f"{path} is truncated ({size} bytes, {samples} images announced); {MEND}.")
    data_start = HeaderType.itemsize + len(_FIELDS) * FieldDescType.itemsize
    if size > expected_size or samples == 0 or table_start < data_start:
        raise DataError(f"{path} is damaged (its header does not fit its size); {MEND}.")
    _check_pointers(path, samples, table_start)
    return samples


def _check_pointers(path: Path, samples: int, table_start: int) -> None:
    from ffcv.fields import IntField, NDArrayField, RGBImageField
    from ffcv.reader import Reader

    damaged = DataError(f"{path} is damaged (its tables disagree); {MEND}.")
    try:
        reader = Reader(str(path))
    except (ValueError, LookupError, TypeError, AssertionError) as error:  # a field's description makes no sense
        raise damaged from error
    fields = [reader.handlers.get(name) for name in _FIELDS]
    image_field = fields[0]
    if (
        tuple(reader.field_names) != _FIELDS
        or not isinstance(image_field, RGBImageField | NDArrayField)
        or not all(isinstance(field, IntField) for field in fields[1:])
    ):
        raise damaged
    table, described = reader.alloc_table, reader.metadata[reader.metadata.dtype.names[0]]
    if isinstance(image_field, RGBImageField):
        pointers, modes = described["data_ptr"], described["mode"]
        heights, widths = described["height"].astype(np.uint64), described["width"].astype(np.uint64)
        sizes = 3 * heights * widths
        whole = (modes == 1).all() and (heights == heights[0]).all() and (widths == widths[0]).all()
    else:
        pointers = described
        sizes = np.full(samples, int(np.prod([int(side) for side in image_field.shape])), np.uint64)
        whole = image_field.dtype == np.uint8 and len(image_field.shape) == 3
    whole = (
        whole
        and len(table) == samples == len(pointers)
        and np.array_equal(table["sample_id"], np.arange(samples, dtype=np.uint64))
        and np.array_equal(table["ptr"], pointers)
        and np.array_equal(table["size"], sizes)
        and sizes[0] > 0
        and (pointers < table_start).all()
        and (sizes <= table_start - pointers).all()
    )
    if not whole:
        raise damaged
