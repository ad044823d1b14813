"""The graph of `clustering`: networks that have learnt some classes, and clusters in what their layers give."""

import warnings

from kedro.pipeline import Node, Pipeline

from vision_studies.pipelines.clustering.figures import plot_details, plot_scores
from vision_studies.pipelines.clustering.nodes import cluster_activations, compute_effective_ranks, map_images
from vision_studies.pipelines.clustering.tables import conclude_clustering, summarise_scores, write_cluster_layout
from vision_studies.pipelines.transfer_cuts.pipeline import create_pretraining

CUTS = "params:transfer_cuts"
SETTINGS = "params:clustering"
SHARED = ["params:study", "params:execution"]
DATA = ["image_set", "splits"]
NETWORKS = ["runs_folder", "pretraining"]


def create_pipeline(**_: object) -> Pipeline:
    """Look for classes in the layers of the networks that `transfer_cuts` pretrains; they are trained once for both."""
    with warnings.catch_warnings():
        # Kedro warns of a node that reads another namespace's data set, which is what sharing the networks means.
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        return create_pretraining() + _clusters()


def _clusters() -> Pipeline:
    return Pipeline(
        [
            Node(
                cluster_activations,
                inputs=[CUTS, SETTINGS, *SHARED, "params:fresh", *DATA, *NETWORKS],
                outputs=["results", "scores"],
                name="cluster_activations",
                tags="evaluation",
            ),
            Node(
                compute_effective_ranks,
                inputs=[CUTS, *SHARED, *DATA, *NETWORKS],
                outputs="effective_ranks",
                name="compute_effective_ranks",
                tags="evaluation",
            ),
            Node(
                map_images,
                inputs=[CUTS, SETTINGS, *SHARED, *DATA, *NETWORKS],
                outputs="image_map",
                name="map_images",
                tags="evaluation",
            ),
            Node(
                summarise_scores,
                inputs=["params:reporting", "scores"],
                outputs="summary",
                name="summarise_scores",
                tags="evaluation",
            ),
            Node(
                conclude_clustering,
                inputs=["params:reporting", "summary"],
                outputs="conclusions",
                name="conclude_clustering",
                tags="evaluation",
            ),
            Node(
                write_cluster_layout,
                inputs=[CUTS, "scores"],
                outputs="original_files",
                name="write_cluster_layout",
                tags="evaluation",
            ),
            Node(
                plot_scores,
                inputs=[CUTS, "scores", "effective_ranks"],
                outputs=["cluster_box_plot", "score_lines", "effective_rank_figure"],
                name="plot_scores",
                tags="figures",
            ),
            Node(
                plot_details,
                inputs=[CUTS, "scores", "image_map"],
                outputs="figures",
                name="plot_details",
                tags="figures",
            ),
        ],
        namespace="clustering",
        inputs={name: name for name in DATA} | {name: f"transfer_cuts.{name}" for name in NETWORKS},
        parameters={CUTS, SETTINGS, *SHARED, "params:fresh", "params:reporting"},
    )
