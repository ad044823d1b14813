import numpy as np
import pytest

from vision_studies.statistics.diversity import diversity

LABELS = np.zeros(8, dtype=int)


def test_members_that_always_agree():
    found = diversity(np.array([[0, 0, 0, 0, 0, 0, 1, 1]] * 2), LABELS)
    assert found == {"disagreement": 0.0, "q_statistic": 1.0, "error_correlation": pytest.approx(1.0)}


def test_members_whose_errors_are_independent():
    first = [0, 0, 0, 0, 1, 1, 1, 1]
    second = [0, 0, 1, 1, 0, 0, 1, 1]
    found = diversity(np.array([first, second]), LABELS)
    assert found == {"disagreement": 0.5, "q_statistic": 0.0, "error_correlation": 0.0}


def test_the_measures_are_those_of_their_definition():
    random = np.random.default_rng(0)
    predictions, labels = random.integers(0, 3, (3, 200)), random.integers(0, 3, 200)
    wrong = predictions != labels
    pairs = [(0, 1), (0, 2), (1, 2)]
    found = diversity(predictions, labels)
    assert found["error_correlation"] == pytest.approx(
        np.mean([np.corrcoef(wrong[a], wrong[b])[0, 1] for a, b in pairs])
    )
    assert found["disagreement"] == pytest.approx(
        np.mean([(predictions[a] != predictions[b]).mean() for a, b in pairs])
    )


def test_one_member_has_no_diversity_and_one_without_errors_no_correlation():
    assert all(np.isnan(value) for value in diversity(np.array([LABELS]), LABELS).values())
    found = diversity(np.array([LABELS, [1, 0, 0, 0, 0, 0, 0, 0]]), LABELS)
    assert found["disagreement"] == 0.125
    assert np.isnan(found["q_statistic"])
    assert np.isnan(found["error_correlation"])
