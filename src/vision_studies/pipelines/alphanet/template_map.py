"""A few class's classifier among its neighbours' and its test images, in two dimensions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.learnt_combinations import select_classes
from vision_studies.pipelines.alphanet.long_tail import class_means
from vision_studies.pipelines.alphanet.plan import COMBINATIONS_FILE, Plan
from vision_studies.pipelines.alphanet.settings import CombinationRunSettings


def class_maps(
    plan: Plan, class_accuracies: pd.DataFrame, experiment: str, *, number: int, largest: bool
) -> tuple[dict[str, pd.DataFrame], dict[str, list[str]]]:
    """Maps of the few classes with the largest or the smallest gain, in the first repeat of an experiment that there is.

    Returns:
        For each class, called by its name and gain, its map and the names of its neighbours.
    """
    from vision_studies.pipelines.alphanet.work.evaluation import improved_classifier, predicted_on_test
    from vision_studies.pipelines.alphanet.work.experiments import read_combinations

    accuracies = class_accuracies[class_accuracies["experiment"] == experiment]
    repeat = accuracies["repeat"].min()
    trained = next(each for each in plan.experiments() if (each.run.variant, each.repeat) == (experiment, repeat))
    features, before = plan.features(trained.classifier, trained.repeat), plan.classifier(trained)
    folder = plan.runs.path(trained.run)
    neighbours, coefficients = read_combinations(folder / COMBINATIONS_FILE, features.splits)
    scale = CombinationRunSettings.model_validate(trained.run.configuration["combinations"]).training.prediction_scale
    after = improved_classifier(before, neighbours, coefficients, scale)
    folders = (plan.classifier_folder(trained.classifier, trained.repeat), folder)
    predicted, predicted_after = (predicted_on_test(path)[0] for path in folders)
    gains = class_means(accuracies).set_index("label")["gain"]
    test = features.groups["test"]
    maps, names = {}, {}
    for label in select_classes(class_accuracies, experiment, by="gain", largest=largest, number=number):
        images = test.labels == label
        near = neighbours.labels[list(neighbours.classes).index(label)].tolist()
        name = f"{features.class_names[label]} ({100 * gains[label]:+.1f} points)"
        weights, of_class = (before.weight, after.weight / scale), test.features[images]
        maps[name] = template_map(*weights, label, near, of_class, predicted[images], predicted_after[images], seed=0)
        names[name] = [features.class_names[other] for other in near]
    return maps, names


def template_map(
    weight_before: np.ndarray,
    weight_after: np.ndarray,
    label: int,
    neighbours: Sequence[int],
    features: np.ndarray,
    before_predictions: np.ndarray,
    after_predictions: np.ndarray,
    *,
    components: int = 50,
    samples: int = 200,
    seed: int,
) -> pd.DataFrame:
    """Place classifiers and features so that distances on the plane are as they are among them.

    The way of AlphaNet's figures of templates (Chang et al. 2023): weights and features are each divided by their mean norm,
    centred and scaled as the baseline's classifiers, projected on the principal components of those, and brought to two
    dimensions by metric multidimensional scaling (SMACOF; de Leeuw 1977). Both panels share one map, in which only
    the class's own classifier moves. Biases have no part in it.

    Args:
        weight_before: [C, d], the baseline's classifiers.
        weight_after: [C, d], AlphaNet's; only that of `label` is read.
        label: the class.
        neighbours: k base classes, the nearest first.
        features: [N, d] of test images of the class.
        before_predictions: int [N], the baseline's.
        after_predictions: int [N], AlphaNet's.
        components: principal components to keep; fewer where there are fewer classes or features.
        samples: of more features than this so many are drawn.
        seed: of the drawing and the scaling.

    Returns:
        One row a point and panel: x, y, kind ("classifier", "neighbour" or "feature"), panel ("before" or "after"), position
        (1 to k of a neighbour, else 0) and group ("correct", "neighbour 1" to "neighbour k", or "other"): of a feature what it
        is predicted as, of a classifier whose it is.

    Raises:
        DataError: arrays do not fit each other, or hold values that are not finite.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import MDS
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if weight_before.shape != weight_after.shape or weight_before.shape[1:] != features.shape[1:]:
        raise DataError(
            f"Classifiers before {weight_before.shape} and after {weight_after.shape} and features {features.shape} must have "
            "one number of dimensions, and both classifiers the same classes."
        )
    predictions = {"before": before_predictions, "after": after_predictions}
    if any(len(predicted) != len(features) for predicted in predictions.values()):
        raise DataError(
            f"{len(features)} features need as many predictions, and there are {len(before_predictions)} before and "
            f"{len(after_predictions)} after."
        )
    if not all(np.isfinite(array).all() for array in (weight_before, weight_after, features)):
        raise DataError("Classifiers or features hold values that are not finite; train or extract them anew.")
    sample = np.arange(len(features))
    if len(features) > samples:
        sample = np.sort(np.random.default_rng(seed).choice(len(features), samples, replace=False))
    norm = _mean_norm(weight_before)
    projection = make_pipeline(StandardScaler(), PCA(min(components, *weight_before.shape), random_state=seed))
    projection.fit(weight_before / norm)
    classifiers = np.stack([weight_before[label], weight_after[label], *weight_before[list(neighbours)]]) / norm
    points = projection.transform(np.concatenate([classifiers, features[sample] / _mean_norm(features[sample])]))
    # The start by classical scaling needs no chance and ends in a better map than random ones.
    scaling = MDS(2, init="classical_mds", n_init=1, metric_mds=True, random_state=seed, normalized_stress=False)
    positions = scaling.fit_transform(points)
    near = [f"neighbour {position}" for position in range(1, len(neighbours) + 1)]
    names = dict(zip(map(int, neighbours), near, strict=True)) | {label: "correct"}
    panels = []
    for number, (panel, predicted) in enumerate(predictions.items()):
        table = pd.DataFrame(np.delete(positions, 1 - number, axis=0), columns=["x", "y"])
        groups = [names.get(int(prediction), "other") for prediction in predicted[sample]]
        panels.append(
            table.assign(
                kind=["classifier"] + ["neighbour"] * len(near) + ["feature"] * len(groups),
                panel=panel,
                position=[0, *range(1, len(near) + 1), *[0] * len(groups)],
                group=["correct", *near, *groups],
            )
        )
    return pd.concat(panels, ignore_index=True)


def _mean_norm(rows: np.ndarray) -> float:
    """Mean length of rows; 1 where there is none or all are zero, so that it can divide."""
    return (float(np.linalg.norm(rows, axis=1).mean()) if len(rows) else 0.0) or 1.0
