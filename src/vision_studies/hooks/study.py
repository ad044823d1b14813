"""What every hook knows of the run that it accompanies."""

from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from vision_studies.project_folders import choose_project


class StudyHooks:
    """Remembers the context of the run: hooks of later moments are not given it."""

    def __init__(self) -> None:
        self._project = Path()
        self._study = "base"
        self._environments: list[str] = []

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Keep what later moments need of the context."""
        loader = context.config_loader
        self._project = Path(context.project_path)
        choose_project(self._project)
        self._study = getattr(loader, "study", "base")
        self._description = getattr(loader, "environment", {})
        self._environments = ["base", *getattr(loader, "chain", [])]
        self._load_data_set = getattr(loader, "data_set_key", str)
        self._load_parameters = lambda: loader["parameters"]
        self._load_base_parameters = loader.base_parameters
