"""Selective accuracy, the area under the risk-coverage curve, and the swept calibration error against written-out loops."""

import numpy as np
import pytest

from vision_studies.statistics.calibration import (
    expected_calibration_error,
    sweep_bins,
    sweep_calibration_error,
)
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.reliability import RELIABILITY, reliability
from vision_studies.statistics.scores import SelectiveAccuracy, scores
from vision_studies.statistics.two_way import intervals


def predictions(images=400, classes=3, seeds=2, start=0):
    random = np.random.default_rng(start)
    return random.dirichlet(np.ones(classes) / 2, (seeds, images)), random.integers(0, classes, images)


def evidence(probabilities, labels):
    return Evidence.of_images(
        "plain", np.arange(len(probabilities)), np.arange(len(labels)), labels, probabilities=probabilities
    )


@pytest.mark.parametrize("coverage", [0.05, 0.8, 0.9, 1.0])
def test_selective_accuracy_is_that_of_the_surest_images(coverage):
    probabilities, labels = predictions()
    each = scores(evidence(probabilities, labels), SelectiveAccuracy(coverage)).each
    for row, own in zip(each, probabilities, strict=True):
        surest = np.argsort(-own.max(axis=1))[: round(coverage * len(labels))]
        assert row.mean() == pytest.approx((own.argmax(axis=1) == labels)[surest].mean(), abs=1e-6)


def test_images_of_one_confidence_are_answered_alike():
    alike = np.tile([[0.75, 0.25]], (1, 40, 1))
    labels = np.arange(40) % 4 == 3
    found = scores(evidence(alike, labels.astype(int)), SelectiveAccuracy(0.5)).each
    assert found.mean() == pytest.approx(0.75)
    mistakes = scores(evidence(alike, labels.astype(int)), "aurc").each
    assert mistakes.mean() == pytest.approx(0.25)


def test_aurc_is_the_mean_risk_over_all_coverages():
    probabilities, labels = predictions()
    each = scores(evidence(probabilities, labels), "aurc").each
    for row, own in zip(each, probabilities, strict=True):
        wrong = (own.argmax(axis=1) != labels)[np.argsort(-own.max(axis=1))]
        risks = [wrong[:answered].mean() for answered in range(1, len(labels) + 1)]
        assert row.mean() == pytest.approx(np.mean(risks), abs=1e-6)


def swept(confidence, correct):
    """Bins as the loop of the paper's Algorithm 1 finds them."""
    images, order, bins = len(confidence), np.argsort(confidence), np.zeros(len(confidence), int)
    for count in range(2, images):
        tried = np.empty(images, int)
        tried[order] = np.arange(images) * count // images
        heights = [correct[tried == each].mean() for each in range(count)]
        if (np.diff(heights) < 0).any():
            break
        bins = tried
    return bins


@pytest.mark.parametrize("start", range(6))
def test_the_sweep_is_the_loop_of_its_paper(start):
    random = np.random.default_rng(start)
    confidence = random.uniform(0.3, 1, 150)
    correct = random.random(150) < confidence ** [1, 1, 2, 2, 4, 0.3][start]
    bins = swept(confidence, correct)
    assert np.array_equal(sweep_bins(confidence, correct), bins)
    probabilities = np.stack([confidence, *[(1 - confidence) / 3] * 3], axis=1)
    own = [bins == each for each in range(bins.max() + 1)]
    error = sum(each.mean() * abs(correct[each].mean() - confidence[each].mean()) for each in own)
    labels = np.where(correct, 0, 1)
    assert sweep_calibration_error(probabilities, labels) == pytest.approx(error)
    found = scores(evidence(probabilities[None], labels), "sweep_calibration_error").each
    assert found.mean() == pytest.approx(error, abs=1e-6)


def test_the_sweep_finds_less_where_there_is_nothing_and_as_much_where_there_is():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, (60, 200))
    honest = np.stack([confidence, 1 - confidence], axis=2)
    drawn = random.random(confidence.shape)
    none = [
        (
            expected_calibration_error(own, (each > sure).astype(int)),
            sweep_calibration_error(own, (each > sure).astype(int)),
        )
        for own, each, sure in zip(honest, drawn, confidence, strict=True)
    ]
    plain, debiased = np.mean(none, axis=0)
    assert debiased < 0.75 * plain
    off = [
        sweep_calibration_error(own, (each > sure - 0.2).astype(int))
        for own, each, sure in zip(honest, drawn, confidence, strict=True)
    ]
    assert np.mean(off) == pytest.approx(0.2, abs=0.02)


def test_images_of_one_confidence_are_in_one_bin_and_one_sign_needs_none():
    confidence = np.repeat([0.4, 0.6, 0.9], [30, 50, 20])
    correct = np.random.default_rng(0).random(100) < confidence
    bins = sweep_bins(confidence, correct)
    assert all(len(set(bins[confidence == each])) == 1 for each in (0.4, 0.6, 0.9))
    assert sweep_bins(confidence, np.ones(100, bool)).max() == 0
    sure = np.stack([confidence, 1 - confidence], axis=1)[20:]
    assert sweep_calibration_error(sure[10:], np.zeros(70, int)) == pytest.approx(1 - confidence[30:].mean())


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_few_images_without_an_error_at_a_coverage_are_no_certainty(coverage):
    sure = np.linspace(0.6, 0.99, 40)
    own = evidence(np.stack([sure, 1 - sure], axis=1)[None], np.zeros(40, int))
    [found] = intervals([own], SelectiveAccuracy(coverage))
    [all_of_them] = intervals(
        [
            Evidence.of_images(
                "", [0], np.arange(n := round(40 * coverage)), np.zeros(n, int), correct=np.ones((1, n), bool)
            )
        ]
    )
    assert found.value == pytest.approx(1)
    assert (found.low, found.high) == pytest.approx((all_of_them.low, 1), abs=1e-3)


def test_each_is_told_with_an_interval_or_with_a_reason():
    found = reliability(evidence(*predictions()))
    assert found.keys() == RELIABILITY.keys()
    assert all(
        0 <= each.low <= each.value <= each.high and each.covers == "seeds and images" for each in found.values()
    )
    bare = reliability(Evidence.of_images("", [0], np.arange(3), np.zeros(3, int), correct=np.ones((1, 3), bool)))
    assert {each.source for each in bare.values()} == {"no probabilities are kept"}
