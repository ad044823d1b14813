"""From the settings to an image set; several sources are one set, for studies that carry over what was learnt on one."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.config.data_prep import NAMED_SOURCES, DataPrepSettings, source_folder, source_name
from vision_studies.data.checks.check import Check, check_accept, check_found, in_order
from vision_studies.data.checks.findings import Severity, refuse_wrong
from vision_studies.data.checks.survey import Progress
from vision_studies.data.groups import same_groups
from vision_studies.data.image_set import ImageSet, check_class_names
from vision_studies.data.sources.archives import read_archive
from vision_studies.data.sources.arrays import read_arrays
from vision_studies.data.sources.decoding import Decoding
from vision_studies.data.sources.downloads import read_digits, read_download
from vision_studies.data.sources.image_facts import joined_decoding
from vision_studies.data.sources.image_folder import has_classes, has_pictures, list_image_folder
from vision_studies.data.sources.listing import Item, Listing
from vision_studies.data.sources.packed import packed_tree
from vision_studies.data.sources.parquet import list_parquet, open_parquet, parquet_files
from vision_studies.data.sources.raw import RawImages, decode_all, files_below, refused_permissions, resize_all
from vision_studies.data.sources.table import TABLE_SUFFIXES, Part, list_rows, named_files, read_text_table
from vision_studies.data.sources.tree import folder_tree
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.project_folders import in_project

_READER_VERSION = 3  # raised when reading changes, so that stored image sets are made again


def read_source(settings: DataPrepSettings) -> ImageSet:
    """Read, verify and fingerprint all images of `settings.source`; those of a list become one set.

    Raises:
        DataError: a source is missing, unreadable, damaged or not of a known kind, sources cannot be joined, or something is
            wrong with the images that `settings.accept` does not name.
        ParameterError: `settings.accept` names what no finding is called.
    """
    check_accept(settings.accept)
    if isinstance(settings.source, str):
        return _read_one(settings.source, settings, source_identity(settings))
    # Checked one by one: a label outside its own source's classes would be inside those of another.
    sources = [_read_one(source, settings, origin={}) for source in settings.source]
    check = joined_checks([(source.name, source.check) for source in sources if source.check is not None])
    raw = join_sources(sources)
    name = " + ".join(map(source_name, settings.source))
    return ImageSet.create(name, *raw[:4], source_identity(settings), raw.items, raw.decoding, check)


def check_sources(
    settings: DataPrepSettings, progress: Progress | None = None
) -> list[tuple[Check, Listing | RawImages]]:
    """Look at all images of each source, near copies too, and say what is to be said of them; nothing is prepared.

    Returns:
        What was found, and what lies in the source.

    Raises:
        DataError: a source is missing, unreadable, damaged or not of a known kind.
        ParameterError: `settings.accept` names what no finding is called.
    """
    check_accept(settings.accept)
    checks: list[tuple[Check, Listing | RawImages]] = []
    for source in [settings.source] if isinstance(settings.source, str) else settings.source:
        found = list_source(source, settings)
        name = found.source if isinstance(found, Listing) else source
        options: dict[str, Any] = {"skip_corrupt": settings.skip_corrupt, "progress": progress}
        checks.append((check_found(found, name, wanted_decoding(settings), **options), found))
    return checks


def joined_checks(checks: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """What was found in several sources, as `Check.to_json` has it; each finding names its source, and so do its files."""
    findings = [
        finding | {"message": f"{name}: {finding['message']}", "files": [f"{name}/{file}" for file in finding["files"]]}
        for name, check in checks
        for finding in check["findings"]
    ]
    sums = {key: sum(check[key] for _, check in checks) for key in ("images", "seen", "classes")}
    order = [str(severity) for severity in Severity]
    findings.sort(key=lambda finding: order.index(finding["severity"]))
    return {"source": " + ".join(name for name, _ in checks), **sums, "findings": findings}


def source_identity(settings: DataPrepSettings) -> dict[str, Any]:
    """What a stored image set must have come from to be used again; cheap, the images are not read.

    For a folder: names, sizes and times of its files. For a list: those of each folder in it, in its order.

    Raises:
        DataError: a folder cannot be read.
    """
    content = settings.content()
    del content["splits"]
    identity: dict[str, Any] = {"settings": content, "reader_version": _READER_VERSION}
    if not isinstance(settings.source, str):
        return identity | {"files": [_files_identity(source, settings) for source in settings.source]}
    files = _files_identity(settings.source, settings)
    return identity if files is None else identity | {"files": files}


def _files_identity(source: str, settings: DataPrepSettings) -> str | None:
    """Hash of names, sizes and times of the files in a folder, or that a table names; None where there is none of them."""
    folder = source_folder(source)
    if folder is None:
        return None
    with refused_permissions():
        if not folder.exists():
            return None
        if folder.is_dir():
            files = files_below(folder)
        else:
            table = _table(folder)
            files = [folder, *(named_files(table, settings) if table is not None else ())]
        stated = [(os.path.relpath(file, folder), file.stat()) for file in files if file.is_file()]
        return hash_json([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stated])


def _table(file: Path) -> Part | None:
    """A file as a table, by its ending; None where it has another."""
    suffix = file.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return read_text_table(file)
    return open_parquet(file) if suffix == ".parquet" else None


def list_source(source: str, settings: DataPrepSettings) -> Listing | RawImages:
    """What lies in one of `settings.source`: images that are encoded one by one are listed, and no other is.

    Returns:
        The listing; or, of a named source and of arrays (CIFAR's archives, idx files), the images themselves.

    Raises:
        DataError: the source is missing, unreadable, damaged or not of a known kind.
    """
    folder = source_folder(source)
    if folder is not None:
        with refused_permissions():
            found = _list_path(folder, settings)
    elif source == "digits":
        found = read_digits()
    else:
        found = read_download(source, in_project(settings.download_folder))
    check_class_names(found.class_names, source)
    return found


def _read_one(source: str, settings: DataPrepSettings, origin: dict[str, Any]) -> ImageSet:
    found = list_source(source, settings)
    decoding = wanted_decoding(settings)
    if isinstance(found, Listing):
        refuse_wrong(found.findings, settings.accept, found.source)
        if found.published:
            # Known with what it holds, and images of one kind: one pass makes them, and they are checked as they lie in memory.
            raw = _decoded(found, found.items(), decoding, settings)
            check = check_found(raw, found.source, decoding, skip_corrupt=settings.skip_corrupt, near=False)
            check = replace(check, findings=in_order([*found.findings, *check.findings]))
        else:
            check = check_found(found, found.source, decoding, skip_corrupt=settings.skip_corrupt)
            refuse_wrong(check.findings, settings.accept, found.source)
            items = (item for item, read in zip(found.items(), check.survey.readable, strict=True) if read)
            raw = _decoded(found, items, check.decoding, settings)
            if raw.items is not None and len(raw.items) == check.survey.readable.sum():
                raw.items["copies"] = _renumbered(check.repeats.groups[check.survey.readable])
    else:
        check = check_found(found, source, decoding, skip_corrupt=settings.skip_corrupt, near=not found.published)
        raw = found._replace(images=resize_all(found.images, decoding), decoding=decoding)
        if raw.items is not None and not found.published:
            raw.items["copies"] = check.repeats.groups
    refuse_wrong(check.findings, settings.accept, source)
    raw = _without_empty_classes(raw) if "class_left_out" in settings.accept else raw
    return ImageSet.create(source_name(source), *raw[:4], origin, raw.items, raw.decoding, check.to_json())


def wanted_decoding(settings: DataPrepSettings) -> Decoding:
    """How images are to be decoded, as far as the parameters say."""
    return Decoding(settings.image_size, settings.resize, settings.background)


def _decoded(found: Listing, items: Iterable[Item], decoding: Decoding, settings: DataPrepSettings) -> RawImages:
    options: dict[str, Any] = {"decoding": decoding, "skip_corrupt": settings.skip_corrupt, "source": found.source}
    return decode_all(items, found.class_names, **options)


def _renumbered(groups: np.ndarray) -> np.ndarray:
    """Groups of copies without those of which one image alone is left: int64 [N]."""
    return same_groups([str(group) if group >= 0 else "" for group in groups.tolist()])


def _without_empty_classes(raw: RawImages) -> RawImages:
    """Without the classes of which no image was read, which somebody has accepted."""
    present = np.unique(raw.labels)
    names = tuple(raw.class_names[label] for label in present)
    return raw._replace(labels=np.searchsorted(present, raw.labels), class_names=names)


def _list_path(path: Path, settings: DataPrepSettings) -> Listing | RawImages:
    if not path.exists():
        raise DataError(
            f"{path} does not exist; data_prep.source must be the path of a folder or one of {', '.join(NAMED_SOURCES)}."
        )
    return _list_folder(path, settings) if path.is_dir() else _list_file(path, settings)


def _list_folder(folder: Path, settings: DataPrepSettings) -> Listing | RawImages:
    if any(parquet_files(folder).values()):
        return list_parquet(folder, settings)
    tree = folder_tree(folder)
    if has_classes(tree):
        return list_image_folder(tree, settings.layout, settings.splits)
    archive = read_archive(folder)
    if archive is not None:
        return archive
    if any(file.parts[-1].endswith(".parquet") for file in tree.files):
        return list_parquet(folder, settings)
    if has_pictures(tree):
        return list_image_folder(tree, settings.layout, settings.splits)  # which says what is wrong with it
    raise DataError(
        f"{folder} holds nothing that can be read: no train*.parquet, no CIFAR archive, no idx files, and no images as "
        f"{folder.name}/<class>/<image> or {folder.name}/{{train,test}}/<class>/<image>."
    )


def _list_file(file: Path, settings: DataPrepSettings) -> Listing | RawImages:
    table = _table(file)
    if table is not None:
        return list_rows(str(file), [table], settings)
    if file.suffix.lower() in (".npz", ".npy"):
        return read_arrays(file, settings.splits)
    tree = packed_tree(file)
    archive = None if tree is None or has_classes(tree) else read_archive(file)
    if archive is not None:
        return archive
    if tree is None:
        raise DataError(
            f"{file} is no table (.csv, .tsv, .jsonl, .parquet), no packed archive (.zip, .tar, .tar.gz) and no array "
            "(.npz, .npy); set data_prep.source to one, or to the folder that the file is in."
        )
    if not has_pictures(tree):
        raise DataError(
            f"{file} holds no images that can be read; unpack it and set data_prep.source to what is in it."
        )
    return list_image_folder(tree, settings.layout, settings.splits)


def join_sources(sources: list[ImageSet]) -> RawImages:
    """The images of all sources, one source after the other, with the classes of all of them.

    The list is emptied while images are copied: each source is let go of as soon as it stands in the joined array, so that
    the largest source alone is in memory twice.

    Args:
        sources: at least one, each checked on its own, of names that differ.

    Returns:
        uint8 [sum of N, H, W, C]; labels shifted by the number of classes that stand before; class names as
        `<source>/<class>`; test splits as they were.

    Raises:
        DataError: sources differ in size or channels, or some have a test split of their own and others have none.
    """
    _check_alike(sources)
    shifts = np.cumsum([0, *(len(source.class_names) for source in sources[:-1])])
    labels = np.concatenate([source.labels + shift for source, shift in zip(sources, shifts, strict=True)])
    class_names = tuple(f"{source.name}/{name}" for source in sources for name in source.class_names)
    is_test = np.concatenate([source.is_test for source in sources])
    items = _joined_items(sources)
    decoding = joined_decoding([source.decoding for source in sources if source.decoding is not None])
    images = np.empty((len(labels), *sources[0].images.shape[1:]), np.uint8)
    stop = len(images)
    while sources:
        start = stop - len(sources[-1].images)
        images[start:stop] = sources.pop().images
        stop = start
    return RawImages(images, labels, class_names, is_test, items, decoding)


def _joined_items(sources: list[ImageSet]) -> pd.DataFrame | None:
    """Rows of all sources, with names and groups as `<source>/<name>`; None where no source has any."""
    if all(source.items is None for source in sources):
        return None
    parts, copies = [], 0
    for source in sources:
        rows = pd.DataFrame({"name": [f"{place}" for place in range(len(source.labels))], "split": None, "group": None})
        rows = rows.assign(copies=-1) if source.items is None else source.items.copy()
        for column in ("name", "group"):
            rows[column] = rows[column].map(lambda name: f"{source.name}/{name}", na_action="ignore")  # noqa: B023 - at once
        rows["copies"] = np.where(rows["copies"] >= 0, rows["copies"] + copies, -1)
        copies = max(copies, int(rows["copies"].max()) + 1)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def _check_alike(sources: list[ImageSet]) -> None:
    """Refuse what cannot be one array, or would leave a source without test images."""
    first, (height, width, channels) = sources[0], sources[0].images.shape[1:]
    for other in sources[1:]:
        other_height, other_width, other_channels = other.images.shape[1:]
        if channels != other_channels:
            raise DataError(
                f"'{first.name}' has {_colours(channels)} images of {height} x {width} pixels and '{other.name}' "
                f"{_colours(other_channels)} ones of {other_height} x {other_width}; grey and colour images cannot be "
                "joined, so name sources of one kind in data_prep.source."
            )
        if (height, width) != (other_height, other_width):
            raise DataError(
                f"'{first.name}' has images of {height} x {width} pixels and '{other.name}' of {other_height} x "
                f"{other_width}; set data_prep.image_size to bring them to one size, for example to {min(height, width)}."
            )
        if first.is_test.any() != other.is_test.any():
            divided, whole = (first, other) if first.is_test.any() else (other, first)
            raise DataError(
                f"'{divided.name}' has a test split of its own and '{whole.name}' has none, and one is carved only where no "
                "source has one; name sources in data_prep.source that all have one or that all have none."
            )


def _colours(channels: int) -> str:
    return "grey" if channels == 1 else "colour"
