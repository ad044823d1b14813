"""The table of `kedro models list`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.cli.model_choice import SELECTED, best_runs, newest_selected, why_unusable
from vision_studies.project_folders import MODELS, PRIMARY
from vision_studies.reports.formatting import count, percent
from vision_studies.reports.table import Table
from vision_studies.studies.method import WEIGHTS_FILE, networks_of
from vision_studies.studies.stored_runs import StoredRun, find_runs

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

_NO_IMAGES = f"the images that they were trained on are no longer in {PRIMARY}"


def models_text(project: Path, study: str | None, *, every: bool) -> str:
    """Models that can be used, a table for each study and pipeline, and a line for those that cannot; empty without runs.

    `every`: show runs without a test accuracy, too.
    """
    from vision_studies.serving.stored_data import prepared_data_sets

    runs = find_runs(project / MODELS, study)
    data = prepared_data_sets(project)
    best = best_runs(project, runs)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    left_out: Counter[str] = Counter()
    for run in runs:
        key = (run.description["study"], run.description["pipeline"])
        reason = why_unusable(run)
        if reason is None and run.description["data_fingerprint"] not in data:
            reason = _NO_IMAGES
        if reason is not None:
            left_out[f"of {key[0]}, {key[1]}, cannot be used: {reason}"] += 1
        elif run.metric("test_accuracy") is None and not every:
            left_out[f"of {key[0]}, {key[1]}, not scored on test (trials of a search, for one): --all shows them"] += 1
        else:
            row = _row(run, data[run.description["data_fingerprint"]], is_best=best.get(key) is run)
            groups.setdefault(key, []).append(row)
    blocks = [f"{_heading(project, *key)}\n{_table(rows)}" for key, rows in groups.items()]
    if best:
        blocks.append("* best validation accuracy: what --env (with --pipeline, where there are several) stands for")
    notes = [f"{number} {'run' if number == 1 else 'runs'} {what}" for what, number in left_out.items()]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _heading(project: Path, study: str, pipeline: str) -> str:
    place = MODELS / study / pipeline
    heading = f"{study}, {pipeline}: {place / 'runs/RUN' / WEIGHTS_FILE}"
    selected = newest_selected(project, study) if pipeline == SELECTED else None
    return f"{heading}\nits best alone: {selected.relative_to(project)}" if selected else heading


def _row(run: StoredRun, data: "PreparedData", *, is_best: bool) -> dict[str, Any]:
    height, width, channels = data.image_set.images.shape[1:]
    configuration = run.description["configuration"]
    return {
        "run": f"{run.fingerprint}{' *' if is_best else ''}",
        "label": run.label or "",
        **{name: run.description[name] for name in ("variant", "trial", "seed")},
        "architecture": networks_of(run.description["pipeline"]).title(configuration),
        "parameters": count(run.metric("parameters")),
        "validation": percent(run.metric("validation_accuracy")),
        "test": percent(run.metric("test_accuracy")),
        "images": f"{height} × {width} × {channels}",
        "classes": len(configuration.get("classes", data.image_set.class_names)),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    right = ("trial", "seed", "parameters", "validation", "test", "images", "classes")
    align = "".join("r" if name in right else "l" for name in rows[0])
    return Table(rows, align=align).without("label", "trial").terminal()
