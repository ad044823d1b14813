"""Parquet files: one, or several in the layout of the Hugging Face hub, with images in a struct and labels beside them."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.checks.findings import Finding
from vision_studies.data.checks.wording import counted, named
from vision_studies.data.sources.listing import Listing, SplitName
from vision_studies.data.sources.raw import files_below
from vision_studies.data.sources.table import Part, list_rows
from vision_studies.errors import DataError, guess, one_line

_SPLITS: dict[str, SplitName] = {"train": "train", "val": "validation", "dev": "validation", "test": "test"}
"""Beginning of a file's name -> its split."""
_ORDER: tuple[SplitName, ...] = ("train", "validation", "test")
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)  # what reading a damaged file raises
_BATCH, _SAMPLE = 2048, 50


def parquet_files(folder: Path) -> dict[SplitName, list[Path]]:
    """Files of the splits "train", "validation" and "test", shards in order.

    The split is the beginning of a file's name (`train-00000-of-00002.parquet`) or, where that is a number alone, the name
    of its folder (`train/0000.parquet`, as the hub lays out what it has converted itself).
    """
    files = files_below(folder, ".parquet")
    return {split: [file for file in files if _split_of(file) == split] for split in _ORDER}


def list_parquet(folder: Path, settings: DataPrepSettings) -> Listing:
    """Images of `train*.parquet` and, where there are any, `validation*.parquet` and `test*.parquet` below `folder`.

    Raises:
        DataError: there is no training file, a file is damaged, a column is missing, or labels are not those of classes.
    """
    files = parquet_files(folder)
    if not any(files.values()):  # none is called after a split
        files = {"train": files_below(folder, ".parquet")}
    findings: list[Finding] = []
    configurations = sorted({_configuration(folder, file) for group in files.values() for file in group})
    if settings.configuration is not None:
        if settings.configuration not in configurations:
            raise DataError(
                f"{folder} has no configuration '{settings.configuration}', which data_prep.configuration names."
                f"{guess(settings.configuration, configurations)} It has {', '.join(configurations)}."
            )
        files = {
            split: [file for file in group if _configuration(folder, file) == settings.configuration]
            for split, group in files.items()
        }
    elif len(configurations) > 1:
        told = f"{counted(len(configurations), 'configuration')} lie in one folder: {named(configurations)}."
        mend = f"Set data_prep.configuration to one of them, for example to {configurations[0]}."
        findings.append(Finding("several_configurations", told, tuple(configurations), mend))
    if not files["train"]:
        raise DataError(f"{folder} has parquet files, but none whose name begins with 'train'; rename one.")
    chosen = {file for group in files.values() for file in group}
    beside = [file for file in files_below(folder) if file.suffix == ".parquet" and _split_of(file) is None]
    left_out = tuple(str(file.relative_to(folder)) for file in beside if file not in chosen)
    if left_out:
        told = f"{counted(len(left_out), 'Parquet file')} that are called after no split ({named(left_out)})."
        findings.append(Finding("beside_splits", told, left_out))
    divided = len([group for group in files.values() if group]) > 1
    parts = [open_parquet(file, split if divided else None) for split in _ORDER for file in files.get(split, ())]
    return list_rows(str(folder), parts, settings, standard=True, findings=findings, published=bool(files.get("test")))


def open_parquet(file: Path, split: SplitName | None = None) -> Part:
    """A file, of which nothing is read yet but its first rows.

    Raises:
        DataError: it is damaged.
    """
    try:
        parquet = pq.ParquetFile(file)
        schema = parquet.schema_arrow
    except _DAMAGE as error:
        raise DataError(f"{file} is not a whole parquet file ({one_line(error)}); fetch it again.") from error
    samples: dict[str, list[Any]] = {name: [] for name in schema.names}
    images = [name for name in schema.names if _may_be_image(schema.field(name).type)]
    plain = [name for name in schema.names if name not in images]
    for row in _first_rows(file, parquet, plain, _SAMPLE) if plain else ():
        for name, value in row.items():
            samples[name].append(value)
    for name in images:  # of their type: their bytes are read once
        kind = schema.field(name).type
        samples[name] = [{"bytes": b"", "path": ""} if pa.types.is_struct(kind) else b""]
    return Part(file, samples, partial(_rows, file, parquet), split, partial(_class_names, file, schema))


def _may_be_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return "bytes" in [kind.field(place).name for place in range(kind.num_fields)]
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _first_rows(file: Path, parquet: pq.ParquetFile, columns: Sequence[str], count: int) -> list[Mapping[str, Any]]:
    try:
        batch = next(parquet.iter_batches(batch_size=count, columns=list(columns)), None)
    except _DAMAGE as error:
        raise DataError(f"{file} is damaged after row 0 ({one_line(error)}); fetch it again.") from error
    return [] if batch is None else batch.to_pylist()


def _rows(file: Path, parquet: pq.ParquetFile, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Row by row, so that encoded images of a few batches alone are in memory."""
    row = 0
    try:
        for batch in parquet.iter_batches(batch_size=_BATCH, columns=list(dict.fromkeys(columns))):
            for values in batch.to_pylist():
                yield values
                row += 1
    except _DAMAGE as error:
        raise DataError(f"{file} is damaged after row {row} ({one_line(error)}); fetch it again.") from error


def _class_names(file: Path, schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Names from the hub's metadata; none where something else has written the file, or without names."""
    try:
        metadata = json.loads((schema.metadata or {})[b"huggingface"])
        names = metadata["info"]["features"][label]["names"]
    except (KeyError, TypeError):
        return None
    except ValueError as error:
        raise DataError(
            f"{file}: its metadata 'huggingface' is no JSON ({one_line(error)}); fetch the file again."
        ) from error
    return tuple(str(name) for name in names) or None


def _split_of(file: Path) -> SplitName | None:
    name = (file.parent.name if re.fullmatch(r"\d+", file.stem) else file.name).lower()
    return next((split for beginning, split in _SPLITS.items() if name.startswith(beginning)), None)


def _configuration(folder: Path, file: Path) -> str:
    """The folder that a file lies in, without that of its split."""
    parent = file.parent
    if re.fullmatch(r"\d+", file.stem) and parent != folder:
        parent = parent.parent
    return os.path.relpath(parent, folder)
