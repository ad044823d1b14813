"""Variants over several sets of images, against what scipy and the formulas of the papers say."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from vision_studies.errors import DataError
from vision_studies.statistics.several_sets import compare_pairs, rank, sentences, signed_rank_posterior

RANDOM = np.random.default_rng(0)
TABLE = RANDOM.random((12, 4)) + np.array([0.3, 0, 0, 0])


def test_ranks_and_critical_difference_are_those_of_the_published_example():
    """Table 6 of Demšar 2006: four classifiers on 14 sets; critical difference 1.12 at a level of 0.10."""
    c45 = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957]
    m = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978]
    cf = [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946]
    both = [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970]
    ranking = rank(np.array([c45, m, cf, both]).T, confidence=0.90)
    assert ranking.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    assert ranking.critical_difference == pytest.approx(1.12, abs=0.01)  # 2.291 * sqrt(4 * 5 / (6 * 14))
    # Without a correction for the three ties of the table it is 3.69, as the paper has it.
    assert ranking.p < stats.f.sf(3.69, 3, 39) < 0.05


@pytest.mark.parametrize("table", [TABLE, TABLE.round(1)], ids=["without ties", "with ties"])
def test_friedmans_test_is_the_f_form_of_scipys(table):
    chi = stats.friedmanchisquare(*table.T).statistic
    f = 11 * chi / (12 * 3 - chi)
    assert rank(table).p == pytest.approx(stats.f.sf(f, 3, 33))


def test_variants_that_tie_everywhere_have_no_test():
    assert np.isnan(rank(np.ones((5, 3))).p)


def test_pairs_are_scipys_signed_ranks_corrected():
    pairs = compare_pairs(TABLE)
    raw = [stats.wilcoxon(TABLE[:, pair.first] - TABLE[:, pair.second]).pvalue for pair in pairs]
    assert min(pair.p for pair in pairs) == pytest.approx(6 * min(raw))
    assert all(pair.p >= p for pair, p in zip(pairs, raw, strict=True))
    assert all(pair.wins + pair.losses == 12 for pair in pairs)


@pytest.mark.parametrize(
    ("differences", "most"),
    [(np.full(8, 0.05), "better"), (np.full(8, -0.05), "worse"), (RANDOM.normal(0, 0.001, 8), "alike")],
)
def test_the_posterior_says_which_of_three_it_is(differences, most):
    chances = dict(zip(("better", "alike", "worse"), signed_rank_posterior(differences, 0.01), strict=True))
    assert max(chances, key=chances.get) == most
    assert chances[most] > 0.95
    assert sum(chances.values()) == pytest.approx(1)


def test_the_posterior_turns_round_with_the_signs():
    differences = RANDOM.normal(0.01, 0.03, 9)
    better, alike, worse = signed_rank_posterior(differences, 0.01)
    assert signed_rank_posterior(-differences, 0.01) == pytest.approx((worse, alike, better))


def test_the_posterior_is_that_of_a_written_out_loop():
    differences, margin = np.array([0.03, -0.005, 0.02]), 0.01
    values = [0.0, *differences]
    generator, counts = np.random.default_rng(5), np.zeros(3)
    for _ in range(2000):
        weights, sums = generator.dirichlet([0.5, 1, 1, 1]), np.zeros(3)
        for first, one in zip(weights, values, strict=True):
            for second, other in zip(weights, values, strict=True):
                mean = (one + other) / 2
                sums[0 if mean > margin else 2 if mean < -margin else 1] += first * second
        counts[sums.argmax()] += 1
    assert signed_rank_posterior(differences, margin) == pytest.approx(counts / 2000, abs=0.04)


@pytest.mark.slow
def test_sentences_name_the_best_whatever_its_column():
    for order in permutations(range(3)):
        table = np.column_stack([np.linspace(0.6, 0.8, 9) + (0, 0.05, 0.1)[place] for place in order])
        names = [("low", "middle", "high")[place] for place in order]
        told = sentences(names, rank(table), compare_pairs(table), confidence=0.95)
        assert told[0].startswith("'high' ranks best over 9 data sets (mean rank 1.00)")
        assert {"'low'", "'middle'"} <= set(told[1].replace(" (", " ").split())
        assert told[1].startswith("It is better than")
        assert len(told) == 2


def test_too_few_sets_are_said_to_be_too_few():
    told = sentences(["a", "b"], rank(TABLE[:4, :2]), compare_pairs(TABLE[:4, :2]), confidence=0.95)
    assert told[-1].startswith(
        "4 data sets cannot show a difference: the least corrected p that is possible is 0.12; 6"
    )


@pytest.mark.parametrize("table", [[[0.1, 0.2]], [[0.1], [0.2]], [[0.1, np.nan], [0.2, 0.3]]])
def test_what_cannot_be_ranked_is_told(table):
    for of in (rank, compare_pairs):
        with pytest.raises(DataError, match=r"two sets or more|is missing"):
            of(table)
