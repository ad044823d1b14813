"""The `stacking` pipeline: train stacks of networks and what they have to beat.

The tag `search` is a phase that several processes may do at once; without a search in the study it does nothing.
"""

from vision_studies.pipelines import pipeline_of

create_pipeline = pipeline_of(__name__)
