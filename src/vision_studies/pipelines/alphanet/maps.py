"""Classifiers and features of a run, read for its maps."""

import pandas as pd

from vision_studies.pipelines.alphanet.plan import COMBINATIONS_FILE, Plan
from vision_studies.pipelines.alphanet.settings import CombinationRunSettings


def class_maps(
    plan: Plan, class_accuracies: pd.DataFrame, experiment: str, *, number: int, largest: bool
) -> tuple[dict[str, pd.DataFrame], dict[str, list[str]]]:
    """Maps of the few classes with the largest or the smallest gain, in the first repeat of an experiment that there is.

    Returns:
        For each class, called by its name and gain, its map and the names of its neighbours.
    """
    from vision_studies.pipelines.alphanet.learnt_combinations import select_classes
    from vision_studies.pipelines.alphanet.template_map import template_map
    from vision_studies.pipelines.alphanet.work.evaluation import improved_classifier, read_predictions
    from vision_studies.pipelines.alphanet.work.experiments import read_combinations

    repeat = class_accuracies.loc[class_accuracies["experiment"] == experiment, "repeat"].min()
    own = next(own for own in plan.experiments() if own.run.variant == experiment and own.repeat == repeat)
    features, before = plan.features(own.classifier, own.repeat), plan.classifier(own)
    folder = plan.runs.path(own.run)
    neighbours, coefficients = read_combinations(folder / COMBINATIONS_FILE, features.splits)
    settings = CombinationRunSettings.model_validate(own.run.configuration["combinations"])
    after = improved_classifier(before, neighbours, coefficients, settings.training.prediction_scale)
    baseline = plan.classifier_folder(own.classifier, own.repeat)
    predictions = [read_predictions(path)[0] for path in (baseline, folder)]
    rows = class_accuracies[class_accuracies["experiment"] == experiment].groupby("label")[
        ["accuracy", "baseline_accuracy"]
    ]
    gains = rows.mean()["accuracy"] - rows.mean()["baseline_accuracy"]
    test = features.groups["test"]
    maps, names = {}, {}
    for label in select_classes(class_accuracies, experiment, by="gain", largest=largest, number=number):
        images = test.labels == label
        near = neighbours.labels[list(neighbours.classes).index(label)]
        name = f"{features.class_names[label]} ({100 * gains[label]:+.1f} points)"
        maps[name] = template_map(
            before.weight,
            after.weight / settings.training.prediction_scale,
            label,
            near.tolist(),
            test.features[images],
            predictions[0][images],
            predictions[1][images],
            seed=0,
        )
        names[name] = [features.class_names[other] for other in near]
    return maps, names
