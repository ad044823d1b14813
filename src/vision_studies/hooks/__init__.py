"""What happens around every run: who works on a study, a record of what was run, what of it is kept, and what is told of it."""

from vision_studies.hooks.lock import StudyLockHooks
from vision_studies.hooks.pipelines import PipelineHooks
from vision_studies.hooks.run_record import RunRecordHooks
from vision_studies.hooks.storage import StorageHooks
from vision_studies.hooks.terminal import TerminalHooks
from vision_studies.hooks.tracking import TrackingHooks
from vision_studies.hooks.versions import VersionHooks

__all__ = [
    "PipelineHooks",
    "RunRecordHooks",
    "StorageHooks",
    "StudyLockHooks",
    "TerminalHooks",
    "TrackingHooks",
    "VersionHooks",
]
