"""The `transfer_cuts` pipeline."""

from vision_studies.pipelines.transfer_cuts.pipeline import create_pipeline

__all__ = ["create_pipeline"]
