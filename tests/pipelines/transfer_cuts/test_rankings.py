from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.transfer_cuts.ranking_texts import experiment_sentences, sentences
from vision_studies.pipelines.transfer_cuts.rankings import (
    best_cuts,
    compare_experiments,
    compare_pairs,
    describe,
    only_mode,
    rank_cuts,
    repeats_needed,
)
from vision_studies.pipelines.transfer_cuts.settings import mode_label

GAINS = {-1: 0.0, 0: 0.0, 1: 0.005, 2: 0.02, 3: 0.05, 4: 0.07, 5: 0.068, 6: 0.04}
REPEATS = {0.01: 25, 0.5: 5}


def accuracies(mode="freeze_reinit", gains=GAINS, repeats=REPEATS, noise=0.01, seed=0, validated=True):
    generator = np.random.default_rng(seed)
    rows = []
    for fraction, count in repeats.items():
        draws = generator.normal(0, 0.02, count)
        for cut, gain in gains.items():
            test = 0.8 + gain + draws + generator.normal(0, noise, count)
            rows += [
                {
                    "mode": "baseline" if cut == -1 else mode,
                    "cut": cut,
                    "fraction": fraction,
                    "repeat": repeat,
                    "train_accuracy": min(1.0, test[repeat] + 0.05),
                    "validation_accuracy": test[repeat] - 0.01 if validated else np.nan,
                    "test_accuracy": test[repeat],
                    "images": round(16200 * fraction),
                }
                for repeat in range(count)
            ]
    return pd.DataFrame(rows)


def exact(values, fraction=0.1, mode="freeze_reinit"):
    """A table of the given test accuracies: cut -> one number a repeat."""
    return pd.DataFrame(
        [
            {
                "mode": "baseline" if cut == -1 else mode,
                "cut": cut,
                "fraction": fraction,
                "repeat": repeat,
                "train_accuracy": value,
                "test_accuracy": value,
            }
            for cut, own in values.items()
            for repeat, value in enumerate(own)
        ]
    )


def by_hand(p_values):
    """Holm's steps as they are taught: the smallest times m, the next times m - 1, never falling."""
    ordered = sorted(p_values)
    steps = [min(1.0, (len(ordered) - place) * p) for place, p in enumerate(ordered)]
    steps = [max(steps[: place + 1]) for place in range(len(steps))]
    return [steps[ordered.index(p)] for p in p_values]


def test_description_agrees_with_pandas():
    table = accuracies()
    found = describe(table).set_index(["mode", "fraction", "cut"])
    own = table.groupby(["mode", "fraction", "cut"])["test_accuracy"]
    for name, expected in {"mean": own.mean(), "median": own.median(), "max": own.max(), "n": own.size()}.items():
        pd.testing.assert_series_equal(found[name], expected, check_names=False, check_dtype=False)
    pd.testing.assert_series_equal(found["standard_deviation"], own.std(ddof=1), check_names=False)
    cell = table[(table["cut"] == 4) & (table["fraction"] == 0.5)]["test_accuracy"]
    low, high = stats.t.interval(0.95, 4, loc=cell.mean(), scale=stats.sem(cell))
    row = found.loc[("freeze_reinit", 0.5, 4)]
    assert (row["low"], row["high"]) == pytest.approx((low, min(high, 1)))
    for name in ("mean", "median", "max"):
        assert row[f"train_{name}"] == pytest.approx(row[name] + 0.05)
    assert row["validation_mean"] == pytest.approx(row["mean"] - 0.01)
    assert row["images"] == 8100


def test_description_of_a_table_without_validation_or_number_of_images():
    found = describe(exact({-1: [0.5, 0.6], 0: [0.7]}))
    assert found[["validation_mean", "images"]].isna().all(axis=None)
    assert found["n"].tolist() == [2, 1]
    assert np.isnan(found["standard_deviation"].iloc[1])


def test_pairs_agree_with_scipy_and_holm():
    table = accuracies()
    found = compare_pairs(table)
    assert len(found) == 2 * 28
    for fraction, own in found.groupby("fraction"):
        wide = table[table["fraction"] == fraction].pivot_table(index="repeat", columns="cut", values="test_accuracy")
        expected = {(b, a): stats.wilcoxon(wide[b], wide[a]).pvalue for a, b in combinations(sorted(GAINS), 2)}
        assert list(zip(own["first"], own["second"], strict=True)) == list(expected)
        assert own["p"].tolist() == pytest.approx(list(expected.values()))
        assert own["p_holm"].tolist() == pytest.approx(by_hand(list(expected.values())))
        differences = [(wide[b] - wide[a]).mean() for b, a in expected]
        assert own["difference"].tolist() == pytest.approx(differences)
        assert (own["significant"] == (own["p_holm"] < 0.05)).all()
    assert found[found["fraction"] == 0.01]["significant"].any()


def test_runs_are_paired_by_repeat_whatever_the_order_of_the_rows():
    table = accuracies()
    shuffled = table.sample(frac=1, random_state=3)
    comparisons = compare_pairs(table)
    pd.testing.assert_frame_equal(comparisons, compare_pairs(shuffled), check_exact=True)
    pd.testing.assert_frame_equal(rank_cuts(table, comparisons), rank_cuts(shuffled, comparisons.iloc[::-1]))
    other = accuracies("freeze", seed=1)
    pd.testing.assert_frame_equal(
        compare_experiments(table, other), compare_experiments(shuffled, other.iloc[::-1]), check_exact=True
    )


def test_unequal_repeats_are_compared_on_those_that_both_have():
    table = exact({-1: [0.5, 0.6, 0.7, 0.8], 0: [0.9, 0.61, 0.72, 0.83]})
    table = table[~((table["cut"] == 0) & (table["repeat"] == 0))]
    (pair,) = compare_pairs(table).to_dict("records")
    assert (pair["pairs"], pair["difference"]) == (3, pytest.approx(0.02))
    assert (pair["p"], pair["smallest_p"]) == (0.25, 0.25)


def test_repeats_that_nothing_shares_leave_no_p_and_do_not_count():
    table = exact({-1: [0.5, 0.6, 0.7], 0: [0.6, 0.7, 0.8], 1: [0.6, 0.7, 0.9]})
    table.loc[table["cut"] == 1, "repeat"] += 10
    found = compare_pairs(table).set_index(["first", "second"])
    assert found["pairs"].to_dict() == {(0, -1): 3, (1, -1): 0, (1, 0): 0}
    assert found.loc[(0, -1), "p_holm"] == 0.25  # the only one that was tested: nothing to correct for
    assert found.loc[(1, 0), ["p", "p_holm"]].isna().all()
    assert not found["can_be_significant"].any()


def test_a_run_without_test_accuracy_does_not_count():
    table = exact({-1: [0.5, 0.6, 0.7], 0: [0.6, np.nan, 0.8]})
    assert compare_pairs(table)["pairs"].tolist() == [2]
    assert describe(table)["n"].tolist() == [3, 2]


def test_five_repeats_of_eight_cuts_can_show_nothing():
    values = {cut: np.linspace(0.5, 0.51, 5) + 0.05 * cut for cut in range(-1, 7)}
    found = compare_pairs(exact(values))
    assert set(found["p"]) == {0.0625}
    assert set(found["smallest_p_holm"]) == {1.0}
    assert not found["significant"].any()
    ranks = rank_cuts(exact(values), found)
    assert set(ranks["rank"]) == {1}
    assert not ranks["can_be_significant"].any()
    assert any(
        sentence
        == "At 10 % no difference can be significant: 5 repeats leave the corrected p at 1, and at least 11 are needed."
        for sentence in sentences(exact(values), found)
    )


@pytest.mark.parametrize(("repeats", "possible"), [(10, False), (11, True)])
def test_how_many_repeats_eight_cuts_need(repeats, possible):
    # 28 pairs: 28 * 2 ** -9 is 0.0547, and half of that is below 0.05. Spreads that grow rule out ties.
    values = {cut: np.linspace(0.1, 0.2, repeats) * (cut + 2) for cut in range(-1, 7)}
    found = compare_pairs(exact(values))
    assert set(found["smallest_p"]) == {2.0 ** (1 - repeats)}
    assert (found["can_be_significant"] == possible).all()
    assert (found["significant"] == possible).all()
    assert set(found["repeats_needed"]) == {11}
    ranks = rank_cuts(exact(values), found)
    assert set(ranks["repeats_needed"]) == {11}
    assert ranks["rank"].tolist() == ([8, 7, 6, 5, 4, 3, 2, 1] if possible else [1] * 8)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("cuts", [2, 3, 5])
def test_with_as_many_repeats_as_are_needed_a_difference_can_be_significant_and_with_one_less_none(cuts, confidence):
    needed = repeats_needed(cuts * (cuts - 1) // 2, confidence)
    for repeats in (needed - 1, needed):
        values = {cut: np.linspace(0.1, 0.2, repeats) * (cut + 2) for cut in range(-1, cuts - 1)}
        found = compare_pairs(exact(values), confidence=confidence)
        assert set(found["repeats_needed"]) == {needed}
        assert found["significant"].any() == (repeats == needed)


def test_bound_of_the_corrected_p_is_below_every_corrected_p():
    for seed in range(5):
        found = compare_pairs(accuracies(seed=seed, noise=0.002, repeats={0.01: 12, 0.1: 7}))
        assert (found["smallest_p"] <= found["p"] + 1e-12).all()
        assert (found["smallest_p_holm"] <= found["p_holm"] + 1e-12).all()


def test_rank_counts_the_cuts_that_are_significantly_better():
    table = accuracies(repeats={0.01: 25})
    comparisons = compare_pairs(table)
    ranks = rank_cuts(table, comparisons).set_index("cut")
    wins = comparisons[comparisons["significant"]]
    for cut in GAINS:
        beaten = ((wins["second"] == cut) & (wins["rank_biserial"] > 0)) | (
            (wins["first"] == cut) & (wins["rank_biserial"] < 0)
        )
        assert ranks.loc[cut, "rank"] == 1 + beaten.sum()
    assert ranks.loc[4, "rank"] == 1
    assert ranks.loc[-1, "rank"] > ranks.loc[3, "rank"] > 1
    assert ranks["can_be_significant"].all()


def test_not_being_told_apart_is_not_handed_on_from_cut_to_cut():
    # 0 and 1 cannot be told apart, nor can 1 and 2; but 2 is better than 0.
    generator = np.random.default_rng(1)
    base = generator.normal(0.8, 0.001, 25)
    wide = generator.normal(0, 0.1, 25)
    values = {0: base, 1: base + 0.002 + wide - wide.mean(), 2: base + 0.004 + generator.normal(0, 0.0005, 25)}
    ranks = rank_cuts(exact(values), compare_pairs(exact(values))).set_index("cut")["rank"]
    assert ranks.to_dict() == {0: 2, 1: 1, 2: 1}


def test_the_signed_ranks_say_who_is_better():
    # One repeat of twelve drags the mean of cut 0 below; eleven are above.
    base = np.full(12, 0.8)
    above = base + np.append(np.arange(1, 12) / 1000, -0.7)
    table = exact({-1: base, 0: above})
    comparisons = compare_pairs(table)
    (pair,) = comparisons.to_dict("records")
    assert pair["significant"]
    assert pair["difference"] < 0 < pair["rank_biserial"]
    assert rank_cuts(table, comparisons).set_index("cut")["rank"].to_dict() == {-1: 2, 0: 1}
    assert "significant, but most of the signed ranks are above" in sentences(table, comparisons)[0]


def test_experiments_are_compared_cut_by_cut():
    first = accuracies(repeats={0.01: 25})
    second = accuracies("freeze", {**GAINS, 3: 0.0, 1: 0.05}, {0.01: 25, 0.1: 20}, noise=0.005)
    found = compare_experiments(first, second)
    assert found["cut"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert set(found["fraction"]) == {0.01}
    assert set(zip(found["first"], found["second"], strict=True)) == {("FR", "F")}
    wide = [
        table[(table["fraction"] == 0.01) & (table["cut"] >= 0)].pivot_table(
            index="repeat", columns="cut", values="test_accuracy"
        )
        for table in (first, second)
    ]
    p_values = [stats.wilcoxon(wide[0][cut], wide[1][cut]).pvalue for cut in range(7)]
    assert found["p"].tolist() == pytest.approx(p_values)
    assert found["p_holm"].tolist() == pytest.approx(by_hand(p_values))
    assert found.set_index("cut")["verdict"].to_dict() == {
        **dict.fromkeys(range(7), "no difference"),
        1: "lower",
        3: "higher",
    }
    (sentence,) = experiment_sentences(found)
    assert sentence == (
        "At 1 % of the images the test accuracy of FR is significantly higher at cut 3 and lower at cut 1 "
        "than that of F; at 5 other cuts they cannot be told apart."
    )


def test_experiments_with_few_repeats_and_with_nothing_in_common():
    first, second = accuracies(repeats={0.5: 5}), accuracies("freeze_truncate", repeats={0.5: 5}, seed=1)
    (sentence,) = experiment_sentences(compare_experiments(first, second))
    # Seven cuts: 7 * 0.0625.
    assert sentence == (
        "At 50 % no difference between FR and FT can be significant: 5 repeats leave the corrected p at 0.44 or more, "
        "and at least 9 are needed."
    )
    with pytest.raises(DataError, match="No cut and fraction have runs of both FR and F;"):
        compare_experiments(first, accuracies("freeze", repeats={0.1: 5}))


def test_experiments_of_one_mode_need_names():
    first, second = accuracies(repeats={0.1: 5}), accuracies(repeats={0.1: 5}, seed=1)
    with pytest.raises(ParameterError, match="Both experiments are called 'FR'"):
        compare_experiments(first, second)
    found = compare_experiments(first, second, labels=("regular", "random"))
    assert set(zip(found["first"], found["second"], strict=True)) == {("regular", "random")}


def test_the_best_cut_is_chosen_by_validation_and_reported_on_test():
    table = accuracies(repeats={0.01: 25})
    table.loc[table["cut"] == 2, "validation_accuracy"] += 0.15
    assert best_cuts(describe(table)).to_dict("records") == [{"fraction": 0.01, "cut": 2, "chosen_by": "validation"}]
    comparisons = compare_pairs(table)
    pair = comparisons[(comparisons["first"] == 2) & (comparisons["second"] == -1)].iloc[0]
    first, second = sentences(table, comparisons)
    assert first == (
        f"At 1 % of the images (162), cut 2, chosen by mean validation accuracy, is {100 * pair['difference']:.2f} points "
        "above the baseline in test accuracy (25 repeats; corrected 95 % interval "
        f"{100 * pair['difference_low']:+.2f} to {100 * pair['difference_high']:+.2f}; "
        f"corrected p = {pair['p_holm']:.2g}): significant."
    )
    assert second == "At 1 % no cut is significantly better in test accuracy than cuts 4 and 5."


def test_a_choice_by_test_says_so():
    table = accuracies(repeats={0.01: 25}, validated=False).drop(columns="images")
    assert best_cuts(describe(table))["chosen_by"].tolist() == ["test"]
    first = sentences(table, compare_pairs(table))[0]
    assert first.startswith(
        "At 1 % of the images, cut 4, chosen by mean test accuracy, which flatters it (no validation"
    )
    partly = accuracies(repeats={0.01: 25})
    partly.loc[partly["cut"] == 6, "validation_accuracy"] = np.nan
    assert best_cuts(describe(partly))["chosen_by"].tolist() == ["test"]


def test_sentences_where_nothing_differs_or_nothing_can_be_compared():
    same = exact({-1: np.linspace(0.5, 0.6, 25), 0: np.linspace(0.5, 0.6, 25)})
    first, second = sentences(same, compare_pairs(same))
    assert "equals the baseline in test accuracy (25 repeats" in first
    assert first.endswith("not significant.")
    assert second == "At 10 % no cut is significantly better than another."
    alone = exact({0: [0.5, 0.6]})
    assert sentences(alone, compare_pairs(alone)) == ["At 10 % of the images there is no baseline to compare with."]
    baseline = exact({-1: [0.5, 0.6]})
    assert sentences(baseline, compare_pairs(baseline)) == []
    once = exact({-1: [0.5], 0: [0.6]})
    first, second = sentences(once, compare_pairs(once))
    assert "(1 repeat, which shows no spread): too few repeats to be significant." in first
    assert (
        second
        == "At 10 % no difference can be significant: no two of them share two repeats, and at least 6 are needed."
    )
    apart = exact({-1: [0.5], 0: [0.6]})
    apart.loc[1, "repeat"] = 5
    assert "shares no repeat with the baseline" in sentences(apart, compare_pairs(apart))[0]


def test_modes_are_kept_apart():
    both = pd.concat([accuracies(), accuracies("freeze").query("cut >= 0")])
    with pytest.raises(ParameterError, match=r"one mode, but the table has \['freeze', 'freeze_reinit'\]"):
        compare_pairs(both)
    assert len(compare_pairs(only_mode(both, "freeze"))) == 56
    assert set(only_mode(both, "freeze")["mode"]) == {"baseline", "freeze"}
    with pytest.raises(ParameterError, match="No run has the mode 'thaw'"):
        only_mode(both, "thaw")
    assert [mode_label(mode) for mode in ("freeze_truncate", "baseline", "other")] == ["FT", "baseline", "other"]


def test_damaged_tables_are_refused():
    with pytest.raises(DataError, match=r"lacks the columns \['repeat'\]"):
        describe(accuracies().drop(columns="repeat"))
    table = accuracies()
    with pytest.raises(DataError, match="more than one run with mode baseline, cut -1, fraction 0.01, repeat 0;"):
        compare_pairs(pd.concat([table, table.head(1)]))


def test_nothing_touches_the_callers_table():
    table = accuracies()
    before = table.copy(deep=True)
    comparisons = compare_pairs(table)
    kept = comparisons.copy(deep=True)
    rank_cuts(table, comparisons)
    sentences(table, comparisons)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(comparisons, kept)
