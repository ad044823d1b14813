import numpy as np
import pandas as pd
import pytest

from vision_studies.reports.formatting import count, duration, is_missing, number, percent, points, significant, spread


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
@pytest.mark.parametrize("form", [percent, points, number, significant, count, duration])
def test_what_is_missing_is_a_dash(value, form):
    assert is_missing(value)
    assert form(value) == "–"


def test_what_is_not_missing():
    assert not any(is_missing(value) for value in (0, 0.0, "", False, np.float64(0), (1, 2)))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (3173, "52 min 53 s"),
        (3599.7, "1 h 00 min"),
        (7505, "2 h 05 min"),
    ],
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (2_819_370, "2.82 M"),
        (417e6, "417 M"),
        (12_345_678, "12.3 M"),
        (999_900, "1.00 M"),
        (5.6e9, "5.60 G"),
    ],
)
def test_large_counts(value, expected):
    assert count(value) == expected


def test_fractions_and_numbers():
    assert percent(0.97216) == "97.22 %"
    assert points(0.0123) == "+1.23"
    assert number(1234.56, 1) == "1,234.6"
    assert significant(0.000481) == "0.00048"


def test_a_mean_stands_before_its_deviation_where_there_is_one():
    assert spread(91.234, 1.414) == "91.23 ± 1.41"
    assert spread(91.234, 1.414, 1, 2) == "91.2 ± 1.41"
    assert spread(91.234, float("nan"), 0) == "91"
    assert spread(float("nan"), 1.0) == "–"
