"""What `alphanet` is: features, classifiers on them, combinations of neighbours, and what they change."""

from collections.abc import Mapping
from typing import Any

from vision_studies.pipelines.alphanet import figures, nodes, relations, tables
from vision_studies.pipelines.alphanet.checks import check_study
from vision_studies.pipelines.alphanet.networks import NETWORKS
from vision_studies.pipelines.alphanet.plan import images_name, study_data
from vision_studies.pipelines.alphanet.published_study import PUBLISHED
from vision_studies.pipelines.alphanet.relations import outside_files
from vision_studies.pipelines.alphanet.stages import most_runs, stages
from vision_studies.studies.method import Choice, FigureText, Method, NodeSpec, PageSection, beside_all, does_runs
from vision_studies.studies.predictions import Kept

SETTINGS = "params:alphanet"
BY_CLASS = ["class_accuracies", "combinations", "changes"]
FIGURE_INPUTS = [SETTINGS, "params:reporting", "statistics", *BY_CLASS, "relations"]


def _is_classifier(_: str, configuration: Mapping[str, Any]) -> bool:
    return not any(key.startswith("combinations.") for key in configuration)


def _not_in_folds(_: Any) -> str:
    return "takes features and classifiers from one division of the images"


METHOD = Method(
    name="alphanet",
    version=1,
    section=PageSection(
        title="Classes with few images",
        figures={
            "split_accuracies": FigureText(
                "Few, medium and many",
                "Test accuracy of classes with few, medium and many training images; broken lines are the classifier without "
                "AlphaNet.",
            ),
            "class_gains": FigureText("Who wins and who pays", "Change in test accuracy of every class."),
            "coefficients": FigureText(
                "What is borrowed",
                "Coefficients of each few class's neighbours, from the nearest to the farthest.",
            ),
            "prediction_changes": FigureText(
                "What becomes of predictions",
                "Test images that are taken for their own class, for a neighbour of it, or for another class, before and "
                "after.",
            ),
        },
        charts=(),
    ),
    stages=stages,
    check=check_study,
    networks=NETWORKS,
    published=PUBLISHED,
    predictions=Kept("correct"),
    verdict=Choice(
        _is_classifier,
        beside_all,  # whatever classifier they improve, all of them classify the same features
        measure="balanced_accuracy",
        choosers=("validation_balanced_accuracy", "validation_accuracy"),
        costs_without="the network that gives the features",
        asks_more=True,
    ),
    folds=_not_in_folds,
    most_runs=most_runs,
    prepare=study_data,
    outside=outside_files,
    images=images_name,
    nodes=(
        does_runs(nodes.train_backbones, [], ["backbones", "backbone_histories"], "features"),
        does_runs(nodes.extract_features, ["backbones"], ["feature_sets", "classes"], "features"),
        does_runs(nodes.fit_classifiers, ["feature_sets"], "classifiers", "classifiers"),
        does_runs(
            nodes.learn_combinations, ["feature_sets", "classifiers"], ["training_results", "histories"], "training"
        ),
        does_runs(
            nodes.evaluate_experiments,
            ["training_results"],
            ["results", "accuracies", *BY_CLASS, "trade_offs"],
            "evaluation",
        ),
        NodeSpec(relations.relate_classes, ["classes", "classifiers"], "relations", "evaluation", in_context=True),
        NodeSpec(
            tables.compare_splits,
            [SETTINGS, "params:reporting", "accuracies", "feature_sets", "trade_offs"],
            ["statistics", "conclusions"],
            "evaluation",
        ),
        NodeSpec(
            tables.tabulate,
            ["accuracies", "changes", "classes", "relations"],
            ["markdown_tables", "latex_tables", "csv_tables"],
            "evaluation",
        ),
        NodeSpec(tables.list_combinations, BY_CLASS, ["listings", "markdown_listings"], "evaluation"),
        NodeSpec(
            figures.plot_study,
            FIGURE_INPUTS,
            ["split_accuracies", "class_gains", "coefficients", "prediction_changes"],
            "figures",
        ),
        NodeSpec(figures.plot_every_kind, [*FIGURE_INPUTS, "trade_offs"], "figures", "figures"),
        NodeSpec(
            figures.plot_examples, ["class_accuracies", "combinations"], "example_figures", "figures", in_context=True
        ),
    ),
)
