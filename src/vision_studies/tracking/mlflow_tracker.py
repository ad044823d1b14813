"""Studies in MLflow: one parent run a study, one child run for each of its runs."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock

from vision_studies.config.tracking import MlflowSettings
from vision_studies.files import hash_file
from vision_studies.tracking.records import RunRecord, StudyRecord

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

T = TypeVar("T")

KEY, TRAINING, CONTENT = "vision_studies.key", "vision_studies.training", "vision_studies.content"
"""Tags by which a run is found again, and by which it is seen to have changed."""

PARAMETER_LENGTH, TAG_LENGTH, NAME_LENGTH = 6000, 5000, 250
"""Characters that MLflow takes for a parameter's value, a tag's value, and a name."""

_METRICS_AT_ONCE, _PARAMETERS_AT_ONCE, _RUNS_AT_ONCE = 800, 100, 1000
_MANIFEST = "artefacts.json"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "running": "RUNNING"}
_NOT_IN_NAMES = re.compile(r"[^\w. /-]")


class MlflowTracker:
    """Writes to an MLflow store through its client alone, which leaves no state behind in the process.

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
        file = _database_file(self._settings.uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".mlflow.lock", timeout=60):
            client = MlflowClient(tracking_uri=self._settings.uri)
            experiment = self._experiment(client, file)
            return _Writing(client, experiment, study).write(stopped)

    def close(self) -> None:
        """Nothing is held between two calls."""

    def _experiment(self, client: Any, file: Path | None) -> str:
        found = client.get_experiment_by_name(self._settings.experiment)
        if found is not None:
            return found.experiment_id
        beside = None if file is None else (file.parent / "mlflow_artefacts").absolute().as_uri()
        return client.create_experiment(self._settings.experiment, artifact_location=beside)


class _Writing:
    """One call of `MlflowTracker.log`."""

    def __init__(self, client: Any, experiment: str, study: StudyRecord) -> None:
        self._client, self._experiment, self._study = client, experiment, study

    def write(self, stopped: Callable[[], bool]) -> int:
        parent = self._parent()
        known = {run.data.tags.get(KEY): run for run in self._search(f"tags.`mlflow.parentRunId` = '{parent}'")}
        written = 0
        for record in self._study.runs:
            if stopped():
                return written
            written += self._write_run(record, known.get(record.key), parent)
        keys = {record.key for record in self._study.runs}
        for key, run in known.items():
            if key not in keys and run.data.tags.get("in_results") != "no":  # of an earlier configuration
                self._client.set_tag(run.info.run_id, "in_results", "no")
        self._finish_parent(parent)
        return written

    def _search(self, condition: str) -> Iterator["Run"]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], condition, max_results=_RUNS_AT_ONCE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _parent(self) -> str:
        study = self._study
        found = next(self._search(f"tags.`{KEY}` = '{study.key}'"), None)
        if found is not None:
            return found.info.run_id
        started = min((record.started for record in study.runs), default=None)
        tags = _tags(study.tags) | {KEY: study.key}
        run = self._client.create_run(self._experiment, _milliseconds(started), tags, run_name=f"study: {study.name}")
        return run.info.run_id

    def _finish_parent(self, parent: str) -> None:
        from mlflow.entities import RunTag

        study = self._study
        if study.artefacts is not None:
            self._write_artefacts(parent, study.artefacts)
        ended = max((record.ended for record in study.runs), default=0.0)
        time = _milliseconds(ended)
        note = "\n\n".join(filter(None, (f"**{study.title}**", study.question, study.summary)))
        tags = [RunTag(key, value) for key, value in _tags(study.tags | {"mlflow.note.content": note}).items()]
        metrics = [self._metric(name, value, time, 0) for name, value in study.metrics.items()]
        self._client.log_batch(parent, metrics=metrics, tags=tags)
        status = _STATUS.get(study.state, "FAILED")
        if status == "RUNNING":
            self._client.update_run(parent, status=status)
        else:
            self._client.set_terminated(parent, status, end_time=time)

    def _write_run(self, record: RunRecord, known: "Run | None", parent: str) -> int:
        tags = {} if known is None else known.data.tags
        if tags.get(CONTENT) == record.content_hash:
            if tags.get("in_results") == "no":
                self._client.set_tag(known.info.run_id, "in_results", "yes")  # type: ignore[union-attr]
            return 0
        is_other = record.history and tags.get(TRAINING) != record.training_hash
        if known is not None and (TRAINING not in tags or is_other):
            self._client.delete_run(known.info.run_id)  # values of an epoch can be added in MLflow, never taken back
            known = None
        run_id = known.info.run_id if known else self._create(record, parent)
        metrics = [] if known else list(self._history(record))
        metrics += self._results(record)
        parameters = [] if known else [(_name(key), value) for key, value in record.parameters.items()]
        self._write_values(run_id, record, parameters, metrics)
        return 1

    def _create(self, record: RunRecord, parent: str) -> str:
        tags = _tags(record.tags) | {"mlflow.parentRunId": parent, KEY: record.key}
        name, started = record.name[:NAME_LENGTH], _milliseconds(record.started)
        return self._client.create_run(self._experiment, started, tags, run_name=name).info.run_id

    def _write_values(
        self, run_id: str, record: RunRecord, parameters: Sequence[tuple[str, Any]], metrics: Sequence["Metric"]
    ) -> None:
        """In as few calls as may be: each is a transaction. The tags of what is there come last, so that a run that was
        interrupted has none, and is written again.
        """
        from mlflow.entities import Param, RunTag

        for part in _parts(
            [Param(key, _text(value, PARAMETER_LENGTH)) for key, value in parameters], _PARAMETERS_AT_ONCE
        ):
            self._client.log_batch(run_id, params=part)
        *first, last = _parts(metrics, _METRICS_AT_ONCE) if metrics else [[]]
        for earlier in first:
            self._client.log_batch(run_id, metrics=earlier)
        for file in record.files:
            self._client.log_artifact(run_id, str(file), "weights")
        status = _STATUS.get(record.status, "FAILED")
        self._client.set_terminated(run_id, status, end_time=_milliseconds(record.ended))
        tags = _tags(record.tags) | {"in_results": "yes", TRAINING: record.training_hash, CONTENT: record.content_hash}
        if "git_commit" in tags:
            tags["mlflow.source.git.commit"] = tags["git_commit"]
        self._client.log_batch(run_id, metrics=last, tags=[RunTag(key, value) for key, value in tags.items()])

    def _results(self, record: RunRecord) -> list["Metric"]:
        step = int(record.metrics.get("best_epoch", max(record.history, default=0)))
        time = _milliseconds(record.ended)
        return [self._metric(name, value, time, step) for name, value in record.metrics.items()]

    def _history(self, record: RunRecord) -> Iterator["Metric"]:
        """Epochs in equal steps of time: what a run waited for between them is not known."""
        epochs = len(record.history)
        for place, (epoch, values) in enumerate(record.history.items(), start=1):
            time = _milliseconds(record.started + (record.ended - record.started) * place / epochs)
            yield from (self._metric(name, value, time, epoch) for name, value in values.items())

    def _metric(self, name: str, value: float, time: int | None, step: int) -> "Metric":
        from mlflow.entities import Metric

        return Metric(_name(name), value, time or 0, step)

    def _write_artefacts(self, parent: str, artefacts: Mapping[str, Path]) -> None:
        """Files that are new or have changed, by a list that lies beside them in the store."""
        hashes = {path: hash_file(file) for path, file in artefacts.items()}
        there = {entry.path for entry in self._client.list_artifacts(parent)}
        stored: dict[str, str] = self._manifest(parent) if _MANIFEST in there else {}
        changed = [path for path, own in hashes.items() if stored.get(path) != own]
        for path in changed:
            file, folder = artefacts[path], Path(path).parent.as_posix()
            self._client.log_artifact(parent, str(file), None if folder == "." else folder)
        if changed:
            self._client.log_dict(parent, stored | hashes, _MANIFEST)

    def _manifest(self, parent: str) -> dict[str, str]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            local = self._client.download_artifacts(parent, _MANIFEST, folder)
            return json.loads(Path(local).read_text(encoding="utf-8"))


def _database_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for other stores."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _milliseconds(seconds: float | None) -> int | None:
    return int(seconds * 1000) if seconds else None


def _name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:NAME_LENGTH]


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {_name(key): _text(value, TAG_LENGTH) for key, value in tags.items()}


def _text(value: Any, length: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= length else f"{text[: length - 40]}... (cut: {len(text)} characters)"


def _parts(entries: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))
