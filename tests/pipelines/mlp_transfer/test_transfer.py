import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vision_studies.pipelines.mlp_transfer.regret import (
    compare_pairs,
    matrix,
    one_way_test,
    published_regret_table,
    regret_table,
    regrets_by_seed,
    transfer_sentence,
    tuning_sentence,
)

LOSSES = {  # (target, source) -> losses of seeds 1, 2, 3
    ("a", "a"): (0.10, 0.12, 0.11),
    ("a", "b"): (0.15, 0.16, 0.17),
    ("b", "a"): (0.20, 0.21, 0.22),
    ("b", "b"): (0.21, 0.19, 0.20),
}


def cells(losses=LOSSES):
    return pd.DataFrame(
        [
            {"target_arch": target, "source_arch": source, "seed": seed, "test_loss": loss}
            for (target, source), own in losses.items()
            for seed, loss in enumerate(own, start=1)
        ]
    )


def home(groups):
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "value": value}
            for name, values in groups.items()
            for seed, value in enumerate(values)
        ]
    )


def test_regret_is_paired_by_seed():
    regrets = regrets_by_seed(cells())
    away = regrets[(regrets["target_arch"] == "a") & (regrets["source_arch"] == "b")]
    assert away["regret"].tolist() == pytest.approx([0.05, 0.04, 0.06])
    assert away["relative_regret"].tolist() == pytest.approx([1.5, 0.16 / 0.12, 0.17 / 0.11])
    table = regret_table(regrets, confidence=0.95, interval="t").set_index(["target_arch", "source_arch"])
    assert table.loc[("a", "b"), "mean_regret"] == pytest.approx(0.05)
    low, high = stats.t.interval(0.95, 2, loc=0.05, scale=stats.sem([0.05, 0.04, 0.06]))
    assert table.loc[("a", "b"), ["low_regret", "high_regret"]].tolist() == pytest.approx([low, high])
    assert (table.loc[("a", "a"), ["mean_regret", "low_regret", "max_regret"]] == 0).all()
    assert table.loc[("b", "b"), "mean_relative_regret"] == 1


def test_the_published_summary_is_not_paired_and_of_the_whole_population():
    table = published_regret_table(cells()).set_index(["target_arch", "source_arch"])
    row = table.loc[("a", "b")]
    assert row["mean_regret"] == pytest.approx(0.16 - 0.11)
    assert row["var_regret"] == pytest.approx(np.var([0.15, 0.16, 0.17]))
    assert (row["min_regret"], row["max_regret"]) == pytest.approx((0.15 - 0.11, 0.17 - 0.11))
    assert row["mean_relative_regret"] == pytest.approx(0.16 / 0.11)


def test_a_lost_run_leaves_its_seed_out():
    losses = LOSSES | {("a", "b"): (0.15, np.nan, 0.17)}
    table = regret_table(regrets_by_seed(cells(losses)), confidence=0.95, interval="t")
    row = table.set_index(["target_arch", "source_arch"]).loc[("a", "b")]
    assert row["n"] == 2
    assert row["mean_regret"] == pytest.approx((0.05 + 0.06) / 2)


def test_matrices_have_targets_as_rows_in_the_order_of_the_study():
    wide = matrix(cells(), "test_loss")
    assert wide.index.tolist() == wide.columns.tolist() == ["a", "b"]
    assert wide.loc["a", "b"] == pytest.approx(0.16)
    assert wide.loc["b", "a"] == pytest.approx(0.21)


def test_the_one_way_test_is_scipys():
    groups = {"a": [1.0, 1.2, 1.1], "b": [2.0, 2.1, 1.9], "c": [1.0, 1.1, 1.3]}
    found = one_way_test(home(groups))
    f, p = stats.f_oneway(*groups.values())
    assert (found.f, found.p) == pytest.approx((f, p))
    assert (found.groups, found.n) == (3, 9)
    between = sum(3 * (np.mean(own) - np.mean(list(groups.values()))) ** 2 for own in groups.values())
    total = sum((value - np.mean(list(groups.values()))) ** 2 for own in groups.values() for value in own)
    assert found.eta_squared == pytest.approx(between / total)
    assert found.within_standard_deviation == pytest.approx(0.125, abs=0.01)


@pytest.mark.parametrize("groups", [{"a": [1.0, 2.0]}, {"a": [1.0], "b": [2.0]}, {"a": [1.0, 1.0], "b": [2.0, 2.0]}])
def test_the_one_way_test_says_where_it_has_no_value(groups):
    assert np.isnan(one_way_test(home(groups)).p)


def test_pairs_are_compared_on_shared_seeds_and_corrected():
    table = home({"a": [1.0, 1.1, 1.2, 1.3], "b": [2.0, 2.2, 2.2, 2.4], "c": [1.0, 1.2, 1.1, 1.3]})
    found = compare_pairs(table, confidence=0.95, interval="t", test="t")
    assert list(zip(found["first"], found["second"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found["difference"].tolist() == pytest.approx([-1.05, 0.0, 1.05])
    assert (found["p_holm"] >= found["p"]).all()
    assert compare_pairs(home({"a": [1.0]}), confidence=0.95, interval="t", test="t").empty


def test_the_conclusions_say_what_was_found_and_what_cannot_be_told():
    options = {"confidence": 0.95, "interval": "t"}

    def tuned(groups):
        table = home(groups)
        return tuning_sentence(table, compare_pairs(table, **options, test="t"), confidence=0.95)

    apart = tuned({"a": [0.10, 0.11, 0.12], "b": [0.20, 0.21, 0.22]})
    assert apart.startswith("Architectures differ after tuning: mean test losses from 0.1100 (a) to 0.2100 (b)")
    assert "F(1, 4) = 150.00" in apart
    assert tuned({"a": [0.1, 0.2, 0.3], "b": [0.11, 0.19, 0.31]}).startswith("Cannot tell the architectures apart")
    assert tuned({"a": [0.1], "b": [0.2]}).startswith("Cannot tell whether architectures differ")
    assert tuned({"a": [0.1, 0.2]}).startswith("There is one architecture")

    costly = transfer_sentence(regrets_by_seed(cells()), **options)
    assert "hyperparameters cost on average: +0.0300 nats over 2 pairs and 3 seeds (95 % interval +0.0052" in costly
    assert "at worst +0.0500" in costly
    assert "for a with those of b" in costly
    certain = LOSSES | {("a", "b"): (0.15, 0.17, 0.16), ("b", "a"): (0.26, 0.24, 0.25)}
    assert "hyperparameters cost on average: +0.0500 nats" in transfer_sentence(
        regrets_by_seed(cells(certain)), **options
    )
    unsure = LOSSES | {("b", "a"): (0.11, 0.21, 0.15)}
    assert transfer_sentence(regrets_by_seed(cells(unsure)), **options).startswith("Cannot tell whether another")
    alone = cells({("a", "a"): (0.1, 0.2)})
    assert transfer_sentence(regrets_by_seed(alone), **options).startswith("No hyperparameters were tried")
    one_seed = cells({key: own[:1] for key, own in LOSSES.items()})
    assert "without an interval" in transfer_sentence(regrets_by_seed(one_seed), **options)
