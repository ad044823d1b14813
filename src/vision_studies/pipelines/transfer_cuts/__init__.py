"""The `transfer_cuts` pipeline: try every cut with few and with many images of new classes."""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
