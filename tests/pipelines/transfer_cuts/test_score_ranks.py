"""How well scores rank cuts: their tau over repeats, what their choice loses, and how both are shown."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import weightedtau
from tests.pipelines.transfer_cuts.test_rankings import GAINS, accuracies

from vision_studies.pipelines.transfer_cuts.ranking_texts import score_ranks
from vision_studies.pipelines.transfer_cuts.scores import RANKED, SCORED, rank_scores
from vision_studies.statistics.intervals import summary

MODE = "freeze_reinit"


def scored(table):
    """LogME knows what a cut gains, GBC the opposite, and TransRate nothing."""
    random = np.random.default_rng(1)
    told = {"logme": lambda cut: GAINS[cut], "gbc": lambda cut: -GAINS[cut], "transrate": lambda _: random.normal()}
    cells = table.loc[table["cut"] > 0, ["cut", "fraction", "repeat"]].itertuples(index=False)
    rows = [
        (name, cut, fraction, repeat, 50, value(cut), 0.5)
        for cut, fraction, repeat in cells
        for name, value in told.items()
    ]
    return pd.DataFrame(rows, columns=list(SCORED))


def test_a_rank_is_the_mean_tau_of_the_repeats():
    table = accuracies()
    ranked = rank_scores(scored(table), table, MODE, confidence=0.9)
    assert list(ranked.columns) == list(RANKED)
    assert len(ranked) == 3 * table["fraction"].nunique()
    few = table[(table["fraction"] == 0.01) & (table["cut"] > 0)]
    taus, lost = [], []
    for _, own in few.groupby("repeat"):
        taus.append(weightedtau(own["cut"].map(GAINS), own["test_accuracy"]).statistic)
        lost.append(own["test_accuracy"].max() - own.set_index("cut").loc[4, "test_accuracy"])
    row = ranked[(ranked["fraction"] == 0.01) & (ranked["score"] == "logme")].iloc[0]
    expected = summary(taus, confidence=0.9)
    assert (row["n"], row["tau"]) == (25, pytest.approx(expected.mean))
    assert (row["low"], row["high"]) == pytest.approx((expected.low, min(1, expected.high)))
    assert row["regret"] == pytest.approx(np.mean(lost))
    assert row["seconds"] == pytest.approx(6 * 0.5)


def test_a_score_that_knows_the_gains_ranks_best_and_one_that_turns_them_round_worst():
    table = accuracies(noise=0.002)
    ranked = rank_scores(scored(table), table, MODE).set_index(["score", "fraction"])["tau"].unstack()
    assert (ranked.loc["logme"] > 0.8).all()
    assert (ranked.loc["gbc"] < -0.5).all()
    assert (ranked.loc["transrate"].abs() < 0.6).all()


def test_two_cuts_are_not_ranked():
    table = accuracies()
    scores = scored(table)
    assert rank_scores(scores[scores["cut"].isin([1, 2])], table, MODE).empty


def test_the_table_has_the_best_score_in_bold_and_what_it_costs():
    table = accuracies()
    shown = score_ranks(rank_scores(scored(table), table, MODE), "Scores", "tab:scores")
    assert shown.markdown().count("LogME") == 2
    assert [shown.rows[index]["Score"] for index, _ in shown.bold] == ["LogME", "LogME"]
    assert {row["Seconds"] for row in shown.rows} == {"3.00"}
