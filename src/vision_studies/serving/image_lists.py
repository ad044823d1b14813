"""Images that somebody names one by one: in a table with a column of paths, or line by line on standard input."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vision_studies.data.image_source import ImageSource
from vision_studies.data.sources.columns import image_column
from vision_studies.data.sources.parquet import open_parquet
from vision_studies.data.sources.table import TABLE_SUFFIXES, image_content, read_text_table
from vision_studies.errors import DataError, guess

TABLES = (*TABLE_SUFFIXES, ".parquet")
"""How names of tables end."""


def open_table(file: Path, column: str | None = None) -> ImageSource:
    """Images that a table names, without reading them.

    Args:
        file: CSV, JSON lines or Parquet; paths in it are relative to its folder, and a Parquet file may hold the images' bytes.
        column: which one names them; None: the one that is recognised by its name and content.

    Raises:
        DataError: there is no such file or column, it names no image, or several columns could be meant.
    """
    if not file.is_file():
        raise DataError(
            f"{file} does not exist; name a table, a folder of images, an image, or - for paths on standard input."
        )
    part = open_parquet(file) if file.suffix == ".parquet" else read_text_table(file)
    if column is not None and column not in part.samples:
        there = ", ".join(part.samples)
        raise DataError(
            f"{file} has no column '{column}', which --column names.{guess(column, [*part.samples])} It has {there}."
        )
    try:
        chosen = column or image_column(file, part.samples)
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}; here --column names it.") from error
    values = [row[chosen] for row in part.rows([chosen])]
    if not values:
        raise DataError(f"{file} has no rows; name an image in each.")
    return ImageSource(
        [_name(value, row) for row, value in enumerate(values)], [image_content(file, value) for value in values]
    )


def open_paths(lines: Iterable[bytes]) -> ImageSource:
    """Images whose paths are given line by line, or, as `find -print0` does, each ended by a zero byte. Raises DataError where
    there is none.
    """
    content = b"".join(lines)
    names = [os.fsdecode(name) for name in content.split(b"\0" if b"\0" in content else b"\n") if name.strip()]
    if not names:
        raise DataError("No path came on standard input; give one a line, as `find FOLDER -name '*.jpg'` does.")
    names = [name.removesuffix("\r") for name in names]
    return ImageSource(names, [Path(name) for name in names])


def _name(value: Any, row: int) -> str:
    """How the image of a row is called: as the table does, or by its row, from 1."""
    path = value.get("path") if isinstance(value, dict) else value
    return path if isinstance(path, str) and path else f"row {row + 1}"
