"""The simulations of `benchmarks.coverage`, fewer of them: wide enough for chance, narrow enough for mistakes."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.coverage import (
    STRONG,
    WEAK,
    Learning,
    Setting,
    covered,
    differences,
    equivalence,
    family_error,
    fold_family_error,
    fold_power,
    of_folds,
    power,
    study,
    written,
)
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.simultaneous import compare

REPETITIONS = 300


@pytest.mark.parametrize(
    "setting",
    [
        Setting(50, 1, 0.9, WEAK),
        Setting(100, 5, 0.75, STRONG),
        Setting(300, 10, 0.95, WEAK),
        Setting(500, 2, 0.9, STRONG),
    ],
    ids=str,
)
def test_intervals_of_accuracy_cover(setting):
    inside, above, below, _, *_ = covered(setting, REPETITIONS, others=0)
    assert 0.915 <= inside <= 0.985
    assert max(above, below) < 0.06


def test_intervals_of_differences_cover_and_pairing_makes_them_narrow():
    setting = Setting(200, 5, 0.9, WEAK)
    found = [own for [own] in differences(setting, 0.03, 200)]
    assert 0.93 <= np.mean([own.low <= 0.03 <= own.high for own in found]) <= 0.995
    random = np.random.default_rng(0)
    paired, apart = [], []
    for _ in range(15):
        (first, second), _ = study(random, setting, [setting.mean] * 2)
        # the same accuracies, on images that have nothing to do with each other
        order = random.permutation(setting.images)
        mixed = Evidence.of_images(
            "mixed", second.seeds, second.images, second.labels, correct=second.correct[:, order]
        )
        for other, widths in ((second, paired), (mixed, apart)):
            [own] = compare([first, other], 0)
            widths.append(own.high - own.low)
    assert np.mean(paired) < 0.85 * np.mean(apart)


@pytest.mark.slow
def test_the_error_of_a_family_is_that_of_one(monkeypatch):
    monkeypatch.setattr("vision_studies.statistics.simultaneous._DRAWS", 1999)
    together, alone = family_error(Setting(200, 1, 0.9, WEAK), 6, 60)
    assert together <= 0.08
    assert alone > 0.1


def test_equivalence_errs_rarely_and_is_found():
    wrong, right = equivalence(Setting(1000, 3, 0.9, WEAK), 0.04, 80)
    assert wrong <= 0.07
    assert right >= 0.7


@pytest.mark.parametrize(
    ("of", "setting", "distance"),
    [("seeds", Setting(300, 4, 0.8, STRONG), 0.04), ("images", Setting(200, 5, 0.9, WEAK), 0.03)],
)
def test_so_many_more_as_are_said_to_tell_what_was_seen_tell_it(of, setting, distance):
    wanted, told, had = power(setting, distance, 0.01, 100, of=of)
    assert wanted >= 1
    assert had > 0.25
    assert 0.62 <= told <= 0.97  # 0.8 is promised, by studies that know little of how seeds vary


@pytest.mark.slow
@pytest.mark.parametrize(
    "learning",
    [
        Learning(("nearest mean", "nearest mean"), 150),
        Learning(("LDA", "nearest mean"), 150, seeds=3, features=20, apart=(0.3, 0.3), shared=True),
        Learning(("unstable", "unstable"), 300),
    ],
    ids=lambda learning: " and ".join(learning.kinds),
)
def test_intervals_of_cross_validations_cover(learning):
    found = of_folds(learning, 120)
    assert 0.3 < found.accuracy < 0.9
    for covers in (found.covers, found.covers_difference):
        assert 0.9 <= covers <= 0.995
    if learning.kinds[0] == learning.kinds[1]:  # equally good: told in 5 of 100, and by chance in some more
        assert found.told <= 0.09


def test_what_folds_differ_by_is_told_where_it_is_large():
    equal = Learning(("LDA", "LDA"), 300)
    far = fold_power(replace(equal, apart=(1.06, 0.45)), 30)
    difference, alone, corrected, among, corrected_among = far
    assert 0.27 < difference < 0.33
    assert (alone, corrected) == (1, 1)
    assert corrected_among < 0.85 < among  # what could not be told, and must be
    more = fold_power(replace(equal, apart=(0.65, 0.45), seeds=3), 20)
    assert more[1] > 0.8


def test_the_error_of_a_family_of_cross_validations_is_that_of_one(monkeypatch):
    monkeypatch.setattr("vision_studies.statistics.simultaneous._DRAWS", 999)
    assert fold_family_error(Learning(("LDA", "LDA"), 100), 5, 40) <= 0.12


def test_a_table_is_written_into_its_place():
    page = "before\n<!-- table: one -->\nold\n<!-- end -->\nafter <!-- end -->"
    assert written(page, "one", "new") == "before\n<!-- table: one -->\n\nnew\n\n<!-- end -->\nafter <!-- end -->"
    with pytest.raises(SystemExit, match="no place for the table 'two'"):
        written(page, "two", "new")
