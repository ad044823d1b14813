"""The graph of `cifar_resnet`: train the study's runs, score each once on test, draw what they learned."""

from kedro.pipeline import Node, Pipeline

from vision_studies.pipelines.cifar_resnet.nodes import (
    collect_predictions,
    compare_runs,
    evaluate_runs,
    plot_comparison,
    plot_confusion_matrix,
    plot_predictions,
    plot_reliability,
    plot_training_graphs,
    select_model,
    train_runs,
    write_evaluation,
)

SHARED = {"image_set", "splits", "ffcv_files"}
STUDY_PARAMETERS = ["params:cifar_resnet", "params:study"]
DATA = ["image_set", "splits", "ffcv_files"]


def create_pipeline(**_: object) -> Pipeline:
    """Train small residual networks under the variants and seeds of a study."""
    return Pipeline(
        [
            Node(
                train_runs,
                inputs=[*STUDY_PARAMETERS, "params:execution", "params:fresh", *DATA, "runs_folder"],
                outputs=["training_results", "histories"],
                name="train_runs",
                tags="training",
            ),
            Node(
                evaluate_runs,
                inputs=[*STUDY_PARAMETERS, "params:execution", *DATA, "runs_folder", "training_results"],
                outputs="results",
                name="evaluate_runs",
                tags="evaluation",
            ),
            Node(
                select_model,
                inputs=["results", "runs_folder", "image_set", "splits"],
                outputs="model",
                name="select_model",
                tags="evaluation",
            ),
            Node(
                write_evaluation,
                inputs=["results", "runs_folder", "model"],
                outputs=["evaluation_predictions", "evaluated_model", "evaluation_summary"],
                name="write_evaluation",
                tags="evaluation",
            ),
            Node(
                collect_predictions,
                inputs=["results", "runs_folder"],
                outputs="predictions",
                name="collect_predictions",
                tags="evaluation",
            ),
            Node(
                compare_runs,
                inputs=["results", "params:reporting"],
                outputs="comparison",
                name="compare_runs",
                tags="evaluation",
            ),
            Node(
                plot_training_graphs,
                inputs="histories",
                outputs=["learning_curves", "loss_figure", "validation_figure", "learning_rate_figure"],
                name="plot_training_graphs",
                tags="figures",
            ),
            Node(
                plot_confusion_matrix,
                inputs=["predictions", "image_set"],
                outputs="confusion_matrix",
                name="plot_confusion_matrix",
                tags="figures",
            ),
            Node(
                plot_reliability, inputs="predictions", outputs="reliability", name="plot_reliability", tags="figures"
            ),
            Node(
                plot_predictions,
                inputs=["predictions", "image_set"],
                outputs="prediction_grid",
                name="plot_predictions",
                tags="figures",
            ),
            Node(
                plot_comparison,
                inputs=["results", "comparison"],
                outputs="comparison_figure",
                name="plot_comparison",
                tags="figures",
            ),
        ],
        namespace="cifar_resnet",
        inputs=SHARED,
        parameters={*STUDY_PARAMETERS, "params:execution", "params:fresh", "params:reporting"},
    )
