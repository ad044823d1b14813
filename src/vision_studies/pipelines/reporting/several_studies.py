"""Accuracies of the same variants in several studies, each of which stands for a set of images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.reporting.study import StudyFolders
from vision_studies.reports.table import Table
from vision_studies.statistics.several_sets import PairOverSets, Ranking, compare_pairs, rank, sentences


@dataclass(frozen=True)
class SeveralStudies:
    """What several studies say together of the variants that they have in common.

    Attributes:
        accuracies: a row a study and a column a variant; fractions.
        margin: fraction within which accuracies are alike.
        confidence: of all claims.
    """

    accuracies: pd.DataFrame
    ranking: Ranking
    pairs: Sequence[PairOverSets]
    margin: float
    confidence: float

    @property
    def ranks(self) -> pd.DataFrame:
        """Variant, mean rank and accuracy in each study, the best rank first."""
        table = pd.DataFrame({"variant": list(self.accuracies), "mean_rank": self.ranking.ranks})
        with_accuracies = pd.concat([table, self.accuracies.T.reset_index(drop=True)], axis=1)
        return with_accuracies.sort_values("mean_rank", kind="stable", ignore_index=True)

    @property
    def compared(self) -> pd.DataFrame:
        """One row a pair of variants; see `PairOverSets`."""
        variants = list(self.accuracies)
        rows = [asdict(pair) | {"first": variants[pair.first], "second": variants[pair.second]} for pair in self.pairs]
        return pd.DataFrame(rows)

    def text(self) -> str:
        """For a terminal: ranks, pairs and what follows."""
        ranks = [
            {"variant": row.pop("variant"), "mean rank": f"{row.pop('mean_rank'):.2f}"}
            | {study: f"{100 * value:.2f} %" for study, value in row.items()}
            for row in self.ranks.to_dict("records")
        ]
        pairs = [
            {
                "first minus second": f"{row['first']} − {row['second']}",
                "median": f"{100 * row['difference']:+.2f}",
                "wins": f"{row['wins']} : {row['losses']}",
                "corrected p": f"{row['p']:.3g}",
                **{name: f"{100 * row[name]:.0f} %" for name in ("better", "alike", "worse")},
            }
            for row in self.compared.to_dict("records")
        ]
        rule = (
            f"Friedman's test: p = {self.ranking.p:.3g}. Mean ranks that differ by less than "
            f"{self.ranking.critical_difference:.2f} cannot be told apart (Nemenyi)."
        )
        key = (
            f"better, alike, worse: how probable it is that the first is better by more than {100 * self.margin:g} points, "
            "within them, or worse by more."
        )
        told = sentences(list(self.accuracies), self.ranking, self.pairs, confidence=self.confidence)
        return "\n\n".join([Table(ranks).terminal(), rule, Table(pairs).terminal(), key, "\n".join(told)])


def compare_studies(
    studies: Sequence[StudyFolders], pipeline: str | None, *, margin: float, confidence: float
) -> SeveralStudies:
    """Rank the variants that studies have in common over their images, and compare every pair; see `accuracies_by_study` and
    `statistics.several_sets`.
    """
    accuracies = accuracies_by_study(studies, pipeline)
    ranking = rank(accuracies, confidence=confidence)
    return SeveralStudies(accuracies, ranking, compare_pairs(accuracies, margin=margin), margin, confidence)


def accuracies_by_study(studies: Sequence[StudyFolders], pipeline: str | None = None) -> pd.DataFrame:
    """Mean test accuracy over seeds of every variant that all studies have.

    Args:
        studies: two or more, on different images.
        pipeline: whose variants; may be left out where the studies have one in common.

    Returns:
        A row a study and a column a variant, in the order of the first study; fractions. A variant under several conditions is
        one a condition.

    Raises:
        ParameterError: there are fewer than two studies, the pipeline is none of theirs, or they have several in common and
            none is named.
        DataError: a study has no results, two have the same images, or fewer than two variants stand in all of them.
    """
    if len(studies) < 2:
        raise ParameterError(
            "Name two studies or more, each on images of its own: ranks over one set of images say nothing."
        )
    scored = {study.name: study.results().dropna(subset=["test_accuracy"]) for study in studies}
    chosen = _pipeline_of(scored, pipeline)
    tables = {name: results[results["pipeline"] == chosen] for name, results in scored.items()}
    _require_other_images(tables)
    accuracies = pd.DataFrame({name: _means(table) for name, table in tables.items()}).T
    first = list(dict.fromkeys(_names(next(iter(tables.values())))))
    common = accuracies[[name for name in first if name in accuracies]].dropna(axis="columns")
    if common.shape[1] < 2:
        raise DataError(
            f"{', '.join(tables)} have {common.shape[1] or 'no'} variant{'' if common.shape[1] == 1 else 's'} of {chosen} in "
            "common, and two or more are needed; run the same variants in each of them."
        )
    return common


def _pipeline_of(scored: dict[str, pd.DataFrame], pipeline: str | None) -> str:
    common = set.intersection(*(set(results["pipeline"]) for results in scored.values()))
    if pipeline is None and len(common) == 1:
        return common.pop()
    if pipeline in common:
        return str(pipeline)
    several = f"name one of {', '.join(sorted(common))} with --pipeline" if common else "run the same pipeline in each"
    what = (
        "no pipeline" if pipeline is None and not common else "several pipelines" if pipeline is None else "no results"
    )
    of = f" of {pipeline}" if pipeline is not None else ""
    raise ParameterError(f"{', '.join(scored)} have {what}{of} with test accuracies in common; {several}.")


def _require_other_images(tables: dict[str, pd.DataFrame]) -> None:
    seen: dict[str, str] = {}
    for name, table in tables.items():
        for fingerprint in table["data_fingerprint"].unique():
            if fingerprint in seen and seen[fingerprint] != name:
                raise DataError(
                    f"{seen[fingerprint]} and {name} were scored on the same images, and are one set, not two; leave "
                    "one of them out, or compare variants of one study in its report."
                )
            seen[fingerprint] = name


def _names(table: pd.DataFrame) -> pd.Series:
    under = table["condition"].fillna("").map(lambda condition: f" ({condition})" if condition else "")
    return table["variant"] + under


def _means(table: pd.DataFrame) -> pd.Series:
    return table["test_accuracy"].astype(float).groupby(_names(table), sort=False).mean()
