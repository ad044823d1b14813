"""The `cifar_resnet` pipeline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def create_pipeline(**_: object) -> "Pipeline":
    """Train small residual networks under the variants and seeds of a study."""
    from vision_studies.pipelines.cifar_resnet.method import METHOD
    from vision_studies.pipelines.method_pipeline import method_pipeline

    return method_pipeline(METHOD)
