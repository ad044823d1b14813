"""Studies in Weights & Biases, which knows no runs within runs: a group a study, in it one run for the study itself."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from vision_studies.config.tracking import WandbSettings
from vision_studies.files import hash_file, hash_json, write_json
from vision_studies.tracking.records import RunRecord, StudyRecord

STUDY = "study"
"""Job type of the run that stands for a study; that of the others is their pipeline."""

INIT_SECONDS = 10.0
"""Longest wait for a server at the beginning of a run."""

_NAME_LENGTH, _GROUP_LENGTH, _TAG_LENGTH = 128, 128, 64
_KEEP_EVERY = 20  # runs from one writing of the list of what has been logged to the next


class WandbTracker:
    """Writes runs with ids of ours, so that one that is written again takes the place of its earlier self.

    What has been logged stands in a file of the folder: asking a server would need one.

    Args:
        settings: mode, project and folder.
    """

    name = "Weights & Biases"

    def __init__(self, settings: WandbSettings) -> None:
        self._settings, self._folder = settings, Path(settings.folder)
        target = hash_json([settings.mode, settings.entity, settings.project])[:8]
        self._list = self._folder / f"logged_{settings.mode}_{target}.json"

    def log(self, study: StudyRecord, stopped: Callable[[], bool]) -> int:
        """Write what is new; see `Tracker`.

        Raises:
            Exception: whatever wandb raises where the server cannot be reached or refuses something.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".wandb.lock", timeout=60):
            logged: dict[str, str] = json.loads(self._list.read_text("utf-8")) if self._list.is_file() else {}
            written = 0
            try:
                for record in study.runs:
                    if stopped():
                        return written
                    content = record.content_hash
                    if logged.get(record.key) != content:
                        self._write_run(record, study)
                        logged[record.key] = content
                        written += 1
                        if written % _KEEP_EVERY == 0:
                            write_json(self._list, logged)
                if study.artefacts is not None:
                    self._write_study(study, study.artefacts, logged)
            finally:
                write_json(self._list, logged)
        return written

    def close(self) -> None:
        """End the process that wandb has started."""
        import wandb

        wandb.teardown()

    def _write_run(self, record: RunRecord, study: StudyRecord) -> None:
        # W&B takes the time of logging for the run's own, so that the real one stands among its settings.
        started = datetime.fromtimestamp(record.started, UTC).isoformat(timespec="seconds")
        configuration = record.tags | record.parameters | {"study_run": study.key, "started_at": started}
        labels = [record.pipeline, record.status, record.tags["table"]]
        run = self._begin(record.key, record.name, study.name, record.pipeline, configuration, labels)
        for epoch, moment, values in record.epochs():
            run.log(values | {"epoch": epoch, "_timestamp": moment}, step=epoch)
        run.summary.update(record.metrics)
        if record.files:
            self._add_files(run, f"weights-{record.key}", "model", {file.name: file for file in record.files})
        run.finish(exit_code=0 if record.status in ("complete", "pruned") else 1)

    def _write_study(self, study: StudyRecord, artefacts: dict[str, Path], logged: dict[str, str]) -> None:
        files = {path: hash_file(file) for path, file in artefacts.items()}
        content = hash_json([study.tags, study.metrics, study.state, study.summary, files])[:16]
        if logged.get(study.key) == content:
            return
        configuration = study.tags | {"state": study.state}
        run = self._begin(study.key, f"study: {study.name}", study.name, STUDY, configuration, [STUDY])
        run.notes = "\n\n".join(filter(None, (study.question, study.summary)))
        run.summary.update(study.metrics)
        self._add_files(run, f"study-{study.key}", "report", artefacts)
        run.finish(exit_code=0 if study.state == "complete" else 1)
        logged[study.key] = content

    def _begin(
        self, key: str, name: str, group: str, kind: str, configuration: dict[str, Any], labels: list[str]
    ) -> Any:
        import wandb

        online = self._settings.mode == "online"
        for folder in self._folder.glob(f"wandb/offline-run-*-{key}"):
            # Of a run that is written again, the earlier files that `wandb sync` has not sent.
            if not online and not any(folder.glob("*.synced")):
                shutil.rmtree(folder)
        return wandb.init(
            id=key,
            name=name[:_NAME_LENGTH],
            group=group[:_GROUP_LENGTH],
            job_type=kind,
            project=self._settings.project,
            entity=self._settings.entity,
            dir=self._folder,
            mode=self._settings.mode,
            config=configuration,
            tags=[label[:_TAG_LENGTH] for label in labels],
            reinit="create_new",
            resume="allow" if online else None,
            settings=wandb.Settings(
                # No banners, nothing of the machine, its processes, its terminal or its code.
                silent=True,
                console="off",
                init_timeout=INIT_SECONDS,
                login_timeout=INIT_SECONDS,
                disable_git=True,
                disable_code=True,
                save_code=False,
                disable_job_creation=True,
                symlink=False,
                x_disable_stats=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
        )

    @staticmethod
    def _add_files(run: Any, name: str, kind: str, files: dict[str, Path]) -> None:
        import wandb

        artefact = wandb.Artifact(name, type=kind)
        for path, file in files.items():
            artefact.add_file(str(file), name=path)
        run.log_artifact(artefact)
