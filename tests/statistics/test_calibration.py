import numpy as np
import pytest
from sklearn import metrics as reference

from vision_studies.statistics.calibration import expected_calibration_error, log_loss, reliability_table
from vision_studies.statistics.metrics import measured


def random_predictions(images=500, classes=4, seed=0):
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(classes), images).astype(np.float32), generator.integers(classes, size=images)


def test_metrics_are_their_formulas():
    probabilities, labels = random_predictions()
    metrics = measured(probabilities, labels)
    one_hot = np.eye(4)[labels]
    assert metrics.keys() == {"test_accuracy", "test_loss", "test_calibration_error", "test_brier"}
    assert metrics["test_accuracy"] == pytest.approx(np.mean(probabilities.argmax(1) == labels))
    assert metrics["test_loss"] == pytest.approx(reference.log_loss(labels, probabilities), rel=1e-5)
    assert metrics["test_brier"] == pytest.approx(np.mean(np.sum((probabilities - one_hot) ** 2, axis=1)))


def test_calibration_error_is_the_loop_of_its_paper():
    probabilities, labels = random_predictions()
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected, rel=1e-6)


def test_honest_confidence_has_no_error_and_boasting_has():
    labels = np.array([0] * 75 + [1] * 25)
    honest = np.tile([0.75, 0.25], (100, 1))
    assert expected_calibration_error(honest, labels) == pytest.approx(0, abs=1e-12)
    sure = np.tile([1.0, 0.0], (100, 1))
    assert expected_calibration_error(sure, labels) == pytest.approx(0.25)


def test_a_sure_and_wrong_prediction_has_a_finite_loss():
    assert np.isfinite(log_loss(np.array([[1.0, 0.0]]), np.array([1])))


def test_reliability_table_holds_every_image_once_and_marks_empty_bins():
    probabilities, labels = random_predictions()
    table = reliability_table(probabilities, labels, 10)
    assert len(table) == 10
    assert table["images"].sum() == 500
    assert table.loc[table["images"] == 0, ["accuracy", "confidence"]].isna().all(axis=None)
    filled = table[table["images"] > 0]
    assert ((filled["confidence"] > filled["low"]) & (filled["confidence"] <= filled["high"] + 1e-9)).all()


@pytest.mark.parametrize(("confidence", "row"), [(0.5, 4), (1.0, 9), (0.55, 5)])
def test_an_edge_belongs_to_the_bin_below(confidence, row):
    table = reliability_table(np.array([[confidence, 1 - confidence]]), np.array([0]), 10)
    assert table["images"].tolist() == [int(index == row) for index in range(10)]
