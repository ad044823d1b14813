"""Kedro's settings of the project."""

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.hooks import RunRecordHooks, StudyLockHooks, TerminalHooks

CONFIG_LOADER_CLASS = StudyConfigLoader
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}

HOOKS = (StudyLockHooks(), RunRecordHooks(), TerminalHooks())
