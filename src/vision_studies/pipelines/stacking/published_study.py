"""A study in the folders of the project "Stacked_Generalization": one experiment, named as the study, of a model search.

Its variants are folders of `outputs/model_search/<date>/<time>/experiment_results/<experiment>`; what a search has found of
each lies in `outputs/hyper_search`, tables in `reports`, curves in `visualizations`.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from vision_studies.pipelines.stacking.stages import STACK
from vision_studies.studies.published import Published, StoredStudy, copied, newest, plain_name

_TABLES = {
    "configuration_comparison": "Configuration Comparison",
    "efficiency_metrics": "Efficiency Metrics",
    "architecture_details": "Model Architecture Details",
}
"""Tables of the study -> headings of the project's report."""


def write_study(study: StoredStudy, folder: Path) -> None:
    """Write every variant's results and figures, what was searched, and the experiment's report."""
    experiment = plain_name(study.name)
    finished = datetime.fromisoformat(study.results["finished_at"].max())
    stamp = f"{finished:%Y-%m-%d/%H-%M-%S}"
    searched = study.content(study.outputs / "trials.json")
    for entry in study.content(study.outputs / "plan.json"):
        if entry["role"] != STACK:
            continue
        name = entry["name"]
        results = study.outputs / "experiment_results" / name
        place = folder / "outputs/model_search" / stamp / "experiment_results" / experiment / name
        _write_json(
            place / "study_results.json",
            {**study.content(results / "study_results.json"), "experiment_type": experiment},
        )
        for figure in sorted(results.glob("*.png")):
            copied(study.file(figure), place / figure.name)
        if name in searched:
            copied(study.file(results / "hyperparameter_stats.json"), place / "hyperparameter_stats.json")
            search = folder / "outputs/hyper_search" / _optimizer(study, name) / stamp / name
            copied(study.file(results / "best_training.yaml"), search / "best_training.yaml")
            summary = f"search_results_{finished:%Y%m%d_%H%M%S}.yaml"
            copied(study.file(results / "search_results.yaml"), search / summary)
    _write_reports(study, folder / "reports", experiment)
    if (curves := newest(study.reports / "learning_curves.png")) is not None:
        copied(curves, folder / f"visualizations/{experiment}_visualization.png")


def _write_reports(study: StoredStudy, reports: Path, experiment: str) -> None:
    tables = study.reports / "tables"
    copied(study.file(tables / "configuration_comparison.tex"), reports / f"{experiment}_table.tex")
    parts = [f"# {experiment} Results"]
    for name, heading in _TABLES.items():
        text = study.file(tables / f"{name}.md").read_text(encoding="utf-8")
        rows = [line for line in text.splitlines() if line.startswith("|")]
        parts.append("\n".join([f"## {heading}", "", *rows]))
    (reports / f"{experiment}_report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _optimizer(study: StoredStudy, variant: str) -> str:
    trials = study.table("trial_results.parquet", ["variant", "configuration"])
    configuration = json.loads(trials.loc[trials["variant"] == variant, "configuration"].iloc[0])
    return str(configuration["training.optimizer.name"])


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


PUBLISHED = Published("Stacked_Generalization", write_study)
