"""How accuracy grows with the number of images learnt from."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vision_studies.pipelines.choose.candidates import EVALUATION
from vision_studies.pipelines.choose.division import divided
from vision_studies.pipelines.choose.features import joined
from vision_studies.statistics.verdict import wilson

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.studies.run_store import RunStore
    from vision_studies.studies.runs import Run

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of the images that a fold learns from."""

FURTHER = (1.0, 2.0, 4.0)
"""Times as many images, for which accuracy is foretold."""

_FEWEST, _FEWEST_SIZES = 2, 3  # images for each class, and sizes of a curve
COLUMNS = ["images", "accuracy", "low", "high", "kind"]


def learning_curve_of(run: "Run", data: "PreparedData", runs: "RunStore", confidence: float) -> pd.DataFrame:
    """Accuracy of a classifier of features with fewer images, each size with all folds, and what a power law makes of it.

    Hyperparameters are those that most outer folds have chosen. Intervals have the `confidence`: those of what is measured are
    Wilson's over the images; those of the power law are over draws of the images that are learnt from.

    Returns:
        Columns images, accuracy, low, high and kind (`measured`, `fitted`, or `checked`: what a power law through the other
        sizes promises at the largest, where there are four sizes); empty where there are too few images.
    """
    from vision_studies.classifiers.learning_curve import measured_learning_curve, promised_at_largest
    from vision_studies.classifiers.registry import FAMILIES

    division = divided(data, run.configuration, run.seed)
    places = np.arange(len(division.labels))
    folds = division.folds_within(places, run.seed) if division.outer is None else division.outer
    sizes = _sizes(division.labels, folds)
    if len(sizes) < _FEWEST_SIZES:
        return pd.DataFrame(columns=COLUMNS)
    x = joined(runs, data.image_set, run.configuration, division.positions)
    hyperparameters = runs.metrics(run, EVALUATION)["other_metrics"]["usual_hyperparameters"]
    family = FAMILIES[run.configuration["family"]]
    labels, classes = division.labels, data.num_classes
    curve = measured_learning_curve(family, x, labels, folds, classes, hyperparameters, sizes=sizes, seed=run.seed)
    rows = [
        (size, value, *wilson(value, len(places), confidence), "measured")
        for size, value in zip(sizes, curve.accuracies.mean(axis=0).tolist(), strict=True)
    ]
    further = np.unique(
        [*np.geomspace(sizes[0], FURTHER[-1] * sizes[-1], 25), *(times * sizes[-1] for times in FURTHER)]
    )
    rows += [(size, *curve.at(size, confidence), "fitted") for size in further.tolist()]
    if len(sizes) > _FEWEST_SIZES:
        rows.append((sizes[-1], *promised_at_largest(curve, confidence=confidence), "checked"))
    return pd.DataFrame(rows, columns=COLUMNS)


def _sizes(labels: np.ndarray, folds: np.ndarray) -> list[int]:
    """Images to learn from: shares of what the smallest training part has, with a few of each class at least."""
    most = len(labels) - int(np.bincount(folds).max())
    least = _FEWEST * len(np.unique(labels))
    return sorted({size for share in SHARES if (size := round(share * most)) >= least})
