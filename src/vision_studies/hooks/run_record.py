"""What was run, with what, and how it ended."""

import atexit
import json
import sys
from itertools import chain, count
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

from vision_studies.files import now, write_json
from vision_studies.hooks.study import StudyHooks
from vision_studies.project_folders import run_records
from vision_studies.studies.provenance import git_commit, library_versions, parameter_differences, processor_name
from vision_studies.studies.sharing import hold

SELECTIONS = (
    *("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "to_outputs"),
    *("namespaces", "load_versions", "only_missing_outputs"),
)
"""Options of a command that leave out steps of its pipelines, or give them other inputs."""


class RunRecordHooks(StudyHooks):
    """Writes what was run, with what, and how it ended: `data/08_reporting/<study>/run_records/<run>.json`.

    Status is `running`, `complete`, `failed` (with the error) or `interrupted`; a run that was killed stays `running`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file = Path()
        self._record: dict[str, Any] = {}

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Record parameters, versions and machine."""
        base = self._load_base_parameters()  # first: who reads last resolves paths for the rest of the run
        parameters = self._load_parameters()
        run_id = run_params.get("run_id") or run_params["session_id"]
        records = run_records(self._project, self._study)
        self._record = {
            "run_id": run_id,
            "study": self._study,
            "environments": self._environments,
            "pipelines": run_params.get("pipeline_names") or ["__default__"],
            "namespaces": sorted({node.namespace for node in pipeline.nodes if node.namespace}),
            "selection": {name: value for name in SELECTIONS if (value := run_params.get(name))},
            "command_line_parameters": run_params.get("runtime_params") or {},
            "parameters": parameters,
            "differences_from_base": parameter_differences(base, parameters),
            "git_commit": git_commit(),
            "versions": library_versions(),
            "processor": processor_name(),
            "started_at": now(),
            "status": "running",
        }
        with hold(self._project / "data/.locks/run_records.lock", "the records of runs"):
            # Two processes that begin in the same millisecond have one id.
            names = chain([f"{run_id}.json"], (f"{run_id}-{number}.json" for number in count(2)))
            self._file = next(file for name in names if not (file := records / name).exists())
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
        self._record |= {"status": status, "finished_at": now(), "gpus": _gpu_names()}
        self._write()

    def _write(self) -> None:
        write_json(self._file, json.loads(json.dumps(self._record, default=str)))


def _gpu_names() -> list[str]:
    """GPUs that the run could use: none where nothing has imported torch, which alone can use them."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
