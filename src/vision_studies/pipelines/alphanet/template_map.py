"""A few class's classifier among its neighbours' and its test images, in two dimensions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vision_studies.errors import DataError


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
    from sklearn.manifold import MDS

    _check(weight_before, weight_after, features, before_predictions, after_predictions)
    generator = np.random.default_rng(seed)
    drawn = np.arange(len(features))
    if len(features) > samples:
        drawn = np.sort(generator.choice(len(features), samples, replace=False))
    points = _projected(
        weight_before,
        np.stack([weight_before[label], weight_after[label]]),
        neighbours,
        features[drawn],
        components,
        seed,
    )
    # The start by classical scaling needs no chance and ends in a better map than random ones.
    scaling = MDS(2, init="classical_mds", n_init=1, metric_mds=True, random_state=seed, normalized_stress=False)
    places = scaling.fit_transform(points)
    groups = {"before": before_predictions[drawn], "after": after_predictions[drawn]}
    panels = [
        _panel(panel, np.delete(places, 1 - own, axis=0), label, neighbours, groups[panel])
        for own, panel in enumerate(("before", "after"))
    ]
    return pd.concat(panels, ignore_index=True)


def _projected(
    baseline: np.ndarray,
    own: np.ndarray,
    neighbours: Sequence[int],
    features: np.ndarray,
    components: int,
    seed: int,
) -> np.ndarray:
    """[2 + k + n, components]: the class's classifier before and after, its neighbours', and features."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    norm = _mean_norm(baseline)
    projection = make_pipeline(StandardScaler(), PCA(min(components, *baseline.shape), random_state=seed))
    projection.fit(baseline / norm)
    classifiers = np.concatenate([own, baseline[list(neighbours)]]) / norm
    return projection.transform(np.concatenate([classifiers, features / _mean_norm(features)]))


def _mean_norm(rows: np.ndarray) -> float:
    """Mean length of rows; 1 where there is none or all are zero, so that it can divide."""
    mean = float(np.linalg.norm(rows, axis=1).mean()) if len(rows) else 0.0
    return mean or 1.0


def _panel(
    panel: str, places: np.ndarray, label: int, neighbours: Sequence[int], predictions: np.ndarray
) -> pd.DataFrame:
    k, count = len(neighbours), len(predictions)
    names = {int(neighbour): f"neighbour {place}" for place, neighbour in enumerate(neighbours, start=1)}
    names[label] = "correct"
    return pd.DataFrame(
        {
            "x": places[:, 0],
            "y": places[:, 1],
            "kind": ["classifier"] + ["neighbour"] * k + ["feature"] * count,
            "panel": panel,
            "position": [0, *range(1, k + 1), *[0] * count],
            "group": ["correct", *(names[int(neighbour)] for neighbour in neighbours)]
            + [names.get(int(prediction), "other") for prediction in predictions],
        }
    )


def _check(
    before: np.ndarray, after: np.ndarray, features: np.ndarray, predicted: np.ndarray, predicted_after: np.ndarray
) -> None:
    if before.shape != after.shape or before.shape[1:] != features.shape[1:]:
        raise DataError(
            f"Classifiers before {before.shape} and after {after.shape} and features {features.shape} must have one number "
            "of dimensions, and both classifiers the same classes."
        )
    if not len(features) == len(predicted) == len(predicted_after):
        raise DataError(
            f"{len(features)} features need as many predictions, and there are {len(predicted)} before and "
            f"{len(predicted_after)} after."
        )
    if not all(np.isfinite(array).all() for array in (before, after, features)):
        raise DataError("Classifiers or features hold values that are not finite; train or extract them anew.")
