"""A user's own images: `<folder>/<class>/*` or `<folder>/{train,test}/<class>/*`."""

import logging
from pathlib import Path

from vision_studies.data.sources.formats import is_meant_as_image
from vision_studies.data.sources.listing import Item, Listing
from vision_studies.data.sources.raw import files_below
from vision_studies.errors import DataError

logger = logging.getLogger(__name__)


def list_image_folder(folder: Path) -> Listing:
    """Every image; classes are the folders' names in alphabetical order.

    Raises:
        DataError: there are no images, fewer than two classes, or the test split has a class that training lacks.
    """
    parts = _parts(folder)
    (root, _, classes), *others = parts
    for other, _, of_other in others:
        unknown = sorted(of_other.keys() - classes.keys())
        if unknown:
            raise DataError(f"{other} has the class '{unknown[0]}', which {root} lacks; both need the same.")
    if len(classes) < 2:
        content = f"one class ('{next(iter(classes))}')" if classes else "no folders with images"
        raise DataError(
            f"{folder} has {content}; two classes at least are needed, as {folder.name}/<class>/<image> or "
            f"{folder.name}/{{train,test}}/<class>/<image>."
        )
    items = [
        Item(str(file.relative_to(root.parent if is_test else root)), file, label, "test" if is_test else None)
        for root, is_test, files in parts
        for label, name in enumerate(classes)
        for file in files.get(name, ())  # the test split may lack a class
    ]
    return Listing(str(folder), tuple(classes), lambda: iter(items), seen=len(items))


def image_files(folder: Path) -> list[Path]:
    """All image files below `folder`, whatever they are called, and files that are called images, sorted; no hidden ones."""
    return [file for file in files_below(folder) if is_meant_as_image(file)]


def class_files(root: Path) -> dict[str, list[Path]]:
    """Name of each folder in `root` that holds images, hidden ones left out -> its image files; sorted."""
    entries = (entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith("."))
    return {entry.name: files for entry in entries if (files := image_files(entry))}


def _parts(folder: Path) -> list[tuple[Path, bool, dict[str, list[Path]]]]:
    """Folders that hold the classes, each with whether it is the test split, and its classes.

    A folder "train" divides the set only if it holds classes itself: with images in it, it is a class (of vehicles, say).
    """
    train, test = folder / "train", folder / "test"
    of_train = class_files(train) if train.is_dir() else {}
    if not of_train:
        return [(folder, False, class_files(folder))]
    ignored = sorted(class_files(folder).keys() - {"train", "test"})
    if ignored:
        logger.warning(
            "%s: beside train/, test/ alone is read, so %s is left out (validation images are carved from train/)",
            folder,
            ", ".join(f"{name}/" for name in ignored),
        )
    return [(train, False, of_train), *([(test, True, class_files(test))] if test.is_dir() else [])]
