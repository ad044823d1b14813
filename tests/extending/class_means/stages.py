"""The runs of `class_means`, and what is done to them."""

from functools import partial
from pathlib import Path

from vision_studies.costs import costs_nothing
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.class_means.networks import classifier, probabilities, save_means
from vision_studies.pipelines.class_means.settings import ClassMeansSettings
from vision_studies.predictions import Predictions
from vision_studies.studies.method import WEIGHTS_FILE, Context, check_images
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Known, Stage, Steps

TRAINING, EVALUATION = "training", "evaluation"
Means = Context[ClassMeansSettings]


def study_runs(context: Means) -> list[Run]:
    """Every share of the images with every seed."""
    settings = context.settings
    return [
        context.run(f"{share:.0%} of the images", seed, {"share": share})
        for seed in settings.seeds
        for share in settings.shares
    ]


def check(context: Means) -> None:
    """Any images will do that have classes and splits."""
    check_images(context.images)


def stages(context: Means, _: Known) -> Steps:
    """Averaging, and one look at the test images."""
    runs = study_runs(context)
    yield Stage(TRAINING, runs, Alone(partial(_train, context=context)), costs_nothing)
    evaluating = Alone(partial(_evaluate, context=context))
    yield Stage(EVALUATION, runs, evaluating, costs_nothing, verb="score", after=TRAINING)


def most_runs(settings: ClassMeansSettings) -> int:
    """How many classifiers there are."""
    return len(settings.seeds) * len(settings.shares)


def _train(run: Run, folder: Path, *, context: Means) -> Outcome:
    import numpy as np

    from vision_studies.statistics.metrics import measured

    data = context.images
    positions = np.random.default_rng(run.seed).permutation(data.splits.train)
    seen = positions[: max(data.num_classes, round(run.configuration["share"] * len(positions)))]
    network = save_means(data, seen, folder / WEIGHTS_FILE)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    size = {"parameters": parameters, "macs": parameters, "seconds": 0.0, "device": "cpu"}
    return Outcome({**measured(*probabilities(network, data, "validation"), of="validation"), **size})


def _evaluate(_: Run, folder: Path, *, context: Means) -> Outcome:
    from vision_studies.statistics.metrics import measured

    network = classifier(context.images, folder / WEIGHTS_FILE)
    said, labels = probabilities(network, context.images, "test")
    predictions = Predictions.of("test", context.images.splits.test, labels, said)
    return Outcome(measured(said, labels), predictions=(predictions,))
