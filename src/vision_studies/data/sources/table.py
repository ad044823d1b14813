"""Images and labels that a table names: CSV, JSON lines and Parquet files, alone or as the hub lays them out."""

import csv
import io
import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.checks.findings import Finding
from vision_studies.data.checks.wording import counted, named
from vision_studies.data.sources.columns import Columns, choose_columns
from vision_studies.data.sources.labels import Row, division_findings
from vision_studies.data.sources.listing import Item, Listing, SplitName
from vision_studies.data.sources.splitting_words import split_of
from vision_studies.errors import DataError, one_line

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
_SAMPLE = 200
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A table, or a file of several that are one.

    Attributes:
        file: where it lies; paths in it are relative to its folder.
        samples: the first values of each column.
        rows: gives the values of some columns, row by row; anew at each call.
        split: what its name says of all of its rows.
        class_names: names of the labels, where it says any.
    """

    file: Path
    samples: Mapping[str, Sequence[Any]]
    rows: Callable[[Sequence[str]], Iterator[Mapping[str, Any]]]
    split: SplitName | None = None
    class_names: Callable[[str], tuple[str, ...] | None] = lambda _: None


def read_text_table(file: Path) -> Part:
    """A CSV file (with commas, semicolons or tabs) or JSON lines.

    Raises:
        DataError: it is no text in UTF-8, has no rows, or a row that is no row.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8 ({one_line(error)}); save it as CSV in UTF-8.") from error
    rows = _json_rows(file, text) if file.suffix.lower() in (".jsonl", ".ndjson") else _comma_rows(file, text)
    if not rows:
        raise DataError(f"{file} has no rows; it must name an image and its label in each.")
    columns = dict.fromkeys(column for row in rows for column in row)
    samples = {column: [row.get(column) for row in rows[:_SAMPLE]] for column in columns}

    def chosen(wanted: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        return ({column: row.get(column) for column in wanted} for row in rows)

    return Part(file, samples, chosen)


def _comma_rows(file: Path, text: str) -> list[dict[str, Any]]:
    head = text.split("\n", 1)[0]
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=head.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{file} is no table that can be read ({one_line(error)}); save it as CSV anew.") from error
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{file} has the column '{repeated[0]}' more than once; rename one.")
    for line, row in rows:
        if len(row) != len(names):
            raise DataError(
                f"{file} has {len(row)} values in line {line} for {len(names)} columns; put values with a '{delimiter}' in "
                "quotation marks."
            )
    return [dict(zip(names, row, strict=True)) for _, row in rows]


def _json_rows(file: Path, text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(
                    f"{file} has no JSON in line {number} ({one_line(error)}); mend or delete it."
                ) from error
            if not isinstance(row, dict):
                raise DataError(f"{file} has a {type(row).__name__} in line {number}; it must hold an object a line.")
            rows.append(row)
    return rows


def list_rows(
    source: str,
    parts: Sequence[Part],
    settings: DataPrepSettings,
    *,
    standard: bool = False,
    findings: Sequence[Finding] = (),
    published: bool = False,
) -> Listing:
    """The images of a table, or of several files that are one.

    Args:
        source: as it is named in messages.
        parts: at least one.
        settings: which columns, and how images are divided.
        standard: the files are laid out as the hub does, and nothing is guessed.
        findings: what is known of the files already.
        published: see `Listing`.

    Raises:
        DataError: columns are missing or could be several, labels or splits are unknown, or images are not on this machine.
    """
    chosen = [choose_columns(part.file, part.samples, settings.columns, standard=standard) for part in parts]
    columns = [columns for columns, _ in chosen]
    told = list(findings)
    guessed = dict.fromkeys(words for _, recognised in chosen for words in recognised)
    if guessed and not standard:
        told.append(Finding("guessed_columns", f"Columns were taken as they are called: {', '.join(guessed)}."))
    read = [_labelled(part, own) for part, own in zip(parts, columns, strict=True)]
    numbered = _numbered(source, parts, columns, read)
    told += numbered.findings
    known = [(part, row) for part, rows in enumerate(read) for row in rows if numbered.label(part, row) is not None]
    names = _Names(parts, columns)
    unlabelled = [
        names.of(part, number)
        for part, rows in enumerate(read)
        for number, row in enumerate(rows)
        if numbered.label(part, row) is None
    ]
    if unlabelled:
        told.append(
            Finding(
                "no_label",
                f"{counted(len(unlabelled), 'image')} without a label ({named(unlabelled)}).",
                tuple(unlabelled),
            )
        )
    if names.paths and not any(os.path.lexists(_file(parts[0].file, str(path))) for path in names.paths[0]):
        raise DataError(
            f"None of the {len(names.paths[0])} files that {parts[0].file} names is there ('{names.paths[0][0]}'); paths are "
            "relative to the folder of the table."
        )
    rows: list[Row] = [(int(numbered.label(part, row) or 0), row.split, row.group) for part, row in known]
    told += division_findings(Path(source).name, numbered.class_names, rows, settings.splits)

    def items() -> Iterator[Item]:
        for place, (part, own) in enumerate(zip(parts, columns, strict=True)):
            wanted = (own.image, *own.extra)
            for number, (row, values) in enumerate(zip(read[place], part.rows(wanted), strict=True)):
                label = numbered.label(place, row)
                if label is not None:
                    extra = {column: str(values[column]) for column in own.extra if values[column] is not None}
                    content = image_content(part.file, values[own.image])
                    yield Item(names.of(place, number), content, label, row.split, row.group, extra)

    return Listing(source, numbered.class_names, items, tuple(told), sum(map(len, read)), published=published)


class _Said(NamedTuple):
    """What a row says besides its image."""

    label: Any
    split: SplitName | None
    group: str | None


def _labelled(part: Part, columns: Columns) -> list[_Said]:
    wanted = [column for column in (columns.label, columns.split, columns.group) if column is not None]
    return [
        _Said(
            _plain_label(part.file, columns.label, row[columns.label]),
            part.split if columns.split is None else _split(part, columns.split, row[columns.split]),
            None if columns.group is None else _group(row[columns.group]),
        )
        for row in part.rows(wanted)
    ]


def _plain_label(file: Path, column: str, value: Any) -> int | str | None:
    """A whole number or a name; None of an empty one and, as the hub writes it, of -1."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if not value.is_integer():
            raise DataError(
                f"{file} has {value} in its column '{column}', which is neither a number of a class nor a name."
            )
        value = int(value)
    if isinstance(value, bool | int):
        return None if value == -1 else str(value) if isinstance(value, bool) else value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise DataError(
            f"{file} has a {type(value).__name__} in its column '{column}', neither a number of a class nor a name; name the "
            "column of labels with data_prep.columns.label."
        )
    return value


def _split(part: Part, column: str, value: Any) -> SplitName | None:
    if value is None or not str(value).strip():
        return None
    split = split_of(str(value))
    if split is None:
        raise DataError(
            f"{part.file} has '{value}' in its column '{column}', which is neither train, validation nor test; mend it, or "
            "name another column with data_prep.columns.split."
        )
    return split


def _group(value: Any) -> str | None:
    return None if value is None or not str(value).strip() else str(value)


class _Numbered(NamedTuple):
    """Names of classes, and the place among them that a label of each part has."""

    class_names: tuple[str, ...]
    places: Sequence[Mapping[int | str, int]]
    findings: Sequence[Finding]

    def label(self, part: int, row: _Said) -> int | None:
        """The label of a row; None where it has none."""
        return None if row.label is None else self.places[part][row.label]


def _numbered(
    source: str, parts: Sequence[Part], columns: Sequence[Columns], read: Sequence[Sequence[_Said]]
) -> _Numbered:
    said = [part.class_names(own.label) for part, own in zip(parts, columns, strict=True)]
    present = [{row.label for row in rows if row.label is not None} for rows in read]
    values = set().union(*present)
    first = next((names for names in said if names), None)
    if first is not None and not any(isinstance(value, str) for value in values):
        return _by_names(source, parts, [names or first for names in said], present)
    numbers = [_as_number(value) for value in values]
    if all(number is not None for number in numbers):
        whole = sorted(number for number in numbers if number is not None)
        begins = bool(whole) and whole[0] == 1
        if whole and whole[0] < 0:
            raise DataError(f"{source} has the label {whole[0]}; number the classes from 0.")
        # Of whole numbers in a binary file, those between may be of classes without images; in a text, they are names.
        listed = (
            range(1 if begins else 0, whole[-1] + 1) if values and all(isinstance(v, int) for v in values) else whole
        )
        names = tuple(str(number) for number in dict.fromkeys(listed))
        places = {value: names.index(str(_as_number(value))) for value in values}
        told = (
            [Finding("labels_from_one", f"Labels begin at 1: class '1' is the first of {len(names)}.")]
            if begins
            else []
        )
        return _Numbered(names, [places] * len(parts), told)
    names = tuple(sorted(str(value) for value in values))
    return _Numbered(names, [{value: names.index(str(value)) for value in values}] * len(parts), [])


def _as_number(value: int | str) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if re.fullmatch(r"-?\d{1,9}", value.strip()) else None


def _by_names(
    source: str, parts: Sequence[Part], said: Sequence[tuple[str, ...]], present: Sequence[set[Any]]
) -> _Numbered:
    first = said[0]
    differing = []
    places: list[Mapping[int | str, int]] = []
    for part, names, labels in zip(parts, said, present, strict=True):
        highest, lowest = max(labels, default=0), min(labels, default=0)
        if highest >= len(names) or lowest < 0:
            raise DataError(
                f"{part.file} has labels from {lowest} to {highest}, but its {len(names)} classes allow 0 to {len(names) - 1}; "
                "check its label column."
            )
        unknown = sorted({names[label] for label in labels} - {*first})
        if unknown:
            raise DataError(
                f"{part.file} has the class '{unknown[0]}', which {parts[0].file} lacks; name one of them as data_prep.source."
            )
        if names != first:
            differing.append(part.file)
        places.append({label: first.index(names[label]) for label in labels})
    told = []
    if differing:
        files = tuple(os.path.relpath(file, source) for file in differing)
        told.append(
            Finding(
                "class_order_differs",
                f"{counted(len(files), 'file')} with other numbers of the classes ({named(files)}).",
                files,
            )
        )
    return _Numbered(first, places, told)


class _Names:
    """What rows are called: the path of their image, or file and row."""

    def __init__(self, parts: Sequence[Part], columns: Sequence[Columns]) -> None:
        files = [part.file for part in parts]
        called = Counter(file.name for file in files)
        root = os.path.commonpath([file.parent for file in files]) if files else ""
        self._files = [file.name if called[file.name] == 1 else os.path.relpath(file, root) for file in files]
        self.paths: dict[int, list[str]] = {}
        for place, (part, own) in enumerate(zip(parts, columns, strict=True)):
            if all(isinstance(value, str) for value in part.samples[own.image] if value is not None):
                self.paths[place] = [str(row[own.image] or "") for row in part.rows([own.image])]
        seen = Counter(path for paths in self.paths.values() for path in paths)
        self._several = {path for path, count in seen.items() if count > 1}

    def of(self, part: int, row: int) -> str:
        """The name of a row, which no other has."""
        path = self.paths[part][row] if part in self.paths else ""
        if not path:
            return f"{self._files[part]} row {row}"
        return f"{path} (row {row})" if path in self._several else path


def image_content(table: Path, value: Any) -> bytes | Path:
    """The image in a cell of a table: a file, whose path is relative to the table, or its bytes, none of an empty cell.

    Raises:
        DataError: it is an address of the web.
    """
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    return _file(table, value) if isinstance(value, str) and value else b""


def _file(table: Path, path: str) -> Path:
    """The file that a row names, however its path is written.

    Raises:
        DataError: it is an address of the web.
    """
    if _ADDRESS.match(path):
        raise DataError(f"{table} names addresses such as '{path}'; fetch the images, and name files in the table.")
    spellings = dict.fromkeys(
        spelling
        for slashes in (path, path.replace("\\", "/"))
        for spelling in (slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD")))
    )
    files = [table.parent / Path(spelling) for spelling in spellings]
    return next((file for file in files if os.path.lexists(file)), files[0])


def named_files(part: Part, settings: DataPrepSettings) -> list[Path]:
    """The files that a table names, without its bytes.

    Raises:
        DataError: see `list_rows`.
    """
    columns, _ = choose_columns(part.file, part.samples, settings.columns, standard=False)
    values = (row[columns.image] for row in part.rows([columns.image]))
    return [content for value in values if isinstance(content := image_content(part.file, value), Path)]
