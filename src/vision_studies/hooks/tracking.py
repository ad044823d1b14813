"""Trackers of experiments beside a study, where they are switched on."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from vision_studies.hooks.study import StudyHooks

if TYPE_CHECKING:
    from vision_studies.config.tracking import TrackingSettings
    from vision_studies.tracking.process import RecorderProcess

logger = logging.getLogger(__name__)

UNTOLD_SECONDS = 3.0
"""A wait for trackers that takes longer is told."""


class TrackingHooks(StudyHooks):
    """Lets a process of its own log the study to MLflow and W&B while it runs: neither can hold up or end a training.

    Nothing is imported where trackers are switched off.
    """

    def __init__(self) -> None:
        super().__init__()
        self._recorder: RecorderProcess | None = None
        self._settings: TrackingSettings | None = None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Start the recorder. Raises MissingDependencyError where a tracker is switched on that is not installed."""
        parameters = self._load_parameters().get("tracking", {})
        if not any(parameters.get(name, {}).get("enabled") for name in ("mlflow", "wandb")):
            return
        from vision_studies.config.tracking import TrackingSettings
        from vision_studies.tracking.process import RecorderProcess, require_trackers

        self._settings = TrackingSettings.model_validate(parameters)
        require_trackers(self._settings)
        names = {key: self._description.get(key, self._study) for key in ("title", "question")}
        self._recorder = RecorderProcess(self._settings, self._project.absolute(), names | {"name": self._study})

    @hook_impl
    def after_node_run(self) -> None:
        """Let the recorder look at what the node has saved."""
        if self._recorder is not None:
            self._recorder.say("look")
            self._tell(self._recorder.answers())

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Log what is left, and what the study shows."""
        self._finish("complete")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Log what there is."""
        self._finish("failed")

    def _finish(self, state: str) -> None:
        recorder, settings = self._recorder, self._settings
        if recorder is None or settings is None:
            return
        self._recorder = None
        try:
            recorder.say(state)
            untold = min(UNTOLD_SECONDS, settings.patience)
            if not (ended := recorder.wait(untold)):
                logger.info("waiting for trackers, %g s at most", settings.patience)
                ended = recorder.wait(settings.patience - untold)
            self._tell(recorder.answers())
        finally:
            recorder.stop()
        if not ended:
            logger.warning(
                "trackers have not taken in all of the study within tracking.patience=%g s; the next command goes on from "
                "there, and nothing of the study is lost",
                settings.patience,
            )
        elif recorder.has_failed():
            logger.warning(
                "the process that logs to trackers has ended early (VISION_STUDIES_TRACEBACK=1 shows why); nothing of the "
                "study is lost, and the next command logs what is missing"
            )

    def _tell(self, answers: list[dict[str, Any]]) -> None:
        for answer in answers:
            tracker = answer["tracker"]
            if "problem" in answer:
                logger.warning(
                    "%s does not take in the study, %s: %s; the study goes on without it, and the next command logs what is "
                    "missing",
                    *(tracker, self._target(tracker), answer["problem"]),
                )
            else:
                news = "" if answer["written"] else ", none of them new"
                logger.info("%s: %d runs%s in %s", tracker, answer["runs"], news, self._target(tracker))

    def _target(self, tracker: str) -> str:
        assert self._settings is not None  # noqa: S101 - there are answers only where there is a recorder
        if tracker == "MLflow":
            return f"experiment {self._settings.mlflow.experiment} of {self._settings.mlflow.uri}"
        wandb = self._settings.wandb
        where = f", {Path(wandb.folder) / 'wandb'}" if wandb.mode == "offline" else ""
        return f"project {wandb.project} ({wandb.mode}{where})"
