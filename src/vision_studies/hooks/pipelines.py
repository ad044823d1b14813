"""Which pipelines a study is about: a session of Kedro does what the command does."""

from typing import Any

from kedro.framework.hooks import hook_impl

from vision_studies import pipeline_registry
from vision_studies.errors import ParameterError


class PipelineHooks:
    """Lets `__default__` be what the study's `environment.yml` names, before Kedro asks for pipelines."""

    def __init__(self) -> None:
        self._collected: list[str] | None = None

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Choose the pipelines. Raises ParameterError where the study names one that there is not."""
        loader = context.config_loader
        self._collected = getattr(loader, "studies", None)
        pipeline_registry.choose_methods(getattr(loader, "pipelines", None), images=getattr(loader, "images", True))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Refuse a collection of studies, which is no study. Raises ParameterError."""
        if self._collected is not None:
            raise ParameterError(
                f"{run_params['env']} stands for several studies, and a session does one; name one of "
                f"{', '.join(self._collected)}, or do all with `kedro run --env={run_params['env']}`."
            )
