"""The Kedro pipelines: graphs of thin nodes over the library."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def pipeline_of(package: str) -> "Callable[..., Pipeline]":
    """The `create_pipeline` that Kedro looks for in a method's package; it imports Kedro and the method when called."""

    def create_pipeline(**_: object) -> "Pipeline":
        from vision_studies.pipelines.method_pipeline import method_pipeline

        return method_pipeline(import_module(f"{package}.method").METHOD)

    return create_pipeline
