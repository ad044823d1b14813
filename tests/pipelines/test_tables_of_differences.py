"""Tables in which methods compare their runs: an interval and the corrected p beside it say the same."""

import ast
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.pipelines.alphanet.test_long_tail_statistics import accuracies as gains_table
from tests.pipelines.transfer_cuts.test_rankings import accuracies as cuts_table

from vision_studies.pipelines.alphanet.long_tail import paired_gains
from vision_studies.pipelines.mlp_transfer import regret
from vision_studies.pipelines.transfer_cuts import rankings
from vision_studies.statistics.comparisons import compare_metrics

SEEDS = 12
TESTS = [("t", "t"), ("t", "wilcoxon"), ("bootstrap", "t"), ("bootstrap", "wilcoxon")]


def losses(noise: float, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    draws = random.normal(0, 0.02, SEEDS)
    rows = [
        {"variant": f"v{number}", "seed": place, "value": 0.5 + 0.01 * number + draws[place] + random.normal(0, noise)}
        for number in range(5)
        for place in range(SEEDS)
    ]
    return pd.DataFrame(rows)


def results(noise: float, seed: int) -> pd.DataFrame:
    return (
        losses(noise, seed)
        .assign(pipeline="p", test_accuracy=lambda t: t["value"])
        .reindex(columns=["pipeline", "variant", "seed", "test_accuracy", "test_loss", "test_calibration_error"])
    )


def of_cuts(noise: float, seed: int) -> pd.DataFrame:
    return cuts_table(noise=noise, seed=seed, repeats={0.01: 12, 0.5: 7, 1.0: 3})


BETTER = {"test_accuracy": lambda table: table["test_accuracy"] + 0.05 * (table["cut"] > 2)}
TABLES: dict[str, Callable[[float, int], pd.DataFrame]] = {
    **{
        f"variants of a study, {interval} and {test}": lambda noise, seed, interval=interval, test=test: (
            compare_metrics(results(noise, seed), interval=interval, test=test)
        )
        for interval, test in TESTS
    },
    **{
        f"architectures of mlp_transfer, {interval} and {test}": lambda noise, seed, interval=interval, test=test: (
            regret.compare_pairs(losses(noise, seed), confidence=0.95, interval=interval, test=test)
        )
        for interval, test in TESTS
    },
    "cuts": lambda noise, seed: rankings.compare_pairs(of_cuts(noise, seed)),
    "modes of cuts": lambda noise, seed: rankings.compare_experiments(
        of_cuts(noise, seed), of_cuts(noise, seed + 1).replace("freeze_reinit", "freeze").assign(**BETTER)
    ),
    "gains of AlphaNet": lambda noise, seed: paired_gains(
        gains_table(noise=noise, baseline_repeats=5, gains={"few": 0.01, "medium": -0.01, "many": 0.02, "overall": 0.0})
    ),
}


def ends_and_p(table: pd.DataFrame) -> list[pd.Series]:
    """Ends of the intervals of differences, and corrected p, whatever a table calls them."""
    names = (("difference_low", "low"), ("difference_high", "high"), ("p_holm", "p_corrected"))
    return [table[next(name for name in either if name in table)] for either in names]


@pytest.mark.parametrize("name", TABLES)
@given(noise=st.sampled_from([0.001, 0.01, 0.03]), seed=st.integers(0, 50))
@settings(max_examples=4, deadline=None)
def test_an_interval_excludes_0_exactly_where_the_corrected_p_is_below_the_level(name, noise, seed):
    low, high, p = ends_and_p(TABLES[name](noise, seed))
    known = low.notna() & p.notna()
    excludes = (low > 0) | (high < 0)
    assert (excludes == (p < 0.05))[known].all()


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_have_intervals_and_tell_some_differences(name):
    low, _, p = ends_and_p(TABLES[name](0.003, 0))
    assert low.notna().any()
    assert (p < 0.05).any()


@pytest.mark.slow
def test_methods_compare_in_pairs_by_the_corrected_comparison_alone():
    """So that a further table cannot stand beside an uncorrected interval."""
    for path in (ROOT / "src/vision_studies/pipelines").rglob("*.py"):
        names = [
            alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module == "vision_studies.statistics.intervals"
            for alias in node.names
        ]
        assert "paired_comparison" not in names, path
