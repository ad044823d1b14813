"""Features of images, kept on disk and memory-mapped: what AlphaNet and every classifier before it work with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from vision_studies.data.class_splits import SPLITS, ClassSplits
from vision_studies.errors import DataError
from vision_studies.files import ARRAY_ERRORS, atomic_folder, require_free_space, write_json
from vision_studies.storage.kept_data import fetched

GROUPS = ("train", "validation", "test")
_DESCRIPTION = "features.json"
_ROWS = 4096  # hashed and checked at a time: features may not fit in memory


@dataclass(frozen=True)
class FeatureGroup:
    """Features of the images of one split.

    Attributes:
        features: float32 [N, d]; memory-mapped when opened from disk.
        labels: int64 [N].
    """

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class FeatureSet:
    """Features of a long-tailed image set.

    Attributes:
        name: of the image set.
        class_names: one a label.
        splits: few, medium and many.
        counts: int64 [classes], training images of each; more than `groups["train"]` has where some validate.
        groups: "train", "test" and, unless there is none, "validation".
        fingerprint: SHA-256 of all of it.
    """

    name: str
    class_names: tuple[str, ...]
    splits: ClassSplits
    counts: np.ndarray
    groups: Mapping[str, FeatureGroup]
    fingerprint: str

    @property
    def num_features(self) -> int:
        """Numbers that describe an image."""
        return int(self.groups["train"].features.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


def write_feature_set(
    folder: Path,
    *,
    name: str,
    class_names: tuple[str, ...],
    splits: ClassSplits,
    counts: np.ndarray,
    groups: Mapping[str, FeatureGroup],
) -> None:
    """Check features and write them to `folder`, all or nothing.

    Raises:
        DataError: groups disagree in width, a label is outside the classes, a few or base class has no training image, or
            a feature is not finite.
        StorageError: the disk is full.
    """
    _check(name, class_names, splits, groups)
    described = {
        "name": name,
        "class_names": list(class_names),
        "splits": {split: getattr(splits, split).tolist() for split in SPLITS},
        "counts": counts.tolist(),
        "groups": list(groups),
    }
    shapes = [list(content.features.shape) for content in groups.values()]
    digest = hashlib.sha256(json.dumps([described, shapes]).encode())
    require_free_space(folder.parent, sum(4 * rows * width for rows, width in shapes))
    with atomic_folder(folder) as temporary:
        for group, content in groups.items():
            stored = np.lib.format.open_memmap(
                temporary / f"{group}_features.npy", mode="w+", dtype=np.float32, shape=content.features.shape
            )
            for start in range(0, len(content.labels), _ROWS):
                rows = np.ascontiguousarray(content.features[start : start + _ROWS], dtype=np.float32)
                if not np.isfinite(rows).all():
                    row = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
                    raise DataError(
                        f"The {group} features of '{name}' hold a number that is not finite (image {row}); mend or remove "
                        "that image."
                    )
                digest.update(rows.data)
                stored[start : start + _ROWS] = rows
            stored.flush()
            del stored
            labels = content.labels.astype(np.int64)
            digest.update(labels.data)
            np.save(temporary / f"{group}_labels.npy", labels, allow_pickle=False)
        write_json(temporary / _DESCRIPTION, described | {"fingerprint": digest.hexdigest()[:16]})


def description_file(folder: Path) -> Path:
    """The file that is written last, and makes the feature set in `folder` whole."""
    return folder / _DESCRIPTION


def has_feature_set(folder: Path) -> bool:
    """Whether `folder` holds a whole feature set."""
    return description_file(folder).is_file()


def open_feature_set(folder: Path) -> FeatureSet:
    """Open what `write_feature_set` has written; features are memory-mapped and not read.

    Raises:
        DataError: a file is missing or damaged.
    """
    try:
        described = json.loads(fetched(folder / _DESCRIPTION).read_text(encoding="utf-8"))
        groups = {}
        for name in described["groups"]:
            features = np.load(folder / f"{name}_features.npy", mmap_mode="r", allow_pickle=False)
            labels = np.load(folder / f"{name}_labels.npy", allow_pickle=False)
            if len(features) != len(labels):
                raise ValueError(f"{name} has {len(features)} features and {len(labels)} labels")
            groups[name] = FeatureGroup(features, labels)
        return FeatureSet(
            described["name"],
            tuple(described["class_names"]),
            ClassSplits(*(np.array(described["splits"][split], dtype=np.int64) for split in SPLITS)),
            np.array(described["counts"], dtype=np.int64),
            groups,
            described["fingerprint"],
        )
    except (*ARRAY_ERRORS, KeyError, TypeError) as error:
        raise DataError(
            f"The features in {folder} are damaged ({error}); delete the folder and run the study again."
        ) from error


def class_means(group: FeatureGroup, num_classes: int) -> np.ndarray:
    """Mean feature of each class, float32 [classes, d]; NaN where a class has no image.

    Rows are read in order and summed in float64, so that features need not fit in memory.
    """
    sums = np.zeros((num_classes, group.features.shape[1]))
    for start in range(0, len(group.labels), _ROWS):
        rows = np.asarray(group.features[start : start + _ROWS], dtype=np.float64)
        there, position = np.unique(group.labels[start : start + _ROWS], return_inverse=True)
        number = len(rows)
        belongs = sparse.csr_array((np.ones(number), (position, np.arange(number))), shape=(len(there), number))
        sums[there] += belongs @ rows  # several times as fast as np.add.at
    counts = np.bincount(group.labels, minlength=num_classes)[:, None]
    with np.errstate(invalid="ignore"):
        return (sums / counts).astype(np.float32)


def _check(name: str, class_names: tuple[str, ...], splits: ClassSplits, groups: Mapping[str, FeatureGroup]) -> None:
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown or "train" not in groups or "test" not in groups:
        raise DataError(f"'{name}' needs training and test features, and may have validation; it has {list(groups)}.")
    width = groups["train"].features.shape[-1]
    for group, content in groups.items():
        if content.features.ndim != 2 or not len(content.features):
            raise DataError(
                f"The {group} features of '{name}' have the shape {list(content.features.shape)}; a row an image is wanted, "
                "and one image at least."
            )
        if content.features.shape[1] != width:
            raise DataError(
                f"The {group} features of '{name}' have the shape {list(content.features.shape)}; {width} numbers an image "
                "are wanted as in training."
            )
        if len(content.features) != len(content.labels):
            raise DataError(
                f"The {group} features of '{name}' are {len(content.features)} but have {len(content.labels)} labels."
            )
        lowest, highest = int(content.labels.min()), int(content.labels.max())
        if lowest < 0 or highest >= len(class_names):
            raise DataError(
                f"The {group} labels of '{name}' reach from {lowest} to {highest}, but there are {len(class_names)} classes."
            )
    if splits.num_classes != len(class_names):
        raise DataError(f"'{name}' has {len(class_names)} classes, and its splits have {splits.num_classes}.")
    missing = np.setdiff1d(np.arange(len(class_names)), groups["train"].labels)
    if len(missing):
        raise DataError(f"'{name}' has no training image of '{class_names[missing[0]]}'; every class needs one.")
