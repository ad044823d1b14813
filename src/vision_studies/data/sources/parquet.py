"""Parquet files in the layout of the Hugging Face hub: encoded images in a struct, labels beside them."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vision_studies.data.sources.listing import Item, Listing
from vision_studies.data.sources.raw import files_below
from vision_studies.errors import DataError, one_line

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label")
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)  # what reading a damaged file raises


def parquet_files(folder: Path) -> dict[str, list[Path]]:
    """Files of the splits "train" and "test", shards in order.

    The split is the beginning of a file's name (`train-00000-of-00002.parquet`) or, where that is a number alone, the name
    of its folder (`train/0000.parquet`, as the hub lays out what it has converted itself).
    """
    files = [file for file in files_below(folder) if file.suffix == ".parquet"]
    names = [file.parent.name if re.fullmatch(r"\d+", file.stem) else file.name for file in files]
    named = list(zip(files, names, strict=True))
    return {split: [file for file, name in named if name.startswith(split)] for split in ("train", "test")}


def list_parquet(folder: Path) -> Listing:
    """Images of `train*.parquet` and, where there are any, `test*.parquet` below `folder`.

    Raises:
        DataError: there is no training file, a file is damaged, or a column is missing.
    """
    files = parquet_files(folder)
    if not files["train"]:
        raise DataError(f"{folder} has parquet files, but none whose name begins with 'train'; rename one.")
    opened = [_open(file, split == "test") for split, group in files.items() for file in group]
    return Listing(
        str(folder),
        _class_names(opened),
        lambda: (row for source in opened for row in _rows(source)),
        seen=sum(source.parquet.metadata.num_rows for source in opened),
        published=bool(files["test"]),
    )


class _Opened(NamedTuple):
    file: Path
    parquet: pq.ParquetFile
    image: str  # names of columns
    label: str
    is_test: bool


def _open(file: Path, is_test: bool) -> _Opened:
    try:
        parquet = pq.ParquetFile(file)
        schema = parquet.schema_arrow
    except _DAMAGE as error:
        raise DataError(f"{file} is not a whole parquet file ({one_line(error)}); fetch it again.") from error
    image = schema.field(_column(file, schema.names, _IMAGE_COLUMNS))
    if not pa.types.is_struct(image.type) or "bytes" not in [image.type.field(i).name for i in range(len(image.type))]:
        raise DataError(
            f"{file}: its column '{image.name}' holds {image.type}, not the hub's struct of bytes and path; convert it."
        )
    label = schema.field(_column(file, schema.names, _LABEL_COLUMNS))
    if not pa.types.is_integer(label.type):
        raise DataError(
            f"{file}: its column '{label.name}' holds {label.type}, not integers; number the classes from 0."
        )
    return _Opened(file, parquet, image.name, label.name, is_test)


def _rows(source: _Opened) -> Iterator[Item]:
    """Row by row, so that encoded images of a few batches alone are in memory."""
    row = 0
    try:
        for batch in source.parquet.iter_batches(batch_size=2048, columns=[source.image, source.label]):
            for image, label in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                content = (image or {}).get("bytes") or b""
                name = f"{source.file.name} row {row}"
                yield Item(name, content, -1 if label is None else int(label), "test" if source.is_test else None)
                row += 1
    except _DAMAGE as error:
        raise DataError(f"{source.file} is damaged after row {row} ({one_line(error)}); fetch it again.") from error


def _column(file: Path, names: list[str], candidates: tuple[str, ...]) -> str:
    for name in candidates:
        if name in names:
            return name
    raise DataError(f"{file} has none of the columns {', '.join(candidates)}, but {', '.join(names)}; rename one.")


def _class_names(opened: Sequence[_Opened]) -> tuple[str, ...]:
    """Names from the hub's schema metadata; without it, the numbers that occur."""
    first = opened[0]
    try:
        metadata = json.loads((first.parquet.schema_arrow.metadata or {})[b"huggingface"])
        names = metadata["info"]["features"][first.label]["names"]
    except (KeyError, TypeError):  # written by something else than the hub's library, or without names
        names = None
    except ValueError as error:
        raise DataError(
            f"{first.file}: its metadata 'huggingface' is no JSON ({one_line(error)}); fetch the file again."
        ) from error
    if names:
        return tuple(str(name) for name in names)
    try:
        highest = [pc.max(source.parquet.read([first.label]).column(0)).as_py() for source in opened]
    except _DAMAGE as error:
        raise DataError(
            f"The labels beside {first.file} cannot be read ({one_line(error)}); fetch the files again."
        ) from error
    return tuple(str(label) for label in range(1 + max((label for label in highest if label is not None), default=-1)))
