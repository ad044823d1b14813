"""Features of images, kept on disk and memory-mapped: what AlphaNet and every classifier before it work with."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
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
_ROWS = 4096


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


def row_blocks(rows: int) -> Iterator[slice]:
    """Slices of a few thousand rows, in order: features may not fit in memory."""
    return (slice(start, start + _ROWS) for start in range(0, rows, _ROWS))


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
            for block in row_blocks(len(content.labels)):
                rows = np.ascontiguousarray(content.features[block], dtype=np.float32)
                if not np.isfinite(rows).all():
                    row = block.start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
                    raise DataError(
                        f"The {group} features of '{name}' hold a number that is not finite (image {row}); mend or remove "
                        "that image."
                    )
                digest.update(rows.data)
                stored[block] = rows
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


def joined_rows(groups: Sequence[FeatureGroup]) -> FeatureGroup:
    """The images of several groups, one after the other."""
    if len(groups) == 1:
        return groups[0]
    return FeatureGroup(
        np.concatenate([group.features for group in groups]), np.concatenate([group.labels for group in groups])
    )


def class_means(group: FeatureGroup, num_classes: int) -> np.ndarray:
    """Mean feature of each class, float32 [classes, d]; NaN where a class has no image.

    Rows are read in order and summed in float64, so that features need not fit in memory.
    """
    sums = np.zeros((num_classes, group.features.shape[1]))
    for block in row_blocks(len(group.labels)):
        rows = np.asarray(group.features[block], dtype=np.float64)
        there, position = np.unique(group.labels[block], return_inverse=True)
        number = len(rows)
        belongs = sparse.csr_array((np.ones(number), (position, np.arange(number))), shape=(len(there), number))
        sums[there] += belongs @ rows  # several times as fast as np.add.at
    counts = np.bincount(group.labels, minlength=num_classes)[:, None]
    with np.errstate(invalid="ignore"):
        return (sums / counts).astype(np.float32)


def _check(name: str, class_names: tuple[str, ...], splits: ClassSplits, groups: Mapping[str, FeatureGroup]) -> None:
    if not {"train", "test"} <= set(groups) <= set(GROUPS):
        raise DataError(f"'{name}' needs training and test features, and may have validation; it has {list(groups)}.")
    width = groups["train"].features.shape[-1]
    for group, content in groups.items():
        shape, labels = content.features.shape, content.labels
        shaped = f"The {group} features of '{name}' have the shape {list(shape)}"
        if len(shape) != 2 or not shape[0]:
            raise DataError(f"{shaped}; a row an image is wanted, and one image at least.")
        if shape[1] != width:
            raise DataError(f"{shaped}; {width} numbers an image are wanted as in training.")
        if shape[0] != len(labels):
            raise DataError(f"The {group} features of '{name}' are {shape[0]} but have {len(labels)} labels.")
        if labels.min() < 0 or labels.max() >= len(class_names):
            raise DataError(
                f"The {group} labels of '{name}' reach from {labels.min()} to {labels.max()}, but there are "
                f"{len(class_names)} classes."
            )
    if splits.num_classes != len(class_names):
        raise DataError(f"'{name}' has {len(class_names)} classes, and its splits have {splits.num_classes}.")
    missing = np.setdiff1d(np.arange(len(class_names)), groups["train"].labels)
    if len(missing):
        raise DataError(f"'{name}' has no training image of '{class_names[missing[0]]}'; every class needs one.")
