"""Interactive figures of a study's page, drawn from the tables that its pipelines have left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.analysis.rankings import mode_label
from vision_studies.errors import DataError
from vision_studies.reports.charts import Chart

_BASELINE = "baseline"


def study_charts(outputs: Path) -> dict[str, list[Chart]]:
    """Pipeline -> its interactive figures: learning curves of every pipeline, and what else there is to look into.

    Args:
        outputs: the study's folder of results, with one folder a pipeline.

    Raises:
        DataError: a table is damaged or lacks a column.
    """
    found: dict[str, list[Chart]] = {}
    for pipeline, file, draw in _CHARTS:
        for path in sorted(outputs.glob(f"{pipeline}/{file}")):
            chart = _drawn(path, draw)
            if chart is not None:
                found.setdefault(path.relative_to(outputs).parts[0], []).append(chart)
    return found


def cost_charts(configurations: pd.DataFrame) -> list[Chart]:
    """Accuracy against cost of the configurations of all studies; none where nothing has been scored.

    Args:
        configurations: from `analysis.configurations.configurations`.
    """
    from vision_studies.plots.interactive_cost import accuracy_against_cost

    figure = accuracy_against_cost(configurations)
    return [] if figure is None else [Chart(*figure)]


def _drawn(path: Path, draw: Callable[[Any], Any]) -> Chart | None:
    try:
        content = _READERS[path.suffix](path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete it and run its pipeline again.") from error
    figure = draw(content)
    return None if figure is None else Chart(*figure)


def _learning_curves(histories: pd.DataFrame) -> Any:
    from vision_studies.plots.interactive_curves import learning_curves

    return learning_curves(histories)


def _surface(accuracies: pd.DataFrame) -> Any:
    from vision_studies.plots.interactive_heat_maps import accuracy_surface

    modes = [mode for mode in dict.fromkeys(accuracies["mode"]) if mode != _BASELINE]
    return accuracy_surface(accuracies, {mode: mode_label(mode) for mode in modes})


def _regret(regrets: pd.DataFrame) -> Any:
    from vision_studies.plots.interactive_heat_maps import regret_heat_map

    return regret_heat_map(regrets.astype({"target_arch": str, "source_arch": str}))


def _search(results: pd.DataFrame) -> Any:
    from vision_studies.plots.interactive_trials import parallel_coordinates, search_trials

    trials, hyperparameters = search_trials(results)
    return parallel_coordinates(trials, hyperparameters, objective="validation loss (nats)", lower_is_better=True)


def _optuna_search(trials: dict[str, Any]) -> Any:
    from vision_studies.plots.interactive_trials import optuna_trials, parallel_coordinates

    table, hyperparameters = optuna_trials(trials)
    return parallel_coordinates(table, hyperparameters, objective="validation accuracy", lower_is_better=False)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
}
_CHARTS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("transfer_cuts", "accuracies.csv", _surface),
    ("mlp_transfer", "transfer/regret_paired_by_seed.csv", _regret),
    ("mlp_transfer", "search_results.parquet", _search),
    ("stacking", "trials.json", _optuna_search),
    ("*", "histories.parquet", _learning_curves),
)
