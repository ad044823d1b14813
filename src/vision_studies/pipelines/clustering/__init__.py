"""The `clustering` pipeline."""

from vision_studies.pipelines.clustering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
