"""Images and labels as NumPy's arrays: an `.npz` file with both, or an `.npy` file with labels in another beside it."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.checks.findings import Finding
from vision_studies.data.sources.labels import division_findings
from vision_studies.data.sources.listing import SplitName
from vision_studies.data.sources.packed import check_size
from vision_studies.data.sources.raw import RawImages, known_items
from vision_studies.errors import DataError, one_line
from vision_studies.files import ARRAY_ERRORS

_WHOLE = (("images", "labels"), ("x", "y"), ("data", "labels"))
_PARTS: dict[SplitName, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("train_x", "train_y")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels"), ("val_x", "val_y"), ("x_valid", "y_valid")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels"), ("test_x", "test_y")),
}
_NAMES = "images and labels, or x_train, y_train and, where there are any, x_test, y_test"


def read_arrays(file: Path, settings: SplitSettings) -> RawImages:
    """Images [N, H, W], [N, H, W, C] or [N, C, H, W] of whole numbers from 0 to 255, and a label of each.

    Args:
        file: `.npz`, or `.npy` with labels beside it.
        settings: how the images are to be divided.

    Raises:
        DataError: the file is damaged, lacks an array, or holds others than these. Pickled objects are never read.
    """
    arrays = _opened(file)
    lowered = {name.lower(): array for name, array in arrays.items()}
    parts = {
        split: (lowered[images], lowered[labels])
        for split, names in _PARTS.items()
        for images, labels in names
        if images in lowered and labels in lowered
    }
    pairs = ((lowered.get(images), lowered.get(labels)) for images, labels in _WHOLE)
    whole = next(((images, labels) for images, labels in pairs if images is not None and labels is not None), None)
    if whole is None and "train" not in parts:
        raise DataError(f"{file} has the arrays {', '.join(arrays) or 'none'}; it must have {_NAMES}.")
    checked = [(split, *_checked(file, *pair)) for split, pair in (parts if whole is None else {None: whole}).items()]
    shapes = {images.shape[1:] for _, images, _ in checked}
    if len(shapes) > 1:
        raise DataError(f"{file} has images of {' and '.join(map(str, sorted(shapes)))}; all must have one shape.")
    labels = np.concatenate([own for _, _, own in checked])
    lowest, highest = int(labels.min(initial=0 if not len(labels) else labels[0])), int(labels.max(initial=0))
    if lowest < 0:
        raise DataError(f"{file} has the label {lowest}; number the classes from 0.")
    begins = 1 if lowest == 1 else 0
    told = [Finding("labels_from_one", f"Labels begin at 1: class '1' is the first of {highest}.")] if begins else []
    splits = [split for split, images, _ in checked for _ in range(len(images))]
    class_names = tuple(str(label) for label in range(begins, highest + 1))
    rows = [(label, split, None) for label, split in zip((labels - begins).tolist(), splits, strict=True)]
    told += division_findings(file.name, class_names, rows, settings)
    return RawImages(
        np.concatenate([images for _, images, _ in checked]),
        labels - begins,
        class_names,
        np.array([split == "test" for split in splits], bool),
        known_items([f"image {place}" for place in range(len(splits))], splits),
        findings=tuple(told),
        published=False,
    )


def _opened(file: Path) -> Mapping[str, np.ndarray]:
    try:
        if file.suffix.lower() == ".npz":
            with zipfile.ZipFile(file) as archive:
                check_size(file, len(archive.infolist()), sum(info.file_size for info in archive.infolist()))
            with np.load(file, allow_pickle=False) as opened:
                return {name: opened[name] for name in opened.files}
        labels = next((other for other in _beside(file) if other.is_file()), None)
        if labels is None:
            named = " or ".join(other.name for other in _beside(file))
            raise DataError(f"{file} has no labels beside it; save them as {named}, or both in one .npz file.")
        return {"images": np.load(file, allow_pickle=False), "labels": np.load(labels, allow_pickle=False)}
    except (*ARRAY_ERRORS, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(
            f"{file} cannot be read as arrays of numbers ({one_line(error)}); save it with numpy anew."
        ) from error


def _beside(file: Path) -> list[Path]:
    stem = file.stem
    names = [f"{stem}_labels.npy", f"{stem.removesuffix('images')}labels.npy", "labels.npy"]
    return [file.with_name(name) for name in dict.fromkeys(names)]


def _checked(file: Path, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError(
            f"{file} must hold images as [N, H, W], [N, H, W, 1] or [N, H, W, 3], not {list(images.shape)}."
        )
    whole = np.issubdtype(images.dtype, np.integer)
    if not whole or (images.dtype != np.uint8 and len(images) and not 0 <= images.min() <= images.max() <= 255):
        raise DataError(
            f"{file} must hold whole numbers from 0 to 255 (uint8), not {images.dtype}; convert its images."
        )
    if labels.size != len(images) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{file} has {len(images)} images but {labels.dtype} labels {list(labels.shape)}; it must have a whole number each."
        )
    return np.ascontiguousarray(images, dtype=np.uint8), labels.reshape(-1).astype(np.int64)
