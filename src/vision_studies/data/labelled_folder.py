"""A folder of images sorted by class, matched with the classes that a network knows."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vision_studies.data.sources.image_folder import image_files
from vision_studies.data.unlabelled import ImageSource
from vision_studies.errors import DataError


def open_labelled(folder: Path, class_names: Sequence[str]) -> tuple[ImageSource, np.ndarray]:
    """Find `<folder>/<class>/*` without reading the images.

    Args:
        folder: has a folder for each class, or for some of them.
        class_names: what the network tells apart, in its order.

    Returns:
        The images, and their labels int64 [N]: places in `class_names`.

    Raises:
        DataError: there are no such folders with images, or one of them is no class of the network.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; name one with images as {folder.name}/<class>/<image>.")
    try:
        files = {own.name: image_files(own) for own in sorted(folder.iterdir()) if _may_be_class(own)}
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}; check its permissions.") from error
    files = {name: own for name, own in files.items() if own}
    if not files:
        raise DataError(f"{folder} has no folders with images; it must hold them as {folder.name}/<class>/<image>.")
    unknown = [name for name in files if name not in class_names]
    if unknown:
        raise DataError(_unknown_class(folder, unknown, class_names))
    labelled = [(file, label) for label, name in enumerate(class_names) if name in files for file in files[name]]
    names = [str(file.relative_to(folder)) for file, _ in labelled]
    return ImageSource(names, [file for file, _ in labelled]), np.array([label for _, label in labelled], np.int64)


def _may_be_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _unknown_class(folder: Path, unknown: list[str], class_names: Sequence[str]) -> str:
    divided = next((name for name in ("test", "train") if name in unknown), None)
    if divided and any((folder / divided / name).is_dir() for name in class_names):
        return f"{folder} is divided into splits; name the one to score on, for example {folder / divided}."
    close = difflib.get_close_matches(unknown[0], class_names, n=1)
    guess = f" Did you mean '{close[0]}'?" if close else ""
    others = f" (and {len(unknown) - 1} more that it does not know)" if len(unknown) > 1 else ""
    known = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
    return (
        f"{folder} has the folder '{unknown[0]}'{others}, which is no class of the model.{guess} Its classes are {known}; "
        "rename the folder, or move it out."
    )
