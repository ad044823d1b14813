"""The `mlp_transfer` pipeline."""

from vision_studies.pipelines.mlp_transfer.pipeline import create_pipeline

__all__ = ["create_pipeline"]
