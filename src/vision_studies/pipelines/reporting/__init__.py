"""The `reporting` pipeline."""

from vision_studies.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
