"""What the folder of a run looks like: its description, the results of its stages, its history and its label.

A run's folder is `<models>/<study>/<pipeline>/runs/<fingerprint>`, with `models` usually `data/06_models`.
"""

import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.errors import DataError
from vision_studies.files import hash_json, write_json
from vision_studies.outcomes import FAILED
from vision_studies.stored_tables import read_table

if TYPE_CHECKING:
    import pandas as pd

FAILURE_ENDING = "_failure.txt"
DESCRIPTION_FILE, HISTORY_FILE, LABEL_FILE, LOCK_FILE = "run.json", "history.parquet", "label.json", ".lock"
FOLDS_FILE = "folds.json"
"""In the folder of a run that is put together from those of the folds of a cross-validation: which runs these are."""
PACE_FILE = "pace.json"
"""In the folder of a candidate of `choose` whose networks are trained within a budget: how long that takes."""
_BESIDE_STAGES = frozenset({DESCRIPTION_FILE, LABEL_FILE, FOLDS_FILE, PACE_FILE})
"""Files of a run's folder in JSON that are no stage's result."""
CHECKPOINTS = "checkpoints"
FINAL_FILE = "final.safetensors"
"""State of a training that has ended, among its checkpoints."""

GROUPS = "stacks"
"""Folder among those of runs, in which is written down which runs are trained together."""
WEIGHTS_FILE = "weights.safetensors"
"""Selected weights of a network."""

CACHE = ".evidence.npz"
"""File among the folders of runs with which test images they got right; it is made again where it is gone."""

EARLIER_PREDICTIONS_FILE = "predictions.safetensors"
"""What earlier versions have kept of the test images."""

MEND = "delete its folder and run the study again"
"""What to do about a damaged file of a run, as the end of a sentence."""

_CHECKED = ("metrics", "status", "reason")
_NUMBERED = re.compile(r"epoch_(\d+)\.safetensors")
_KEPT_FILE = "kept.json"
_LEFT_OUT_FILE = "left_out.json"
_UNFINISHED_FILE = "over_budget.json"


def note_left_out(folder: Path, reason: str | None) -> None:
    """Note in a pipeline's folder of the report why it was left out of its study; None: it was not."""
    file = folder / _LEFT_OUT_FILE
    if reason is None:
        file.unlink(missing_ok=True)
    elif read_left_out(folder) != reason:
        write_json(file, {"reason": reason})


def read_left_out(folder: Path) -> str | None:
    """What `note_left_out` has noted; None where that is nothing, or damaged: the next run of the study notes it anew."""
    try:
        return str(json.loads((folder / _LEFT_OUT_FILE).read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def note_unfinished(folder: Path, reason: str | None) -> None:
    """Note in a pipeline's folder of the report what of its study a budget has left undone; None: nothing."""
    file = folder / _UNFINISHED_FILE
    if reason is None:
        file.unlink(missing_ok=True)
    else:
        write_json(file, {"reason": reason})


def read_unfinished(folder: Path) -> str | None:
    """What `note_unfinished` has noted; None where that is nothing, or damaged."""
    try:
        return str(json.loads((folder / _UNFINISHED_FILE).read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run that has begun, and not what runs share, such as features."""
    return (folder / DESCRIPTION_FILE).is_file()


def run_folder_of(path: Path) -> Path | None:
    """The folder of the run that wrote a file of weights; None where the file lies in none."""
    return next((folder for folder in path.absolute().parents[:2] if is_run(folder)), None)


def run_folders(runs: Path) -> list[Path]:
    """Folders of the runs in `runs`, by name."""
    return [file.parent for file in sorted(runs.glob(f"*/{DESCRIPTION_FILE}"))]


def read_description(folder: Path, needed: Collection[str] = ()) -> dict[str, Any]:
    """Pipeline, study, variant, trial, seed, configuration, data_fingerprint and method_version of a run, `needed` ones at
    least. Raises FileNotFoundError where the folder is not that of a run, and DataError where the description is damaged.
    """
    return _read_object(folder / DESCRIPTION_FILE, needed)


def read_label(folder: Path) -> str | None:
    """The name that somebody gave a run. Raises DataError where the file is damaged."""
    file = folder / LABEL_FILE
    return str(_read_object(file, ("label",))["label"]) if file.exists() else None


def network_folder(folder: Path) -> Path:
    """Folder of the run whose network is used for a run: its own or, where it is put together from folds, that of the fold that
    is best by validation. Raises DataError where the file that names them is damaged.
    """
    file = folder / FOLDS_FILE
    return folder.parent / str(_read_object(file, ("best",))["best"]) if file.is_file() else folder


def folds_of(folder: Path) -> list[Path]:
    """Folders of the runs of the folds that a run is put together from, in their order; none of another run. Raises DataError
    where the file that names them is damaged.
    """
    file = folder / FOLDS_FILE
    return [folder.parent / str(name) for name in _read_object(file, ("runs",))["runs"]] if file.is_file() else []


def predictions_file(folder: Path, split: str, views: int = 1) -> Path:
    """Where a run keeps what it has said of the images of a split, as the mean of so many test-time views."""
    return folder / f"predictions_{split}{f'_views_{views}' if views > 1 else ''}.parquet"


def read_history(folder: Path, columns: Collection[str] | None = None) -> "pd.DataFrame":
    """What a run measured, one row an epoch. Raises FileNotFoundError where it has no history, and DataError where the file is
    damaged.
    """
    return read_table(folder / HISTORY_FILE, MEND, None if columns is None else list(columns))


def epoch_of(file: Path) -> int | None:
    """The epoch, from 1, after which a checkpoint was written; None of a file that is no numbered checkpoint."""
    numbered = _NUMBERED.fullmatch(file.name)
    return int(numbered[1]) if numbered else None


def numbered_checkpoints(folder: Path) -> dict[Path, int]:
    """Checkpoints of single epochs in a folder of checkpoints -> the epoch; oldest first."""
    epochs = {file: epoch for file in folder.glob("*.safetensors") if (epoch := epoch_of(file)) is not None}
    return dict(sorted(epochs.items(), key=lambda item: item[1]))


def keep_for_good(folder: Path, every: int | None) -> None:
    """Note among its checkpoints that a training keeps those of `every` so many epochs; None: of none."""
    if every != kept_for_good(folder):
        write_json(folder / _KEPT_FILE, {"every": every})


def kept_for_good(folder: Path) -> int | None:
    """What `keep_for_good` has noted; None where that is nothing. Raises DataError where the note is damaged."""
    file = folder / _KEPT_FILE
    every = _read_object(file, ("every",))["every"] if file.exists() else None
    if every is not None and (type(every) is not int or every < 1):
        raise DataError(f"{file} is damaged; {MEND}.")
    return every


def unneeded_checkpoints(folder: Path, *, newest: int, every: int | None = None) -> list[Path]:
    """Numbered checkpoints that are neither among the `newest` nor kept for good, or of `every` so many epochs instead (0: of
    none). Raises DataError as `kept_for_good`.
    """
    numbered, every = numbered_checkpoints(folder), kept_for_good(folder) if every is None else every
    older = list(numbered)[: max(0, len(numbered) - newest)]
    return [file for file in older if not every or numbered[file] % every]


def stage_files(folder: Path) -> list[Path]:
    """Results of all stages that have ended; a writer that was killed leaves files whose names begin with a dot."""
    return [path for path in folder.glob("*.json") if is_stage_file(path)]


def is_stage_file(path: Path) -> bool:
    """Whether a file of a run's folder is called as the result of a stage."""
    return path.suffix == ".json" and not path.name.startswith(".") and path.name not in _BESIDE_STAGES


def read_stage(path: Path) -> dict[str, Any]:
    """Metrics, status, reason and provenance of a stage. Raises FileNotFoundError where the stage has not ended, and DataError
    where the file is damaged, be it by a single digit.
    """
    result = _read_object(path, _CHECKED)
    if "checksum" in result and result["checksum"] != _checksum([result[name] for name in _CHECKED]):
        raise DataError(f"{path} is damaged; {MEND}.") from ValueError("its numbers are not those that were written")
    return result


def write_stage(
    path: Path, metrics: dict[str, Any], status: str, reason: str | None, provenance: dict[str, Any]
) -> None:
    """Write what a stage has found; the file makes the stage finished."""
    result = {"metrics": metrics, "status": status, "reason": reason}
    write_json(path, result | {"checksum": _checksum([*result.values()]), "provenance": provenance})


def descriptions(runs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and description of every run in `runs` whose description can be read."""
    for folder in run_folders(runs):
        with suppress(OSError, DataError):  # whoever needs the run itself tells of the damage
            yield folder, read_description(folder)


def runs_state(runs: Path, until: int) -> str | None:
    """What tells runs from what they are once a file of theirs was changed or deleted; None where one has failed.

    A failure is tried once more by every command, so runs among which there is one are never as they should be. Files that
    were written later, as by the next stage, are no change.

    Args:
        runs: folder of the runs.
        until: time after which files are later ones, in nanoseconds since 1970.
    """
    entries = []
    for folder in sorted(set(runs.glob("[!.]*/")) - {runs / GROUPS}):  # which say only what was trained together
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.endswith(FAILURE_ENDING) and _has_failed(folder, entry.name.removesuffix(FAILURE_ENDING)):
                return None
            status = entry.stat()
            if not entry.name.startswith(".") and status.st_mtime_ns <= until:  # locks, and who holds them
                entries.append([folder.name, entry.name, status.st_size, status.st_mtime_ns])
    return hash_json(entries)


def _has_failed(folder: Path, stage: str) -> bool:
    try:
        return bool(read_stage(folder / f"{stage}.json")["status"] == FAILED)
    except (FileNotFoundError, DataError):
        return True


def _checksum(checked: list[Any]) -> str:
    """Hash of what a stage has found, as JSON gives it back: a changed digit is valid JSON, too."""
    return hash_json(json.loads(json.dumps(checked)))[:16]


def _read_object(path: Path, needed: Collection[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in needed if name not in content]
        if not isinstance(content, dict) or missing:
            raise ValueError(f"no {missing}")
        return content
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged; {MEND}.") from error
