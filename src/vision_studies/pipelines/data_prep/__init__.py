"""The `data_prep` pipeline."""

from vision_studies.pipelines.data_prep.pipeline import create_pipeline

__all__ = ["create_pipeline"]
