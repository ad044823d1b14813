"""Images as they are trained on: one array, verified and fingerprinted, memory-mapped on disk."""

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vision_studies.data.sources.decoding import Decoding
from vision_studies.errors import DataError
from vision_studies.files import ARRAY_ERRORS, atomic_folder, require_free_space, write_json
from vision_studies.storage.kept_data import KeptData, kept_with

_ARRAYS = ("images", "labels", "is_test")
_ITEMS = "items.parquet"
_CHECK = "check.json"
_CHUNK = 1 << 24  # bytes hashed at a time: the images themselves may not fit in memory


@dataclass(frozen=True)
class ImageSet:
    """Images with labels.

    Attributes:
        name: of the source, such as "cifar10" or the name of a folder.
        images: uint8 [N, H, W, C] with C in {1, 3}; memory-mapped when opened from disk.
        labels: int64 [N], from 0 to the number of classes less one.
        class_names: one name a label.
        is_test: bool [N], true for the images of the source's own test split; all false where it has none.
        origin: how the images were read: settings and identity of the source's files. Equal origins need no new reading.
        fingerprint: SHA-256 of images, labels, class names and test split.
        folder: where the set was opened from; a process that is sent the set opens it there itself.
        items: what the source says of each image, or None where it says nothing. N rows in the order of the images, with the
            columns name (str), split (train, validation, test, or None where the source leaves it open), group (str or None:
            images of one group never stand on two sides of a split) and copies (int64: images of one number are copies of
            one picture, -1 of none); further ones are those of a table. It decides splits and no pixel, so that it is no
            part of the fingerprint.
        decoding: how encoded images became these, so that a trained network's user does the same; None of a set that does not
            say.
        check: what was found when the source was checked, as `checks.check.Check.to_json` has it; None where it was not.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.image_set import ImageSet
        >>> images = np.zeros((6, 4, 4, 1), np.uint8)
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> no_test_split = np.zeros(6, bool)
        >>> image_set = ImageSet.create("blank", images, labels, ("cat", "dog"), no_test_split, origin={})
        >>> image_set.images.shape, image_set.class_names
        ((6, 4, 4, 1), ('cat', 'dog'))
        >>> brighter = ImageSet.create("blank", images + 1, labels, ("cat", "dog"), no_test_split, origin={})
        >>> brighter.fingerprint == image_set.fingerprint
        False
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    is_test: np.ndarray
    origin: dict[str, Any]
    fingerprint: str
    folder: Path | None = None
    items: pd.DataFrame | None = None
    decoding: Decoding | None = None
    check: dict[str, Any] | None = None

    @classmethod
    def create(
        cls,
        name: str,
        images: np.ndarray,
        labels: np.ndarray,
        class_names: tuple[str, ...],
        is_test: np.ndarray,
        origin: dict[str, Any],
        items: pd.DataFrame | None = None,
        decoding: Decoding | None = None,
        check: dict[str, Any] | None = None,
    ) -> "ImageSet":
        """Check and fingerprint images.

        Raises:
            DataError: there are no images, fewer than two classes, a label outside the classes, or arrays that disagree.
        """
        _check(name, images, labels, class_names, is_test)
        labels = labels.astype(np.int64)
        fingerprint = _fingerprint(images, labels, class_names, is_test)
        return cls(name, images, labels, class_names, is_test, origin, fingerprint, None, items, decoding, check)

    def save(self, folder: Path) -> None:
        """Write the set to `folder`, all or nothing.

        Raises:
            StorageError: the disk is full.
        """
        description = {name: getattr(self, name) for name in ("name", "class_names", "origin", "fingerprint")}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        require_free_space(folder.parent, sum(array.nbytes for array in arrays.values()))
        with atomic_folder(folder) as temporary:
            for name, array in arrays.items():
                np.save(temporary / f"{name}.npy", array, allow_pickle=False)
            if self.items is not None:
                self.items.to_parquet(temporary / _ITEMS)
            if self.check is not None:
                write_json(temporary / _CHECK, self.check)
            decoding = {"decoding": self.decoding.to_json()} if self.decoding is not None else {}
            write_json(temporary / "image_set.json", description | decoding | {"shape": self.images.shape})

    @classmethod
    def open(cls, folder: Path) -> "ImageSet":
        """Open a saved set; the images are memory-mapped and not read.

        Raises:
            DataError: a file is missing, truncated or disagrees with the others.
        """
        try:
            description = json.loads((folder / "image_set.json").read_text(encoding="utf-8"))
            arrays = [
                np.load(folder / f"{name}.npy", mmap_mode="r" if name == "images" else None, allow_pickle=False)
                for name in _ARRAYS
            ]
            if not all(isinstance(array, np.ndarray) for array in arrays):
                raise ValueError("an array is an archive")
            images, labels, is_test = arrays
            if list(images.shape) != description["shape"]:
                raise ValueError(f"images.npy holds {images.shape}, not {description['shape']}")
            content = (description["name"], images, labels, tuple(description["class_names"]), is_test)
            _check(*content)
            items = pd.read_parquet(folder / _ITEMS) if (folder / _ITEMS).exists() else None
            if items is not None and len(items) != len(images):
                raise ValueError(f"{_ITEMS} has {len(items)} rows for {len(images)} images")
            told = description.get("decoding")
            decoding = None if told is None else Decoding.from_json(told)
            found = folder / _CHECK
            check = json.loads(found.read_text(encoding="utf-8")) if found.exists() else None
            identity = description["origin"], description["fingerprint"], folder.absolute()
            return cls(*content, *identity, items, decoding, check)
        except (*ARRAY_ERRORS, AttributeError, KeyError, TypeError, pa.ArrowException) as error:
            raise DataError(
                f"The image set in {folder} is damaged ({error}); delete the folder and run "
                "`kedro run --pipeline=data_prep` again."
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process maps the file itself instead of being sent its content, wherever it is.
        if self.folder is not None:
            return _open_elsewhere, (self.folder, kept_with(self.folder))
        fields = (self.name, self.images, self.labels, self.class_names, self.is_test, self.origin, self.fingerprint)
        return ImageSet, (*fields, None, self.items, self.decoding, self.check)


def _open_elsewhere(folder: Path, stored: KeptData | None) -> ImageSet:
    """Open a set that another process has; on a machine without it, fetch it from its store, once for all processes."""
    if stored is not None and not (folder / "image_set.json").is_file():
        stored.attach()
        stored.fetch(folder)
        if not (folder / "image_set.json").is_file():
            raise DataError(
                f"There is no image set in {folder} on {platform.node()}, and {stored.store.url} does not have it either; run "
                "`kedro store push` where it was prepared."
            )
    return ImageSet.open(folder)


def _check(
    name: str, images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], is_test: np.ndarray
) -> None:
    if len(images) == 0:
        raise DataError(f"'{name}' has no images; check data_prep.source.")
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise DataError(
            f"'{name}' must hold uint8 images [N, H, W, 1 or 3], not {images.dtype} {list(images.shape)}; "
            "convert its images first."
        )
    if not len(images) == len(labels) == len(is_test):
        raise DataError(
            f"'{name}' has {len(images)} images but {len(labels)} labels; its files do not belong together."
        )
    if len(class_names) < 2:
        raise DataError(f"'{name}' has {len(class_names)} class ({', '.join(class_names)}); two at least are needed.")
    check_labels(name, labels, class_names)


def check_labels(name: str, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Refuse labels, int64 [N], that no class has.

    Raises:
        DataError: there are some.
    """
    lowest, highest = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if lowest < 0 or highest >= len(class_names):
        raise DataError(
            f"'{name}' has labels from {lowest} to {highest}, but its {len(class_names)} classes allow 0 to "
            f"{len(class_names) - 1}; check its label column."
        )


def _fingerprint(images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], is_test: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps([list(images.shape), class_names]).encode())
    per_chunk = max(1, _CHUNK // max(1, images[0].nbytes))
    for start in range(0, len(images), per_chunk):
        digest.update(np.ascontiguousarray(images[start : start + per_chunk]).data)
    for array in (labels, is_test):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, with which a name could rewrite a terminal; ends of lines; turns of the writing direction; no text."""

_SHOWN = 60


def check_class_names(names: Sequence[str], source: str) -> None:
    """Refuse names of classes, found in `source`, that could do more than be read.

    Raises:
        DataError: a name is empty or holds a control character.
    """
    for name in names:
        if not name.strip() or _UNFIT.search(name):
            raise DataError(
                f"{source} has a class called {ascii(name)[:_SHOWN]}, which is empty or holds a character that cannot be "
                "shown; rename the class."
            )
