"""What a study found, as plain text for the terminal."""

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from vision_studies.reports.formatting import MISSING, count, duration, is_missing, number, percent
from vision_studies.reports.table import Table
from vision_studies.reports.tables import answers, gaps, run_rows, variant_rows
from vision_studies.statistics.metrics import COMPARED, Metric

_WIDTH = 100
_VARIANTS = 30
_SENTENCES = 3  # the page has all of them


def summary_text(
    results: pd.DataFrame,
    comparison: pd.DataFrame | None = None,
    conclusions: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """Variants with their test metrics, what follows from them, and what is missing.

    Args:
        results: rows of the results table.
        comparison: from `analysis.comparisons`: it gives the intervals, and its sentences follow the table.
        conclusions: pipeline -> sentences that take the place of the comparison's.
    """
    compared = None if comparison is None or comparison.empty else comparison
    interval = "interval" if compared is None else f"{100 * float(compared['confidence'].iloc[0]):g} % interval"
    runs = run_rows(results)
    several_pipelines = len({run["pipeline"] for run in runs}) > 1
    rows = []
    variants = variant_rows(runs, compared)
    for row in variants[:_VARIANTS]:
        first, *others = COMPARED
        accuracy = row[first.column]
        rows.append(
            ({"pipeline": row["pipeline"]} if several_pipelines else {})
            | {
                "variant": " ".join([row["variant"], *(f"[{label}]" for label in row["labels"])]),
                "n": accuracy["n"],
                first.short: percent(accuracy["mean"]),
                "sd": percent(accuracy["standard_deviation"]),
                interval: _interval(accuracy["low"], accuracy["high"]),
                **{own.short: _mean(own, row[own.column]["mean"]) for own in others},
                "parameters": count(row["parameters"]),
                "time a run": duration(row["seconds"]),
            }
        )
    if not rows:
        return "There are no runs yet."
    texts = 2 if several_pipelines else 1
    table = Table(rows, align="l" * texts + "r" * (len(rows[0]) - texts)).terminal()
    notes = [f"({len(variants) - _VARIANTS} more variants in the report)"] if len(variants) > _VARIANTS else []
    for pipeline, sentences in answers(compared, conclusions).items():
        notes += [f"{pipeline}:"] if several_pipelines and pipeline else []
        notes += _shortened(sentences, 1 if several_pipelines else _SENTENCES)
    notes += _shortened([f"Missing: {gap}." for gap in gaps(runs)], _SENTENCES)
    return "\n".join([table, "", *notes] if notes else [table])


def _shortened(sentences: Sequence[str], shown: int) -> list[str]:
    filled = [f"  {textwrap.fill(sentence, _WIDTH - 2, subsequent_indent='    ')}" for sentence in sentences[:shown]]
    return [*filled, f"  ({len(sentences) - shown} more in the report)"] if len(sentences) > shown else filled


def _mean(metric: Metric, value: float | None) -> str:
    return percent(value) if metric.is_fraction else number(value, 4)


def _interval(low: float, high: float) -> str:
    return MISSING if is_missing(low) else f"{100 * low:.2f} to {percent(high)}"
