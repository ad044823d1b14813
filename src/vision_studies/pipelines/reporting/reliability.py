"""How far the probabilities of a study's variants can be trusted, as they are and calibrated by validation images: a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vision_studies.predictions import CalibratorName
from vision_studies.reports.formatting import with_interval
from vision_studies.stored_predictions import Unavailable
from vision_studies.studies.evidence import read_evidence, variant_runs
from vision_studies.studies.method import load_method
from vision_studies.studies.predictions import Kept

if TYPE_CHECKING:
    from vision_studies.statistics.evidence import Evidence

MOST_RUNS = 300
"""Of a pipeline, whose probabilities are read; of a study with more, the first variants of so many are shown."""

AS_IT_SAYS = "as it says"

Rows = list[dict[str, str]]


def reliability_rows(
    results: pd.DataFrame, models: Path, names: Sequence[CalibratorName], confidence: float
) -> dict[str, Rows]:
    """Pipeline -> rows of texts, one a variant and way to calibrate it; pipelines without probabilities are left out.

    Args:
        results: rows of a study's results tables.
        models: the study's folder of runs, which has one a pipeline.
        names: of what calibrates.
        confidence: of the intervals.
    """
    found: dict[str, Rows] = {}
    for pipeline, own in results.groupby("pipeline", sort=False):
        method = load_method(str(pipeline))
        if isinstance(method.predictions, Kept):
            rows = _rows_of(own, method.runs_folder(models), names, confidence)
            found |= {str(pipeline): rows} if rows else {}
    return found


def _rows_of(results: pd.DataFrame, runs: Path, names: Sequence[CalibratorName], confidence: float) -> Rows:
    from vision_studies.studies.calibrated import calibrated_evidence

    rows: Rows = []
    read = 0
    seen: set[tuple[str, ...]] = set()
    for group in variant_runs(results):
        fingerprints = tuple(sorted(group.fingerprints))
        read += len(fingerprints)
        if read > MOST_RUNS:
            break
        if fingerprints in seen:  # the same runs under another name
            continue
        seen.add(fingerprints)
        [own] = read_evidence([group], runs, "probabilities")
        if own.evidence.probabilities is None:
            continue
        rows.append(_row(group.name, AS_IT_SAYS, own.evidence, confidence))
        calibrated = calibrated_evidence(own, runs, names)
        if not isinstance(calibrated, Unavailable):
            rows += [_row(group.name, name, evidence, confidence) for name, evidence in calibrated.items()]
    return rows


def _row(variant: str, name: str, evidence: "Evidence", confidence: float) -> dict[str, str]:
    from vision_studies.statistics.reliability import IN_PERCENT, reliability

    told = reliability(evidence, confidence)
    cells = {
        f"{title} (%)" if title in IN_PERCENT else title: with_interval(
            estimate.value, estimate.low, estimate.high, percent=title in IN_PERCENT
        )
        for title, estimate in told.items()
    }
    images = f"{len(evidence.images):,}"
    return {"Variant": variant, "Probabilities": name, "n": str(len(evidence.seeds)), "Test images": images, **cells}
