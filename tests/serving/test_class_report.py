"""Precision, recall and F1 of every class, of one network and of several."""

import numpy as np
import pytest
from sklearn.metrics import classification_report
from tests.data.conftest import make_image_set

from vision_studies.errors import ParameterError
from vision_studies.serving.class_report import MEAN, class_report, mean_report
from vision_studies.serving.run_scores import SplitPredictions

NAMES = ("cat", "dog", "fish", "bird")


def predictions(seed, count=40, names=NAMES):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(len(names)), count).astype(np.float32)
    probabilities[:, 3] = 0  # never predicted
    labels = rng.integers(0, len(names), count)
    return SplitPredictions(make_image_set(count), np.arange(count), probabilities, labels, names)


def test_a_report_is_that_of_scikit_learn():
    predicted = predictions(0)
    report = class_report(predicted).set_index("class")
    expected = classification_report(
        predicted.labels,
        predicted.probabilities.argmax(1),
        labels=range(4),
        target_names=NAMES,
        output_dict=True,
        zero_division=0,
    )
    for row, name in [*((name, name) for name in NAMES), (MEAN, "macro avg")]:
        assert report.loc[row, ["precision", "recall", "f1"]].tolist() == pytest.approx(
            [expected[name][score] for score in ("precision", "recall", "f1-score")]
        )
        assert report.loc[row, "images"] == expected[name]["support"]
    assert report.loc["bird", "precision"] == 0


def test_of_several_networks_there_are_means_and_deviations():
    reports = [class_report(predictions(seed)) for seed in range(3)]
    together = mean_report(reports)
    assert together["class"].tolist() == [*NAMES, MEAN]
    for number in range(5):
        values = [report["f1"][number] for report in reports]
        assert together["f1"][number] == pytest.approx(np.mean(values))
        assert together["f1_deviation"][number] == pytest.approx(np.std(values, ddof=1))
    assert set(together["n"]) == {3}
    alone = mean_report(reports[:1])
    assert alone["f1"].tolist() == reports[0]["f1"].tolist()
    assert alone["f1_deviation"].isna().all()


def test_networks_of_other_classes_have_no_mean():
    others = class_report(predictions(0, names=("cat", "dog", "fish", "cow")))
    with pytest.raises(ParameterError, match=r"bird; cat, dog, fish, cow\); name runs of one division"):
        mean_report([class_report(predictions(0)), others])
