"""Parquet files in the layout of the Hugging Face hub: encoded images in a struct, labels beside them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vision_studies.data.sources.raw import Encoded, RawImages, decode_all
from vision_studies.errors import DataError

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label")


def parquet_files(folder: Path) -> dict[str, list[Path]]:
    """Files of the splits "train" and "test", by the beginning of their names; shards in order."""
    files = sorted(folder.rglob("*.parquet"))
    return {split: [file for file in files if file.name.startswith(split)] for split in ("train", "test")}


def read_parquet(folder: Path, image_size: int | None, skip_corrupt: bool) -> RawImages:
    """Images of `train*.parquet` and, where there are any, `test*.parquet` below `folder`.

    Raises:
        DataError: there is no training file, a file is damaged, or a column is missing.
    """
    files = parquet_files(folder)
    if not files["train"]:
        raise DataError(f"{folder} has parquet files, but none whose name begins with 'train'; rename them.")
    opened = [(file, _open(file), split == "test") for split, group in files.items() for file in group]
    class_names = _class_names([parquet for _, parquet, _ in opened], opened[0][0])
    return decode_all(_rows(opened), class_names, image_size=image_size, skip_corrupt=skip_corrupt, source=str(folder))


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is not a whole parquet file ({error}); fetch it again.") from error


def _rows(opened: list[tuple[Path, pq.ParquetFile, bool]]) -> Iterator[Encoded]:
    """Row by row, so that encoded images of a few batches alone are in memory."""
    for file, parquet, is_test in opened:
        names = parquet.schema_arrow.names
        image_column = _column(file, names, _IMAGE_COLUMNS)
        label_column = _column(file, names, _LABEL_COLUMNS)
        row = 0
        try:
            for batch in parquet.iter_batches(batch_size=2048, columns=[image_column, label_column]):
                for image, label in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                    content = (image or {}).get("bytes") or b""
                    yield Encoded(f"{file.name} row {row}", content, -1 if label is None else int(label), is_test)
                    row += 1
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file} is damaged after row {row} ({error}); fetch it again.") from error


def _column(file: Path, names: list[str], candidates: tuple[str, ...]) -> str:
    for name in candidates:
        if name in names:
            return name
    raise DataError(f"{file} has none of the columns {', '.join(candidates)}, but {', '.join(names)}; rename one.")


def _class_names(files: list[pq.ParquetFile], first: Path) -> tuple[str, ...]:
    """Names from the hub's schema metadata; without it, the numbers that occur."""
    metadata = files[0].schema_arrow.metadata or {}
    label_column = _column(first, files[0].schema_arrow.names, _LABEL_COLUMNS)
    if b"huggingface" in metadata:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features.get(label_column, {}).get("names")
        if names:
            return tuple(names)
    highest = max(int(file.read([label_column]).column(0).to_numpy().max()) for file in files)
    return tuple(str(label) for label in range(highest + 1))
