"""Reading the files that W&B writes offline: records of protocol buffers in LevelDB's log format."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
HEADER = 7  # checksum, length and kind of a piece; the file's own header is as long
FULL, FIRST, LAST = 1, 2, 4


@dataclass
class OfflineRun:
    """What one `.wandb` file holds."""

    id: str = ""
    name: str = ""
    group: str = ""
    kind: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, list[str]] = field(default_factory=dict)
    exit_code: int | None = None
    started: float = 0.0

    def values(self, name: str) -> list[tuple[int, float]]:
        """Step and value of a metric."""
        return [(row["_step"], row[name]) for row in self.history if name in row]


def read_offline_runs(folder: Path) -> dict[str, OfflineRun]:
    """Every run below a folder by its name; a run that is there twice is a mistake."""
    runs = [read_offline_run(file) for file in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]
    assert len({run.id for run in runs}) == len(runs)
    return {run.name: run for run in runs}


def read_offline_run(file: Path) -> OfflineRun:
    from wandb.proto.wandb_internal_pb2 import Record

    run = OfflineRun()
    for content in _records(file.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            own = record.run
            run.id, run.name, run.group, run.kind = own.run_id, own.display_name, own.run_group, own.job_type
            run.project, run.tags, run.started = own.project, list(own.tags), own.start_time.ToSeconds()
            _update(run.config, own.config.update)
        elif kind == "config":
            _update(run.config, record.config.update)
        elif kind == "history":
            row: dict[str, Any] = {"_step": record.history.step.num}
            _update(row, record.history.item)
            run.history.append(row)
        elif kind == "summary":
            _update(run.summary, record.summary.update)
        elif kind in ("artifact", "request"):
            artifact = record.artifact if kind == "artifact" else record.request.log_artifact.artifact
            if artifact.name:
                run.artefacts[artifact.name] = [entry.path for entry in artifact.manifest.contents]
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _update(values: dict[str, Any], items: Any) -> None:
    for item in items:
        values[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)


def _records(content: bytes) -> Iterator[bytes]:
    assert content[:4] == b":W&B"
    place, begun = HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + HEADER])
        piece = content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        begun = piece if kind in (FULL, FIRST) else begun + piece
        if kind in (FULL, LAST):
            yield begun
