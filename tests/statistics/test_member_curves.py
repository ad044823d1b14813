from itertools import combinations

import numpy as np
import pytest

from vision_studies.statistics import member_curves
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.member_curves import member_curve
from vision_studies.statistics.two_way import intervals


def said(seeds=2, members=4, images=60, classes=3):
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, images)
    logits = random.normal(0, 1, (seeds, members, images, classes)) + 1.2 * np.eye(classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=3, keepdims=True), labels


def test_each_size_is_the_mean_over_all_its_subsets_written_out():
    probabilities, labels = said()
    for row in member_curve(probabilities, labels):
        hits, losses, oracles = [], [], []
        for subset in combinations(range(4), row["members"]):
            for one in probabilities:
                mean = sum(one[member] for member in subset) / len(subset)
                hits.append(np.mean([mean[i].argmax() == label for i, label in enumerate(labels)]))
                losses.append(np.mean([-np.log(mean[i, label]) for i, label in enumerate(labels)]))
                oracles.append(np.mean([any(one[m, i].argmax() == y for m in subset) for i, y in enumerate(labels)]))
        assert row["subsets"] == len(hits) / 2
        assert row["accuracy"] == pytest.approx(np.mean(hits))
        assert row["log_loss"] == pytest.approx(np.mean(losses))
        assert row["oracle"] == pytest.approx(np.mean(oracles))
        assert 0 <= row["accuracy_low"] < row["accuracy"] < row["accuracy_high"] <= 1
        assert 0 < row["log_loss_low"] < row["log_loss"] < row["log_loss_high"]


def test_more_members_are_surer_and_ambiguity_is_what_they_gain_on_average():
    rows = member_curve(*said())
    losses = [row["log_loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert [row["ambiguity"] for row in rows] == pytest.approx([losses[0] - loss for loss in losses])


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_interval_of_all_members_is_that_of_the_tables(metric):
    probabilities, labels = said(images=400)
    mean = probabilities.mean(axis=1)
    [expected] = intervals([Evidence.of_images("all", [0, 1], np.arange(400), labels, probabilities=mean)], metric)
    last = member_curve(probabilities, labels)[-1]
    assert (last[metric], last[f"{metric}_low"], last[f"{metric}_high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_of_many_subsets_some_are_drawn(monkeypatch):
    monkeypatch.setattr(member_curves, "MOST_SUBSETS", 3)
    rows = member_curve(*said(images=20))
    assert [row["subsets"] for row in rows] == [3, 3, 3, 1]
    assert rows == member_curve(*said(images=20))
