"""The `mlp_transfer` pipeline: search hyperparameters for perceptrons of several shapes, and try them on each other's shapes.

Tags are phases that can be run alone: search, retrain, transfer, report (and search_report, the part of it before the
transfer).
"""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
