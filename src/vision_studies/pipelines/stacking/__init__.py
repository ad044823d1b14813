"""The `stacking` pipeline."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def create_pipeline(**_: object) -> "Pipeline":
    """Train stacks of networks and what they have to beat.

    The tag `search` is a phase that several processes may do at once; without a search in the study it does nothing.
    """
    from vision_studies.pipelines.method_pipeline import method_pipeline
    from vision_studies.pipelines.stacking.method import METHOD

    return method_pipeline(METHOD)
