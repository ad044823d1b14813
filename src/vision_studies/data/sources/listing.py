"""What lies in a source whose images are encoded one by one, before any of them is decoded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from vision_studies.data.checks.findings import Finding

SplitName = Literal["train", "validation", "test"]


class Item(NamedTuple):
    """One image file, or the bytes of one, with what is known of it.

    Attributes:
        name: as it is shown: the path below the source, or file and row.
        content: the file, or its bytes.
        label: place of its class.
        split: which split of the source's own it belongs to; None where the source does not say, and it is carved.
        group: images of one group (a patient, a place, a video) never stand on two sides of a split; None of none.
        extra: other columns of its row.
    """

    name: str
    content: bytes | Path
    label: int
    split: SplitName | None = None
    group: str | None = None
    extra: Mapping[str, str] = {}


@dataclass(frozen=True)
class Listing:
    """A folder of images, a table, Parquet files or an archive.

    Attributes:
        source: as it is named in messages.
        class_names: one name a label.
        items: gives all images anew at each call, in one order; those of an archive or of Parquet are read as they come.
        findings: what is to be said of layout, files and labels before any image is decoded.
        seen: how many image files the source has in all: those of `items` and those that `findings` name as left out.
        published: whether it is a published data set in its published layout, whose splits are left as they are.
    """

    source: str
    class_names: tuple[str, ...]
    items: Callable[[], Iterator[Item]]
    findings: tuple[Finding, ...] = ()
    seen: int = 0
    published: bool = field(default=False, kw_only=True)
