"""The `transfer_cuts` pipeline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def create_pipeline(**_: object) -> "Pipeline":
    """Try every cut with few and with many images of new classes."""
    from vision_studies.pipelines.method_pipeline import method_pipeline
    from vision_studies.pipelines.transfer_cuts.method import METHOD

    return method_pipeline(METHOD)
