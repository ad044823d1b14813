"""Which trained models there are, and which of them a command is about."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial, reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vision_studies.cli.options import env_option, study_name
from vision_studies.errors import ParameterError
from vision_studies.project_folders import MODELS, OUTPUTS, PRIMARY, project_folder
from vision_studies.reports.table import Table
from vision_studies.run_folders import WEIGHTS_FILE, run_folder_of
from vision_studies.studies.method import networks_of
from vision_studies.studies.stored_runs import StoredRun, find_run, find_runs
from vision_studies.versions import newest_file

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.classifier import ImageClassifier

SELECTED = "cifar_resnet"
"""The pipeline that keeps its best model as a file of its own."""


@dataclass(frozen=True)
class ChosenModel:
    """A model of a project that has been found and not read yet; `path` is its file, or the folder of its run."""

    path: Path
    project: Path

    @cached_property
    def run(self) -> StoredRun | None:
        """The run that trained it, where that is known; found when it is asked for, as a file may be large."""
        folder = self.path if self.path.is_dir() else run_folder_of(self.path)
        if folder is not None:  # <models>/<study>/<pipeline>/runs/<fingerprint>, perhaps in another project
            return next(
                (run for run in find_runs(folder.parents[3], folder.parents[2].name) if run.folder == folder), None
            )
        from vision_studies.serving.opened_models import selected_model

        selected = selected_model(self.path)
        if selected is None:
            return None
        same = [run for run in find_runs(self.project / MODELS) if run.fingerprint == selected["run_fingerprint"]]
        of_study = [run for run in same if run.description["study"] in self.path.absolute().parts]
        return next(iter([*of_study, *same]), None)

    def open(self) -> "ImageClassifier":
        """Rebuild the network and read its weights; raises what `serving.opened_models.open_model_file` raises."""
        from vision_studies.serving.opened_models import open_model_file, open_run

        return open_run(self.path) if self.path.is_dir() else open_model_file(self.path)


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--env`, `--pipeline` and `--model`; a command is given what finds the model that they name, as `choose`."""

    @wraps(command)
    def wrapped(env: str | None, pipeline: str | None, model: str | None, **others: Any) -> Any:
        return command(choose=partial(choose_model, project_folder(), env, pipeline, model), **others)

    options = (
        env_option("Study whose model is used; base without it."),
        click.option("--pipeline", "-p", help="Pipeline of the study, where several have trained models."),
        click.option("--model", "-m", help="A run (its label, or how its fingerprint begins) or a file, instead."),
    )
    return reduce(lambda decorated, option: option(decorated), reversed(options), wrapped)


def choose_model(project: Path, env: str | None, pipeline: str | None, model: str | None) -> ChosenModel:
    """The model that the options name: a run or a file, or else the study's best by validation accuracy. Raises ParameterError
    where there is no such model, or the study has several that it could be.
    """
    if model is not None:
        path = Path(model)
        if path.is_file():
            return ChosenModel(path, project)
        if path.suffix == ".safetensors" or len(path.parts) > 1:
            raise ParameterError(f"There is no file {path}; `kedro models list` shows the models that there are.")
        return ChosenModel(find_run(project / MODELS, model, env).folder, project)
    study = study_name(env)
    selected = newest_selected(project, study) if pipeline in (None, SELECTED) else None
    if selected is not None:
        return ChosenModel(selected, project)
    runs = [run for run in find_runs(project / MODELS, study) if pipeline in (None, run.description["pipeline"])]
    best = best_runs(project, runs)
    if len(best) > 1:
        names = ", ".join(name for _, name in best)
        raise ParameterError(f"The study '{study}' has models of {names}; name one of these with --pipeline.")
    if not best:
        of_pipeline = f" of {pipeline}" if pipeline else ""
        option = f" --env={env}" if env else ""
        if any(why_unusable(run) is None for run in runs):
            raise ParameterError(
                f"The study '{study}' has models{of_pipeline}, but none that is its best by validation accuracy (they were "
                f"validated on different images, or not scored on test); name one with --model: `kedro models list{option}` "
                "shows them."
            )
        raise ParameterError(
            f"The study '{study}' has no model{of_pipeline} yet; run `kedro run{option}` first, or name another study with "
            "--env."
        )
    return ChosenModel(next(iter(best.values())).folder, project)


def newest_selected(project: Path, study: str) -> Path | None:
    """The newest version of a study's selected model; None where it has none."""
    return newest_file(project / MODELS / study / SELECTED / "model.safetensors")


def best_runs(project: Path, runs: list[StoredRun]) -> dict[tuple[str, str], StoredRun]:
    """The usable run with the best validation accuracy in the results table of each study and pipeline.

    What the table does not hold (trials of a search, first networks of cut ones, runs of an earlier configuration) is no
    answer of the study. Runs under several conditions were validated on different images, so that none of them is the best.
    """
    from vision_studies.studies.results import read_results

    usable: dict[tuple[str, str], dict[str, StoredRun]] = {}
    for run in runs:
        if why_unusable(run) is None:
            usable.setdefault((run.description["study"], run.description["pipeline"]), {})[run.fingerprint] = run
    best = {}
    for key, of_pipeline in usable.items():
        table = results_file(project, *key)
        if not table.is_file():
            continue
        rows = read_results(table).dropna(subset=["test_accuracy", "validation_accuracy"])
        rows = rows[rows["run_fingerprint"].isin(list(of_pipeline))]
        if len(rows) and rows["condition"].nunique() <= 1:
            best[key] = of_pipeline[rows.loc[rows["validation_accuracy"].idxmax(), "run_fingerprint"]]
    return best


def results_file(project: Path, study: str, pipeline: str) -> Path:
    """The results table of a study's pipeline."""
    return project / OUTPUTS / study / pipeline / "results.parquet"


def why_unusable(run: StoredRun) -> str | None:
    """Why no classifier of images can be made of a run, in words that follow "cannot be used: "; None where one can."""
    return networks_of(run.description["pipeline"]).unusable(run.description["configuration"], run.folder)


def models_text(project: Path, study: str | None, *, every: bool) -> str:
    """Models that can be used, a table for each study and pipeline, and a line for those that cannot; empty without runs.

    `every`: show runs without a test accuracy, too.
    """
    from vision_studies.serving.stored_data import prepared_data_sets

    runs = find_runs(project / MODELS, study)
    data = prepared_data_sets(project)
    best = best_runs(project, runs)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    left_out: Counter[str] = Counter()
    for run in runs:
        key = (run.description["study"], run.description["pipeline"])
        images = data.get(run.description["data_fingerprint"])
        gone = f"the images that they were trained on are no longer in {PRIMARY}" if images is None else None
        reason = why_unusable(run) or gone
        if reason is not None or images is None:
            left_out[f"of {', '.join(key)}, cannot be used: {reason}"] += 1
        elif run.metric("test_accuracy") is None and not every:
            left_out[f"of {', '.join(key)}, not scored on test (trials of a search, for one): --all shows them"] += 1
        else:
            groups.setdefault(key, []).append(_row(run, images, is_best=best.get(key) is run))
    blocks = [_block(project, *key, rows) for key, rows in groups.items()]
    if best:
        blocks.append("* best validation accuracy: what --env (with --pipeline, where there are several) stands for")
    notes = [f"{number} {'run' if number == 1 else 'runs'} {what}" for what, number in left_out.items()]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _row(run: StoredRun, data: "PreparedData", *, is_best: bool) -> dict[str, Any]:
    from vision_studies.reports.formatting import count, percent

    height, width, channels = data.image_set.images.shape[1:]
    configuration = run.description["configuration"]
    return {
        "run": f"{run.fingerprint}{' *' if is_best else ''}",
        "label": run.label or "",
        **{name: run.description[name] for name in ("variant", "trial", "seed")},
        "architecture": networks_of(run.description["pipeline"]).title(configuration),
        "parameters": count(run.metric("parameters")),
        "validation": percent(run.metric("validation_accuracy")),
        "test": percent(run.metric("test_accuracy")),
        "images": f"{height} × {width} × {channels}",
        "classes": len(configuration.get("classes", data.image_set.class_names)),
    }


def _block(project: Path, study: str, pipeline: str, rows: list[dict[str, Any]]) -> str:
    lines = [f"{study}, {pipeline}: {MODELS / study / pipeline / 'runs/RUN' / WEIGHTS_FILE}"]
    selected = newest_selected(project, study) if pipeline == SELECTED else None
    if selected is not None:
        lines.append(f"its best alone: {selected.relative_to(project)}")
    right = ("trial", "seed", "parameters", "validation", "test", "images", "classes")
    align = "".join("r" if name in right else "l" for name in rows[0])
    return "\n".join([*lines, Table(rows, align=align).without("label", "trial").terminal()])
