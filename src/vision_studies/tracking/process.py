"""The recorder's process as the training's process sees it."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from vision_studies.config.tracking import TrackingSettings
from vision_studies.errors import MissingDependencyError, not_installed

TRACEBACKS = "VISION_STUDIES_TRACEBACK"
"""Environment variable: what trackers print, and where their errors come from, is shown."""

_SETTINGS = {  # trackers are to be quiet, impatient and inside the project
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "true",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
}
_WANDB_FOLDERS = {"WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data"}


def require_trackers(settings: TrackingSettings) -> None:
    """Check before anything is trained that what is asked for is installed.

    Raises:
        MissingDependencyError: a tracker is switched on whose library is missing.
    """
    needed = {"mlflow": ["mlflow"], "wandb": ["wandb"]}
    if settings.mlflow.uri.startswith("sqlite:"):
        needed["mlflow"] += ["sqlalchemy", "alembic"]
    for name, libraries in needed.items():
        if getattr(settings, name).enabled and (missing := not_installed(libraries)):
            raise MissingDependencyError(
                f"tracking.{name}.enabled needs {missing}: `pip install vision-studies[{name}]`, or leave out "
                f"tracking.{name}.enabled=true."
            )


class RecorderProcess:
    """Starts the recorder, speaks to it without ever waiting, and ends it within a bounded time.

    The libraries' own ways of logging aside do not do: MLflow's queue loses what a server refuses, waits for it at the end of
    the process, and begins and ends runs in the caller; W&B waits for a server at the beginning of every run.

    Args:
        settings: the parameters `tracking`.
        project: the project's folder.
        study: name, title and question of the study.
    """

    def __init__(self, settings: TrackingSettings, project: Path, study: dict[str, str]) -> None:
        folders = {name: str(project / settings.wandb.folder / part) for name, part in _WANDB_FOLDERS.items()}
        environment = _SETTINGS | folders | os.environ  # what is set already stays
        source = str(Path(__file__).parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (source, environment.get("PYTHONPATH"))))
        printed = 2 if os.environ.get(TRACEBACKS) else subprocess.DEVNULL  # 2: among the command's errors
        self._pipe, other = Pipe()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vision_studies.tracking.recorder", str(other.fileno())],
                cwd=project,
                env=environment,
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                start_new_session=True,  # Ctrl-C is for the training, which then closes the recorder's pipe
            )
        self.say(json.dumps({"project": str(project), "study": study, "settings": settings.model_dump()}))

    def say(self, word: str) -> None:
        """Say that tables may have changed (`look`), or, as the last word, how the command has ended (`complete`, `failed`)."""
        with suppress(OSError):  # it has ended: `wait` will see it
            self._pipe.send_bytes(word.encode())

    def answers(self) -> list[dict[str, Any]]:
        """What the recorder has told since the last time."""
        answers: list[dict[str, Any]] = []
        with suppress(EOFError, OSError):
            while self._pipe.poll():
                answers.append(json.loads(self._pipe.recv_bytes()))
        return answers

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; whether the recorder has come to its end. Where not, it goes on until `stop`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        return self._process.returncode is not None

    def stop(self) -> None:
        """End the process and all that it has started, if it has not ended by itself."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()

    def has_failed(self) -> bool:
        """Whether the process has ended in another way than by coming to its end."""
        return self._process.returncode != 0
