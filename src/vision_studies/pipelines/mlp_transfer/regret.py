"""Regret of hyperparameters tuned elsewhere, and whether what was tuned for itself differs.

A cell is a target architecture trained with the hyperparameters that a source architecture chose; on the diagonal both are
one. Regret is the target's test loss in the cell minus its test loss at home, seed by seed.
"""

from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from vision_studies.statistics.interval_kinds import Interval
from vision_studies.statistics.intervals import Test, corrected_comparisons, summary


@dataclass(frozen=True)
class OneWayTest:
    """Whether several groups have one mean (Fisher's analysis of variance); what cannot be computed is NaN.

    Attributes:
        groups: how many there are.
        n: values in all.
        f: variance between over variance within.
        p: of the F test.
        eta_squared: share of all variance that lies between the groups.
        within_standard_deviation: pooled standard deviation within groups.
        p_ranks: of the Kruskal-Wallis test, which assumes no normal distribution.
    """

    groups: int
    n: int
    f: float
    p: float
    eta_squared: float
    within_standard_deviation: float
    p_ranks: float


def one_way_test(table: pd.DataFrame) -> OneWayTest:
    """Compare the means of groups.

    Args:
        table: columns variant (the group) and value; missing values do not count.
    """
    complete = table.dropna(subset=["value"])
    groups = [runs["value"].to_numpy(dtype=float) for _, runs in complete.groupby("variant")]
    n = len(complete)
    if len(groups) < 2 or n <= len(groups):
        return OneWayTest(len(groups), n, *[np.nan] * 5)
    values = np.concatenate(groups)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    if within == 0:
        return OneWayTest(len(groups), n, np.nan, np.nan, np.nan, 0.0, np.nan)
    f, p = stats.f_oneway(*groups)
    explained = 1 - within / ((values - values.mean()) ** 2).sum()
    spread = float(np.sqrt(within / (n - len(groups))))
    ranks = stats.kruskal(*groups).pvalue
    return OneWayTest(len(groups), n, float(f), float(p), float(explained), spread, float(ranks))


def compare_pairs(table: pd.DataFrame, *, confidence: float, interval: Interval, test: Test) -> pd.DataFrame:
    """Every pair of variants on the seeds that both have, corrected for the number of pairs (Holm).

    Args:
        table: columns variant, seed, value.
        confidence: of the intervals.
        interval: their kind.
        test: kind of the paired test.

    Returns:
        One row a pair: first, second and what `corrected_comparisons` finds of first minus second, with p_holm.
    """
    values = {str(name): runs.set_index("seed")["value"] for name, runs in table.groupby("variant", sort=False)}
    names = list(combinations(values, 2))
    pairs = [(values[first], values[second]) for first, second in names]
    found = corrected_comparisons(pairs, confidence=confidence, interval=interval, test=test)
    rows = [
        {"first": first, "second": second, **asdict(comparison), "p_holm": p}
        for (first, second), (comparison, p) in zip(names, found, strict=True)
    ]
    columns = ["first", "second", "pairs", "difference", "low", "high", "p", "smallest_p", "cohens_d", "rank_biserial"]
    return pd.DataFrame(rows, columns=[*columns, "p_holm"])


def regrets_by_seed(cells: pd.DataFrame) -> pd.DataFrame:
    """Regret of every cell and seed.

    Args:
        cells: columns target_arch, source_arch, seed, test_loss; missing losses give missing regrets.

    Returns:
        The rows of `cells` with the columns home_loss, regret (nats) and relative_regret (ratio; 1 is no loss).
    """
    home = cells[cells["target_arch"] == cells["source_arch"]].set_index(["target_arch", "seed"])["test_loss"]
    keys = pd.MultiIndex.from_frame(cells[["target_arch", "seed"]])
    at_home = home.reindex(keys).to_numpy(dtype=float)
    losses = cells["test_loss"].to_numpy(dtype=float)
    return cells.assign(home_loss=at_home, regret=losses - at_home, relative_regret=losses / at_home)


def regret_table(regrets: pd.DataFrame, *, confidence: float, interval: Interval) -> pd.DataFrame:
    """Sum up every cell over its seeds, from what `regrets_by_seed` gives.

    Returns:
        One row a cell: target_arch, source_arch, n, mean_regret, sd_regret, low_regret, high_regret, min_regret,
        max_regret, mean_relative_regret, low_relative_regret, high_relative_regret.
    """
    rows = []
    for cell, seeds in regrets.groupby(["target_arch", "source_arch"], sort=False):
        absolute, relative = (
            summary(seeds[column], confidence=confidence, interval=interval) for column in ("regret", "relative_regret")
        )
        spread = [absolute.n, absolute.mean, absolute.standard_deviation, absolute.low, absolute.high]
        ends = [seeds["regret"].min(), seeds["regret"].max()]
        rows.append([*cell, *spread, *ends, relative.mean, relative.low, relative.high])
    columns = ["target_arch", "source_arch", "n", "mean_regret", "sd_regret", "low_regret", "high_regret"]
    columns += ["min_regret", "max_regret", "mean_relative_regret", "low_relative_regret", "high_relative_regret"]
    return pd.DataFrame(rows, columns=columns)


def published_regret_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Regret as the published project sums it up: not paired, spread of the whole population.

    Returns:
        One row a cell: target_arch, source_arch, mean_regret (difference of means), var_regret (variance of the cell's
        losses), min_regret and max_regret (extreme losses minus the mean at home), mean_relative_regret (ratio of means).
    """
    rows = []
    home = cells[cells["target_arch"] == cells["source_arch"]].groupby("target_arch")["test_loss"].mean()
    for (target, source), seeds in cells.groupby(["target_arch", "source_arch"], sort=False):
        losses, at_home = seeds["test_loss"].to_numpy(dtype=float), home[target]
        regrets = [losses.mean() - at_home, losses.var(), losses.min() - at_home, losses.max() - at_home]
        rows.append([target, source, *regrets, losses.mean() / at_home])
    columns = ["mean_regret", "var_regret", "min_regret", "max_regret", "mean_relative_regret"]
    return pd.DataFrame(rows, columns=["target_arch", "source_arch", *columns])


def matrix(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """A long table as a matrix: targets as rows, sources as columns, both in the order of the table."""
    order = list(table["target_arch"].drop_duplicates())
    wide = table.pivot_table(index="target_arch", columns="source_arch", values=value, aggfunc="mean", dropna=False)
    return wide.reindex(index=order, columns=order)


def tuning_sentence(table: pd.DataFrame, pairs: pd.DataFrame, *, confidence: float) -> str:
    """What tuning leaves between architectures, from test losses at home (variant, seed, value) and `compare_pairs`."""
    anova = one_way_test(table)
    means = table.groupby("variant")["value"].mean()
    if anova.groups < 2:
        return "There is one architecture, so that there is nothing to compare after tuning."
    ends = f"mean test losses from {means.min():.4f} ({means.idxmin()}) to {means.max():.4f} ({means.idxmax()})"
    if np.isnan(anova.p):
        return f"Cannot tell whether architectures differ after tuning: {anova.n} runs show no spread within ({ends})."
    test = f"F({anova.groups - 1}, {anova.n - anova.groups}) = {anova.f:.2f}, p = {anova.p:.2g}"
    if anova.p >= 1 - confidence:
        return f"Cannot tell the architectures apart after tuning: {ends}; {test}."
    apart = int((pairs["p_holm"] < 1 - confidence).sum())
    ratio = 100 * (means.max() / means.min() - 1)
    return (
        f"Architectures differ after tuning: {ends}, {ratio:.1f} % apart; {test}. {apart} of {len(pairs)} pairs differ after "
        "correction for their number."
    )


def transfer_sentence(regrets: pd.DataFrame, *, confidence: float, interval: Interval) -> str:
    """What it costs to use another architecture's hyperparameters, on average and at worst.

    The interval is one over seeds: pairs of architectures share their runs and do not count as independent. `regrets` come
    from `regrets_by_seed`.
    """
    away = regrets[regrets["target_arch"] != regrets["source_arch"]].dropna(subset=["regret"])
    if away.empty:
        return "No hyperparameters were tried on another architecture."
    by_seed = summary(away.groupby("seed")["regret"].mean(), confidence=confidence, interval=interval)
    cells = away.groupby(["target_arch", "source_arch"])
    means, relative = cells["regret"].mean(), cells["relative_regret"].mean()
    target, source = means.idxmax()
    interval_text = f"{100 * confidence:g} % interval {by_seed.low:+.4f} to {by_seed.high:+.4f}"
    change = f"{by_seed.mean:+.4f} nats over {len(means)} pairs and {by_seed.n} seeds"
    worst = (
        f"at worst {means.max():+.4f}, {relative[target, source]:.2f} times the loss at home, for {target} with those of "
        f"{source}."
    )
    if np.isnan(by_seed.low):
        return f"Another architecture's hyperparameters change the test loss by {change}, without an interval; {worst}"
    if by_seed.low <= 0 <= by_seed.high:
        return (
            f"Cannot tell whether another architecture's hyperparameters cost anything on average: {change} "
            f"({interval_text}); {worst}"
        )
    verb = "cost" if by_seed.mean > 0 else "gain"
    return f"Another architecture's hyperparameters {verb} on average: {change} ({interval_text}); {worst}"
