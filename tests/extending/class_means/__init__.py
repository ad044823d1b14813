"""The `class_means` pipeline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def create_pipeline(**_: object) -> "Pipeline":
    """Classify by the nearest mean image of a class."""
    from vision_studies.pipelines.class_means.method import METHOD
    from vision_studies.pipelines.method_pipeline import method_pipeline

    return method_pipeline(METHOD)
