"""Predictions as a table: CSV, Parquet or JSON, written batch by batch."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision_studies.data.image_source import ImageSource
from vision_studies.errors import ParameterError
from vision_studies.files import atomic_file
from vision_studies.serving.calibration import ACCEPTED
from vision_studies.serving.image_predictions import PredictedBatch

Columns = dict[str, list[Any]]
"""Name -> values, one a row."""

Append = Callable[[Columns], None]


@dataclass(frozen=True)
class TableForm:
    """What a table has of every image.

    Attributes:
        submission: ID and Labels (numbers of classes) alone, as the original project submits them.
        top: how many of the most probable classes.
        accepted: share of the validation images that count as like the training images.
        least: calibrated probability of the named class below which no answer is given; None: all are.
    """

    submission: bool = False
    top: int = 1
    accepted: float = ACCEPTED
    least: float | None = None


def write_predictions(
    batches: Iterable[PredictedBatch], source: ImageSource, class_names: Sequence[str], path: Path, form: TableForm
) -> tuple[dict[int, str], Counter[str]]:
    """Write predictions to a file, batch by batch; without an error, the file is whole.

    Args:
        batches: from `image_predictions.predictions`; raises DataError where no image can be read.
        source: gives the names of the images.
        class_names: one name a class.
        path: of the file, whose name says of which kind it is: `.parquet`, `.json`, or CSV. Its columns are file (index, for an
            array), class and confidence (what the network says); of calibrated predictions probability, likeness (the share of
            the validation images that are farther from their neighbours) and unlike; of further classes class_2,
            confidence_2, probability_2 and so on; where not all are answered, abstained; and of sets of classes set, the most
            probable first, with semicolons between them, and set_size.
        form: what the table has of every image.

    Returns:
        Position of each image that cannot be read -> why; and how many images are unlike the training images, and abstained.

    Raises:
        ParameterError: files of this kind are not written.
        StorageError: the disk is full.
    """
    write = _writer(path)
    corrupt: dict[int, str] = {}
    counted: Counter[str] = Counter()
    with atomic_file(path) as temporary, write(temporary) as append:
        for batch in batches:
            corrupt |= batch.corrupt
            columns = _columns(batch, source, class_names, form)
            counted.update({name: sum(columns.get(name, ())) for name in ("unlike", "abstained")})
            append(columns)
    return corrupt, counted


def _columns(batch: PredictedBatch, source: ImageSource, class_names: Sequence[str], form: TableForm) -> Columns:
    names = [source.names[position] for position in batch.positions]
    if form.submission:
        return {"ID": names, "Labels": batch.probabilities.argmax(axis=1).tolist()}
    columns: Columns = {"index" if isinstance(source.content, np.ndarray) else "file": names}
    order = np.argsort(-batch.probabilities, axis=1, kind="stable")
    rows = np.arange(len(order))
    for rank in range(min(form.top, len(class_names))):
        end, labels = f"_{rank + 1}" if rank else "", order[:, rank]
        columns[f"class{end}"] = [class_names[label] for label in labels]
        columns[f"confidence{end}"] = _rounded(batch.probabilities[rows, labels])
        if batch.calibrated is not None:
            columns[f"probability{end}"] = _rounded(batch.calibrated[rows, labels])
    if batch.likeness is not None:
        columns["likeness"] = _rounded(batch.likeness)
        columns["unlike"] = (batch.likeness < 1 - form.accepted).tolist()
    if form.least is not None and batch.calibrated is not None:
        columns["abstained"] = (batch.calibrated[rows, order[:, 0]] < form.least).tolist()
    if batch.sets is not None:
        columns["set"] = [
            "; ".join(class_names[label] for label in ranked if inside[label])
            for ranked, inside in zip(order, batch.sets, strict=True)
        ]
        columns["set_size"] = batch.sets.sum(axis=1).tolist()
    return columns


def _rounded(values: np.ndarray) -> list[float]:
    return values.astype(np.float64).round(4).tolist()


def _writer(path: Path) -> Callable[[Path], Any]:
    writers = {".parquet": _parquet, ".json": _json, ".csv": _csv, ".txt": _csv, "": _csv}
    if (writer := writers.get(path.suffix.lower())) is None:
        raise ParameterError(
            f"--output={path}: predictions are written as .csv, .parquet or .json; end the name with one."
        )
    return writer


@contextmanager
def _csv(path: Path) -> Iterator[Append]:
    # Names of files need not be text: what is not comes out as the bytes that it was.
    with path.open("w", newline="", errors="surrogateescape") as file:
        table = csv.writer(file, lineterminator="\n")
        has_head = False

        def append(columns: Columns) -> None:
            nonlocal has_head
            if not has_head:
                table.writerow(columns)
                has_head = True
            table.writerows(map(_cell, row) for row in zip(*columns.values(), strict=True))

        yield append


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4f}" if isinstance(value, float) else value


@contextmanager
def _json(path: Path) -> Iterator[Append]:
    with path.open("w", encoding="utf-8") as file:
        separator = "[\n"

        def append(columns: Columns) -> None:
            nonlocal separator
            for row in zip(*map(_as_text, columns.values()), strict=True):
                file.write(separator + json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False))
                separator = ",\n"

        yield append
        file.write("[]\n" if separator == "[\n" else "\n]\n")


@contextmanager
def _parquet(path: Path) -> Iterator[Append]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None

    def append(columns: Columns) -> None:
        nonlocal writer
        table = pa.table({name: list(_as_text(values)) for name, values in columns.items()})
        if table.num_rows == 0:
            return
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True)
        writer.write_table(table)

    try:
        yield append
    finally:
        if writer is not None:
            writer.close()


def _as_text(values: Sequence[Any]) -> Iterator[Any]:
    """Values, and names of files that are no text as far as they are."""
    return (
        value.encode(errors="surrogateescape").decode(errors="replace") if isinstance(value, str) else value
        for value in values
    )
