"""What `clustering` is: clusters in what the layers of networks give that have learnt some classes."""

from typing import Any

from vision_studies.pipelines.clustering import nodes
from vision_studies.pipelines.clustering.published_study import PUBLISHED
from vision_studies.pipelines.clustering.stages import ClusteringStudy, check, most_runs, stages
from vision_studies.pipelines.transfer_cuts.networks import network_title
from vision_studies.studies.method import FigureText, Method, NoChoice, NodeSpec, PageSection, does_runs, no_networks
from vision_studies.studies.predictions import Never

CUTS, REPORTING = "params:transfer_cuts", "params:reporting"
FIGURES = ["cluster_box_plot", "score_lines", "effective_rank_figure"]


def _not_in_folds(_: Any) -> str:
    return "scores clusters of activations, and predicts no class of any image"


METHOD = Method(
    name="clustering",
    version=1,
    section=PageSection(
        title="Clusters of activations",
        figures={
            "cluster_box_plot": FigureText(
                "Clusters and classes",
                "How well clusters of a layer's activations agree with the classes: 0 is chance, 1 is agreement.",
            ),
            "score_lines": FigureText(
                "Clusters and the number of images", "The same by the share of the images, layer by layer."
            ),
            "effective_rank": FigureText(
                "Effective rank", "How many directions the weights of a layer use, after pretraining and before it."
            ),
        },
        charts=(),
    ),
    stages=stages,
    check=check,
    networks=no_networks(
        "they keep no network; name the run of transfer_cuts that pretrained the one they look into", network_title
    ),
    published=PUBLISHED,
    predictions=Never("Clusters of activations are no classifiers: there is no class that one of them predicts."),
    verdict=NoChoice("asks at which layer clusters follow the classes, and not which network to take"),
    folds=_not_in_folds,
    most_runs=most_runs,
    parameters=("transfer_cuts", "clustering"),
    settings=ClusteringStudy,
    runs_of="transfer_cuts",
    borrowed={"runs_folder": "transfer_cuts.runs_folder", "pretraining": "transfer_cuts.pretraining"},
    nodes=(
        does_runs(nodes.cluster_activations, ["pretraining"], ["results", "scores"], "evaluation"),
        NodeSpec(nodes.compute_effective_ranks, ["pretraining"], "effective_ranks", "evaluation", in_context=True),
        NodeSpec(nodes.measure_class_distances, ["pretraining"], "class_distances", "evaluation", in_context=True),
        NodeSpec(nodes.map_images, ["pretraining"], "image_map", "evaluation", in_context=True),
        NodeSpec(nodes.summarise_scores, [REPORTING, "scores"], "summary", "evaluation"),
        NodeSpec(nodes.conclude_clustering, [REPORTING, "summary"], "conclusions", "evaluation"),
        NodeSpec(nodes.tabulate_clusters, [CUTS, "summary"], ["markdown_tables", "latex_tables"], "evaluation"),
        NodeSpec(nodes.write_cluster_layout, [CUTS, "scores"], "original_files", "evaluation"),
        NodeSpec(nodes.plot_scores, [CUTS, "scores", "effective_ranks"], FIGURES, "figures"),
        NodeSpec(nodes.plot_details, [CUTS, "scores", "class_distances", "image_map"], "figures", "figures"),
    ),
)
