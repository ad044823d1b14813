"""What is known of a model, from the files of its project, for its card."""

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.cli.model_choice import SELECTED, ChosenModel, results_file
from vision_studies.config.merge import flatten
from vision_studies.project_folders import run_records
from vision_studies.reports.formatting import MISSING, number, percent
from vision_studies.reports.model_card import model_card
from vision_studies.reports.tables import labels_of
from vision_studies.run_folders import folds_of, network_folder
from vision_studies.statistics.metrics import COMPARED, METRICS
from vision_studies.studies.method import networks_of
from vision_studies.studies.question import read_records
from vision_studies.studies.stored_runs import StoredRun, read_run

if TYPE_CHECKING:
    from vision_studies.training.classifier import ImageClassifier

_CONFIDENCE = 0.95
_METRICS = (*COMPARED, *(metric for metric in METRICS if metric.of == "validation" and metric.shown == "column"))


def card_text(project: Path, chosen: ChosenModel) -> str:
    """The card of a model. Raises CheckpointError, ParameterError, DataError where the model cannot be read."""
    from vision_studies.models.statistics import network_size
    from vision_studies.serving.opened_models import selected_model

    classifier, run = chosen.open(), chosen.run
    selected = (selected_model(chosen.path) if chosen.path.is_file() else None) or {}
    description = run.description if run else {"pipeline": SELECTED, **selected}
    record = _record(project, run) if run else {}
    images = classifier.images
    # Of the whole: a run's own numbers may be of the part that it has trained, such as a classifier on a network's features.
    size = network_size(classifier.network, (images.in_channels, images.image_size, images.image_size))
    name = networks_of(description["pipeline"]).title(description["configuration"])

    def metric(column: str) -> Any:
        return run.metric(column) if run else None

    measured = {metric.column: (run.metric if run else selected.get)(metric.column) for metric in _METRICS}
    results = _results(project, run, measured) if run else []
    return model_card(
        {
            **{key: description.get(key) for key in ("pipeline", "study", "variant", "seed", "trial")},
            **{key: metric(key) for key in ("best_epoch", "seconds")},
            **size,
            **{key: measured[key] for key in ("validation_accuracy", "test_accuracy")},
            "title": f"{name}, {description['study']}" if run else name,
            "folds": len(folds_of(run.folder)) if run else 0,
            "run": run.fingerprint if run else description.get("run_fingerprint"),
            "label": run.label if run else None,
            "labels": labels_of(json.dumps(flatten(description["configuration"]))),
            "reference": run.fingerprint if run else chosen.path.name,
            "architecture": name,
            "class_names": list(images.class_names),
            "image_size": images.image_size,
            "resize": images.decoding.resize,
            "background": images.decoding.background,
            "in_channels": images.in_channels,
            "mean": [round(value, 4) for value in images.normalisation.mean],
            "std": [round(value, 4) for value in images.normalisation.std],
            "calibration_error": measured["test_calibration_error"],
            "results": results,
            "results_n": max((row["n"] for row in results), default=0),
            "confidence": _CONFIDENCE,
            "data": _data(project, classifier, description["data_fingerprint"], run, record),
            "data_fingerprint": description["data_fingerprint"],
            "configuration": description["configuration"],
            **_making(run, record),
        }
    )


def _data(
    project: Path, classifier: "ImageClassifier", fingerprint: str, run: StoredRun | None, record: dict[str, Any]
) -> dict[str, Any]:
    import numpy as np

    from vision_studies.serving.stored_data import images_of_runs, prepared_data_sets

    used = (
        None if run is None else read_run(network_folder(run.folder))
    )  # of a run of folds, the one whose network it is
    data = prepared_data_sets(project).get(fingerprint) if used is None else images_of_runs(project)(used)
    if data is None:
        return {"name": fingerprint, "splits": None}
    names = data.image_set.class_names
    is_of_model = np.isin(data.image_set.labels, [names.index(name) for name in classifier.images.class_names])
    splits = [
        (split, len(positions), int(is_of_model[positions].sum()))
        for split in ("train", "validation", "test")
        for positions in (getattr(data.splits, split),)
    ]
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


def _results(project: Path, run: StoredRun, measured: dict[str, float | None]) -> list[dict[str, Any]]:
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
    results = []
    for metric in _METRICS:
        over = summary(alike[metric.column].to_numpy(dtype=float), confidence=_CONFIDENCE)
        low, high = np.clip((over.low, over.high), 0, 1 if metric.is_fraction else None)
        show, name = percent if metric.is_fraction else partial(number, decimals=4), metric.column.replace("_", " ")
        row = {
            "name": name if metric.is_fraction else f"{name} ({metric.unit})",
            "own": show(measured[metric.column]),
            "n": over.n,
            "mean": show(over.mean),
            "deviation": show(over.standard_deviation),
            "interval": MISSING if np.isnan(low) else f"{show(low)} to {show(high)}",
        }
        results += [row] if over.n else []
    return results


def _record(project: Path, run: StoredRun) -> dict[str, Any]:
    """The record of the command during which the run's training ended; empty where there is none."""
    training = next(iter(run.stages.values()), None)
    if training is None:
        return {}
    ended = training["provenance"]["finished_at"]
    for record in reversed(read_records(run_records(project, run.description["study"]))):
        if record["started_at"] <= ended <= record.get("finished_at", ended):
            return record
    return {}


def _making(run: StoredRun | None, record: dict[str, Any]) -> dict[str, Any]:
    provenance = next(iter(run.stages.values()))["provenance"] if run and run.stages else {}
    device = run.metric("device") if run else None
    hardware = [record.get("processor"), ", ".join(record.get("gpus", [])), f"device {device}" if device else None]
    return {
        "command": _command(record) if record else None,
        "commit": provenance.get("git_commit"),
        "finished_at": provenance.get("finished_at"),
        "hardware": "; ".join(filter(None, hardware)),
        "versions": ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items()),
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
        values = ",".join(f"{name}={json.dumps(value)}" for name, value in given.items())
        parts.append(shlex.quote(f"--params={values}"))
    return " ".join(parts)
