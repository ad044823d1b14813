"""FFCV: writing and checking its `.beton` files, and the loader that reads them, for sets that do not fit on the device.

FFCV sets the number of threads of torch to that of its own, when it is imported and whenever an epoch begins: with one loading
thread the whole process would train on one core from then on. It also compiles code for seconds when it is imported. Call
`import_ffcv` before anything is imported from it: here its threads are its own affair, and nothing is compiled that is not run.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Unpack

import numpy as np
import torch
from rich import get_console
from rich.progress import track
from typing_extensions import override

from vision_studies.data.image_set import ImageSet
from vision_studies.data.loaders import Batch, BatchOptions, Loader
from vision_studies.errors import DataError, MissingDependencyError
from vision_studies.files import atomic_file, require_free_space

_FFCV_MISSING = (
    "FFCV is not installed; install its system packages (pkg-config, libopencv-dev, libturbojpeg0-dev) and run "
    "`make install` again, or use loader=device."
)
MEND = "delete its folder and run `kedro run --pipeline=data_prep` again"
_FIELDS = ("image", "label", "index")


def import_ffcv() -> None:
    """Import the package `ffcv` so that it leaves torch's threads alone, and in a fraction of a second.

    Raises:
        ImportError: it is not installed.
    """
    threads = torch.get_num_threads()
    try:
        if sys.modules.get("ffcv") is None:
            with _plain_dictionaries():
                import_module("ffcv")
        compiler = import_module("ffcv.pipeline.compiler")
    finally:
        torch.set_num_threads(threads)
    # All that this module of FFCV uses torch for is to set its threads.
    compiler.ch = SimpleNamespace(set_num_threads=lambda _: None)  # type: ignore[attr-defined]


@contextmanager
def _plain_dictionaries() -> Iterator[None]:
    """FFCV keeps the numbers of its two image modes in a dictionary of numba, which is compiled for six seconds to be made.

    Only Python reads it, so a dictionary of Python serves as well.
    """
    typed = import_module("numba.typed")
    compiled = typed.Dict
    typed.Dict = dict  # type: ignore[attr-defined]
    try:
        yield
    finally:
        typed.Dict = compiled  # type: ignore[attr-defined]


def _require_ffcv() -> None:
    try:
        import_ffcv()
    except ImportError as error:
        raise MissingDependencyError(_FFCV_MISSING) from error


def write_beton(image_set: ImageSet, indices: np.ndarray, path: Path) -> None:
    """Write the images at `indices`, uncompressed and in this order, with fields image, label and index.

    Raises:
        MissingDependencyError: FFCV is not installed.
        StorageError: the disk is full.
    """
    _require_ffcv()
    from ffcv.fields import IntField, NDArrayField, RGBImageField

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
    shown: Any = {"console": console, "transient": True, "disable": not console.is_terminal}
    metadata = np.zeros(len(indices), writer.metadata_type)
    try:
        allocator = MemoryAllocator(str(path), writer.data_region_start, page_size)
        with allocator:
            for position, index in track(enumerate(indices.tolist()), "writing .beton file", len(indices), **shown):
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


class FfcvLoader(Loader):
    """Reading and decoding are FFCV's; order, augmentation and normalisation are those of the device loader.

    Batches are therefore bit-equal to the device loader's, and a training can move from one to the other. A process that
    has a share of every batch reads and decodes that share alone.

    Args:
        beton: the file.
        positions: int64 [N], which of the file's images; None for all.
        options: see `BatchOptions`.

    Raises:
        DataError: the file is damaged.
        MissingDependencyError: FFCV is not installed.
    """

    def __init__(self, beton: Path, *, positions: np.ndarray | None = None, **options: Unpack[BatchOptions]) -> None:
        _require_ffcv()
        everything = np.arange(check_beton(beton))
        self._positions = everything if positions is None else positions
        super().__init__(len(self._positions), **options)
        full = self.share.places(self.batch_size, min(self.batch_size, self.num_samples))
        self._loader = _ffcv(beton, max(full.stop - full.start, 1), self._sample_order)

    @override
    def epoch(self, epoch: int) -> Iterator[Batch]:
        self._loader.next_epoch = epoch
        batches = iter(self._loader)
        try:
            for batch_index, (images, labels, indices) in zip(range(len(self)), batches, strict=False):
                # FFCV reuses its buffers for a later batch, so what leaves this loop is copied by the normalisation
                # (images) and by clone (labels and indices).
                count = min(self.batch_size, self.num_samples - batch_index * self.batch_size)
                places = self.share.places(self.batch_size, count)
                part = slice(places.stop - places.start)  # less than what was read where that stands for no image
                device = self._finish.device
                raw = images[part].to(device).permute(0, 3, 1, 2)
                positions = indices.flatten()[part].clone().to(device)
                finished = self._finish(raw, positions, epoch, batch_index, places, count)
                yield Batch(finished, labels.flatten()[part].clone().to(device), positions)
        finally:
            batches.close()  # the thread that reads ahead would otherwise outlive an epoch that is not read to its end

    def _sample_order(self, epoch: int) -> np.ndarray:
        """Images of an epoch, of which FFCV knows no empty batch: the first image of a batch stands for one."""
        parts = []
        for whole in self._order(epoch).split(self.batch_size):
            places = self.share.places(self.batch_size, len(whole))
            parts.append(whole[places] if places.stop > places.start else whole[:1])
        return self._positions[torch.cat(parts).numpy()].astype(np.uint64)


def _ffcv(path: Path, batch_size: int, sample_order: Callable[[int], np.ndarray]) -> Any:
    from ffcv.fields.decoders import IntDecoder, NDArrayDecoder, SimpleRGBImageDecoder
    from ffcv.fields.rgb_image import RGBImageField
    from ffcv.loader import Loader
    from ffcv.reader import Reader
    from ffcv.transforms import ToTensor
    from ffcv.traversal_order.base import TraversalOrder

    class Order(TraversalOrder):
        """An order knows all it needs without the loader, with which FFCV calls it to get one that is ready."""

        def __init__(self) -> None:
            self.sampler = None

        def __call__(self, _: Any) -> "Order":
            return self

        def sample_order(self, epoch: int) -> np.ndarray:
            return sample_order(epoch)

    handler = Reader(str(path)).handlers["image"]
    decoder = SimpleRGBImageDecoder() if isinstance(handler, RGBImageField) else NDArrayDecoder()
    decoders = dict(zip(_FIELDS, (decoder, IntDecoder(), IntDecoder()), strict=True))
    return Loader(
        str(path),
        batch_size=batch_size,
        num_workers=1,
        os_cache=True,
        order=Order(),
        drop_last=False,
        seed=0,
        pipelines={name: [decoder, ToTensor()] for name, decoder in decoders.items()},
    )
