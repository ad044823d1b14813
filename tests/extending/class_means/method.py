"""What `class_means` is."""

from vision_studies.pipelines.class_means import nodes
from vision_studies.pipelines.class_means.networks import NETWORKS
from vision_studies.pipelines.class_means.stages import check, most_runs, stages
from vision_studies.studies.method import (
    Choice,
    FigureText,
    Method,
    NodeSpec,
    PageSection,
    beside_all,
    in_folds,
    no_baseline,
)
from vision_studies.studies.predictions import Kept
from vision_studies.studies.published import NeverPublished

METHOD = Method(
    name="class_means",
    version=1,
    section=PageSection(
        title="Mean images",
        figures={
            "shares": FigureText("Shares compared", "Test accuracy by the share of the images that are averaged.")
        },
        charts=(),
    ),
    stages=stages,
    check=check,
    most_runs=most_runs,
    networks=NETWORKS,
    published=NeverPublished("no project has published it"),
    predictions=Kept("full"),
    verdict=Choice(no_baseline, beside_all),
    folds=in_folds,
    nodes=(
        NodeSpec(nodes.take_means, [], "training_results", "training", in_context=True, does_runs=True),
        NodeSpec(nodes.score, ["training_results"], "results", "evaluation", in_context=True, does_runs=True),
        NodeSpec(nodes.compare, ["results", "params:reporting"], "comparison", "evaluation"),
        NodeSpec(nodes.conclude, ["comparison"], "conclusions", "evaluation"),
        NodeSpec(nodes.plot_comparison, ["results", "comparison"], "shares_figure", "figures"),
    ),
)
