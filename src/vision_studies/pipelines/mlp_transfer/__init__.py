"""The `mlp_transfer` pipeline: search hyperparameters for perceptrons of several shapes, and try them on each other's shapes.

Tags are phases that can be run alone: search, search_report, transfer.
"""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
