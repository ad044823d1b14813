"""What `cifar_resnet` is: train the study's runs, score each once on test, draw what they learned."""

from vision_studies.pipelines.cifar_resnet import nodes
from vision_studies.pipelines.cifar_resnet.networks import NETWORKS
from vision_studies.pipelines.cifar_resnet.published_study import PUBLISHED
from vision_studies.pipelines.cifar_resnet.stages import check, most_runs, stages
from vision_studies.studies.method import (
    Choice,
    FigureText,
    Method,
    NodeSpec,
    PageSection,
    beside_all,
    does_runs,
    in_folds,
    no_baseline,
)
from vision_studies.studies.predictions import Kept

METHOD = Method(
    name="cifar_resnet",
    version=2,
    section=PageSection(
        title="Residual networks",
        figures={
            "comparison": FigureText(
                "Variants compared", "Test accuracy of single runs (dots), their mean (diamond) and its interval (bar)."
            ),
            "learning_curves": FigureText(
                "Learning curves",
                "Loss, validation accuracy and learning rate by epoch. Where images are augmented, mixed or their labels "
                "smoothed, the training loss is of these, and that of the plain images is lower.",
            ),
            "confusion_matrix": FigureText(
                "Confusion matrix",
                "True against predicted class on the test images, for the run with the best validation accuracy.",
            ),
            "prediction_grid": FigureText(
                "Predictions",
                "Test images drawn at random, with the three most probable classes; a blue bar is the true class.",
            ),
            "reliability": FigureText(
                "Reliability",
                "Accuracy against confidence: on the dashed line confidence can be taken at its word. Below, images in each "
                "bin.",
            ),
        },
        charts=(),
    ),
    stages=stages,
    check=check,
    networks=NETWORKS,
    published=PUBLISHED,
    predictions=Kept("full"),
    verdict=Choice(no_baseline, beside_all),
    folds=in_folds,
    most_runs=most_runs,
    data=("image_set", "splits", "ffcv_files"),
    nodes=(
        does_runs(nodes.train_runs, [], ["training_results", "histories"], "training"),
        does_runs(nodes.evaluate_runs, ["training_results"], "results", "evaluation"),
        NodeSpec(nodes.select_model, ["results", "runs_folder", "image_set", "splits"], "model", "evaluation"),
        NodeSpec(
            nodes.write_evaluation,
            ["results", "runs_folder", "image_set", "splits", "model"],
            ["evaluation_predictions", "evaluated_model", "evaluation_summary"],
            "evaluation",
        ),
        NodeSpec(
            nodes.collect_predictions, ["results", "runs_folder", "image_set", "splits"], "predictions", "evaluation"
        ),
        NodeSpec(nodes.compare_runs, ["results", "params:reporting"], "comparison", "evaluation"),
        NodeSpec(
            nodes.plot_training_graphs,
            ["histories", "training_results"],
            ["learning_curves", "loss_figure", "validation_figure", "learning_rate_figure"],
            "figures",
        ),
        NodeSpec(nodes.plot_confusion_matrix, ["predictions", "image_set"], "confusion_matrix", "figures"),
        NodeSpec(nodes.plot_reliability, ["predictions"], "reliability", "figures"),
        NodeSpec(nodes.plot_predictions, ["predictions", "image_set"], "prediction_grid", "figures"),
        NodeSpec(nodes.plot_comparison, ["results", "comparison"], "comparison_figure", "figures"),
    ),
)
