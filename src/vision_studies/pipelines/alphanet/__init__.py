"""The `alphanet` pipeline: help classes with few images by what is known of their neighbours.

Tags are phases that can be run alone: features, classifiers, training, evaluation, figures.
"""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
