"""The recorder's process as the training's process sees it."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vision_studies.config.tracking import TrackingSettings
from vision_studies.errors import MissingDependencyError

TRACEBACKS = "VISION_STUDIES_TRACEBACK"
"""Environment variable: what trackers print, and where their errors come from, is shown."""

_SETTINGS = {
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


def tracker_environment(settings: TrackingSettings, project: Path) -> dict[str, str]:
    """Environment variables that keep trackers quiet, impatient and inside the project; what is set already stays."""
    own = _SETTINGS | {name: str(project / settings.wandb.folder / part) for name, part in _WANDB_FOLDERS.items()}
    return own | os.environ


def require_trackers(settings: TrackingSettings) -> None:
    """Check before anything is trained that what is asked for is installed.

    Raises:
        MissingDependencyError: a tracker is switched on whose library is missing.
    """
    needed = {"mlflow": ["mlflow"], "wandb": ["wandb"]}
    if settings.mlflow.uri.startswith("sqlite:"):
        needed["mlflow"] += ["sqlalchemy", "alembic"]
    for name, libraries in needed.items():
        missing = [library for library in libraries if find_spec(library) is None]
        if getattr(settings, name).enabled and missing:
            raise MissingDependencyError(
                f"tracking.{name}.enabled needs {' and '.join(missing)}, which "
                f"{'is' if len(missing) == 1 else 'are'} not installed: `pip install vision-studies[{name}]`, "
                f"or leave out tracking.{name}.enabled=true."
            )


class RecorderProcess:
    """Starts the recorder, speaks to it without ever waiting, and ends it within a bounded time.

    Args:
        settings: the parameters `tracking`.
        project: the project's folder.
        study: name, title and question of the study.
    """

    def __init__(self, settings: TrackingSettings, project: Path, study: dict[str, str]) -> None:
        self._settings = settings
        source = Path(__file__).parents[2]
        environment = tracker_environment(settings, project)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source), environment.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vision_studies.tracking.recorder"],
            cwd=project,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get(TRACEBACKS) else subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the training, which then closes the recorder's input
        )
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        assert self._process.stdout is not None  # noqa: S101 - likewise
        os.set_blocking(self._process.stdout.fileno(), False)
        self._input, self._answers = self._process.stdin, self._process.stdout
        self._begun = b""  # of an answer whose end has not come yet
        request = {"project": str(project), "study": study["name"], "title": study["title"]}
        self._say(json.dumps(request | {"question": study["question"], "settings": settings.model_dump()}))
        os.set_blocking(self._input.fileno(), False)

    def look(self) -> None:
        """Say that tables may have changed."""
        self._say("look")

    def answers(self) -> list[dict[str, Any]]:
        """What the recorder has told since the last time."""
        return self._parse(self._answers.read() or b"")

    def finish(self, state: str, seconds: float) -> tuple[list[dict[str, Any]], bool]:
        """Say the last word and wait.

        Args:
            state: `complete` or `failed`.
            seconds: longest wait.

        Returns:
            What was told, and whether the recorder has come to its end; where not, it goes on until `stop`.
        """
        self._say(state)
        return self.wait(seconds)

    def wait(self, seconds: float) -> tuple[list[dict[str, Any]], bool]:
        """Wait longer; see `finish`."""
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return self.answers(), False
        return self.answers(), True

    def stop(self) -> None:
        """End the process and all that it has started, if it has not ended by itself."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._input.close()
        self._answers.close()

    def has_failed(self) -> bool:
        """Whether the process has ended in another way than by coming to its end."""
        return self._process.returncode != 0

    def _say(self, word: str) -> None:
        try:
            self._input.write(f"{word}\n".encode())
        except (BrokenPipeError, BlockingIOError):
            return  # it has ended, or does not listen: `finish` will see it

    def _parse(self, read: bytes) -> list[dict[str, Any]]:
        *lines, self._begun = (self._begun + read).split(b"\n")
        return [json.loads(line) for line in lines]
