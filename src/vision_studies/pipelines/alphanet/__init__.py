"""The `alphanet` pipeline."""

from vision_studies.pipelines.alphanet.pipeline import create_pipeline

__all__ = ["create_pipeline"]
