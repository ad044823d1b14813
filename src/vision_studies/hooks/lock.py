"""Who works on a study, and on the data set that it prepares."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from kedro.framework.hooks import hook_impl

from vision_studies.config.merge import flatten
from vision_studies.errors import BusyError
from vision_studies.files import full_disk_told, hash_json, now, remove_leftovers, write_json
from vision_studies.hooks.study import StudyHooks
from vision_studies.project_folders import OF_DATA_SETS, OF_STUDIES
from vision_studies.studies.provenance import parameter_differences
from vision_studies.studies.sharing import hold, is_held

logger = logging.getLogger(__name__)

_FOLDER = "data/.locks"
_MAY_DIFFER = ("execution", "tracking", "storage", "versions", "fresh")
"""Parameters that processes may differ in that share a study: where they work, who is told of it, where else and how long it is
kept, and `fresh`, which is looked at apart."""


class StudyLockHooks(StudyHooks):
    """Commands with the same parameters share a study; one with other parameters, or with `fresh`, has to wait.

    Every command holds a file of its own in `data/.locks/study-<name>/`, with a description of it beside; the lock of one
    that has died is free. Images are prepared by one command at a time; others wait for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock: FileLock | None = None
        self._data = ExitStack()
        self._to_prepare: set[str] = set()

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Any) -> None:
        """Join the study, before a run that may be refused is recorded; where data are prepared, wait for the data set. Raises
        BusyError where another process works on the study with other parameters, or one of the two wants it for itself.
        """
        nodes = pipeline.nodes
        self._join([node.namespace for node in nodes])
        prepared = {name for node in nodes if node.namespace == "data_prep" for name in node.outputs}
        # The study's own description of the data comes later, at times after hours of training, and lies in its own folder.
        self._to_prepare = {name for name in prepared if not name.startswith("data_prep.")}
        if self._to_prepare:
            data_set = self._load_data_set()
            lock_file = self._project / _FOLDER / f"data-{data_set}.lock"
            self._data.enter_context(hold(lock_file, data_set, "waiting for %s, which prepares the data set '%s'"))
        self._tidy()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Let others have the data set as soon as it is prepared."""
        self._to_prepare.discard(dataset_name)
        if not self._to_prepare:
            self._data.close()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Leave the study."""
        self._data.close()
        if self._lock is not None:
            _remove(Path(self._lock.lock_file))
            self._lock.release()
            self._lock = None

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Leave the study."""
        self.after_pipeline_run()

    def _join(self, namespaces: list[str | None]) -> None:
        members = self._project / _FOLDER / f"study-{self._study}"
        with full_disk_told(members):
            parameters = json.loads(json.dumps(self._load_parameters(), default=str))
            compared = flatten({name: value for name, value in parameters.items() if name not in _MAY_DIFFER})
            member: dict[str, Any] = {
                "process": os.getpid(),
                "host": socket.gethostname(),
                "pipelines": sorted({name for name in namespaces if name}),
                "started_at": now(),
                "fresh": bool(parameters.get("fresh")),
                # Hashes, since some values are nobody's business, and they are told apart without being known.
                "parameters": {name: hash_json(value)[:16] for name, value in compared.items()},
            }
            with at_work(self._project, self._study) as there:
                for other in there:
                    self._check(member, other)
                file = members / f"{uuid4().hex}.json"
                self._lock = FileLock(file.with_suffix(".lock"), blocking=False)
                self._lock.acquire()
                write_json(file, member)
        if there:
            who = ", ".join(sorted(named(other) for other in there))
            logger.info("sharing the study '%s' with %s", self._study, who)

    def _check(self, member: dict[str, Any], other: dict[str, Any]) -> None:
        if other["fresh"]:
            raise BusyError(
                f"The study '{self._study}' is being done afresh by {named(other)}, which wants it for itself; wait until it "
                "has finished, or stop it: nothing finished is lost."
            )
        if member["fresh"]:
            raise BusyError(
                f"The study '{self._study}' is being worked on by {named(other)} and fresh=true wants it for itself; wait "
                "until that has finished, stop it, or leave out fresh=true to share its work."
            )
        differing = parameter_differences(other["parameters"], member["parameters"])
        if differing:
            raise BusyError(
                f"The study '{self._study}' is being worked on by {named(other)} with another value of "
                f"{', '.join(list(differing)[:3])}; wait until it has finished, stop it, or give the same parameters to share "
                "its work."
            )

    def _tidy(self) -> None:
        """Remove what killed processes have left half written in the folders of this study and of its data set."""
        for folder in OF_STUDIES:  # runs are tidied when they are worked on
            remove_leftovers(self._project / folder / self._study, without=("runs",))
        for folder in OF_DATA_SETS:
            remove_leftovers(self._project / folder / self._load_data_set())


@contextmanager
def at_work(project: Path, study: str) -> Iterator[list[dict[str, Any]]]:
    """Yield descriptions of the commands that work on a study; none joins them during the block."""
    members = project / _FOLDER / f"study-{study}"
    lock = FileLock(members.with_name(f"{members.name}.lock"))
    with full_disk_told(members):
        members.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield list(_living(members))
    finally:
        lock.release()


def named(member: dict[str, Any]) -> str:
    """A command that works on a study, in a sentence."""
    return f"process {member['process']} on {member['host']}"


def _living(members: Path) -> Iterator[dict[str, Any]]:
    """Descriptions of the commands that work on a study; files of those that have died are removed."""
    for lock_file in members.glob("*.lock"):
        if not is_held(lock_file):
            _remove(lock_file)
            continue
        with suppress(FileNotFoundError):  # it leaves just now
            yield json.loads(lock_file.with_suffix(".json").read_text(encoding="utf-8"))


def _remove(lock_file: Path) -> None:
    for file in (lock_file.with_suffix(".json"), lock_file):
        file.unlink(missing_ok=True)
