"""Which columns of a table say what: as they are named by parameters, or by their names and content."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vision_studies.config.data_prep import ColumnSettings
from vision_studies.data.sources.formats import IMAGE_SUFFIXES
from vision_studies.data.sources.splitting_words import split_of
from vision_studies.errors import DataError, guess

_IMAGE = frozenset(
    [
        "image",
        "img",
        "images",
        "file",
        "filename",
        "path",
        "filepath",
        "imagepath",
        "imgpath",
        "imagefile",
        "imagename",
        "photo",
        "picture",
        "pic",
        "imageid",
        "bytes",
        "imagebytes",
    ]
)
_LABEL = frozenset(
    [
        "label",
        "labels",
        "finelabel",
        "labelname",
        "class",
        "classname",
        "classid",
        "category",
        "target",
        "species",
        "diagnosis",
        "y",
    ]
)
_SPLIT = frozenset(["split", "set", "subset", "partition", "fold", "usage", "datasplit"])
_GROUP = frozenset(
    [
        "group",
        "groupid",
        "patient",
        "patientid",
        "subject",
        "subjectid",
        "person",
        "personid",
        "specimen",
        "specimenid",
        "site",
        "video",
        "videoid",
    ]
)
"""What columns are called, without spaces and signs, that say each of these."""


class Columns(NamedTuple):
    """Names of columns; None of what a table does not say."""

    image: str
    label: str
    split: str | None
    group: str | None
    extra: tuple[str, ...]


def choose_columns(
    file: Path, samples: Mapping[str, Sequence[Any]], asked: ColumnSettings, *, standard: bool
) -> tuple[Columns, list[str]]:
    """The columns of a table and, in words, which of them were recognised and not named.

    Args:
        file: as it is named in messages.
        samples: values of each column; dictionaries, bytes or text of images.
        asked: what is named by parameters.
        standard: the table is of a collection whose names of columns are known: splits and groups are not looked for.

    Raises:
        DataError: a column that is named is not there, or what was not named could be several or none.
    """
    for role in ("image", "label", "split", "group"):
        name = getattr(asked, role)
        if name is not None and name not in samples:
            raise DataError(
                f"{file} has no column '{name}', which data_prep.columns.{role} names.{guess(name, [*samples])} It has "
                f"{_listed([*samples])}."
            )
    image = asked.image or image_column(file, samples)
    others = {name: values for name, values in samples.items() if name not in (image, *_named(asked))}
    label = asked.label or _label_column(file, others)
    others.pop(label, None)
    split = asked.split or (None if standard else _split_column(others))
    others.pop(split or "", None)
    group = asked.group or (None if standard else _group_column(file, others))
    chosen = {"image": image, "label": label, "split": split, "group": group}
    told = [f"'{name}' as {role}" for role, name in chosen.items() if name and getattr(asked, role) is None]
    plain = [
        name for name, values in samples.items() if not any(isinstance(value, bytes | dict | list) for value in values)
    ]
    extra = tuple(
        name for name in plain if name not in chosen.values() and name not in ("name", "split", "group", "copies")
    )
    return Columns(image, label, split, group, extra), told


def _named(asked: ColumnSettings) -> list[str]:
    return [name for name in (asked.image, asked.label, asked.split, asked.group) if name is not None]


def image_column(file: Path, samples: Mapping[str, Sequence[Any]]) -> str:
    """The column of a table that holds images, or names files of them; see `choose_columns`."""
    holding = [name for name, values in samples.items() if _holds_images(values)]
    by_name = [name for name in samples if _key(name) in _IMAGE]
    return _only(file, "image", [name for name in by_name if name in holding] or holding or by_name, samples)


def _label_column(file: Path, samples: Mapping[str, Sequence[Any]]) -> str:
    by_name = [name for name in samples if _key(name) in _LABEL]
    if not by_name:
        by_name = [name for name in samples if _key(name) == "coarselabel"]
    by_content = [
        name
        for name, values in samples.items()
        if _key(name) not in (*_SPLIT, *_GROUP)
        and 1 < len({str(value) for value in values}) <= max(2, len(values) // 2)
    ]
    return _only(file, "label", by_name or by_content, samples)


def _split_column(samples: Mapping[str, Sequence[Any]]) -> str | None:
    fitting = (
        name for name, values in samples.items() if _key(name) in _SPLIT and all(_is_split(value) for value in values)
    )
    return next(fitting, None)


def _group_column(file: Path, samples: Mapping[str, Sequence[Any]]) -> str | None:
    by_name = [name for name in samples if _key(name) in _GROUP]
    return _only(file, "group", by_name, samples) if by_name else None


def _only(file: Path, role: str, candidates: Sequence[str], samples: Mapping[str, Sequence[Any]]) -> str:
    if len(candidates) == 1:
        return candidates[0]
    reason = (
        f"could be any of {_listed(candidates)}" if candidates else f"is none of its columns, {_listed([*samples])}"
    )
    raise DataError(f"{file}: what is the {role} {reason}; name it with data_prep.columns.{role}.")


def _is_split(value: Any) -> bool:
    return value is None or not str(value).strip() or split_of(str(value)) is not None


def _holds_images(values: Sequence[Any]) -> bool:
    there = [value for value in values if value not in (None, "")]
    return bool(there) and all(
        isinstance(value, bytes)
        or (isinstance(value, dict) and {"bytes", "path"} & value.keys())
        or (isinstance(value, str) and re.search(r"\.(\w+)$", value) is not None and _suffix(value) in IMAGE_SUFFIXES)
        for value in there
    )


def _suffix(value: str) -> str:
    return "." + value.rsplit(".", 1)[-1].lower()


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
