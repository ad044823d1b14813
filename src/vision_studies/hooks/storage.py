"""Data and results come from the store before the work, and go there after it."""

import logging
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from vision_studies.errors import StorageError
from vision_studies.hooks.study import StudyHooks

logger = logging.getLogger(__name__)


class StorageHooks(StudyHooks):
    """Lets a study go on where another machine has left it, and keeps what this one finds; see `storage.url`.

    Runs go to the store when they end (`studies.stages`); what is left then, be it because the store was down, follows at the
    end of the command.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept_data: list[Any] = []

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Any) -> None:
        """Fetch what the store has and this machine has not: prepared data, finished runs, tables. Raises StorageError where
        the store cannot be reached; nothing has been done then.
        """
        self._kept_data = open_kept_data(
            self._project, self._study, self._load_parameters(), self._data_set_of(pipeline)
        )
        if not self._kept_data:
            return
        from vision_studies.storage.layout import REPORTING

        came = 0
        for kept_data in self._kept_data:
            # A report is written anew by who wants it; those of other machines are not needed for that.
            came += kept_data.fetch_all([folder for folder in kept_data.places if not folder.startswith(REPORTING)])
        if came:
            logger.info("%d folders of data and runs fetched from %s", came, self._kept_data[0].store.url)

    @hook_impl
    def after_node_run(self, node: Any) -> None:
        """Bring into the store what workers on other machines will ask for: prepared data, and what runs share."""
        if node.namespace == "data_prep" or any(name.endswith("runs_folder") for name in node.inputs):
            for kept_data in self._kept_data:
                kept_data.keep_all_or_later()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Bring into the store what was finished before the error."""
        self.after_pipeline_run()

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Bring into the store what it does not have yet."""
        for kept_data in self._kept_data:
            try:
                folders, size = kept_data.keep_all()
            except StorageError as error:
                logger.warning(
                    "%s Nothing is lost: all of it lies in %s, and the next command, or `kedro store push`, sends what is "
                    "missing in the store.",
                    *(error, kept_data.root),
                )
                return
            if folders:
                logger.info("%d folders (%.1f MB) sent to %s", folders, size / 1e6, kept_data.store.url)

    def _data_set_of(self, pipeline: Any) -> str | None:
        prepares = any(node.namespace == "data_prep" for node in pipeline.nodes)
        return self._load_data_set() if prepares or "image_set" in pipeline.inputs() else None


def open_kept_data(project: Path, study: str, parameters: dict[str, Any], data_set: str | None) -> list[Any]:
    """The places of a study, and of its prepared data where it has a key, with their store; none where there is no store.

    `data/` remembers them, so that whoever works in it later, be it on another machine, knows the store.
    """
    url = parameters["storage"]["url"]
    if url is None and not (project / "data/.store").is_dir():
        return []  # nothing of this needs to be imported
    from vision_studies.storage.kept_data import KeptData, detach
    from vision_studies.storage.layout import data_places, study_places
    from vision_studies.storage.store import Store

    root = (project / "data").absolute()
    groups = [study_places(study), *([data_places(data_set)] if data_set else [])]
    if url is None:
        for places in groups:
            detach(root, places)
        return []
    return [KeptData.of(root, places, Store(url, parameters["storage"]["options"])) for places in groups]
