"""Which trained models there are, and which of them a command is about."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vision_studies.cli.options import env_option, study_name
from vision_studies.config.registry import METHODS
from vision_studies.errors import DataError, ParameterError, guess, one_line
from vision_studies.project_folders import MODELS, OUTPUTS, PRIMARY, REPORTS, project_folder
from vision_studies.reports.table import Table
from vision_studies.run_folders import network_folder, run_folder_of
from vision_studies.studies.method import Choice, load_method, networks_of
from vision_studies.studies.stored_runs import StoredRun, find_run, find_runs
from vision_studies.versions import newest_file

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.classifier import ImageClassifier

_NAMES_SHOWN = 20
SELECTED = "cifar_resnet"
"""The pipeline that keeps its best model as a file of its own."""


@dataclass(frozen=True)
class ChosenModel:
    """A model of a project that has been found and not read yet; `path` is its file, or the folder of its run.

    `reason` says why it is this one, in words that follow a colon; empty where the options name it.
    """

    path: Path
    project: Path
    reason: str = ""

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

    @property
    def chosen_text(self) -> str:
        """Which model was chosen and why, as a sentence; empty where the options name it."""
        if not self.reason:
            return ""
        if self.run is None:
            return f"Model: {self.path}: {self.reason}."
        told = self.run.description
        return f"Model: '{told['variant']}' of {told['pipeline']}, seed {told['seed']}: {self.reason}."

    @property
    def weights(self) -> Path:
        """The file or folder that it is; of a study's selected model, the folder of its run where that is in the project."""
        if self.path.is_dir() or run_folder_of(self.path) is not None or self.run is None:
            return self.path
        return self.run.folder

    def open(self) -> "ImageClassifier":
        """Rebuild the network and read its weights; raises what `serving.opened_models.open_model_file` raises."""
        from vision_studies.serving.opened_models import open_model_file, open_run

        return open_run(self.path) if self.path.is_dir() else open_model_file(self.path)


@dataclass(frozen=True)
class Wanted:
    """What the options say of a model; None where they say nothing.

    Attributes:
        study: whose model it is; base without it.
        pipeline, variant, seed: of the run.
        model: a run, by its label or how its fingerprint begins, or a file.
    """

    study: str | None = None
    pipeline: str | None = None
    variant: str | None = None
    seed: int | None = None
    model: str | None = None

    @property
    def by_run(self) -> bool:
        """Whether something is said of the run itself."""
        return self.variant is not None or self.seed is not None

    def is_met_by(self, run: StoredRun, variants: Collection[str], *, but: str = "") -> bool:
        """Whether a run, which these `variants` are one with, is as it is wanted, whatever is said of the option `but`."""
        told = run.description
        return (
            (self.pipeline is None or told["pipeline"] == self.pipeline)
            and (self.variant is None or but == "variant" or _plain(self.variant) in map(_plain, variants))
            and (self.seed is None or but == "seed" or told["seed"] == self.seed)
        )


def _plain(variant: str) -> str:
    """What names of variants that differ in nothing but capitals and spaces have in common."""
    return "".join(variant.split()).casefold()


def variants_of(project: Path, runs: Sequence[StoredRun]) -> dict[str, list[str]]:
    """Fingerprint of each run -> all variants that it is the run of, as of a baseline and of a cut in front of all layers; the
    name that it was trained under comes first.
    """
    from vision_studies.studies.results import read_results

    variants = {run.fingerprint: [run.description["variant"]] for run in runs}
    for study, pipeline in {(run.description["study"], run.description["pipeline"]) for run in runs}:
        if (file := results_file(project, study, pipeline)).is_file():
            for row in read_results(file)[["run_fingerprint", "variant"]].itertuples():
                names = variants.get(row.run_fingerprint, [row.variant])
                names += [] if row.variant in names else [row.variant]
    return variants


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a model; a command is given what finds it, as `choose`."""

    @wraps(command)
    def wrapped(
        env: str | None, pipeline: str | None, variant: str | None, seed: int | None, model: str | None, **others: Any
    ) -> Any:
        wanted = Wanted(env, pipeline, variant, seed, model)
        return command(choose=partial(choose_model, project_folder(), wanted), **others)

    options = (
        env_option("Study whose model is used; base without it.", "--study"),
        click.option("--pipeline", "-p", help="Pipeline of the study, where several have trained models."),
        click.option("--variant", help="Variant of the study, such as crt or 'own, rho 0.5'; capitals do not count."),
        click.option("--seed", type=int, help="Seed, instead of the one that is best by validation accuracy."),
        click.option("--model", "-m", help="A run (its label, or how its fingerprint begins) or a file, instead."),
    )
    return reduce(lambda decorated, option: option(decorated), reversed(options), wrapped)


def choose_model(project: Path, wanted: Wanted) -> ChosenModel:
    """The model that the options name: a run or a file, or else, of the runs that are as they say, what the study's verdict
    takes or, where it takes none of them, the best by validation accuracy.

    Raises:
        ParameterError: there is no such model, or the study has several that it could be.
        DataError: the study's verdict cannot be read.
    """
    if wanted.model is not None:
        path = Path(wanted.model)
        if path.is_file():
            return ChosenModel(path, project)
        if path.suffix == ".safetensors" or len(path.parts) > 1:
            raise ParameterError(f"There is no file {path}; `kedro models list` shows the models that there are.")
        return ChosenModel(find_run(project / MODELS, wanted.model, wanted.study).folder, project)
    _require_pipeline(wanted.pipeline)
    study = study_name(wanted.study)
    of_study = find_runs(project / MODELS, study)
    variants = variants_of(project, of_study)
    taken, reason = _taken(project, study, wanted)
    if taken is not None:
        best = best_runs(project, [run for run in of_study if taken.is_met_by(run, variants[run.fingerprint])])
        if len(best) == 1:
            return ChosenModel(next(iter(best.values())).folder, project, reason)
        reason = f"{BY_VALIDATION}; what the verdict takes, '{taken.variant}' of {taken.pipeline}, has no such model"
    selected = newest_selected(project, study) if wanted.pipeline in (None, SELECTED) and not wanted.by_run else None
    if selected is not None:
        return ChosenModel(selected, project, reason)
    runs = [run for run in of_study if wanted.is_met_by(run, variants[run.fingerprint])]
    best = best_runs(project, runs)
    if len(best) > 1:
        names = ", ".join(name for _, name in best)
        raise ParameterError(f"The study '{study}' has models of {names}; name one of these with --pipeline.")
    if not best:
        raise ParameterError(_why_none(study, wanted, of_study, runs, variants))
    return ChosenModel(next(iter(best.values())).folder, project, reason)


BY_VALIDATION = "the best by validation accuracy"


def _taken(project: Path, study: str, wanted: Wanted) -> tuple[Wanted | None, str]:
    """What the verdict of a study takes of what is wanted, and why in words that follow a colon.

    None, with why then validation accuracy chooses: the study has no verdict, its verdict takes nothing of this pipeline, or
    several things; and where a variant is named, without a reason.
    """
    if wanted.variant is not None:
        return None, ""
    takes = verdict_takes(project, study)
    if takes is None:
        return None, f"{BY_VALIDATION}; the study has no verdict"
    there = [take for take in takes if wanted.pipeline in (None, take.pipeline)]
    match there:
        case [take]:
            which = "" if wanted.seed is not None else f"; of its seeds {BY_VALIDATION}"
            return replace(take, seed=wanted.seed), f"what the verdict of '{study}' takes{which}"
        case []:
            of = f" of {wanted.pipeline}" if takes else ""
            return None, f"{BY_VALIDATION}; the verdict of '{study}' takes nothing{of}"
    return None, f"{BY_VALIDATION}; the verdict of '{study}' has {len(there)} answers, and --variant takes one of them"


def verdict_takes(project: Path, study: str) -> list[Wanted] | None:
    """What the newest verdict of a study takes, each once; None where the study has no verdict.

    Raises:
        DataError: `verdict.json` is none.
    """
    file = newest_file(project / REPORTS / study / "verdict.json")
    if file is None:
        return None
    try:
        answers = json.loads(file.read_text(encoding="utf-8"))["answers"]
        taken = [standing["candidate"] for one in answers if (standing := one["cheapest"] or one["best"]) is not None]
        takes = [Wanted(study=study, pipeline=one["pipeline"], variant=one["name"]) for one in taken]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} is no verdict ({one_line(error)}); `kedro run --env={study} --pipelines=reporting` writes it again, and "
            "--variant names a model without it."
        ) from error
    return list(dict.fromkeys(takes))


def _require_pipeline(pipeline: str | None) -> None:
    """Refuse a pipeline that is none, or none whose runs leave networks. Raises ParameterError."""
    if pipeline is None:
        return
    if pipeline not in METHODS:
        raise ParameterError(
            f"No pipeline that trains is called '{pipeline}'.{guess(pipeline, list(METHODS))} There are {', '.join(METHODS)}; "
            "name one of these with --pipeline."
        )
    if (never := networks_of(pipeline).never) is not None:
        raise ParameterError(f"Runs of {pipeline} cannot be used: {never}.")


def _why_none(
    study: str,
    wanted: Wanted,
    of_study: list[StoredRun],
    runs: list[StoredRun],
    variants: Mapping[str, list[str]],
) -> str:
    """Why none of the `runs` that are as they are wanted, of all `of_study`, is the model; a sentence that says what to do."""
    of_pipeline = f" of {wanted.pipeline}" if wanted.pipeline else ""
    option = f" --env={wanted.study}" if wanted.study else ""
    listed = f"`kedro models list{option}` shows them"
    for name in ("variant", "seed"):
        value = getattr(wanted, name)
        others = [run for run in of_study if wanted.is_met_by(run, variants[run.fingerprint], but=name)]
        there = {
            str(each)
            for run in others
            for each in (variants[run.fingerprint] if name == "variant" else [run.description["seed"]])
        }
        if value is not None and there and not runs:
            close = guess(str(value), sorted(there)) if name == "variant" else ""
            shown = "; ".join(sorted(there)[:_NAMES_SHOWN]) + ("; ..." if len(there) > _NAMES_SHOWN else "")
            return f"No run{of_pipeline} of the study '{study}' has the {name} '{value}'.{close} There are: {shown}."
    reasons = {reason for run in runs if (reason := why_unusable(run)) is not None}
    usable = [run for run in runs if why_unusable(run) is None]
    if usable:
        return (
            f"The study '{study}' has models{of_pipeline}, but none that is its best by validation accuracy (they were "
            f"validated on different images, or not scored on test); name one with --variant, or a run with --model: {listed}."
        )
    if reasons:
        return (
            f"The runs{of_pipeline} of the study '{study}' cannot be used: {'; '.join(sorted(reasons))}. "
            f"`kedro run{option}` does again what is missing."
        )
    return (
        f"The study '{study}' has no model{of_pipeline} yet; run `kedro run{option}` first, or name another study with "
        "--env."
    )


def newest_selected(project: Path, study: str) -> Path | None:
    """The newest version of a study's selected model; None where it has none."""
    return newest_file(project / MODELS / study / SELECTED / "model.safetensors")


def best_runs(project: Path, runs: list[StoredRun]) -> dict[tuple[str, str], StoredRun]:
    """The usable run with the best validation accuracy in the results table of each study and pipeline.

    What the table does not hold (trials of a search, first networks of cut ones, runs of an earlier configuration) is no
    answer of the study. Where runs under several conditions were validated on different images, none of them is the best. Of
    runs of one variant that have no validation images, the one with the smallest seed stands for them.
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
        rows = read_results(table).dropna(subset="test_accuracy")
        rows = rows[rows["run_fingerprint"].isin(list(of_pipeline))]
        validated = rows.dropna(subset="validation_accuracy")
        if len(validated) and _stand_beside_each_other(key[1], validated["condition"].dropna().unique()):
            best[key] = of_pipeline[validated.loc[validated["validation_accuracy"].idxmax(), "run_fingerprint"]]
        elif len(rows) and validated.empty and rows["variant"].nunique() == 1:
            best[key] = of_pipeline[rows.loc[rows["seed"].idxmin(), "run_fingerprint"]]
    return best


def _stand_beside_each_other(pipeline: str, conditions: Sequence[str]) -> bool:
    """Whether one of the runs under these conditions can be the best of all: a verdict compares them, too."""
    verdict = load_method(pipeline).verdict
    told = {verdict.condition(each) for each in conditions} if isinstance(verdict, Choice) else {*conditions}
    return len(told) <= 1


def results_file(project: Path, study: str, pipeline: str) -> Path:
    """The results table of a study's pipeline."""
    return project / OUTPUTS / study / pipeline / "results.parquet"


def why_unusable(run: StoredRun) -> str | None:
    """Why no classifier of images can be made of a run, in words that follow "cannot be used: "; None where one can."""
    folder = network_folder(run.folder)
    return networks_of(run.description["pipeline"]).unusable(run.description["configuration"], folder)


def models_text(project: Path, study: str | None, *, every: bool) -> str:
    """Models that can be used, a table for each study and pipeline, and a line for those that cannot; empty without runs.

    `every`: show runs without a test accuracy, too.
    """
    from vision_studies.serving.stored_data import images_of_runs

    runs = find_runs(project / MODELS, study)
    best = best_runs(project, runs)
    images_of, variants = images_of_runs(project), variants_of(project, runs)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    left_out: Counter[str] = Counter()
    for run in runs:
        key = (run.description["study"], run.description["pipeline"])
        images = images_of(run)
        gone = f"the images that they were trained on are no longer in {PRIMARY}" if images is None else None
        reason = why_unusable(run) or gone
        if reason is not None or images is None:
            left_out[f"of {', '.join(key)}, cannot be used: {reason}"] += 1
        elif run.metric("test_accuracy") is None and not every:
            left_out[f"of {', '.join(key)}, not scored on test (trials of a search, for one): --all shows them"] += 1
        else:
            groups.setdefault(key, []).append(
                _row(run, variants[run.fingerprint], images, is_best=best.get(key) is run)
            )
    blocks = [_block(project, *key, rows) for key, rows in groups.items()]
    if best:
        blocks.append(
            "* best validation accuracy: what --env (with --pipeline, where there are several) stands for where the study's "
            "verdict takes nothing else"
        )
    notes = [f"{number} {'run' if number == 1 else 'runs'} {what}" for what, number in left_out.items()]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _row(run: StoredRun, variants: Sequence[str], data: "PreparedData", *, is_best: bool) -> dict[str, Any]:
    from vision_studies.reports.formatting import count, percent

    height, width, channels = data.image_set.images.shape[1:]
    configuration = run.description["configuration"]
    return {
        "run": f"{run.fingerprint}{' *' if is_best else ''}",
        "label": run.label or "",
        "variant": " = ".join(variants),
        **{name: run.description[name] for name in ("trial", "seed")},
        "fold": run.fold,
        "architecture": networks_of(run.description["pipeline"]).title(configuration),
        "parameters": count(run.metric("parameters")),
        "validation": percent(run.metric("validation_accuracy")),
        "test": percent(run.metric("test_accuracy")),
        "images": f"{height} × {width} × {channels}",
        "classes": len(configuration.get("classes", data.image_set.class_names)),
    }


def _block(project: Path, study: str, pipeline: str, rows: list[dict[str, Any]]) -> str:
    lines = [f"{study}, {pipeline}: {MODELS / study / pipeline / 'runs/RUN'}"]
    selected = newest_selected(project, study) if pipeline == SELECTED else None
    if selected is not None:
        lines.append(f"its best alone: {selected.relative_to(project)}")
    right = ("trial", "seed", "fold", "parameters", "validation", "test", "images", "classes")
    align = "".join("r" if name in right else "l" for name in rows[0])
    return "\n".join([*lines, Table(rows, align=align).without("label", "trial", "fold").terminal()])
