"""Kedro's settings of the project."""

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.hooks import (
    PipelineHooks,
    RunRecordHooks,
    StorageHooks,
    StudyLockHooks,
    TerminalHooks,
    TrackingHooks,
    VersionHooks,
)

CONFIG_LOADER_CLASS = StudyConfigLoader
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}

# Hooks are asked from the last to the first: the study is locked before anything is fetched for it, and has been left when
# its oldest versions go.
HOOKS = (
    *(StorageHooks(), VersionHooks(), StudyLockHooks(), RunRecordHooks(), TerminalHooks(), TrackingHooks()),
    PipelineHooks(),
)
