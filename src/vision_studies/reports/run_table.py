"""The table of a study's runs, and all that is known of each of them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vision_studies.reports.formatting import count, duration, is_missing, number, percent, text
from vision_studies.statistics.metrics import METRICS, Unit

SHOWN = 50
"""Rows that stand in the page itself; a script brings the others."""

_VIEWS = "test_accuracy_views_"  # of `other_metrics`


@dataclass(frozen=True)
class Column:
    """A column of the table of runs.

    Attributes:
        title: its heading.
        key: of a run.
        show: turns the value into text.
        is_text: whether it is aligned as text.
    """

    title: str
    key: str
    show: Any
    is_text: bool = False


_SHOW: dict[Unit, Callable[[Any], str]] = {
    "fraction": percent,
    "points": percent,
    "nats": lambda value: number(value, 4),
    "score": lambda value: number(value, 4),
    "epoch": number,
    "parameters": number,
    "operations": count,
    "seconds": duration,
    "images a second": number,
    "MB": number,
}


def _columns() -> Iterator[Column]:
    yield Column("Pipeline", "pipeline", text, is_text=True)
    yield Column("Trial", "trial", number)
    yield Column("Seed", "seed", text)
    yield Column("Status", "status", text, is_text=True)
    # What a network is, the same in every row of a variant, stands last.
    for metric in sorted(METRICS, key=lambda metric: metric.unit in ("parameters", "operations")):
        if metric.shown == "column":
            yield Column(metric.title, metric.column, _SHOW[metric.unit])
        if metric.column == "test_accuracy":
            yield Column("With test-time views", "views", text)


_COLUMNS = tuple(_columns())
_MORE = (
    ("reason", "Reason"),
    ("condition", "Condition"),
    *((metric.column, metric.title) for metric in METRICS if metric.shown == "details"),
    ("device", "Device"),
    ("finished_at", "Finished (UTC)"),
    ("git_commit", "Commit"),
    ("run_fingerprint", "Fingerprint"),
    ("data_fingerprint", "Data"),
)


def run_table(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page's table of runs shows and what its script needs to sort it, to search in it and to tell of single runs.

    Args:
        runs: from `tables.run_rows`, with the columns of provenance.

    Returns:
        `columns` (title, is_text), `rows` (the first `SHOWN`: name, labels, reason, cells), `total`, and `data`: columns,
        and of every run name, labels, reason, cells (texts), sort (values), more (pairs of name and text) and configuration
        (number of one of `configurations`, pairs of setting and value).
    """
    runs = [run | {"views": _views(run["other_metrics"])} for run in runs]
    columns = [column for column in _COLUMNS if _is_shown(column.key, runs)]
    configurations: dict[str, int] = {}
    rows = [_row(run, columns, configurations) for run in runs]
    titles = [{"title": column.title, "is_text": column.is_text} for column in columns]
    return {
        "columns": titles,
        "rows": rows[:SHOWN],
        "total": len(rows),
        "data": {
            "columns": titles,
            "runs": rows,
            "configurations": [_pairs(json.loads(configuration)) for configuration in configurations],
        },
    }


def _is_shown(key: str, runs: list[dict[str, Any]]) -> bool:
    """Pipelines and trials where there are several; test-time views where there are any."""
    if key in ("pipeline", "trial"):
        return len({run[key] for run in runs}) > 1
    return key != "views" or any(run["views"] for run in runs)


def _views(other_metrics: str | None) -> str | None:
    """Accuracy by number of views, as text."""
    metrics = json.loads(other_metrics) if other_metrics else {}
    found = {int(key.removeprefix(_VIEWS)): value for key, value in metrics.items() if key.startswith(_VIEWS)}
    return "; ".join(f"{views}: {percent(value)}" for views, value in sorted(found.items())) or None


def _row(run: Mapping[str, Any], columns: list[Column], configurations: dict[str, int]) -> dict[str, Any]:
    more = [[title, _shown(run[key])] for key, title in _MORE if not is_missing(run[key])]
    other = json.loads(run["other_metrics"]) if run["other_metrics"] else {}
    return {
        "name": run["variant"],
        "labels": list(run["labels"]),
        "reason": run["reason"] or "",
        "cells": [column.show(run[column.key]) for column in columns],
        "sort": [run["variant"], *(run[column.key] for column in columns)],
        "more": [*more, *_pairs(other)],
        "configuration": configurations.setdefault(run["configuration"] or "{}", len(configurations)),
    }


def _pairs(values: Mapping[str, Any]) -> list[list[str]]:
    return [[key, _shown(value)] for key, value in sorted(values.items())]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return value if isinstance(value, str) else json.dumps(value)
