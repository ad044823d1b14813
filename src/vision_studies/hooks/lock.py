"""One process a study."""

import os
import socket
from typing import Any

from filelock import FileLock, Timeout
from kedro.framework.hooks import hook_impl

from vision_studies.errors import BusyError
from vision_studies.hooks.study import StudyHooks


class StudyLockHooks(StudyHooks):
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
