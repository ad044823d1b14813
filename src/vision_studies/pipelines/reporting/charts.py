"""Interactive figures of a study's page, drawn from the tables that its pipelines have left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.reporting.sections import page_sections
from vision_studies.reports.charts import Chart
from vision_studies.studies.method import ChartSource


def study_charts(outputs: Path) -> dict[str, list[Chart]]:
    """Pipeline -> its interactive figures: learning curves of every pipeline, and what else there is to look into.

    Args:
        outputs: the study's folder of results, with one folder a pipeline.

    Raises:
        DataError: a table is damaged or lacks a column.
    """
    found: dict[str, list[Chart]] = {}
    sources = [(pipeline, source) for pipeline, section in page_sections().items() for source in section.charts]
    for pipeline, source in [*sources, ("*", _LEARNING_CURVES)]:
        for path in sorted(outputs.glob(f"{pipeline}/{source.file}")):
            chart = _drawn(path, source.draw)
            if chart is not None:
                found.setdefault(path.relative_to(outputs).parts[0], []).append(chart)
    return found


def cost_charts(configurations: pd.DataFrame) -> list[Chart]:
    """Accuracy against cost of the configurations of all studies; none where nothing has been scored.

    Args:
        configurations: from `analysis.configurations.configurations`.
    """
    from vision_studies.figures.interactive_cost import accuracy_against_cost

    figure = accuracy_against_cost(configurations)
    return [] if figure is None else [Chart(*figure)]


def _drawn(path: Path, draw: Callable[[Any], Any]) -> Chart | None:
    try:
        content = _READERS[path.suffix](path)
    except Exception as error:  # pandas and pyarrow have many errors for what a damaged file may be
        raise DataError(f"{path} cannot be read ({error}); delete it and run its pipeline again.") from error
    figure = draw(content)
    return None if figure is None else Chart(*figure)


def _learning_curves(histories: pd.DataFrame) -> Any:
    from vision_studies.figures.interactive_curves import learning_curves

    return learning_curves(histories)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
}
_LEARNING_CURVES = ChartSource("histories.parquet", _learning_curves)
