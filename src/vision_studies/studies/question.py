"""The question that a study asks: the parameters that decide a pipeline's runs, and the images.

The present question is that of the study's newest command. Tables and figures follow from the command that left them, so the
records of commands tell whether they answer it. Runs outlive questions: the methods tell which of them it asks for.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vision_studies.config.data_prep import DataPrepSettings, data_set_key
from vision_studies.config.merge import flatten
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.config.study import ExecutionSettings, StudySettings
from vision_studies.errors import VisionStudiesError
from vision_studies.outcomes import COMPLETE
from vision_studies.project_folders import MODELS, PRIMARY, run_records
from vision_studies.studies.method import load_method, make_context
from vision_studies.studies.run_store import RunStore

Record = Mapping[str, Any]
Images = tuple[datetime, str]
"""When a study's images were prepared, and what tells these from others."""

_CHANGES_SHOWN = 6


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Records of a study's commands, the oldest first; what cannot be read is left out, for results do not depend on it."""
    records = []
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
        records += [record] if isinstance(record, dict) and "parameters" in record else []
    return records


def asked_for(project: Path, study: str) -> dict[str, set[str] | None]:
    """Runs that the present question of a study asks for.

    Args:
        project: folder of the project.
        study: its name.

    Returns:
        Pipeline in whose folder they lie -> their fingerprints; None where that cannot be told, as where the images are gone.
        Pipelines that no command of the study did are left out.
    """
    records = read_records(run_records(project, study))
    asked: dict[str, set[str] | None] = {}
    for name in METHODS:
        if any(did(record, name) for record in records):
            folder, runs = load_method(name).runs_of or name, _asked(project, study, name, records[-1]["parameters"])
            earlier = asked.get(folder, set())
            asked[folder] = None if runs is None or earlier is None else runs | earlier
    return asked


def _asked(project: Path, study: str, pipeline: str, parameters: Mapping[str, Any]) -> set[str] | None:
    import pandas as pd

    from vision_studies.data.image_set import ImageSet
    from vision_studies.studies.forecast import forecast

    method = load_method(pipeline)
    folder = project / MODELS / study / (method.runs_of or pipeline) / "runs"
    try:
        models = [settings_model(name).model_validate(parameters[name]) for name in method.parameter_names]
        study_settings = StudySettings.model_validate(parameters["study"])
        execution = ExecutionSettings.model_validate(parameters["execution"])
        images = project / PRIMARY / data_set_key(DataPrepSettings.model_validate(parameters["data_prep"]))
        data: list[Any] = [None, None]
        if images.is_dir():
            data = [ImageSet.open(images / "image_set"), pd.read_parquet(images / "splits.parquet")]
        context = make_context(method, models, study_settings, execution, False, data, RunStore(folder))
        decisions = [decision for stage in forecast(context) for decision in stage.decisions]
    except (VisionStudiesError, ValidationError, OSError, KeyError):
        return None
    return {decision.fingerprint for decision in decisions if decision.fingerprint is not None}


def earlier_questions(
    records: Sequence[Record], images: Sequence[Images] = (), *, running: bool = False
) -> dict[str, str]:
    """Why tables and figures of a pipeline do not answer the present question.

    Args:
        records: of a study's commands, the oldest first.
        images: of each time that they were prepared, likewise.
        running: whether the newest command is this one, in which the pipelines have been done already.

    Returns:
        Pipeline -> words that follow "its results are": "of other parameters (...)" or "of other images". Pipelines that answer
        it are not among them, nor those that no command did.
    """
    reasons = {name: _reason(name, records, images, running=running) for name in METHODS} if records else {}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason(pipeline: str, records: Sequence[Record], images: Sequence[Images], *, running: bool) -> str | None:
    newest = records[-1]
    for record in reversed(records):
        if not did(record, pipeline):
            continue
        changed = _changed(record["parameters"], newest["parameters"], pipeline)
        if changed:
            shown = ", ".join(changed[:_CHANGES_SHOWN]) + (" and more" if len(changed) > _CHANGES_SHOWN else "")
            return f"of other parameters ({shown})"
        has_ended = record.get("status") == COMPLETE or (running and record is newest)
        if has_ended and not record.get("selection"):
            return "of other images" if _images_changed(record, images) else None
    return None


def did(record: Record, pipeline: str) -> bool:
    """Whether a command did something of a pipeline; records of earlier versions tell only what was asked for."""
    names = record.get("namespaces", record.get("pipelines", ()))
    return pipeline in names or "__default__" in names


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], pipeline: str) -> list[str]:
    """Dotted names of the parameters that decide a pipeline's runs and differ."""
    names = [name for name in load_method(pipeline).parameter_names if name in before or name in after]
    pairs = {name: _settled(name, before.get(name), after.get(name)) for name in names}
    old, new = (flatten({name: pair[side] for name, pair in pairs.items()}) for side in (0, 1))
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    prepared = [values.get("data_prep") for values in (before, after)]
    return [*changed, "data_prep"] if _key(prepared[0]) != _key(prepared[1]) else changed


def _settled(name: str, *values: Any) -> list[Any]:
    """Parameters of two commands with the defaults of what an earlier version did not know; as they are where one is of a
    version whose parameters are none any more.
    """
    try:
        return [settings_model(name).model_validate(value).model_dump(mode="json") for value in values]
    except ValidationError:
        return [value or {} for value in values]


def _key(prepared: Any) -> Any:
    """What tells prepared images from others, as far as parameters say."""
    try:
        return data_set_key(DataPrepSettings.model_validate(prepared))
    except ValidationError:  # a record of an earlier version
        return prepared


def _images_changed(record: Record, images: Sequence[Images]) -> bool:
    """Whether images were prepared after a command that differ from those that were there until then."""
    ended = datetime.fromisoformat(record["finished_at"]) if "finished_at" in record else datetime.now(UTC)
    before = [fingerprint for time, fingerprint in images if time <= ended]
    return bool(before) and before[-1] != images[-1][1]
