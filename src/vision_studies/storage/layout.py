"""What of a project's `data/` is kept in a store, and in which portions."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from vision_studies.errors import StorageError
from vision_studies.files import visible_files
from vision_studies.project_folders import LAYERS
from vision_studies.run_folders import LABEL_FILE, is_run, is_stage_file, stage_files

PRIMARY, MODEL_INPUT, MODELS, OUTPUT, REPORTING = LAYERS
_DEPTHS = {PRIMARY: 2, MODEL_INPUT: 2, OUTPUT: 3, REPORTING: 2}
# The state of the optimiser is three times as large as the weights, and nothing reads it once the training has ended.
_LEFT_OUT = ("*.lock", "*.holder", "epoch_*.safetensors", "final.safetensors")


def data_places(data_set: str) -> tuple[str, ...]:
    """Folders below `data/` that belong to a data set."""
    return (f"{PRIMARY}/{data_set}", f"{MODEL_INPUT}/{data_set}")


def study_places(study: str) -> tuple[str, ...]:
    """Folders below `data/` that belong to a study."""
    return (f"{MODELS}/{study}", f"{OUTPUT}/{study}", f"{REPORTING}/{study}")


def portion_of(relative: Path) -> str:
    """The folder that is kept as one (a run's, a data set's, a pipeline's tables, a study's report) of a path below `data/`.

    Raises:
        StorageError: nothing there is kept.
    """
    if not is_kept(relative):
        raise StorageError(
            f"{relative} is not a folder that a store keeps; name a run, a data set or a study's tables."
        )
    return "/".join(relative.parts[: _depth(relative)])


def is_kept(relative: Path) -> bool:
    """Whether a path below `data/` is, or lies in, a folder that a store keeps."""
    return 0 < _depth(relative) <= len(relative.parts)


def contradict(here: Mapping[str, object], there: Mapping[str, object]) -> bool:
    """Whether two states of a portion hold different things under one name; that a run was called otherwise is none."""
    return any(here[name] != there[name] for name in (here.keys() & there.keys()) - {LABEL_FILE})


def is_whole(portion: str) -> bool:
    """Whether files of two origins must not be mixed: those of a run and of an image set belong together."""
    return portion.startswith(f"{PRIMARY}/") or _is_in_runs(portion)


def has_result(root: Path, portion: str) -> bool:
    """Whether there is anything here that is worth keeping: of a run, a stage that has ended without failure."""
    if portion.startswith(f"{PRIMARY}/"):
        return (root / portion / "image_set/image_set.json").is_file()
    if _holds_run(root, portion):
        return any(not _has_failed(file) for file in stage_files(root / portion))
    return any(True for _ in kept_files(root, portion))


def portions_at(root: Path, folder: str, *, runs: bool = True) -> list[str]:
    """Portions at or below `folder` that have a result here; with or without those of runs."""
    layer, _, name = folder.partition("/")
    below = {OUTPUT: ("/*",), MODELS: ("/*/*", "/*/runs/*")}.get(layer, ("",))
    portions = [path for pattern in below for path in _folders(root, f"{folder}{pattern}")] if name else []
    if layer == MODELS:  # stacks are runs that have not ended
        portions = [path for path in portions if not path.endswith(("/runs", "/runs/stacks"))]
    wanted = (portion for portion in portions if runs or not _holds_run(root, portion))
    return [portion for portion in wanted if has_result(root, portion)]


def kept_files(root: Path, portion: str) -> Iterator[tuple[str, Path]]:
    """Files of a portion that are kept, by their path below it."""
    folder = root / portion
    in_runs = _is_in_runs(portion)
    for path in visible_files(folder):
        if path.is_symlink():
            continue
        # A failure is tried again by every command; it must not take the place of what another machine has found.
        failed = in_runs and path.parent == folder and _has_failed(path)
        if not failed and not any(fnmatch(path.name, pattern) for pattern in _LEFT_OUT):
            yield path.relative_to(folder).as_posix(), path


def written_last(name: str) -> bool:
    """Whether a file tells that others are there: it is written after them."""
    return name.endswith(".json")


def _has_failed(file: Path) -> bool:
    if file.name.endswith("_failure.txt"):
        return True
    if not is_stage_file(file):
        return False
    try:
        stage = json.loads(file.read_bytes())
    except ValueError:
        return True
    return isinstance(stage, dict) and stage.get("status") == "failed"


def _depth(relative: Path) -> int:
    """Of the folder that is kept as one; 0 in layers that are not kept."""
    parts = relative.parts
    if parts[:1] == (MODELS,):
        return 5 if "runs" in parts[3:4] else 4
    return _DEPTHS.get(parts[0], 0) if parts else 0


def _is_in_runs(portion: str) -> bool:
    return portion.startswith(f"{MODELS}/") and portion.split("/")[3:4] == ["runs"]


def _holds_run(root: Path, portion: str) -> bool:
    """Whether it is one, and not what runs share, such as features."""
    return _is_in_runs(portion) and is_run(root / portion)


def _folders(root: Path, pattern: str) -> list[str]:
    paths = (path.relative_to(root) for path in sorted(root.glob(pattern)) if path.is_dir())
    return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]
