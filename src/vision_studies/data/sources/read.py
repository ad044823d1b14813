"""From the settings to an image set."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vision_studies.config.data_prep import NAMED_SOURCES, DataPrepSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.sources.archives import archive_reader
from vision_studies.data.sources.digits import read_digits
from vision_studies.data.sources.downloads import read_download
from vision_studies.data.sources.image_folder import image_files, read_image_folder
from vision_studies.data.sources.parquet import parquet_files, read_parquet
from vision_studies.data.sources.raw import RawImages, files_below
from vision_studies.errors import DataError
from vision_studies.files import hash_json

_READER_VERSION = 2  # raised when reading changes, so that stored image sets are made again


def read_source(settings: DataPrepSettings) -> ImageSet:
    """Read, verify and fingerprint all images of `settings.source`.

    Raises:
        DataError: the source is missing, unreadable, damaged or not of a known kind.
    """
    folder = settings.source_folder
    if folder is not None:
        raw, name = _read_folder(folder, settings), folder.name
    elif settings.source == "digits":
        raw, name = read_digits(settings.image_size), "digits"
    else:
        raw, name = read_download(settings.source, settings.download_folder, settings.image_size), settings.source
    return ImageSet.create(name, raw.images, raw.labels, raw.class_names, raw.is_test, source_identity(settings))


def source_identity(settings: DataPrepSettings) -> dict[str, Any]:
    """What a stored image set must have come from to be used again; cheap, the images are not read.

    For a folder: names, sizes and times of its files.

    Raises:
        DataError: a folder cannot be read.
    """
    content = settings.content()
    del content["splits"]
    identity: dict[str, Any] = {"settings": content, "reader_version": _READER_VERSION}
    folder = settings.source_folder
    if folder is None:
        return identity
    with _refused_permissions():
        if folder.exists():
            files = [file for file in files_below(folder) if file.is_file()] if folder.is_dir() else [folder]
            stats = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
            identity["files"] = hash_json(stats)
    return identity


def _read_folder(folder: Path, settings: DataPrepSettings) -> RawImages:
    with _refused_permissions():
        if not folder.exists():
            raise DataError(
                f"{folder} does not exist; data_prep.source must be the path of a folder or one of "
                f"{', '.join(NAMED_SOURCES)}."
            )
        if folder.is_dir() and any(parquet_files(folder).values()):
            return read_parquet(folder, settings.image_size, settings.skip_corrupt)
        reader = archive_reader(folder)
        if reader is not None:
            return reader(settings.image_size)
        if folder.is_dir() and image_files(folder):
            return read_image_folder(folder, settings.image_size, settings.skip_corrupt)
    if folder.is_file():
        raise DataError(f"{folder} is no archive of CIFAR; set data_prep.source to the folder that the file is in.")
    raise DataError(
        f"{folder} holds nothing that can be read: no train*.parquet, no CIFAR archive, no idx files, and no images as "
        f"{folder.name}/<class>/<image> or {folder.name}/{{train,test}}/<class>/<image>."
    )


@contextmanager
def _refused_permissions() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}; check its permissions.") from error
