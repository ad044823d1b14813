"""What is known of a model, from the files of its project, for its card."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.cli.model_choice import ChosenModel, results_file
from vision_studies.config.merge import flatten
from vision_studies.project_folders import run_records
from vision_studies.reports.formatting import MISSING, percent
from vision_studies.reports.model_card import model_card
from vision_studies.reports.tables import labels_of
from vision_studies.serving.networks import network_title
from vision_studies.statistics.metrics import COMPARED, METRICS
from vision_studies.studies.stored_runs import StoredRun

if TYPE_CHECKING:
    from vision_studies.serving.image_classifier import ImageClassifier

_CONFIDENCE = 0.95
_METRICS = (*COMPARED, *(metric for metric in METRICS if metric.of == "validation" and metric.shown == "column"))


def card_text(project: Path, chosen: ChosenModel) -> str:
    """The card of a model.

    Raises:
        CheckpointError, ParameterError, DataError: the model cannot be read.
    """
    from vision_studies.models.statistics import count_parameters
    from vision_studies.serving.opened_models import selected_model

    classifier = chosen.open()
    run = chosen.run
    selected = selected_model(chosen.path) if chosen.path.is_file() else None
    known = run.description if run else {"pipeline": "cifar_resnet", **(selected or {})}
    record = _record(project, run) if run else {}
    name = network_title(known["pipeline"], known["configuration"])
    columns = [metric.column for metric in _METRICS]
    own = {column: run.metric(column) if run else (selected or {}).get(column) for column in columns}
    training = next(iter(run.stages.values()), {}) if run else {}
    results = _results(project, run, own) if run else []
    return model_card(
        {
            "title": f"{name}, {known['study']}" if run else name,
            "pipeline": known["pipeline"],
            "study": known.get("study"),
            "variant": known.get("variant"),
            "seed": known.get("seed"),
            "trial": known.get("trial"),
            "run": run.fingerprint if run else known.get("run_fingerprint"),
            "label": run.label if run else None,
            "labels": labels_of(json.dumps(flatten(known["configuration"]))),
            "reference": run.fingerprint if run else chosen.path.name,
            "architecture": name,
            "parameters": (run.metric("parameters") if run else None) or count_parameters(classifier.network),
            "macs": run.metric("macs") if run else None,
            "best_epoch": run.metric("best_epoch") if run else None,
            "class_names": list(classifier.images.class_names),
            "image_size": classifier.images.image_size,
            "in_channels": classifier.images.in_channels,
            "mean": [round(value, 4) for value in classifier.images.normalisation.mean],
            "std": [round(value, 4) for value in classifier.images.normalisation.std],
            "validation_accuracy": own["validation_accuracy"],
            "test_accuracy": own["test_accuracy"],
            "calibration_error": own["test_calibration_error"],
            "results": results,
            "results_n": max((row["n"] for row in results), default=0),
            "confidence": _CONFIDENCE,
            "data": _data(project, classifier, known["data_fingerprint"], run, record),
            "data_fingerprint": known["data_fingerprint"],
            "configuration": known["configuration"],
            **_making(training, record, run),
        }
    )


def _data(
    project: Path, classifier: "ImageClassifier", fingerprint: str, run: StoredRun | None, record: dict[str, Any]
) -> dict[str, Any]:
    import numpy as np

    from vision_studies.serving.stored_data import prepared_data_sets

    data = prepared_data_sets(project).get(fingerprint)
    if data is None:
        return {"name": fingerprint, "splits": None}
    names = data.image_set.class_names
    labels = [names.index(name) for name in classifier.images.class_names]
    splits = []
    for split in ("train", "validation", "test"):
        positions = getattr(data.splits, split)
        splits.append((split, len(positions), int(np.isin(data.image_set.labels[positions], labels).sum())))
    source = data.image_set.origin.get("settings", {}).get("source")
    others = (run.metric("other_metrics") if run else None) or {}
    settings = record.get("parameters", {}).get("data_prep", {}).get("splits")
    return {
        "name": data.image_set.name,
        "source": ", ".join(source) if isinstance(source, list) else source,
        "splits": splits,
        "own_test": bool(data.image_set.is_test.any()),
        "learnt_from": others.get("training_images"),
        "split_settings": json.dumps(settings) if settings else None,
        "images_fingerprint": data.image_set.fingerprint,
    }


def _results(project: Path, run: StoredRun, own: dict[str, float | None]) -> list[dict[str, Any]]:
    """Metrics over the seeds of the model's variant; empty where the study has no results table that holds the run."""
    import numpy as np

    from vision_studies.statistics.intervals import summary
    from vision_studies.studies.results import read_results

    file = results_file(project, run.description["study"], run.description["pipeline"])
    if not file.is_file():
        return []
    table = read_results(file)
    rows = table[table["run_fingerprint"] == run.fingerprint]
    if rows.empty:
        return []
    alike = table[(table["variant"] == rows["variant"].iloc[0]) & (table["trial"] == rows["trial"].iloc[0])]
    found = []
    for metric in _METRICS:
        over = summary(alike[metric.column].to_numpy(dtype=float), confidence=_CONFIDENCE)
        if over.n:
            low, high = np.clip((over.low, over.high), 0, 1 if metric.is_fraction else None)
            show = percent if metric.is_fraction else _four_decimals
            name = metric.column.replace("_", " ")
            found.append(
                {
                    "name": name if metric.is_fraction else f"{name} ({metric.unit})",
                    "own": show(own[metric.column]),
                    "n": over.n,
                    "mean": show(over.mean),
                    "deviation": show(over.standard_deviation),
                    "interval": MISSING if np.isnan(low) else f"{show(low)} to {show(high)}",
                }
            )
    return found


def _record(project: Path, run: StoredRun) -> dict[str, Any]:
    """The record of the command during which the run's training ended; empty where there is none."""
    training = next(iter(run.stages.values()), None)
    if training is None:
        return {}
    ended = training["provenance"]["finished_at"]
    folder = run_records(project, run.description["study"])
    for file in sorted(folder.glob("*.json"), reverse=True):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["started_at"] <= ended <= record.get("finished_at", ended):
            return record
    return {}


def _making(training: dict[str, Any], record: dict[str, Any], run: StoredRun | None) -> dict[str, Any]:
    provenance = training.get("provenance", {})
    versions = provenance.get("versions", {})
    device = run.metric("device") if run else None
    gpus = ", ".join(record.get("gpus", []))
    hardware = [record.get("processor"), gpus or None, f"device {device}" if device else None]
    return {
        "command": _command(record) if record else None,
        "commit": provenance.get("git_commit"),
        "finished_at": provenance.get("finished_at"),
        "seconds": run.metric("seconds") if run else None,
        "hardware": "; ".join(part for part in hardware if part),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _command(record: dict[str, Any]) -> str:
    """The command that a record is of, as it would be typed."""
    parts = ["kedro run"]
    if record["study"] != "base":
        parts.append(f"--env={record['study']}")
    pipelines = [name for name in record["pipelines"] if name != "__default__"]
    if pipelines:
        parts.append(f"--pipeline{'s' if len(pipelines) > 1 else ''}={','.join(pipelines)}")
    given = flatten(record.get("command_line_parameters") or {})
    if given:
        parts.append(f"--params={','.join(f'{name}={json.dumps(value)}' for name, value in given.items())}")
    return " ".join(parts)


def _four_decimals(value: float | None) -> str:
    return MISSING if value is None or value != value else f"{value:.4f}"  # noqa: PLR0124 - NaN
