"""Laws of the results table and of the statistics that are made of it."""

import math
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.properties.law_profiles import law, slow_law

from vision_studies.errors import DataError
from vision_studies.outcomes import STATUSES
from vision_studies.statistics.intervals import holm, paired_comparison, summary
from vision_studies.studies.results import (
    SCHEMA,
    in_order,
    read_results,
    validate_results,
    write_results,
)

ODD_NAMES = ["plain", "<script>", "../../x", "=cmd()", "a\nb", "%{x}", "ü", " "]
ACCURACIES = st.none() | st.floats(0, 1)


@st.composite
def tables(draw, *, least=1):
    """Rows as a run of a command makes them: variants of one configuration each, on one set of data."""
    variants = draw(st.lists(st.sampled_from(ODD_NAMES), min_size=least, max_size=4, unique=True))
    data = draw(st.sampled_from(["d", "e"]))
    rows = []
    for variant in variants:
        configuration = draw(st.sampled_from(["c", "k"]))
        for seed in draw(st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True)):
            rows.append(  # noqa: PERF401
                {
                    "pipeline": "p",
                    "study": "s",
                    "variant": variant,
                    "trial": 0,
                    "seed": seed,
                    "configuration": "{}",
                    "status": draw(st.sampled_from(STATUSES)),
                    "run_fingerprint": f"{variant}{seed}{configuration}",
                    "configuration_hash": configuration,
                    "data_fingerprint": data,
                    "test_accuracy": draw(ACCURACIES),
                    "best_epoch": draw(st.none() | st.integers(0, 200)),
                    "reason": draw(st.none() | st.sampled_from(ODD_NAMES)),
                }
            )
    return pd.DataFrame(draw(st.permutations(rows)))


def same(first, second):
    pd.testing.assert_frame_equal(first, second, check_dtype=True)


@slow_law
@given(tables())
def test_a_valid_table_stays_as_it_is(table):
    valid = validate_results(table)
    assert list(valid.columns) == list(SCHEMA.names)
    same(validate_results(valid), valid)


@slow_law
@given(tables())
def test_a_table_comes_back_from_the_disk(tmp_path_factory, table):
    file = tmp_path_factory.getbasetemp() / "results.parquet"
    valid = validate_results(table)
    write_results(valid, file)
    same(read_results(file), valid)


@slow_law
@given(tables())
def test_an_order_is_the_same_however_often_it_is_made_and_whatever_the_order_of_seeds(table):
    valid = validate_results(table)
    ordered = in_order(valid)
    same(in_order(ordered), ordered)
    same(
        in_order(
            valid.sort_values("seed", kind="stable").sort_values(
                "variant", kind="stable", key=lambda names: names.map(list(dict.fromkeys(valid["variant"])).index)
            )
        ),
        ordered,
    )
    variants = ordered["variant"].tolist()
    assert [name for place, name in enumerate(variants) if place == 0 or variants[place - 1] != name] == list(
        dict.fromkeys(valid["variant"])
    )


@law
@given(tables(least=1), st.sampled_from(list(SCHEMA.names)), st.sampled_from(["text", 1.5, None, [1], {"a": 1}, b"x"]))
def test_a_wrong_value_is_refused_in_a_sentence(table, column, value):
    table = table.astype(object)
    table[column] = [value] * len(table)
    try:
        valid = validate_results(table)
    except DataError as error:
        assert str(error).startswith("The results table")  # noqa: PT017
    else:
        assert list(valid.columns) == list(SCHEMA.names)


P_VALUES = st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=12)


@law
@given(P_VALUES, st.randoms(use_true_random=False))
def test_holms_correction_is_lawful(values, random):
    corrected = holm(values)
    known = [(raw, own) for raw, own in zip(values, corrected, strict=True) if not math.isnan(raw)]
    assert [math.isnan(own) for own in corrected] == [math.isnan(raw) for raw in values]
    assert all(raw <= own <= 1 for raw, own in known)
    ordered = sorted(known)
    assert [own for _, own in ordered] == sorted(own for _, own in ordered)
    if known:
        assert min(own for _, own in known) == pytest.approx(min(1, len(known) * min(raw for raw, _ in known)))
    order = list(range(len(values)))
    random.shuffle(order)
    np.testing.assert_array_equal(holm([values[place] for place in order]), [corrected[place] for place in order])


SAMPLES = st.lists(st.floats(0, 1).map(lambda value: round(value, 6)), min_size=0, max_size=12)


@law
@given(SAMPLES, st.floats(0.5, 0.99), st.randoms(use_true_random=False))
def test_an_interval_holds_the_mean_whatever_the_order(values, confidence, random):
    own = summary(values, confidence=confidence)
    assert own.n == len(values)
    shuffled = list(values)
    random.shuffle(shuffled)
    other = summary(shuffled, confidence=confidence)
    np.testing.assert_allclose(
        [other.mean, other.standard_deviation, other.low, other.high],
        [own.mean, own.standard_deviation, own.low, own.high],
        atol=1e-12,
    )
    # Field by field: from Python 3.13 on, data classes that hold the same NaN are no longer equal.
    np.testing.assert_equal(asdict(summary([*values, float("nan")], confidence=confidence)), asdict(own))
    if len(values) > 1:
        assert own.low <= own.mean <= own.high
        wider = summary(values, confidence=(1 + confidence) / 2)
        assert wider.low <= own.low + 1e-12
        assert own.high <= wider.high + 1e-12


@law
@given(SAMPLES, SAMPLES, st.sampled_from(["t", "wilcoxon"]), st.randoms(use_true_random=False))
def test_a_comparison_turned_round_is_its_opposite(first, second, test, random):
    left, right = pd.Series(first, dtype=float), pd.Series(second, dtype=float)
    own = paired_comparison(left, right, test=test)
    turned = paired_comparison(right, left, test=test)
    assert own.pairs == turned.pairs == min(len(first), len(second))
    np.testing.assert_allclose(
        [turned.difference, turned.low, turned.high, turned.rank_biserial, turned.p],
        [-own.difference, -own.high, -own.low, -own.rank_biserial, own.p],
        atol=1e-9,
    )
    assert math.isnan(own.p) or 0 <= own.p <= 1
    order = list(range(len(first)))
    random.shuffle(order)
    shuffled = paired_comparison(left.iloc[order], right, test=test)
    np.testing.assert_allclose([shuffled.difference, shuffled.p], [own.difference, own.p], atol=1e-9)


@law
@given(st.lists(st.integers(-20, 20).map(lambda tenths: tenths / 1000), min_size=2, max_size=10), st.floats(-1, 1))
def test_a_shift_of_both_changes_no_comparison(differences, shift):
    assume(len(set(differences)) > 1)
    zero = pd.Series(np.zeros(len(differences)))
    own = paired_comparison(pd.Series(differences), zero)
    moved = paired_comparison(pd.Series(differences) + shift, zero + shift)
    np.testing.assert_allclose([moved.difference, moved.p], [own.difference, own.p], atol=1e-6)
