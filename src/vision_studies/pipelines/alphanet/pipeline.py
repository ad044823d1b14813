"""The graph of `alphanet`: features, classifiers on them, combinations of neighbours, and what they change."""

from kedro.pipeline import Node, Pipeline

from vision_studies.pipelines.alphanet.figures import plot_every_kind, plot_examples, plot_study
from vision_studies.pipelines.alphanet.nodes import (
    evaluate_experiments,
    extract_features,
    fit_classifiers,
    learn_combinations,
    train_backbones,
)
from vision_studies.pipelines.alphanet.relations import relate_classes
from vision_studies.pipelines.alphanet.tables import compare_splits, list_combinations, tabulate

SETTINGS = "params:alphanet"
PARAMETERS = [SETTINGS, "params:study", "params:execution"]
DATA = ["image_set", "splits"]
FOUND = ["class_accuracies", "combinations", "changes"]


def create_pipeline(**_: object) -> Pipeline:
    """Help classes with few images by what is known of their neighbours.

    Tags are phases that can be run alone: features, classifiers, training, evaluation, figures.
    """
    return Pipeline(
        [
            Node(
                train_backbones,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder"],
                outputs=["backbones", "backbone_histories"],
                name="train_backbones",
                tags="features",
            ),
            Node(
                extract_features,
                inputs=[*PARAMETERS, *DATA, "runs_folder", "backbones"],
                outputs=["feature_sets", "classes"],
                name="extract_features",
                tags="features",
            ),
            Node(
                fit_classifiers,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder", "feature_sets"],
                outputs="classifiers",
                name="fit_classifiers",
                tags="classifiers",
            ),
            Node(
                learn_combinations,
                inputs=[*PARAMETERS, "params:fresh", *DATA, "runs_folder", "feature_sets", "classifiers"],
                outputs=["training_results", "histories"],
                name="learn_combinations",
                tags="training",
            ),
            Node(
                evaluate_experiments,
                inputs=[*PARAMETERS, *DATA, "runs_folder", "training_results"],
                outputs=["results", "accuracies", *FOUND],
                name="evaluate_experiments",
                tags="evaluation",
            ),
            Node(
                relate_classes,
                inputs=[*PARAMETERS, *DATA, "runs_folder", "classes", "classifiers"],
                outputs="relations",
                name="relate_classes",
                tags="evaluation",
            ),
            Node(
                compare_splits,
                inputs=[SETTINGS, "params:reporting", "accuracies", "feature_sets"],
                outputs=["statistics", "conclusions"],
                name="compare_splits",
                tags="evaluation",
            ),
            Node(
                tabulate,
                inputs=["accuracies", "changes", "classes", "relations"],
                outputs=["markdown_tables", "latex_tables", "csv_tables"],
                name="tabulate",
                tags="evaluation",
            ),
            Node(
                list_combinations,
                inputs=FOUND,
                outputs=["listings", "markdown_listings"],
                name="list_combinations",
                tags="evaluation",
            ),
            Node(
                plot_study,
                inputs=[SETTINGS, "params:reporting", "statistics", *FOUND, "relations"],
                outputs=["split_accuracies", "class_gains", "coefficients", "prediction_changes"],
                name="plot_study",
                tags="figures",
            ),
            Node(
                plot_every_kind,
                inputs=[SETTINGS, "params:reporting", "statistics", *FOUND, "relations"],
                outputs="figures",
                name="plot_every_kind",
                tags="figures",
            ),
            Node(
                plot_examples,
                inputs=[*PARAMETERS, *DATA, "runs_folder", "class_accuracies", "combinations"],
                outputs="example_figures",
                name="plot_examples",
                tags="figures",
            ),
        ],
        namespace="alphanet",
        inputs=set(DATA),
        parameters={*PARAMETERS, "params:fresh", "params:reporting"},
    )
