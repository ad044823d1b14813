"""The `cifar_resnet` pipeline: train small residual networks under the variants and seeds of a study."""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
