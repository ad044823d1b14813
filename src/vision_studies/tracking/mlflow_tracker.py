"""Studies in MLflow: one parent run a study, one child run for each of its runs."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from vision_studies.config.tracking import MlflowSettings
from vision_studies.files import hash_file
from vision_studies.tracking.records import RunRecord, StudyRecord

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run, RunTag

KEY, TRAINING, CONTENT = "vision_studies.key", "vision_studies.training", "vision_studies.content"
"""Tags by which a run is found again, and by which it is seen to have changed."""

PARAMETER_LENGTH, TAG_LENGTH, NAME_LENGTH = 6000, 5000, 250
"""Characters that MLflow takes for a parameter's value, a tag's value, and a name."""

_RUNS_AT_ONCE = 1000
_MANIFEST = "artefacts.json"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "running": "RUNNING"}
_NOT_IN_NAMES = re.compile(r"[^\w. /-]")


class MlflowTracker:
    """Writes to an MLflow store through its client.

    Args:
        settings: store and experiment.
        folder: the project's folder for trackers; processes of this project take turns by a lock in it.
    """

    name = "MLflow"

    def __init__(self, settings: MlflowSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder

    def log(self, study: StudyRecord, stopped: Callable[[], bool]) -> int:
        """Write what is new; see `Tracker`.

        Raises:
            Exception: whatever MLflow raises where the store cannot be reached or refuses something.
        """
        from mlflow import MlflowClient

        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".mlflow.lock", timeout=60):
            self._client = MlflowClient(tracking_uri=self._settings.uri)
            self._experiment = self._find_experiment()
            parent = self._find_parent(study)
            stored = {run.data.tags.get(KEY): run for run in self._search(f"tags.`mlflow.parentRunId` = '{parent}'")}
            written = 0
            for record in study.runs:
                if stopped():
                    return written
                written += self._write_run(record, stored.get(record.key), parent)
            keys = {record.key for record in study.runs}
            for key, run in stored.items():
                if key not in keys and run.data.tags.get("in_results") != "no":  # of an earlier configuration
                    self._client.set_tag(run.info.run_id, "in_results", "no")
            self._write_study(study, parent)
        return written

    def close(self) -> None:
        """Nothing is held between two calls."""

    def _find_experiment(self) -> str:
        uri, name, beside = self._settings.uri, self._settings.experiment, None
        if uri.startswith("sqlite:///"):
            folder = Path(uri.removeprefix("sqlite:///")).parent
            folder.mkdir(parents=True, exist_ok=True)
            beside = (folder / "mlflow_artefacts").absolute().as_uri()
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return experiment.experiment_id
        return self._client.create_experiment(name, artifact_location=beside)

    def _search(self, condition: str) -> Iterator["Run"]:
        token = None
        while token != "":
            page = self._client.search_runs([self._experiment], condition, max_results=_RUNS_AT_ONCE, page_token=token)
            yield from page
            token = page.token or ""

    def _find_parent(self, study: StudyRecord) -> str:
        parent = next(self._search(f"tags.`{KEY}` = '{study.key}'"), None)
        if parent is not None:
            return parent.info.run_id
        started = min((record.started for record in study.runs), default=None)
        return self._create(f"study: {study.name}", started, study.tags | {KEY: study.key})

    def _create(self, name: str, started: float | None, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self._experiment, _milliseconds(started), _cut(tags), run_name=name[:NAME_LENGTH])
        return run.info.run_id

    def _write_study(self, study: StudyRecord, parent: str) -> None:
        if study.artefacts is not None:
            self._write_artefacts(parent, study.artefacts)
        time = _milliseconds(max((record.ended for record in study.runs), default=0.0))
        note = "\n\n".join(filter(None, (f"**{study.title}**", study.question, study.summary)))
        metrics = [_metric(name, value, time, 0) for name, value in study.metrics.items()]
        self._client.log_batch(parent, metrics=metrics, tags=_run_tags(study.tags | {"mlflow.note.content": note}))
        if study.state == "running":
            self._client.update_run(parent, status=_STATUS[study.state])
        else:
            self._client.set_terminated(parent, _STATUS.get(study.state, "FAILED"), end_time=time)

    def _write_run(self, record: RunRecord, stored: "Run | None", parent: str) -> int:
        """Write a run where it is new or has changed; return 1 where it was.

        The tags of what is there come last, so that a run that was interrupted has none, and is written again.
        """
        from mlflow.entities import Param

        tags = {} if stored is None else stored.data.tags
        if stored is not None and tags.get(CONTENT) == record.content_hash:
            if tags.get("in_results") == "no":
                self._client.set_tag(stored.info.run_id, "in_results", "yes")
            return 0
        is_other = record.history and tags.get(TRAINING) != record.training_hash
        if stored is not None and (TRAINING not in tags or is_other):
            self._client.delete_run(stored.info.run_id)  # values of an epoch can be added in MLflow, never taken back
            stored = None
        ended = _milliseconds(record.ended)
        step = int(record.metrics.get("best_epoch", max(record.history, default=0)))
        metrics = [_metric(name, value, ended, step) for name, value in record.metrics.items()]
        parameters = []
        if stored is not None:
            run_id = stored.info.run_id
        else:
            tags = record.tags | {"mlflow.parentRunId": parent, KEY: record.key}
            run_id = self._create(record.name, record.started, tags)
            epochs = ((epoch, _milliseconds(moment), values) for epoch, moment, values in record.epochs())
            history = [
                _metric(name, values[name], moment, epoch) for epoch, moment, values in epochs for name in values
            ]
            metrics = [*history, *metrics]
            parameters = [Param(_name(key), _text(value, PARAMETER_LENGTH)) for key, value in record.parameters.items()]
        self._client.log_batch(run_id, metrics=metrics, params=parameters)  # the client divides what is too much
        for file in record.files:
            self._client.log_artifact(run_id, str(file), "weights")
        self._client.set_terminated(run_id, _STATUS.get(record.status, "FAILED"), end_time=ended)
        marks = {"in_results": "yes", TRAINING: record.training_hash, CONTENT: record.content_hash}
        if "git_commit" in record.tags:
            marks["mlflow.source.git.commit"] = record.tags["git_commit"]
        self._client.log_batch(run_id, tags=_run_tags(record.tags | marks))
        return 1

    def _write_artefacts(self, parent: str, artefacts: Mapping[str, Path]) -> None:
        """Files that are new or have changed, by a list that lies beside them in the store."""
        hashes = {path: hash_file(file) for path, file in artefacts.items()}
        stored = self._manifest(parent)
        changed = [path for path, sha256 in hashes.items() if stored.get(path) != sha256]
        for path in changed:
            folder = Path(path).parent.as_posix()
            self._client.log_artifact(parent, str(artefacts[path]), None if folder == "." else folder)
        if changed:
            self._client.log_dict(parent, stored | hashes, _MANIFEST)

    def _manifest(self, parent: str) -> dict[str, str]:
        if _MANIFEST not in {entry.path for entry in self._client.list_artifacts(parent)}:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            local = self._client.download_artifacts(parent, _MANIFEST, folder)
            return json.loads(Path(local).read_text(encoding="utf-8"))


def _metric(name: str, value: float, time: int | None, step: int) -> "Metric":
    from mlflow.entities import Metric

    return Metric(_name(name), value, time or 0, step)


def _run_tags(tags: Mapping[str, str]) -> list["RunTag"]:
    from mlflow.entities import RunTag

    return [RunTag(key, value) for key, value in _cut(tags).items()]


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {_name(key): _text(value, TAG_LENGTH) for key, value in tags.items()}


def _milliseconds(seconds: float | None) -> int | None:
    return int(seconds * 1000) if seconds else None


def _name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:NAME_LENGTH]


def _text(value: Any, length: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= length else f"{text[: length - 40]}... (cut: {len(text)} characters)"
