"""A study in the run folder of the project "Hyperparameter-Experiment": `runs/<study>_<time>/search` and `.../transfer`.

Variances are those of the whole population and regret is not paired by seed, as there, whatever the study's protocol.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from vision_studies.pipelines.mlp_transfer.published_files import run_manifest
from vision_studies.pipelines.mlp_transfer.settings import HYPERPARAMETERS
from vision_studies.studies.published import Published, StoredStudy, copied, newest, plain_name, write_csv

_RUNS = [
    "variant",
    "trial",
    "seed",
    "status",
    "configuration",
    "other_metrics",
    "best_epoch",
    "validation_loss",
    "test_loss",
]
_TRANSFER = ["target_arch", "source_arch", "seed", "test_loss"]
_TRIAL = ["trial", "best_val_loss", "test_loss", "best_epoch", "terminating_epoch", *HYPERPARAMETERS]
_FIGURES = {
    "search": ("search_test_loss_over_seeds",),
    "transfer": ("transfer_test_loss", "regret_matrix_mean", "relative_regret_matrix"),
}


def write_study(study: StoredStudy, folder: Path) -> None:
    """Write the search, the transfer where it has been done, their figures where they were drawn, and the manifest."""
    from vision_studies.pipelines.mlp_transfer.nodes import loss_files, search_files
    from vision_studies.pipelines.mlp_transfer.regret import published_regret_table

    finished = datetime.fromisoformat(study.results["finished_at"].max())
    run = folder / "runs" / f"{plain_name(study.name)}_{finished:%Y%m%d_%H%M%S}"
    trials = study.table("search_results.parquet", _RUNS)
    histories = study.table("search_histories.parquet", ["variant", "trial", "epoch", "train_loss", "validation_loss"])
    best = study.content(study.outputs / "best_hyperparameters.json", ["architectures"])
    names = {name: f"mlp_{len(chosen['layers'])}x_{name}" for name, chosen in best["architectures"].items()}
    for chosen in best["architectures"].values():
        chosen["hyperparameters"] = {name: chosen["hyperparameters"][name] for name in HYPERPARAMETERS}
    files, descriptions = search_files(trials, histories, best, study.results, degrees=0)
    descriptions["search_meta"] = {"search_training_seed": int(trials["seed"].iloc[0])}
    _write(run / "search", files, descriptions, names)
    for name, published in names.items():
        _copy_figure(study.outputs / f"search/{name}/best_trial/loss_curve.png", run / f"search/{published}/best_trial")
    if newest(study.outputs / "transfer_runs.parquet") is not None:
        cells = study.table("transfer_runs.parquet", _TRANSFER)
        regret = published_regret_table(cells)
        relative = ["mean_relative_regret"]
        files = loss_files(cells, degrees=0)
        files["regret_matrix"] = regret.drop(columns=relative)
        files["relative_regret_matrix"] = regret[["target_arch", "source_arch", *relative]]
        _write(run / "transfer", files, {}, names)
    for part, figures in _FIGURES.items():
        for figure in figures:
            _copy_figure(study.reports / f"{figure}.png", run / part)
    _write_yaml(run / "run_manifest.yaml", run_manifest(run.relative_to(folder).as_posix()))


def _write(folder: Path, files: dict[str, pd.DataFrame], descriptions: dict[str, Any], names: dict[str, str]) -> None:
    """Write tables and descriptions, with the project's names of architectures in paths and content."""
    for name, table in files.items():
        columns = [column for column in table if column in ("architecture", "target_arch", "source_arch")]
        renamed = table.assign(**{column: table[column].map(names) for column in columns})
        if name.endswith("search_results"):
            renamed = renamed[_TRIAL]
        write_csv(renamed, folder / f"{_renamed_path(name, names)}.csv")
    for name, content in descriptions.items():
        _write_yaml(folder / f"{_renamed_path(name, names)}.yaml", _renamed(content, names))


def _renamed_path(path: str, names: dict[str, str]) -> str:
    first, *others = path.split("/")
    return "/".join([names.get(first, first) if others else first, *others])


def _renamed(content: Any, names: dict[str, str]) -> Any:
    """A description, whose texts are nothing but names of architectures."""
    if isinstance(content, dict):
        return {key: _renamed(value, names) for key, value in content.items()}
    if isinstance(content, list):
        return [_renamed(value, names) for value in content]
    return names.get(content, content) if isinstance(content, str) else content


def _write_yaml(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _copy_figure(path: Path, folder: Path) -> None:
    drawn = newest(path)
    if drawn is not None:
        copied(drawn, folder / path.name)


PUBLISHED = Published("Hyperparameter-Experiment", write_study)
