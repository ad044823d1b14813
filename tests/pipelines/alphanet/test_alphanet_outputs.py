import dataclasses

import numpy as np
import pandas as pd
import pytest
from tests.pipelines.alphanet.test_alphanet_experiments import make_features
from tests.pipelines.alphanet.test_alphanet_training import CLASSES, SPLITS

from vision_studies.data.class_splits import ClassSplits
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, FeatureSet
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours
from vision_studies.pipelines.alphanet.work.outputs import (
    ScoredRun,
    accuracy_table,
    baselines_of,
    change_table,
    class_accuracy_table,
    class_table,
    combination_table,
)

FEATURES = make_features()
LABELS = FEATURES.groups["test"].labels


def scored(experiment, repeat, seed, *, classifier="cRT", **options):
    """A run that is right on about half of the images."""
    generator = np.random.default_rng(seed)
    guessed = generator.integers(CLASSES, size=len(LABELS))
    predictions = np.where(generator.random(len(LABELS)) < 0.5, LABELS, guessed)
    among_top = (predictions == LABELS) | (generator.random(len(LABELS)) < 0.3)
    return ScoredRun(classifier, experiment, repeat, FEATURES, predictions, among_top, **options)


def improved(experiment, repeat, seed, rho, **options):
    generator = np.random.default_rng(seed)
    near = np.stack([generator.choice(SPLITS.base, size=3, replace=False) for _ in SPLITS.few])
    known = {
        "rho": rho,
        "distance": "euclidean",
        "neighbours": Neighbours(SPLITS.few, near, generator.random((len(SPLITS.few), 3))),
        "coefficients": generator.normal(size=(len(SPLITS.few), 3)).astype(np.float32),
        "class_distances": generator.random(CLASSES),
    }
    return scored(experiment, repeat, seed, **(known | options))


@pytest.fixture(scope="module")
def runs():
    return [
        scored("NCM", 0, 1, classifier="NCM"),
        *(scored("cRT", repeat, 10 + repeat) for repeat in (0, 1)),
        *(improved("cRT, rho 0.5", repeat, 20 + repeat, 0.5) for repeat in (0, 1)),
        improved("cRT, rho 1", 1, 31, 1.0),
    ]


def test_classes_are_counted():
    table = class_table(FEATURES).set_index("label")
    for label in range(CLASSES):
        row = table.loc[label]
        assert row["name"] == f"cloud {label}"
        assert label in getattr(SPLITS, row["split"])
        assert row["train_images"] == (8 if label in SPLITS.few else 40)
        assert row["test_images"] == 25


def test_accuracies_of_splits_are_those_counted_image_by_image(runs):
    table = accuracy_table(runs)
    assert len(table) == len(runs) * 4
    assert table["baseline"].tolist() == [True] * 12 + [False] * 12
    for run in runs:
        own = table[(table["experiment"] == run.experiment) & (table["repeat"] == run.repeat)].set_index("split")
        for split, kept in {
            "overall": np.full(len(LABELS), True),
            **{name: np.isin(LABELS, getattr(SPLITS, name)) for name in ("few", "medium", "many")},
        }.items():
            assert own.loc[split, "top_1"] == pytest.approx((run.predictions == LABELS)[kept].mean())
            assert own.loc[split, "top_5"] == pytest.approx(run.among_top[kept].mean())
    baseline, last = table.iloc[0], table.iloc[-1]
    assert np.isnan(baseline["rho"])
    assert pd.isna(baseline["distance"])
    assert (last["rho"], last["neighbours"], last["distance"], last["repeat"]) == (1.0, 3, "euclidean", 1)


def test_of_five_classes_the_first_five_say_nothing():
    splits = ClassSplits(np.array([4]), np.array([2, 3]), np.array([0, 1]))
    images = FeatureGroup(np.zeros((10, 2), dtype=np.float32), np.arange(10) % 5)
    few = FeatureSet("five", tuple("abcde"), splits, np.full(5, 2), {"train": images, "test": images}, "")
    run = ScoredRun("own", "own", 0, few, images.labels, np.full(10, True))
    table = accuracy_table([run])
    assert table["top_5"].isna().all()
    assert (table["top_1"] == 1).all()


def test_accuracies_of_classes_stand_beside_the_baseline_s_of_the_same_repeat(runs):
    table = class_accuracy_table(runs)
    assert len(table) == len(runs) * CLASSES
    for run in runs:
        own = table[(table["experiment"] == run.experiment) & (table["repeat"] == run.repeat)].set_index("label")
        [before] = [
            other
            for other in runs
            if other.is_baseline and (other.classifier, other.repeat) == (run.classifier, run.repeat)
        ]
        for label in range(CLASSES):
            kept = label == LABELS
            assert own.loc[label, "accuracy"] == pytest.approx((run.predictions[kept] == label).mean())
            assert own.loc[label, "baseline_accuracy"] == pytest.approx((before.predictions[kept] == label).mean())
        expected = np.full(CLASSES, np.nan) if run.is_baseline else run.class_distances
        np.testing.assert_array_equal(own["neighbour_distance"].to_numpy(), expected)


def test_a_row_a_coefficient(runs):
    table = combination_table(runs)
    alphanets = [run for run in runs if not run.is_baseline]
    assert len(table) == len(alphanets) * len(SPLITS.few) * 3
    for run in alphanets:
        own = table[(table["experiment"] == run.experiment) & (table["repeat"] == run.repeat)]
        for place, label in enumerate(SPLITS.few):
            rows = own[own["label"] == label].sort_values("position")
            assert rows["position"].tolist() == [1, 2, 3]
            assert rows["neighbour"].tolist() == run.neighbours.labels[place].tolist()
            assert rows["coefficient"].tolist() == run.coefficients[place].tolist()
            assert rows["distance"].tolist() == run.neighbours.distances[place].tolist()
            assert (rows["name"] == f"cloud {label}").all()
            assert rows["neighbour_name"].tolist() == [f"cloud {other}" for other in rows["neighbour"]]
            assert all(
                other in getattr(SPLITS, split)
                for other, split in zip(rows["neighbour"], rows["neighbour_split"], strict=True)
            )


def test_changes_are_those_of_every_image(runs):
    table = change_table(runs)
    before = {run.repeat: run.predictions for run in runs if run.experiment == "cRT"}
    for run in runs[3:]:
        own = table[(table["experiment"] == run.experiment) & (table["repeat"] == run.repeat)]
        images = pd.DataFrame({"label": LABELS, "before": before[run.repeat], "after": run.predictions})
        expected = images.value_counts().sort_index()
        found = own.set_index(["label", "before", "after"])["images"].sort_index()
        pd.testing.assert_series_equal(found, expected, check_names=False, check_dtype=False)
    assert set(table["experiment"]) == {"cRT, rho 0.5", "cRT, rho 1"}
    assert set(table["classifier"]) == {"cRT"}


def test_a_baseline_of_one_repeat_stands_for_all_and_of_several_each_for_its_own(runs):
    found = baselines_of(runs)
    assert found["NCM", 0] is found["NCM", 1] is runs[0]
    assert (found["cRT", 0], found["cRT", 1]) == (runs[1], runs[2])
    shared = [dataclasses.replace(run, repeat=0) if run is runs[1] else run for run in runs if run is not runs[2]]
    table = change_table(shared)
    totals = table[table["experiment"] == "cRT, rho 0.5"].groupby(["repeat", "label", "before"])["images"].sum()
    pd.testing.assert_series_equal(totals.loc[0], totals.loc[1])
