"""The `choose` pipeline: which classifier should I take for these images?"""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
