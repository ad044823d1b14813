"""Whether two projects hold the same results, number by number; times and names of versions may differ."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

VOLATILE = {
    "seconds",
    "own_seconds",
    "seconds_an_image",
    "images_per_second",
    "peak_memory_mb",
    "finished_at",
    "started_at",
    "git_commit",
    "trial_times",
    "checksum",  # of results with their times
}
"""Names of what differs from one undisturbed run to the next."""

_LOCKS = (".lock", ".holder")
_VERSION = re.compile(r"\d{4}-\d\d-\d\dT[\d.]+Z")
# Checkpoints are for going on, hold times, and are no results.
_SKIPPED = ("run_records", "output.txt", "label.json", "checkpoints")
_SHOW_TIMES = ("configuration_comparison", "efficiency_metrics", "training_time_and_accuracy")  # tables, as text


def contents(folders: Iterable[Path], project: Path) -> dict[str, Any]:
    """What lies in folders: place (of versions, the newest) -> content in a form that can be compared.

    Files whose name begins with a dot are what a killed writer leaves, and locks; nothing may take them for results.
    """
    found: dict[str, Any] = {}
    for folder in folders:
        files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
        for file in files:
            parts = file.relative_to(project).parts
            if any(part.startswith(".") or part in _SKIPPED for part in parts) or file.suffix in _LOCKS:
                continue
            place = "/".join(part for part in parts if not _VERSION.fullmatch(part))
            found[place] = _content(file)  # sorted: a newer version comes after an older one
    return found


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Places where two `contents` differ."""
    missing = [f"{place} is missing" for place in expected if place not in found]
    further = [f"{place} is there" for place in found if place not in expected]
    changed = [f"{place} differs" for place, own in expected.items() if place in found and found[place] != own]
    return missing + further + changed


def finished_stages(folders: Iterable[Path]) -> dict[str, bytes]:
    """Results of stages that have ended: whoever continues must leave every byte of them alone."""
    found = {}
    for folder in folders:
        for file in folder.glob("runs/*/*.json"):
            if not file.name.startswith(".") and file.name != "run.json":
                content = file.read_bytes()
                if b'"finished_at"' in content and b'"status": "failed"' not in content:
                    found[str(file)] = content
    return found


def _content(file: Path) -> Any:
    if file.stem in _SHOW_TIMES:
        return file.stat().st_size > 0
    reader = _READERS.get(file.suffix)
    return reader(file) if reader else hashlib.sha256(file.read_bytes()).hexdigest()


def _plain(value: Any) -> Any:
    """Without what differs from run to run; JSON within JSON is opened."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        pairs = value and all(isinstance(item, list) and len(item) == 2 for item in value)  # of a checkpoint's state
        return [_plain(item) for item in value if not (pairs and isinstance(item[0], str) and item[0] in VOLATILE)]
    if isinstance(value, str) and value[:1] in "{[" and value:
        try:
            return _plain(json.loads(value))
        except ValueError:
            return value
    return value


def _json(file: Path) -> Any:
    return _plain(json.loads(file.read_text(encoding="utf-8")))


def table_content(table: pd.DataFrame) -> Any:
    """What a table holds that may be compared, whatever the types of empty columns."""
    kept = table[[name for name in table.columns if name not in VOLATILE]]
    return _plain(json.loads(kept.to_json(orient="split", double_precision=15)))


def _safetensors(file: Path) -> Any:
    with safe_open(file, framework="np") as opened:
        names = sorted(opened.keys())
        tensors = {name: hashlib.sha256(np.ascontiguousarray(opened.get_tensor(name))).hexdigest() for name in names}
        described = {key: value for key, value in (opened.metadata() or {}).items() if key == "state"}
    return tensors, _plain(described)


def _present(file: Path) -> Any:
    """Pictures and pages show times, and draw what the tables hold: here they must be whole."""
    content = file.read_bytes()
    ends = {".png": b"IEND\xaeB`\x82", ".html": b"</html>"}
    return content.rstrip().endswith(ends[file.suffix])


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".parquet": lambda file: table_content(pd.read_parquet(file)),
    ".csv": lambda file: table_content(pd.read_csv(file)),
    ".safetensors": _safetensors,
    ".png": _present,
    ".html": _present,
}
