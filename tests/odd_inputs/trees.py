"""Files of a data set before they lie anywhere: path -> content; put down as a folder, an archive, a table or Parquet files."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.odd_inputs.pictures import png

Tree = dict[str, bytes]
"""Path with slashes -> content of the file."""

CAT_AND_DOG = ("cat", "dog")
COUNT = 12
"""Images of a class where nothing else is said."""


def images(
    below: str,
    count: int = COUNT,
    make: Callable[[int], bytes] = png,
    *,
    first: int = 0,
    name: str = "{number:03d}.png",
) -> Tree:
    """Images in a folder; equal paths give equal pictures, and others different ones.

    Args:
        below: the folder.
        count: of images.
        make: number of a picture -> its file.
        first: number in the first name.
        name: of a file.
    """
    start = first_number(below)
    return {f"{below}/{name.format(number=number)}": make(start + number) for number in range(first, first + count)}


def first_number(below: str) -> int:
    """Number of the first picture in a folder."""
    return crc32(below.encode()) % 1_000_000 * 1000


def classes(
    names: Iterable[str] = CAT_AND_DOG, count: int = COUNT, make: Callable[[int], bytes] = png, **kind: Any
) -> Tree:
    """A folder of images for each class."""
    return together(*(images(name, count, make, **kind) for name in names))


def others(names: Iterable[str] = CAT_AND_DOG, count: int = COUNT // 2) -> Tree:
    """Further images of the classes, for test or validation."""
    return classes(names, count, first=100)


def together(*trees: Tree) -> Tree:
    """All files of some trees."""
    return {path: content for tree in trees for path, content in tree.items()}


def below(folder: str, tree: Tree) -> Tree:
    """The tree in a folder."""
    return {f"{folder}/{path}": content for path, content in tree.items()}


def put(tree: Tree, folder: Path) -> Path:
    """Write all files; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in tree.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def zipped(tree: Tree) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in tree.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def tarred(tree: Tree, packing: str = "gz") -> bytes:
    """A tar archive, packed or (with an empty `packing`) not."""
    buffer = io.BytesIO()
    mode: Any = f"w:{packing}"
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for path, content in tree.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def arrays(**named: np.ndarray) -> bytes:
    """An npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)  # type: ignore[arg-type]  # its first argument may be a file
    return buffer.getvalue()


def commas(rows: Sequence[Mapping[str, Any]], *, delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    """A table of text."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode(encoding)


def json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def columns(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A Parquet file of plain columns."""
    return _parquet(pa.Table.from_pylist(list(rows)))


def hub(
    contents: Sequence[bytes | None],
    labels: Sequence[int | str | None],
    names: Sequence[str] = CAT_AND_DOG,
    *,
    image: str = "image",
    label: str = "label",
) -> bytes:
    """A Parquet file as the Hugging Face hub has them: images in a struct, and (unless empty) names of classes as metadata."""
    pictures = [content and {"bytes": content, "path": None} for content in contents]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(pictures, struct), label: pa.array(labels)})
    features = {label: {"names": list(names), "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if names else {}
    return _parquet(table.replace_schema_metadata(metadata))


def rows(tree: Tree, **further: Callable[[int, str], Any]) -> list[dict[str, Any]]:
    """A row for each file of a tree of classes: image, label, and what `further` columns make of place and path."""
    return [
        {"image": path, "label": path.split("/")[0]} | {column: value(place, path) for column, value in further.items()}
        for place, path in enumerate(tree)
    ]


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
