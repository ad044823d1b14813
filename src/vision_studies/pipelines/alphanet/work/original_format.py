"""Data sets in the files of the original project (github.com/jayanthkoushik/alphanet): written for it, and read without
running anything that a file may hide.

A data set is a table of `config/datasets.toml`. It names pickled features (`train*.pkl`, `val*.pkl`, `test*.pkl`), a
classifier of torch (`.pth`), lists of labels (`few.txt`, `medium.txt`, `many.txt`) and, where there is one, a list of class
names.
"""

import logging
import pickle
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import read_class_splits, write_class_splits
from vision_studies.data.image_set import check_class_names
from vision_studies.data.restricted_pickle import (
    NUMPY_AND_TORCH,
    Array,
    RefusedError,
    load_restricted,
    plain_integers,
)
from vision_studies.errors import DataError, guess
from vision_studies.files import atomic_folder, require_free_space
from vision_studies.models.torch_files import is_plain_tensor, load_torch_file
from vision_studies.pipelines.alphanet.work.classifiers import combined
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, FeatureSet, joined_rows, write_feature_set

logger = logging.getLogger(__name__)

LINEAR, COMBINED = "LinearClassifierLoader", "CombinedClassifierLoader"
_GROUPS = {"train": "train", "val": "validation", "test": "test"}  # the original's name: ours
_PROTOCOL = 4  # of 5, a memory-mapped array comes back read-only, which torch warns of
_REQUIRED = (
    "split_files_dir",
    "feature_files_dir",
    "classifier_file",
    "classifier_loader",
    "nn_files_dir",
    "baseline_eval_file",
)


@dataclass(frozen=True)
class OriginalDataSet:
    """One table of `datasets.toml`.

    Attributes:
        name: of the table.
        split_files_dir: folder of the three lists of labels.
        feature_files_dir: folder of the pickled features.
        classifier_file: of the classifier, or of the list of experts' classifiers.
        classifier_loader: "LinearClassifierLoader" for one classifier, "CombinedClassifierLoader" for experts.
        label_names_file: one name a line; None if there is none.
        datagrps: of "train", "val" and "test", those that there may be.
    """

    name: str
    split_files_dir: Path
    feature_files_dir: Path
    classifier_file: Path
    classifier_loader: str
    label_names_file: Path | None
    datagrps: tuple[str, ...]


def read_registry(file: Path, name: str) -> OriginalDataSet:
    """Read one data set's table.

    Relative paths in it start at the parent of the folder that holds `file`: of `project/config/datasets.toml` at `project`,
    which is where the original is started.

    Raises:
        DataError: the file is missing or no TOML, has no such table, or the table lacks a key or has a wrong value.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); it describes data sets of the original.") from error
    except ValueError as error:  # of TOML or of UTF-8
        raise DataError(f"{file} is no TOML ({error}); mend it.") from error
    tables = {key: table for key, table in tables.items() if isinstance(table, dict)}
    if name not in tables:
        names = list(tables)
        raise DataError(f"{file} has no data set '{name}'; it has: {', '.join(names) or 'none'}.{guess(name, names)}")
    return _data_set(file, name, tables[name])


def import_data_set(data_set: OriginalDataSet, folder: Path) -> LinearClassifier:
    """Write a data set of the original as a feature set and return its classifier.

    A group is `{group}.pkl` or all of `{group}_<digits>.pkl` and `{group}<digits>.pkl`, sorted by name. Classes are named
    "class 0" and so on where names are missing.

    Args:
        data_set: what `read_registry` returns.
        folder: of the feature set, which `open_feature_set` opens.

    Raises:
        DataError: a file is missing, damaged, unsafe, or does not belong to the others.
        StorageError: the disk is full.
    """
    classifier = read_classifier(data_set.classifier_file, data_set.classifier_loader)
    num_classes, num_features = classifier.weight.shape
    splits = read_class_splits(data_set.split_files_dir, num_classes)
    class_names = _class_names(data_set.label_names_file, num_classes)
    groups = {}
    for group, split in _GROUPS.items():
        if group in data_set.datagrps and (files := _group_files(data_set.feature_files_dir, group)):
            groups[split] = _read_group(files, num_classes, num_features, data_set.classifier_file)
        elif group != "val":
            raise DataError(
                f"The data set '{data_set.name}' has no {group} features; put {group}.pkl into {data_set.feature_files_dir} "
                f"and '{group}' into datagrps."
            )
    write_feature_set(
        folder,
        name=data_set.name,
        class_names=class_names,
        splits=splits,
        counts=np.bincount(groups["train"].labels, minlength=num_classes),
        groups=groups,
    )
    return classifier


def export_data_set(feature_set: FeatureSet, classifier: LinearClassifier, folder: Path, name: str) -> None:
    """Write a feature set and a classifier as the original reads them.

    Its `config/datasets.toml` has one table, whose paths start at `folder`: start the original there. Features are pickled
    with protocol 4, for numpy 1.26 or newer.

    Args:
        feature_set: whose features are written, "validation" as `val.pkl`.
        classifier: weights [classes, d].
        folder: must not exist.
        name: of the table and of folders.

    Raises:
        DataError: `folder` exists, `name` or a class name cannot be written, or the classifier is of other classes or
            features.
        StorageError: the disk is full.
    """
    if folder.exists():
        raise DataError(f"{folder} exists and is not overwritten; delete it or name another folder.")
    with atomic_folder(folder) as temporary:
        write_data_sets(temporary, {name: (feature_set, classifier)})


def write_data_sets(folder: Path, data_sets: Mapping[str, tuple[FeatureSet, LinearClassifier]]) -> None:
    """Write data sets of the same classes into a folder that is there; see `export_data_set`.

    Features that several classifiers take are written once.
    """
    tables: dict[str, Any] = {}
    written: dict[tuple[str, int], str] = {}
    for name, (feature_set, classifier) in data_sets.items():
        _check_writable(name, feature_set, classifier)
        features = written.setdefault((feature_set.fingerprint, feature_set.num_features), f"features/{name}")
        tables[name] = {
            "split_files_dir": f"splits/{name}",
            "feature_files_dir": features,
            "classifier_file": f"classifiers/{name}.pth",
            "classifier_loader": LINEAR,
            "nn_files_dir": f"neighbors/{name}",
            "baseline_eval_file": f"baselines/{name}.pth",
            "label_names_file": "label_names.txt",
            "datagrps": [group for group, split in _GROUPS.items() if split in feature_set.groups],
            "proper_name": feature_set.name,
        }
        for inner in ("classifiers", f"splits/{name}"):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        (folder / "label_names.txt").write_text("\n".join(feature_set.class_names) + "\n", encoding="utf-8")
        write_class_splits(folder / f"splits/{name}", feature_set.splits)
        tensors = {"weight": torch.tensor(classifier.weight), "bias": torch.tensor(classifier.bias)}
        torch.save(tensors, folder / f"classifiers/{name}.pth")
        if not (folder / features).exists():
            _write_features(feature_set, folder / features)
    (folder / "config").mkdir()
    (folder / "config/datasets.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")


def _check_writable(name: str, feature_set: FeatureSet, classifier: LinearClassifier) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise DataError(f"'{name}' cannot name a data set's folders; use letters, digits, '_', '-' and '.'.")
    wanted = (feature_set.num_classes, feature_set.num_features)
    if classifier.weight.shape != wanted:
        raise DataError(
            f"The classifier has weights of the shape {list(classifier.weight.shape)}, but '{feature_set.name}' has "
            f"{wanted[0]} classes and {wanted[1]} features; use the classifier that belongs to it."
        )
    unfit = [label for label in feature_set.class_names if not re.fullmatch(r"\S([^\n\r]*\S)?", label)]
    if unfit:
        raise DataError(f"The class name {unfit[0]!r} does not fit on a line of label_names.txt; rename the class.")


def _write_features(feature_set: FeatureSet, folder: Path) -> None:
    require_free_space(folder, sum(part.features.nbytes for part in feature_set.groups.values()))
    folder.mkdir(parents=True)
    for group, split in _GROUPS.items():
        if split not in feature_set.groups:
            continue
        part = feature_set.groups[split]
        content = {
            "feats": np.asarray(part.features),  # the memory-mapped kind would be asked for in reading
            "labels": part.labels.tolist(),
            "idxs": list(range(len(part.labels))),
        }
        with (folder / f"{group}.pkl").open("wb") as file:
            pickle.dump(content, file, protocol=_PROTOCOL)


def _data_set(file: Path, name: str, table: Mapping[str, Any]) -> OriginalDataSet:
    where = f"data set '{name}' in {file}"
    missing = [key for key in _REQUIRED if key not in table]
    if missing:
        raise DataError(f"The {where} lacks {missing[0]}; add it.")
    for key in (*_REQUIRED, "label_names_file", "proper_name"):
        if not isinstance(table.get(key, ""), str):
            raise DataError(f"{key} of the {where} is {table[key]!r}; text is wanted.")
    loader, groups = table["classifier_loader"], table.get("datagrps", list(_GROUPS))
    if loader not in (LINEAR, COMBINED):
        raise DataError(f"classifier_loader of the {where} is '{loader}'; {LINEAR} or {COMBINED} is wanted.")
    if not isinstance(groups, list) or not all(group in _GROUPS for group in groups):
        raise DataError(f"datagrps of the {where} is {groups!r}; a list of {', '.join(_GROUPS)} is wanted.")
    start = file.absolute().parent.parent
    label_names = table.get("label_names_file")
    return OriginalDataSet(
        name=name,
        split_files_dir=start / table["split_files_dir"],
        feature_files_dir=start / table["feature_files_dir"],
        classifier_file=start / table["classifier_file"],
        classifier_loader=loader,
        label_names_file=None if label_names is None else start / label_names,
        datagrps=tuple(groups),
    )


def _class_names(file: Path | None, num_classes: int) -> tuple[str, ...]:
    if file is None:
        return tuple(f"class {label}" for label in range(num_classes))
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read; it names a class a line, in UTF-8.") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != num_classes:
        raise DataError(
            f"{file} names {len(names)} classes, but the classifier has {num_classes}; name every class in a line of its own."
        )
    check_class_names(names, str(file))
    return names


def _group_files(folder: Path, group: str) -> list[Path]:
    """Files of a group, sorted by name; others that begin like it are left out with a warning."""
    alike = sorted(folder.glob(f"{group}*.pkl"))
    files = [file for file in alike if re.fullmatch(rf"{group}(_?\d+)?\.pkl", file.name)]
    parts = [file.name for file in files if file.stem != group]
    if parts and len(parts) < len(files):
        raise DataError(f"{folder} has {group}.pkl and parts of it such as {parts[0]}; remove one of the two.")
    left_out = [file.name for file in alike if file not in files]
    if left_out:
        logger.warning("Not read in %s, for they are no parts of %s.pkl: %s.", folder, group, ", ".join(left_out))
    return files


def _read_group(files: list[Path], num_classes: int, num_features: int, classifier_file: Path) -> FeatureGroup:
    parts = [FeatureGroup(*load_features_pickle(file)) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part.features.shape[1] != num_features:
            raise DataError(
                f"{file} has {part.features.shape[1]} numbers an image, but {classifier_file} takes {num_features}; use files "
                "that belong together."
            )
        outside = part.labels[(part.labels < 0) | (part.labels >= num_classes)]
        if len(outside):
            raise DataError(
                f"{file} has the label {outside[0]}, but {classifier_file} has the classes 0 to {num_classes - 1}; use files "
                "that belong together."
            )
    return joined_rows(parts)


def read_classifier(file: Path, loader: str) -> LinearClassifier:
    """Read a classifier that torch.save has written, without running anything that the file may hide.

    Args:
        file: of a dictionary with "weight" [classes, d] and "bias" ([classes], or None for zeros); or of a list of
            dictionaries with "classifier_file", relative to the folder of `file`, and "classifier_loader".
        loader: "LinearClassifierLoader" for the first, "CombinedClassifierLoader" for the second.

    Returns:
        The classifier; of experts, the one whose score is the mean of theirs.

    Raises:
        DataError: a file is missing, damaged, holds more than weights, or its shapes disagree.
    """
    content = _load_weights(file)
    if loader == LINEAR:
        return _linear(file, content)
    if not isinstance(content, list) or not content:
        raise DataError(
            f"{file} holds no list of experts' classifiers; set classifier_loader to {LINEAR} if it holds one classifier."
        )
    experts = []
    for number, entry in enumerate(content, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("classifier_file"), str):
            raise DataError(
                f"{file} names no classifier_file for expert {number}; write its path, relative to that file."
            )
        if entry.get("classifier_loader") != LINEAR:
            raise DataError(
                f"{file} has the classifier_loader '{entry.get('classifier_loader')}' for expert {number}; {LINEAR} is wanted."
            )
        path = file.parent / entry["classifier_file"]
        experts.append(_linear(path, _load_weights(path)))
    shapes = [list(expert.weight.shape) for expert in experts]
    if any(shape != shapes[0] for shape in shapes):
        raise DataError(f"The experts of {file} have weights of the shapes {shapes}; the same shape is wanted for all.")
    return combined(experts)


def _load_weights(file: Path) -> object:
    try:
        return load_torch_file(file)
    except FileNotFoundError as error:
        raise DataError(f"{file} is missing; it holds a classifier.") from error
    except Exception as error:  # what is no file of torch raises errors of many kinds
        raise DataError(
            f"{file} is damaged or holds more than weights and was not read; write it with torch.save as a dictionary of the "
            "tensors 'weight' and 'bias'."
        ) from error


def _linear(file: Path, content: object) -> LinearClassifier:
    if not isinstance(content, dict) or not isinstance(content.get("weight"), torch.Tensor) or "bias" not in content:
        raise DataError(f"{file} holds no dictionary of the tensors 'weight' and 'bias'; check its classifier_loader.")
    weight, bias = content["weight"], content["bias"]
    if not all(is_plain_tensor(values) for values in (weight, bias) if isinstance(values, torch.Tensor)):
        raise DataError(f"{file} holds a tensor that is sparse, or larger than its numbers; save plain tensors.")
    bias = torch.zeros(weight.shape[:1]) if bias is None else bias
    if weight.ndim != 2 or not isinstance(bias, torch.Tensor) or bias.shape != weight.shape[:1]:
        shape = list(bias.shape) if isinstance(bias, torch.Tensor) else type(bias).__name__
        raise DataError(
            f"{file} has a weight of the shape {list(weight.shape)} and a bias of {shape}; [classes, features] and [classes] "
            "are wanted."
        )
    weight, bias = (values.detach().float() for values in (weight, bias))
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise DataError(f"{file} holds a number that is not finite; fetch it again.")
    return LinearClassifier(weight.contiguous().numpy(), bias.contiguous().numpy())


def load_features_pickle(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read features and labels from a pickled dictionary, and run nothing else that the pickle asks for.

    The dictionary has "feats", an array or a tensor of floats, and "labels", a list, a tuple, an array or a tensor of
    integers; its other keys are ignored. All protocols are read. Source: feature files of github.com/jayanthkoushik/alphanet.

    Args:
        path: a file of `pickle.dump`.

    Returns:
        Features, float32 [N, d], and labels, int64 [N]; they may be read-only.

    Raises:
        DataError: the file is missing, damaged or not of that form, or asks for anything beyond numbers.
    """
    try:
        with path.open("rb") as file:
            content = load_restricted(file, NUMPY_AND_TORCH)
        if not isinstance(content, dict) or "feats" not in content or "labels" not in content:
            raise RefusedError("it holds no dictionary with 'feats' and 'labels'")
        features, labels = _floats(content.pop("feats")), _integers(content.pop("labels"))
        if len(features) != len(labels):
            raise RefusedError(f"it holds {len(features)} features and {len(labels)} labels")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); it holds the features of images.") from error
    except MemoryError as error:
        raise DataError(
            f"{path} does not fit into memory, or is damaged; fetch it again or divide it into parts."
        ) from error
    except RefusedError as error:
        raise DataError(
            f"{path} was not read, for {error}; write it with pickle.dump as a dictionary of 'feats', an array of floats "
            "with a row an image, and 'labels', a list of integers."
        ) from error
    return features, labels


def _floats(value: object) -> np.ndarray:
    if not isinstance(value, Array) or value.value is None or value.value.ndim != 2 or value.value.dtype.kind != "f":
        raise RefusedError("its 'feats' are no array of floats with a row an image")
    with np.errstate(over="ignore"):  # infinite numbers are refused when features are stored, with their image
        return np.ascontiguousarray(value.value, dtype=np.float32)


def _integers(value: object) -> np.ndarray:
    try:
        return plain_integers(value)
    except RefusedError as error:
        kind = "no list or array" if not isinstance(value, (list, tuple, Array)) else "not one integer an image"
        raise RefusedError(f"its 'labels' are {kind}") from error
