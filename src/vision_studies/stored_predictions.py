"""Predictions as a file in the folder of their run: one Parquet file a split.

Its columns are `index`, `label` and `predicted`; `probability_<class>` (half precision, about three digits) where all
probabilities are kept, or `class_1`, `probability_of_class_1` and so on of the most probable classes; and marks (bool). What
they are of stands in the file's metadata. 10,000 images of 10 classes take about 200 kB in full, 120 kB with the five most
probable classes, and 10 kB with the predicted class alone.

The metadata have which images are right, too, and a hash of which images they are: of thousands of runs that were tested with
the same images this is read in a sixth of the time (`read_digest`).
"""

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.errors import DataError, one_line
from vision_studies.files import atomic_file, hash_json
from vision_studies.predictions import PredictedSplit, Predictions, TopClasses
from vision_studies.run_folders import EARLIER_PREDICTIONS_FILE, predictions_file, read_description
from vision_studies.stored_tables import READ_OPTIONS, WRITE_OPTIONS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_METADATA = b"predictions"
_VERSION = 1
_PROBABILITY, _CLASS, _OF_CLASS, _MARK = "probability_", "class_", "probability_of_class_", "mark_"
_FIRST = ("index", "label", "predicted")
_FOLD = "fold"
_AGAIN = "delete its evaluation.json and run the study again, and it is scored again without being trained again"


@dataclass(frozen=True)
class Unavailable:
    """Predictions that a run does not have, or not so that they can be used; `reason` says why, in a sentence."""

    reason: str


@dataclass(frozen=True)
class Digest:
    """Which test images a run has got right, as the end of its file says.

    Attributes:
        images: hash of positions, labels and folds, of `hash_of_images`.
        bits: eight images a byte.
    """

    images: str
    bits: bytes


def hash_of_images(indices: "np.ndarray", labels: "np.ndarray", folds: "np.ndarray | None") -> str:
    """Of positions int64 [N], labels int64 [N] and folds int64 [N]; no folds, None or empty, are the same."""
    parts = [indices, labels, *([] if folds is None else [folds])]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:32]


def read_digest(folder: Path, data_fingerprint: str) -> Digest | None:
    """Which test images a run has got right; None where its file is missing, damaged, of other data, or of an earlier version,
    of which `read_predictions` tells more.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = predictions_file(folder, "test")
    if not file.exists():  # pyarrow takes long to say so
        return None
    try:
        footer = pq.read_metadata(file)
        about = json.loads(footer.metadata[_METADATA])
        checksum, digest = about.pop("checksum"), about["digest"]
        is_whole = checksum == _checksum(about, [footer.schema.column(n).name for n in range(footer.num_columns)])
        is_of = (about["version"], about["split"], about["views"]) == (_VERSION, "test", 1)
        if not is_whole or not is_of or about["data_fingerprint"] != data_fingerprint:
            return None
        return Digest(digest["images"], base64.b64decode(digest["correct"]))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write predictions into the folder of their run, atomically; all that there is of them is kept. Raises StorageError where
    the disk is full.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, split_streams = _columns(predictions), []
    for name, column in columns.items():
        if column.dtype.kind == "f":
            split_streams.append(name)
    about = {
        "version": _VERSION,
        "split": predictions.split,
        "views": predictions.views,
        "num_classes": predictions.num_classes,
        "classes": None if predictions.classes is None else predictions.classes.tolist(),
        "data_fingerprint": predictions.data_fingerprint,
        "digest": {
            "images": hash_of_images(predictions.indices, predictions.labels, predictions.folds),
            "correct": base64.b64encode(np.packbits(predictions.correct).tobytes()).decode("ascii"),
        },
    }
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    with atomic_file(predictions_file(folder, predictions.split, predictions.views)) as temporary:
        pq.write_table(
            table.replace_schema_metadata({_METADATA: json.dumps(about | {"checksum": _checksum(about, [*columns])})}),
            temporary,
            compression="zstd",
            use_dictionary=[name for name in columns if name in _FIRST[1:] or name.startswith(_CLASS)],
            column_encoding={"index": "DELTA_BINARY_PACKED"} | dict.fromkeys(split_streams, "BYTE_STREAM_SPLIT"),
            **WRITE_OPTIONS,
        )


def read_predictions(
    folder: Path,
    split: PredictedSplit = "test",
    *,
    views: int = 1,
    data_fingerprint: str | None = None,
    probabilities: bool = True,
) -> Predictions | Unavailable:
    """What a run has kept of its predictions, or why there is nothing that can be used; nothing is raised for bad files.

    Args:
        folder: of the run.
        split: whose images.
        views: how many test-time views are averaged; 1: the plain images.
        data_fingerprint: of what the run learnt from; None: as the run's own description says.
        probabilities: read them, too, where they are kept.
    """
    file = predictions_file(folder, split, views)
    try:
        predictions = _read(file, split, views, probabilities=probabilities)
        wanted = data_fingerprint or str(read_description(folder, ("data_fingerprint",))["data_fingerprint"])
    except FileNotFoundError:
        return _read_earlier(folder, split, views, data_fingerprint) or _missing(folder, file, split)
    except DataError as error:
        return Unavailable(str(error))
    if predictions.data_fingerprint != wanted:
        return Unavailable(
            f"{file} is of other images (version {predictions.data_fingerprint}, and the run is of {wanted}); {_AGAIN}."
        )
    return predictions


def all_probabilities(folder: Path, predictions: Predictions) -> "np.ndarray | Unavailable":
    """Probabilities of all classes, float32 [N, C], of the predictions of a run, or why there are none."""
    if predictions.probabilities is not None:
        return predictions.probabilities
    kept = "the most probable classes" if predictions.detail == "top" else "the predicted classes"
    return Unavailable(
        f"{folder} keeps only {kept} of its {_IMAGES[predictions.split]} images; set execution.predictions to full, "
        f"{_AGAIN}."
    )


_IMAGES = {"test": "test", "validation": "validation", "out_of_fold": "held-out training"}


def _missing(folder: Path, file: Path, split: PredictedSplit) -> Unavailable:
    if not folder.is_dir():
        return Unavailable(f"The run {folder} is not there any more.")
    if file.is_file():
        return Unavailable(f"{folder} is no run: it has no description; delete it and run the study again.")
    return Unavailable(
        f"{folder} has no predictions of its {_IMAGES[split]} images: they were deleted, or the run was scored by an earlier "
        f"version of the project, or not yet; {_AGAIN}."
    )


def _columns(predictions: Predictions) -> "dict[str, np.ndarray]":
    import numpy as np

    small = _smallest(predictions.num_classes)
    columns: dict[str, Any] = {
        "index": predictions.indices,
        "label": predictions.labels.astype(small),
        "predicted": predictions.predicted.astype(small),
    }
    if predictions.probabilities is not None:
        halves = np.asarray(predictions.probabilities, dtype=np.float16)
        columns |= {f"{_PROBABILITY}{label}": halves[:, label] for label in range(halves.shape[1])}
    elif predictions.top is not None:
        halves = np.asarray(predictions.top.probabilities, dtype=np.float16)
        for rank in range(halves.shape[1]):
            columns[f"{_CLASS}{rank + 1}"] = predictions.top.classes[:, rank].astype(small)
            columns[f"{_OF_CLASS}{rank + 1}"] = halves[:, rank]
    if predictions.folds is not None:
        columns[_FOLD] = predictions.folds.astype(np.uint8)
    return columns | {f"{_MARK}{name}": values for name, values in predictions.marks.items()}


def _smallest(num_classes: int) -> type:
    import numpy as np

    return next((kind for kind in (np.uint8, np.uint16) if num_classes <= np.iinfo(kind).max), np.int64)


def _read(file: Path, split: PredictedSplit, views: int, *, probabilities: bool) -> Predictions:
    """Raises FileNotFoundError, or DataError where it is damaged or another file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.exists():  # of thousands of runs of an earlier version: pyarrow takes long to say so
        raise FileNotFoundError(file)
    damaged = f"{file} is damaged ({{}}); {_AGAIN}."
    try:
        with pq.ParquetFile(file, **READ_OPTIONS) as opened:
            names = opened.schema_arrow.names
            about = json.loads((opened.schema_arrow.metadata or {}).get(_METADATA, b"{}"))
            left_out = () if probabilities else (_PROBABILITY, _CLASS)
            chosen = [name for name in names if not name.startswith(left_out)]
            checksum = about.pop("checksum", None)
            if checksum not in (None, _checksum(about, names)):
                raise ValueError("its columns are not those that were written")
            table = opened.read(columns=chosen, use_threads=False)
        return _predictions(table, about, split, views)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DataError(damaged.format(_wrong(error))) from error


def _checksum(about: dict[str, Any], names: list[str]) -> str:
    """Hash of what the file says of its content, which the checksums of its pages do not cover."""
    return hash_json([about, names])[:16]


def _wrong(error: Exception) -> str:
    return f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else one_line(error)


def _predictions(table: "pa.Table", about: dict[str, Any], split: PredictedSplit, views: int) -> Predictions:
    """Raises KeyError where a column is missing, and ValueError where the content is no predictions of this split."""
    import numpy as np

    if (about["version"], about["split"], about["views"]) != (_VERSION, split, views):
        raise ValueError(f"it is of another kind: {about['split']}, {about['views']} views, version {about['version']}")
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    indices, labels, predicted = (columns[name].astype(np.int64) for name in _FIRST)
    number = int(about["num_classes"])
    if len(indices) and not ((np.diff(indices) > 0).all() and labels.max() < number and predicted.max() < number):
        raise ValueError("images repeat, or classes are beyond the network's")
    full = [columns[name] for label in range(number) if (name := f"{_PROBABILITY}{label}") in columns]
    if full and len(full) != number:
        raise ValueError(f"it has probabilities of {len(full)} of {number} classes")
    ranks = [rank for rank in range(1, number + 1) if f"{_CLASS}{rank}" in columns]
    top = None
    if ranks:
        top = TopClasses(
            np.stack([columns[f"{_CLASS}{rank}"].astype(np.int64) for rank in ranks], axis=1),
            np.stack([columns[f"{_OF_CLASS}{rank}"].astype(np.float32) for rank in ranks], axis=1),
        )
    return Predictions(
        split,
        indices,
        labels,
        predicted,
        number,
        np.stack(full, axis=1).astype(np.float32) if full else None,
        top,
        None if about["classes"] is None else np.array(about["classes"], dtype=np.int64),
        views,
        {name.removeprefix(_MARK): columns[name] for name in columns if name.startswith(_MARK)},
        str(about["data_fingerprint"]),
        columns[_FOLD].astype(np.int64) if _FOLD in columns else None,
    )


def _read_earlier(
    folder: Path, split: PredictedSplit, views: int, data_fingerprint: str | None
) -> Predictions | Unavailable | None:
    """What earlier versions have kept of the test images, if it can be used; it does not tell of which data."""
    from safetensors.numpy import load_file

    file = folder / EARLIER_PREDICTIONS_FILE
    if split != "test" or not file.is_file():
        return None
    try:
        stored = load_file(file)
        fingerprint = data_fingerprint or str(read_description(folder)["data_fingerprint"])
    except FileNotFoundError:
        return None
    except Exception as error:  # safetensors has errors of its own
        return Unavailable(f"{file} is damaged ({one_line(error)}); {_AGAIN}.")
    if not {"indices", "labels", f"probabilities_{views}"} <= stored.keys():
        return None
    said = Predictions.of("test", stored["indices"], stored["labels"], stored[f"probabilities_{views}"], views=views)
    return replace(said, data_fingerprint=fingerprint)
