"""What `choose` is: classifiers of all kinds are tried on the images of a study, each on images that it has not seen."""

from vision_studies.pipelines.choose import nodes
from vision_studies.pipelines.choose.candidates import is_balanced
from vision_studies.pipelines.choose.conclusions import conclude
from vision_studies.pipelines.choose.networks import NETWORKS
from vision_studies.pipelines.choose.settings import ChooseSettings
from vision_studies.pipelines.choose.stages import beside, check, is_baseline, is_of_one_seed, most_runs, stages
from vision_studies.studies.method import Choice, FigureText, Method, NodeSpec, PageSection, does_runs
from vision_studies.studies.predictions import Kept
from vision_studies.studies.published import NeverPublished


def _own_folds(_: ChooseSettings) -> str:
    return ""  # of which nothing is missing


METHOD = Method(
    name="choose",
    version=1,
    section=PageSection(
        title="Which classifier for these images?",
        figures={
            "candidates": FigureText(
                "What matters",
                "Test accuracy of every classifier (a column) on every kind of features (a row); colours and sizes of images "
                "that were not tried in time are missing.",
            ),
            "time": FigureText(
                "What time buys",
                "The accuracy of every candidate, and of what would have been taken, after so many seconds.",
            ),
            "learning_curve": FigureText(
                "Would more images help?",
                "Accuracy by the number of images learnt from, and the power law that was fitted to it.",
            ),
            "confusion_matrix": FigureText(
                "Confusion matrix", "True against predicted class of the test images, for the chosen candidate."
            ),
            "label_errors": FigureText(
                "Images to look at",
                "Images of which the chosen candidate is far surer of another class than of their label, and images that no "
                "candidate gets right.",
            ),
        },
        charts=(),
    ),
    stages=stages,
    check=check,
    networks=NETWORKS,
    published=NeverPublished("it was never published as a project of its own"),
    predictions=Kept("full"),
    folds=_own_folds,
    verdict=Choice(is_baseline, beside, is_balanced=is_balanced, is_of_one_seed=is_of_one_seed, asks_more=True),
    most_runs=most_runs,
    nodes=(
        does_runs(nodes.try_candidates, [], "results", "training"),
        NodeSpec(nodes.collect_predictions, ["results"], "predictions", "evaluation", in_context=True),
        NodeSpec(nodes.find_label_errors, ["results", "predictions"], "label_errors", "evaluation", in_context=True),
        NodeSpec(
            nodes.measure_learning_curve,
            ["results", "params:reporting"],
            "learning_curve",
            "evaluation",
            in_context=True,
        ),
        NodeSpec(conclude, ["results", "label_errors", "learning_curve"], "conclusions", "evaluation"),
        NodeSpec(nodes.plot_candidates, ["results"], ["candidates_figure", "time_figure"], "figures"),
        NodeSpec(nodes.plot_learning_curve, ["learning_curve"], "learning_curve_figure", "figures"),
        NodeSpec(nodes.plot_confusion_matrix, ["predictions", "image_set"], "confusion_matrix", "figures"),
        NodeSpec(nodes.plot_label_errors, ["label_errors", "image_set"], "label_errors_figure", "figures"),
    ),
)
