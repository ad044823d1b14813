"""The `mlp_transfer` pipeline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def create_pipeline(**_: object) -> "Pipeline":
    """Search hyperparameters for perceptrons of several shapes, and try each shape's optimum on the others.

    Tags are phases that can be run alone: search, search_report, transfer.
    """
    from vision_studies.pipelines.method_pipeline import method_pipeline
    from vision_studies.pipelines.mlp_transfer.method import METHOD

    return method_pipeline(METHOD)
