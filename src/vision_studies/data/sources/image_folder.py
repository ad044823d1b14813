"""A user's own images: `<folder>/<class>/*` or `<folder>/{train,test}/<class>/*`."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from vision_studies.data.sources.raw import Encoded, RawImages, decode_all
from vision_studies.errors import DataError

_SPLITS = ("train", "test")


def read_image_folder(folder: Path, image_size: int | None, skip_corrupt: bool) -> RawImages:
    """Every file with an image's suffix; classes are the folders' names in alphabetical order.

    Raises:
        DataError: there are no images, fewer than two classes, or the test split has a class that training lacks.
    """
    has_splits = (folder / "train").is_dir()
    roots = [(folder / split, split == "test") for split in _SPLITS if (folder / split).is_dir()] if has_splits else []
    roots = roots or [(folder, False)]
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
    suffixes = Image.registered_extensions()
    files = (file for file in folder.rglob("*") if file.suffix.lower() in suffixes and not file.name.startswith("."))
    return sorted(file for file in files if file.is_file())


def _classes(root: Path) -> tuple[str, ...]:
    return tuple(
        sorted(
            entry.name
            for entry in root.iterdir()
            if entry.is_dir() and not entry.name.startswith(".") and image_files(entry)
        )
    )


def _files(roots: list[tuple[Path, bool]], class_names: tuple[str, ...]) -> Iterator[Encoded]:
    for root, is_test in roots:
        for label, name in enumerate(class_names):
            for file in image_files(root / name):
                yield Encoded(str(file.relative_to(root.parent if is_test else root)), file, label, is_test)
