"""What a study found, as plain text for the terminal."""

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd
from tabulate import tabulate

from vision_studies.reports.formatting import MISSING, count, duration, is_missing, number, percent
from vision_studies.reports.tables import conclusions, gaps, run_rows, variant_rows

_WIDTH = 100


def summary_text(
    results: pd.DataFrame,
    comparison: pd.DataFrame | None = None,
    answers: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """Variants with their test metrics, what follows from them, and what is missing.

    Args:
        results: rows of the results table.
        comparison: from `analysis.statistics`: it gives the intervals, and its sentences follow the table.
        answers: pipeline -> sentences that take the place of the comparison's.
    """
    compared = None if comparison is None or comparison.empty else comparison
    interval = "interval" if compared is None else f"{100 * float(compared['confidence'].iloc[0]):g} % interval"
    runs = run_rows(results)
    several_pipelines = len({run["pipeline"] for run in runs}) > 1
    rows = []
    for row in variant_rows(runs, compared):
        accuracy = row["test_accuracy"]
        rows.append(
            ({"pipeline": row["pipeline"]} if several_pipelines else {})
            | {
                "variant": " ".join([row["variant"], *(f"[{label}]" for label in row["labels"])]),
                "n": accuracy["n"],
                "test accuracy": percent(accuracy["mean"]),
                "sd": percent(accuracy["standard_deviation"]),
                interval: _interval(accuracy["low"], accuracy["high"]),
                "test loss": number(row["test_loss"]["mean"], 4),
                "calibration": percent(row["test_calibration_error"]["mean"]),
                "parameters": count(row["parameters"]),
                "time a run": duration(row["seconds"]),
            }
        )
    if not rows:
        return "There are no runs yet."
    texts = ("left",) * (2 if several_pipelines else 1)
    table = tabulate(rows, headers="keys", disable_numparse=True, stralign="right", colalign=texts)
    sentences = conclusions(compared, answers)
    missing = [f"Missing: {gap}." for gap in gaps(runs)]
    notes = [textwrap.fill(sentence, _WIDTH, subsequent_indent="  ") for sentence in [*sentences, *missing]]
    return "\n".join([table, "", *notes] if notes else [table])


def _interval(low: float, high: float) -> str:
    return MISSING if is_missing(low) else f"{100 * low:.2f} to {percent(high)}"
