"""What happens around every run: one process a study, a record of what was run, and where the report lies."""

import atexit
import json
import logging
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from kedro.framework.hooks import hook_impl

from vision_studies.errors import BusyError
from vision_studies.files import write_json
from vision_studies.studies.provenance import git_commit, library_versions, processor_name

logger = logging.getLogger(__name__)


class _StudyHooks:
    """Remembers the context of the run: hooks of later moments are not given it."""

    def __init__(self) -> None:
        self._project = Path()
        self._study = "base"
        self._environments: list[str] = []

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        loader = context.config_loader
        self._project = Path(context.project_path)
        self._study = getattr(loader, "study", "base")
        self._environments = ["base", *getattr(loader, "chain", [])]
        self._load_data_set = getattr(loader, "_data_set_key", str)
        self._load_parameters = lambda: loader["parameters"]


class StudyLockHooks(_StudyHooks):
    """Two runs of one study at once would write the same files: the second is refused. Other studies go on."""

    def __init__(self) -> None:
        super().__init__()
        self._locks: list[FileLock] = []

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Any) -> None:
        """Take the study's lock and, where data are prepared, the data set's; before a run that may be refused is recorded.

        Raises:
            BusyError: another process holds one of them.
        """
        # Nodes tagged `shared` divide their work among the processes that do them, and save what all of them find.
        shared = all("shared" in node.tags for node in pipeline.nodes)
        names = [] if shared else [f"study-{self._study}"]
        if any(node.namespace == "data_prep" for node in pipeline.nodes):
            names.append(f"data-{self._load_data_set()}")
        for name in names:
            self._acquire(name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Release the locks."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Release the locks."""
        self._release()

    def _acquire(self, name: str) -> None:
        folder = self._project / "data" / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock", blocking=False)
        holder = folder / f"{name}.holder"
        try:
            lock.acquire()
        except Timeout as error:
            self._release()
            kind, _, what = name.partition("-")
            who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
            raise BusyError(
                f"The {'study' if kind == 'study' else 'data set'} '{what}' is being worked on by {who}; "
                "wait until it has finished, or stop it and run this command again: nothing finished is lost."
            ) from error
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        self._locks.append(lock)

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()


class RunRecordHooks(_StudyHooks):
    """Writes what was run, with what, and how it ended: `data/08_reporting/<study>/run_records/<run>.json`.

    Status is `running`, `complete`, `failed` (with the error) or `interrupted`; a run that was killed stays `running`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file = Path()
        self._record: dict[str, Any] = {}

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Record parameters, versions and machine."""
        run_id = run_params.get("run_id") or run_params["session_id"]
        self._file = self._project / "data/08_reporting" / self._study / "run_records" / f"{run_id}.json"
        self._record = {
            "run_id": run_id,
            "study": self._study,
            "environments": self._environments,
            "pipelines": run_params.get("pipeline_names") or ["__default__"],
            "command_line_parameters": run_params.get("runtime_params") or {},
            "parameters": self._load_parameters(),
            "git_commit": git_commit(),
            "versions": library_versions(),
            "processor": processor_name(),
            "started_at": _now(),
            "status": "running",
        }
        self._write()
        atexit.register(self._finish, "interrupted")  # Kedro tells hooks of errors, not of Ctrl-C

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Record the end."""
        self._finish("complete")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Record the failure."""
        self._record["error"] = str(error)
        self._finish("failed")

    def _finish(self, status: str) -> None:
        atexit.unregister(self._finish)
        self._record |= {"status": status, "finished_at": _now(), "gpus": _gpu_names()}
        self._write()

    def _write(self) -> None:
        write_json(self._file, json.loads(json.dumps(self._record, default=str)))


class TerminalHooks(_StudyHooks):
    """Says which node is at work and, at the end of a run that made a report, what it found and where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self._summary: str | None = None

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        """Name the node."""
        logger.info("%s", node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep the summary until the run has ended."""
        if dataset_name == "reporting.summary":
            self._summary = data

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Print the summary and where the report lies."""
        if self._summary is not None:
            page = self._project / "data/08_reporting" / self._study / "report.html"
            print(f"\n{self._summary}\n\nReport: {page}")
            self._summary = None


def _gpu_names() -> list[str]:
    """GPUs that the run could use: none where nothing has imported torch, which alone can use them."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
