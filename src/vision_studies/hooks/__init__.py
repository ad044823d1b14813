"""What happens around every run: one process a study, a record of what was run, and what the terminal tells of it."""

from vision_studies.hooks.lock import StudyLockHooks
from vision_studies.hooks.run_record import RunRecordHooks
from vision_studies.hooks.terminal import TerminalHooks

__all__ = ["RunRecordHooks", "StudyLockHooks", "TerminalHooks"]
