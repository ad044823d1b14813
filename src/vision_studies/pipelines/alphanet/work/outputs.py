"""Tables of what the experiments have found, for tables, figures and sentences."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.pipelines.alphanet.trade_offs import COLUMNS
from vision_studies.pipelines.alphanet.work.accuracy import class_accuracies, split_accuracies
from vision_studies.pipelines.alphanet.work.features import FeatureSet
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours


@dataclass(frozen=True)
class ScoredRun:
    """A classifier that has been scored on test images.

    Attributes:
        classifier: label of the classifier that it is or improves.
        experiment: what it is called.
        repeat: from 0.
        features: what it was scored on.
        predictions: int64 [N], of the test images.
        among_top: bool [N], whether the right class is among the first five.
        rho, distance: of an AlphaNet; None of a baseline.
        neighbours: of an AlphaNet's few classes; None of a baseline.
        coefficients: float32 [F, k] of an AlphaNet; None of a baseline.
        class_distances: float [classes], mean distance of each class to its k nearest of the other side: of few classes to
            base classes, and of base classes to few ones; None where nobody asked.
    """

    classifier: str
    experiment: str
    repeat: int
    features: FeatureSet
    predictions: np.ndarray
    among_top: np.ndarray
    rho: float | None = None
    distance: str | None = None
    neighbours: Neighbours | None = None
    coefficients: np.ndarray | None = None
    class_distances: np.ndarray | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether it is a classifier as AlphaNet finds it."""
        return self.coefficients is None

    @property
    def labels(self) -> np.ndarray:
        """Classes of the test images, int64 [N]."""
        return self.features.groups["test"].labels

    @property
    def who(self) -> dict[str, Any]:
        """The columns that say which run a row is of."""
        return {"classifier": self.classifier, "experiment": self.experiment, "repeat": self.repeat}

    def class_accuracies(self) -> np.ndarray:
        """Share of each class's test images that are predicted right, float64 [classes]."""
        return class_accuracies(self.predictions == self.labels, self.labels, self.features.num_classes)


def class_table(features: FeatureSet) -> pd.DataFrame:
    """One row a class: label, name, split, train_images, test_images."""
    test = np.bincount(features.groups["test"].labels, minlength=features.num_classes)
    return pd.DataFrame(
        {
            "label": np.arange(features.num_classes),
            "name": list(features.class_names),
            "split": features.splits.names(),
            "train_images": features.counts,
            "test_images": test,
        }
    )


def accuracy_table(runs: Sequence[ScoredRun]) -> pd.DataFrame:
    """One row a run and split: classifier, experiment, baseline, rho, neighbours, distance, repeat, split, top_1, top_5."""
    rows = []
    for run in runs:
        first = split_accuracies(run.predictions == run.labels, run.labels, run.features.splits)
        top = split_accuracies(run.among_top, run.labels, run.features.splits)
        shared = {
            "classifier": run.classifier,
            "experiment": run.experiment,
            "baseline": run.is_baseline,
            "rho": np.nan if run.rho is None else run.rho,
            "neighbours": np.nan if run.neighbours is None else run.neighbours.number,
            "distance": run.distance,
            "repeat": run.repeat,
        }
        enough = run.features.num_classes > 5  # below, every class is among the first five
        rows += [
            {**shared, "split": split, "top_1": value, "top_5": top[split] if enough else np.nan}
            for split, value in first.items()
        ]
    return pd.DataFrame(rows)


def class_accuracy_table(runs: Sequence[ScoredRun]) -> pd.DataFrame:
    """One row a run and class: who, which class, its images, accuracy, baseline_accuracy and neighbour_distance."""
    baselines = baselines_of(runs)
    parts = [
        class_table(run.features).assign(
            **run.who,
            baseline=run.is_baseline,
            accuracy=run.class_accuracies(),
            baseline_accuracy=baselines[run.classifier, run.repeat].class_accuracies(),
            neighbour_distance=np.nan if run.class_distances is None else run.class_distances,
        )
        for run in runs
    ]
    table = pd.concat(parts, ignore_index=True)
    first = ["classifier", "experiment", "baseline", "repeat"]
    return table[[*first, *table.columns.drop(first)]]


def combination_table(runs: Sequence[ScoredRun]) -> pd.DataFrame:
    """One row a run, few class and neighbour, with coefficient and distance; the nearest neighbour has the position 1."""
    parts = []
    for run in runs:
        if run.neighbours is None or run.coefficients is None:
            continue
        names, number = np.asarray(run.features.class_names), run.neighbours.number
        label, neighbour = np.repeat(run.neighbours.classes, number), run.neighbours.labels.ravel()
        columns = {
            "label": label,
            "name": names[label],
            "position": np.tile(np.arange(1, number + 1), len(run.neighbours.classes)),
            "neighbour": neighbour,
            "neighbour_name": names[neighbour],
            "neighbour_split": run.features.splits.names()[neighbour],
            "coefficient": run.coefficients.ravel(),
            "distance": run.neighbours.distances.ravel(),
        }
        parts.append(pd.DataFrame(run.who | columns))
    return pd.concat(parts, ignore_index=True)


def change_table(runs: Sequence[ScoredRun]) -> pd.DataFrame:
    """How often a class's images are predicted as one class before and another after: who, label, before, after, images."""
    baselines = baselines_of(runs)
    parts = []
    for run in runs:
        if not run.is_baseline:
            before = baselines[run.classifier, run.repeat].predictions
            joint = np.stack([run.labels, before, run.predictions])
            (label, old, new), images = np.unique(joint, axis=1, return_counts=True)
            parts.append(pd.DataFrame(run.who | {"label": label, "before": old, "after": new, "images": images}))
    return pd.concat(parts, ignore_index=True)


def trade_off_table(
    runs: Sequence[ScoredRun], noted: Callable[[str, int], Sequence[Mapping[str, Any]]]
) -> pd.DataFrame:
    """One row a run and value of its method's knob, as `trade_offs` describes them.

    Args:
        runs: classifiers, each a method, and AlphaNets, of which those on one classifier that differ in rho alone are one.
        noted: of a classifier's label and repeat, the rows of the values that it was chosen from; none where it has no knob.
    """
    rows: list[dict[str, Any]] = []
    for run in runs:
        accuracies = split_accuracies(run.predictions == run.labels, run.labels, run.features.splits)
        shared = {"classifier": run.classifier, "method": run.classifier, "repeat": run.repeat}
        alone = {"knob": run.rho, "chosen": run.is_baseline, **accuracies}
        if run.is_baseline:
            rows += [shared | dict(each) for each in noted(run.classifier, run.repeat) or [alone]]
        else:
            setting = run.experiment.replace(f", rho {run.rho:g}", "")
            rows.append(shared | {"method": f"AlphaNet on {setting}"} | alone)
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype({"knob": float})


def of_one_tail(runs: Sequence[ScoredRun]) -> Sequence[ScoredRun]:
    """The runs whose classes are few, medium and many as those of the first; all, where repeats share a tail."""
    first = runs[0].features.splits.names() if runs else np.empty(0)
    return [run for run in runs if np.array_equal(run.features.splits.names(), first)]


def baselines_of(runs: Sequence[ScoredRun]) -> Mapping[tuple[str, int], ScoredRun]:
    """The baseline of every classifier and repeat; one with a single repeat stands for all."""
    baselines = {(run.classifier, run.repeat): run for run in runs if run.is_baseline}
    of_classifier = Counter(name for name, _ in baselines)
    repeats = range(max(run.repeat for run in runs) + 1)
    alone = [run for (name, _), run in baselines.items() if of_classifier[name] == 1]
    return baselines | {(run.classifier, repeat): run for run in alone for repeat in repeats}
