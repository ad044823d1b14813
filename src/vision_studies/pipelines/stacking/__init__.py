"""The `stacking` pipeline."""

from vision_studies.pipelines.stacking.pipeline import create_pipeline

__all__ = ["create_pipeline"]
