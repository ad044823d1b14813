"""A user's own images: `<folder>/<class>/*` or `<folder>/{train,test}/<class>/*`."""

import logging
from collections.abc import Iterator
from pathlib import Path

from vision_studies.data.sources.raw import IMAGE_SUFFIXES, Encoded, RawImages, decode_all, files_below
from vision_studies.errors import DataError

logger = logging.getLogger(__name__)

_SPLITS = ("train", "test")


def read_image_folder(folder: Path, image_size: int | None, skip_corrupt: bool) -> RawImages:
    """Every file with an image's suffix; classes are the folders' names in alphabetical order.

    Raises:
        DataError: there are no images, fewer than two classes, or the test split has a class that training lacks.
    """
    roots = _roots(folder)
    class_names = _classes(roots[0][0])
    for root, _ in roots[1:]:
        unknown = sorted(set(_classes(root)) - set(class_names))
        if unknown:
            raise DataError(f"{root} has the class '{unknown[0]}', which {roots[0][0]} lacks; both need the same.")
    if len(class_names) < 2:
        found = f"one class ('{class_names[0]}')" if class_names else "no folders with images"
        raise DataError(
            f"{folder} has {found}; two classes at least are needed, as {folder.name}/<class>/<image> or "
            f"{folder.name}/{{train,test}}/<class>/<image>."
        )
    return decode_all(
        _files(roots, class_names), class_names, image_size=image_size, skip_corrupt=skip_corrupt, source=str(folder)
    )


def image_files(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted, hidden ones left out."""
    return [file for file in files_below(folder) if file.suffix.lower() in IMAGE_SUFFIXES]


def _roots(folder: Path) -> list[tuple[Path, bool]]:
    """Folders that hold the classes, each with whether it is the test split.

    A folder "train" divides the set only if it holds classes itself: with images in it, it is a class (of vehicles, say).
    """
    if not (folder / "train").is_dir() or not _classes(folder / "train"):
        return [(folder, False)]
    ignored = sorted(set(_classes(folder)) - set(_SPLITS))
    if ignored:
        logger.warning(
            "%s: beside train/, test/ alone is read, so %s is left out (validation images are carved from train/)",
            folder,
            ", ".join(f"{name}/" for name in ignored),
        )
    return [(folder / split, split == "test") for split in _SPLITS if (folder / split).is_dir()]


def _classes(root: Path) -> tuple[str, ...]:
    entries = (entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return tuple(sorted(entry.name for entry in entries if image_files(entry)))


def _files(roots: list[tuple[Path, bool]], class_names: tuple[str, ...]) -> Iterator[Encoded]:
    for root, is_test in roots:
        for label, name in enumerate(class_names):
            if (root / name).is_dir():  # the test split may lack a class
                for file in image_files(root / name):
                    yield Encoded(str(file.relative_to(root.parent if is_test else root)), file, label, is_test)
