"""The `class_means` pipeline: classify by the nearest mean image of a class."""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
