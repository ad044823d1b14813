"""A process of its own that gives a study to trackers; see `RecorderProcess`.

What a tracker does - threads, connections, waiting for a server that does not answer - happens here, out of reach of the
training. Over a pipe come first a request, then `look` whenever tables may have changed, in the end `complete` or `failed`.
What goes back are JSON objects with `tracker` and either `written` or `problem`. Where the pipe ends without a last word, the
training is gone, and so is this process within `GRACE_SECONDS`.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vision_studies.config.tracking import TrackingSettings
from vision_studies.tracking.records import StudyRecord, Tracker
from vision_studies.tracking.study_log import FOLDER, StudyFolders, find_artefacts, read_new_runs, read_runs

GRACE_SECONDS = 10.0
"""How long a process goes on whose training is gone: enough to finish the run that it is writing."""

LAST_WORDS = ("complete", "failed")
"""Ends of a command."""


class Recorder:
    """Gives a study to its trackers, again and again.

    Args:
        request: project (a folder), study (its name, title and question), and settings: the parameters `tracking`.
        trackers: where the study goes.
        tell: takes what is to be told to the training's process.
        stopped: asked before every run; True ends a look early.
    """

    def __init__(
        self,
        request: dict[str, Any],
        trackers: list[Tracker],
        tell: Callable[[dict[str, Any]], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._request, self._trackers, self._tell, self._stopped = request, trackers, tell, stopped
        self._folders = StudyFolders.of(Path(request["project"]), request["study"]["name"])
        self._began = time.time()
        self._logged: dict[str, dict[str, tuple[int, int]]] = {}
        self._down: set[str] = set()
        self._written = dict.fromkeys((tracker.name for tracker in trackers), 0)

    def look(self, state: str = "running") -> None:
        """Log what is new; at the last look, which has another `state`, also what the study shows.

        A tracker that fails is asked again at the next look; until it succeeds, it is told of once.
        """
        files = self._folders.state()
        waiting = [
            tracker for tracker in self._trackers if state != "running" or self._logged.get(tracker.name) != files
        ]
        if not files or not waiting:
            return
        study: StudyRecord | None = None
        for tracker in waiting:
            try:
                study = study or self._read(state)
                self._written[tracker.name] += tracker.log(study, self._stopped)
                self._logged[tracker.name] = files
                self._down.discard(tracker.name)
            except Exception as error:  # whatever it is: a tracker is nothing that a study may fail of
                self._tell_once(tracker.name, error)
                continue
            if state != "running" and not self._stopped():
                self._tell({"tracker": tracker.name, "written": self._written[tracker.name], "runs": len(study.runs)})

    def close(self) -> None:
        """End what trackers have started."""
        for tracker in self._trackers:
            try:
                tracker.close()
            except Exception as error:  # as above
                self._tell_once(tracker.name, error)

    def _read(self, state: str) -> StudyRecord:
        weights = self._request["settings"]["weights"]
        runs = read_runs(self._folders, with_weights=weights)
        if state == "running":
            listed = {run.tags["run_fingerprint"] for run in runs}
            new = read_new_runs(self._folders, self._began, with_weights=weights)
            runs += [run for run in new if run.tags["run_fingerprint"] not in listed]
        return StudyRecord(
            **self._request["study"],
            runs=tuple(runs),
            state=state,
            artefacts=None if state == "running" else find_artefacts(self._folders),
            summary=self._folders.summary(),
            verdict=self._folders.verdict(),
        )

    def _tell_once(self, name: str, error: Exception) -> None:
        traceback.print_exc()
        if name not in self._down:  # one that is down fails again and again, in other words each time
            self._down.add(name)
            self._tell({"tracker": name, "problem": _reason(error)})


def trackers_of(settings: TrackingSettings, project: Path) -> list[Tracker]:
    """The trackers that are switched on."""
    trackers: list[Tracker] = []
    if settings.mlflow.enabled:
        from vision_studies.tracking.mlflow_tracker import MlflowTracker

        trackers.append(MlflowTracker(settings.mlflow, project / FOLDER))
    if settings.wandb.enabled:
        from vision_studies.tracking.wandb_tracker import WandbTracker

        trackers.append(WandbTracker(settings.wandb))
    return trackers


def main(pipe: Connection) -> None:
    """Read a request and do it, until the last word or the end of the pipe."""
    os.nice(10)  # the training comes first
    request = json.loads(pipe.recv_bytes())
    settings = TrackingSettings.model_validate(request["settings"])
    newest, news, gone = ["look"], threading.Event(), threading.Event()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while newest[0] not in LAST_WORDS:
                newest[0] = pipe.recv_bytes().decode()
                news.set()
            return
        gone.set()
        news.set()
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    def tell(message: dict[str, Any]) -> None:
        with suppress(OSError):  # nobody listens any more
            pipe.send_bytes(json.dumps(message).encode())

    threading.Thread(target=listen, daemon=True).start()
    recorder = Recorder(request, trackers_of(settings, Path(request["project"])), tell, gone.is_set)
    word = "look"
    while not gone.is_set() and word not in LAST_WORDS:
        news.wait(settings.interval)
        news.clear()
        word = newest[0]  # several `look` are one
        recorder.look(word if word in LAST_WORDS else "running")
    recorder.close()


def _reason(error: BaseException) -> str:
    """Where a connection failed, the system's own words for it: libraries wrap them into paragraphs."""
    deepest = error
    while deepest.__cause__ or deepest.__context__:
        deepest = deepest.__cause__ or deepest.__context__ or deepest
    reason = deepest.strerror if isinstance(deepest, OSError) and deepest.strerror else str(error)
    return (" ".join(reason.split()) or type(error).__name__)[:300].rstrip(".")


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
