"""The `clustering` pipeline."""

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def create_pipeline(**_: object) -> "Pipeline":
    """Look for classes in the layers of the networks that `transfer_cuts` pretrains; they are trained once for both."""
    from vision_studies.pipelines.clustering.method import METHOD
    from vision_studies.pipelines.method_pipeline import method_pipeline
    from vision_studies.pipelines.transfer_cuts.method import METHOD as CUTS

    with warnings.catch_warnings():
        # Kedro warns of a node that reads another namespace's data set, which is what sharing the networks means.
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        return method_pipeline(CUTS, only=["pretrain_networks"]) + method_pipeline(METHOD)
