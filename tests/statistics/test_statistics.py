import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vision_studies.errors import DataError, ParameterError
from vision_studies.statistics.comparisons import compare_metrics, compare_variants
from vision_studies.statistics.intervals import holm, holm_levels, paired_comparison, summary
from vision_studies.statistics.metrics import COMPARED

ACCURACIES = [0.941, 0.947, 0.939, 0.944, 0.950, 0.943, 0.946, 0.938]


def series(values):
    return pd.Series(values, index=range(len(values)), dtype=float)


def table(**variants):
    return pd.concat(
        [
            pd.DataFrame({"variant": name, "seed": range(len(values)), "value": values})
            for name, values in variants.items()
        ],
        ignore_index=True,
    )


def sentence(baseline, other, **options):
    return compare_variants(table(plain=baseline, other=other), baseline="plain", **options)["sentence"].iloc[1]


def test_summary_agrees_with_the_textbook():
    found = summary([1.0, 2.0, 3.0, 4.0])
    assert (found.n, found.mean) == (4, 2.5)
    assert found.standard_deviation == pytest.approx(1.2909944)
    # 2.5 +- 3.182446 * 1.2909944 / 2, with t(0.975, 3) from a table
    assert (found.low, found.high) == pytest.approx((0.445739, 4.554261), abs=1e-5)


@pytest.mark.parametrize("interval", ["t", "bootstrap"])
def test_summary_of_little(interval):
    assert summary([], interval=interval).n == 0
    one = summary([0.9, np.nan], interval=interval)
    assert (one.n, one.mean) == (1, 0.9)
    assert np.isnan([one.standard_deviation, one.low, one.high]).all()
    equal = summary([0.9, 0.9, 0.9], interval=interval)
    assert (equal.low, equal.high, equal.standard_deviation) == (equal.mean, equal.mean, 0)


def test_bootstrap_is_repeatable_and_near_the_t_interval():
    drawn = summary(ACCURACIES, interval="bootstrap")
    assert drawn == summary(ACCURACIES, interval="bootstrap")
    student = summary(ACCURACIES)
    assert student.low < drawn.low < drawn.mean < drawn.high < student.high


def test_a_higher_confidence_gives_a_wider_interval():
    assert summary(ACCURACIES, confidence=0.99).low < summary(ACCURACIES, confidence=0.9).low


def test_paired_t_agrees_with_scipy():
    other = np.add(ACCURACIES, [0.004, 0.001, 0.006, 0.002, -0.001, 0.003, 0.005, 0.002])
    found = paired_comparison(series(other), series(ACCURACIES))
    assert found.p == pytest.approx(stats.ttest_rel(other, ACCURACIES).pvalue)
    assert found.cohens_d == pytest.approx(2.75 / np.sqrt(35.5 / 7))  # differences in thousandths
    assert found.smallest_p == 0


def test_signed_ranks_agree_with_a_hand_count():
    # |d| has the ranks 1 to 5, and only the smallest is negative: W- = 1, so 2 * 2 of 32 sign patterns are as extreme.
    found = paired_comparison(series([-0.1, 0.2, 0.3, 0.4, 0.5]), series([0.0] * 5), test="wilcoxon")
    assert found.p == pytest.approx(4 / 32)
    assert found.rank_biserial == pytest.approx((14 - 1) / 15)
    assert found.smallest_p == pytest.approx(2 / 32)


def test_differences_that_tie_only_but_for_rounding_are_ties():
    first, second = series([0.97, 0.96, 0.99, 0.93]), series([0.96, 0.95, 0.98, 0.94])
    assert paired_comparison(first, second, test="wilcoxon").rank_biserial == pytest.approx(0.5)


def test_only_shared_seeds_are_compared():
    first, second = pd.Series([0.9, 0.8, 0.7], index=[0, 1, 2]), pd.Series([0.1, 0.75, 0.6], index=[9, 1, 2])
    found = paired_comparison(first, second)
    assert (found.pairs, found.difference) == (2, pytest.approx(0.075))


def test_a_seed_that_occurs_twice_cannot_be_paired():
    with pytest.raises(DataError, match=r"seeds \[3\] occur more than once"):
        paired_comparison(pd.Series([0.9, 0.8], index=[3, 3]), series([0.9]))


def test_holm_agrees_with_its_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert np.array_equal(holm([0.04, np.nan]), [0.04, np.nan], equal_nan=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= after <= 1 for p, after in zip(p_values, adjusted, strict=True))
    assert [adjusted[index] for index in np.argsort(p_values)] == sorted(adjusted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from([0.01, 0.05, 0.2]))
def test_levels_of_intervals_tell_what_holm_tells(p_values, level):
    adjusted, levels = holm(p_values), holm_levels(p_values, level)
    for p, after, own in zip(p_values, adjusted, levels, strict=True):
        assert abs(after - level) < 1e-12 or (p <= own) == (after <= level)
        assert level / len(p_values) <= own <= level
    assert holm_levels([np.nan, 0.01], level) == [level, level]


@given(
    st.lists(st.lists(st.integers(-20, 30), min_size=4, max_size=4), min_size=2, max_size=5),
    st.sampled_from([("t", "t"), ("bootstrap", "t"), ("t", "wilcoxon")]),
)
@settings(max_examples=30, deadline=None)
def test_interval_and_p_of_a_sentence_never_contradict_each_other(shifts, kinds):
    interval, test = kinds
    variants = {f"v{number}": np.add(ACCURACIES[:4], np.array(shift) / 1000) for number, shift in enumerate(shifts)}
    found = compare_variants(table(plain=ACCURACIES[:4], **variants), baseline="plain", interval=interval, test=test)
    for row in found.dropna(subset=["p"]).to_dict("records"):
        excludes = row["difference_low"] > 0 or row["difference_high"] < 0
        told = row["p_holm"] < 0.05
        assert excludes == told or (np.isnan(row["difference_low"]) and interval != test)
        assert ("interval" in row["sentence"]) <= (excludes == told)


def test_corrected_intervals_are_wider_and_say_so():
    shifts = {"up": [4, 5, 4, 6], "down": [-1, -2, -3, -1]}
    variants = {name: np.add(ACCURACIES[:4], np.array(shift) / 1000) for name, shift in shifts.items()}
    alone, together = (
        compare_variants(table(plain=ACCURACIES[:4], **chosen), baseline="plain").set_index("variant").loc["up"]
        for chosen in ({"up": variants["up"]}, variants)
    )
    assert together["difference_low"] < alone["difference_low"]
    assert "corrected 95 % interval" in together["sentence"]
    assert "corrected" not in alone["sentence"]


def test_intervals_of_a_loss_end_at_0():
    found = compare_variants(table(plain=[0.1, 0.9]), baseline="plain", fractions=False, positive=True)
    assert found["low"].iloc[0] == 0
    assert found["high"].iloc[0] > 1


def test_variants_are_compared_with_the_baseline():
    values = table(plain=ACCURACIES, up=[v + 0.004 + 0.0005 * (k % 3) for k, v in enumerate(ACCURACIES)], alone=[0.9])
    found = compare_variants(values, baseline="plain").set_index("variant")
    assert found["n"].tolist() == [8, 8, 1]
    assert found.loc["plain", ["pairs", "difference", "p", "sentence"]].isna().all()
    assert found.loc["up", "difference"] == pytest.approx(0.0044375)
    assert found.loc["up", "p_holm"] == pytest.approx(found.loc["up", "p"])  # the other pair has no p to count
    assert found.loc["up", "sentence"].endswith("significant.")
    assert np.isnan(found.loc["alone", "low"])
    assert set(found["confidence"]) == {0.95}


def test_too_few_pairs_are_said_to_be_too_few():
    up = [value + 0.01 + 0.001 * k for k, value in enumerate(ACCURACIES)]
    five = sentence(ACCURACIES[:5], up[:5], test="wilcoxon")
    assert "cannot be significant: so few pairs leave the p at 0.062 or more" in five
    assert "cannot be significant" not in sentence(ACCURACIES[:6], up[:6], test="wilcoxon")
    assert "cannot be significant" in sentence(ACCURACIES[:6], up[:6], test="wilcoxon", confidence=0.99)
    assert "one pair shows no spread and cannot be significant" in sentence(ACCURACIES[:1], up[:1])


def test_several_comparisons_need_more_pairs():
    up = [value + 0.01 + 0.001 * k for k, value in enumerate(ACCURACIES[:6])]
    noise = [value + 0.001 * (-1) ** k * (k + 1) for k, value in enumerate(ACCURACIES[:6])]
    found = compare_variants(table(plain=ACCURACIES[:6], up=up, noise=noise), baseline="plain", test="wilcoxon")
    assert "so few pairs leave the corrected p at 0.062 or more" in found["sentence"].iloc[1]


def test_what_cannot_be_told_is_said():
    assert sentence(ACCURACIES, ACCURACIES[::-1]).startswith("Cannot tell 'other' from 'plain'")
    assert sentence(ACCURACIES, ACCURACIES) == "'other' equals 'plain' on each of 8 shared seeds."
    assert "leave Student's test without a value" in sentence([0.9, 0.8], [0.91, 0.81])


def test_values_other_than_fractions_keep_their_unit_and_their_interval():
    found = compare_variants(table(plain=[2.0, 9.0]), baseline="plain", fractions=False)
    assert found["high"].iloc[0] > 9
    assert "points" not in sentence([1.5, 1.7, 1.6], [2.5, 2.6, 2.9], fractions=False)


def test_intervals_of_fractions_end_at_one():
    assert compare_variants(table(plain=[0.99, 1.0, 0.98]), baseline="plain")["high"].iloc[0] == 1


def test_an_empty_table_gives_an_empty_comparison():
    found = compare_variants(table(plain=[0.5]).head(0), baseline="")
    assert found.empty
    assert {"sentence", "p_holm", "confidence"} <= set(found.columns)


def test_every_pipeline_and_metric_is_compared_with_its_own_first_variant():
    rows = [
        {"pipeline": pipeline, "variant": variant, "seed": seed, "test_accuracy": 0.9, "test_loss": 2.0 + seed}
        for pipeline, variants in (("one", "ab"), ("two", "bc"))
        for variant in variants
        for seed in range(2)
    ]
    found = compare_metrics(pd.DataFrame(rows), metrics=COMPARED[:2])
    assert found.groupby(["pipeline", "metric"])["variant"].agg("".join).tolist() == ["ab", "ab", "bc", "bc"]
    baselines = found[found["pairs"].isna()]
    assert baselines["variant"].tolist() == ["a", "a", "b", "b"]
    assert found.loc[found["metric"] == "test_loss", "high"].max() > 2.5


def test_results_without_any_score_give_an_empty_comparison():
    rows = [{"pipeline": "one", "variant": "a", "seed": 0, "test_accuracy": None}]
    found = compare_metrics(pd.DataFrame(rows), metrics=COMPARED[:1])
    assert found.empty
    assert {"metric", "sentence"} <= set(found.columns)


def test_an_unknown_baseline_is_named():
    with pytest.raises(ParameterError, match=r"'missing' is none of the variants .*\['plain'\]"):
        compare_variants(table(plain=[0.5]), baseline="missing")


def test_variants_are_compared_under_one_condition():
    scores = {("few", "a"): (0.5, 0.52, 0.49), ("few", "b"): (0.6, 0.63, 0.61), ("many", "c"): (0.9, 0.91, 0.92)}
    rows = [
        {"pipeline": "one", "condition": condition, "variant": variant, "seed": seed, "test_accuracy": value}
        for (condition, variant), values in scores.items()
        for seed, value in enumerate(values)
    ]
    found = compare_metrics(pd.DataFrame(rows), metrics=COMPARED[:1]).set_index("variant")
    assert found["pairs"].isna().to_dict() == {"a": True, "b": False, "c": True}  # a and c are baselines
    assert found.loc["b", "p_holm"] == found.loc["b", "p"]  # of one comparison, not of two
    apart = compare_metrics(pd.DataFrame(rows).drop(columns="condition"), metrics=COMPARED[:1])
    assert apart["pairs"].isna().sum() == 1
