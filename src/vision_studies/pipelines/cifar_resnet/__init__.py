"""The `cifar_resnet` pipeline."""

from vision_studies.pipelines.cifar_resnet.pipeline import create_pipeline

__all__ = ["create_pipeline"]
