"""The `alphanet` pipeline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def create_pipeline(**_: object) -> "Pipeline":
    """Help classes with few images by what is known of their neighbours.

    Tags are phases that can be run alone: features, classifiers, training, evaluation, figures.
    """
    from vision_studies.pipelines.alphanet.method import METHOD
    from vision_studies.pipelines.method_pipeline import method_pipeline

    return method_pipeline(METHOD)
