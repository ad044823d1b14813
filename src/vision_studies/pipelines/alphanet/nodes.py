"""Nodes of `alphanet` that train and score."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vision_studies.errors import DataError
from vision_studies.outcomes import COMPLETE
from vision_studies.pipelines.alphanet import checks
from vision_studies.pipelines.alphanet.plan import COMBINATIONS_FILE, TRADE_OFF, TRAINING, Experiment, Plan
from vision_studies.pipelines.alphanet.settings import AlphanetSettings
from vision_studies.pipelines.alphanet.stages import ALPHANETS, BACKBONES, CLASSIFIERS, EVALUATION, FEATURES, FITTING
from vision_studies.studies.method import Context, run_stages
from vision_studies.studies.results import SCHEMA, validate_results
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

if TYPE_CHECKING:
    from vision_studies.pipelines.alphanet.work.outputs import ScoredRun

_OTHERS = "classifiers"


def train_backbones(context: Context[AlphanetSettings]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the networks that features come from; rows and histories of all, none where features are imported."""
    runs = run_stages(context, BACKBONES)[BACKBONES]
    if not runs:
        return validate_results(pd.DataFrame(columns=list(SCHEMA.names))), pd.DataFrame(columns=["epoch"])
    return context.table(runs, [TRAINING]), context.histories(runs)


def extract_features(context: Context[AlphanetSettings], _backbones: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of every network, or those of imported files.

    Returns:
        One row a feature set (repeat, folder, fingerprint, features, and images of each group), and one row a class of
        the first repeat.
    """
    from vision_studies.pipelines.alphanet.work.outputs import class_table

    run_stages(context, FEATURES)
    plan = Plan(context)
    rows: list[dict[str, Any]] = []
    classes = pd.DataFrame()
    for repeat, folder in enumerate(plan.source_folders):
        features = plan.source(repeat).features
        row = {"repeat": repeat, "folder": _name(folder), "fingerprint": features.fingerprint}
        images = {f"{name}_images": len(group.labels) for name, group in features.groups.items()}
        rows.append(row | {"features": features.num_features} | images)
        classes = class_table(features) if repeat == 0 else classes
    checks.check_features(plan)
    return pd.DataFrame(rows), classes


def fit_classifiers(context: Context[AlphanetSettings], feature_sets: pd.DataFrame) -> pd.DataFrame:
    """Fit the baselines on the features; rows without test columns."""
    _require(Plan(context), feature_sets)
    return context.table(run_stages(context, CLASSIFIERS)[CLASSIFIERS], [FITTING])


def learn_combinations(
    context: Context[AlphanetSettings], feature_sets: pd.DataFrame, _classifiers: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train AlphaNets on the classifiers that are to be improved; rows without test columns, and histories."""
    plan = Plan(context)
    _require(plan, feature_sets)
    runs = run_stages(context, ALPHANETS)[ALPHANETS]
    results = context.table(runs, [TRAINING])
    _require_one(results)
    return results, context.histories(runs)


def evaluate_experiments(
    context: Context[AlphanetSettings], _training: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score every classifier and every AlphaNet once.

    Returns:
        The results table; accuracies by run and split, and by run and class; coefficients; and what became of predictions,
        both of the first tail alone where every repeat has another; and accuracies over the knob of each method.
    """
    from vision_studies.pipelines.alphanet.work import outputs
    from vision_studies.pipelines.alphanet.work.experiments import side_distances
    from vision_studies.pipelines.alphanet.work.sources import open_source

    run_stages(context, EVALUATION)
    plan = Plan(context)
    baselines, experiments = plan.classifiers(), plan.experiments()
    tables = [
        context.table([baseline.run for baseline in baselines], [FITTING, EVALUATION]),
        context.table([experiment.run for experiment in experiments], [TRAINING, EVALUATION]),
    ]
    results = _with_conditions(pd.concat(tables, ignore_index=True), context.settings, baselines, experiments)
    _require_one(tables[1])
    if context.settings.tensorboard:
        _write_logs(context.runs, [experiment.run for experiment in experiments])

    @cache
    def class_distances(folder: Path, number: int, distance: str, *, wide: bool) -> np.ndarray:
        return side_distances(open_source(folder).taken(wide=wide), number, distance)

    is_scored = results.set_index(["variant", "seed"])["test_accuracy"].notna()
    scored = [
        _scored(plan, experiment, class_distances)
        for experiment in (*baselines, *experiments)
        if is_scored.get((experiment.run.variant, experiment.run.seed))
    ]
    return (
        results,
        outputs.accuracy_table(scored),
        outputs.class_accuracy_table(scored),
        outputs.combination_table(outputs.of_one_tail(scored)),
        outputs.change_table(outputs.of_one_tail(scored)),
        outputs.trade_off_table(scored, partial(_trade_off, plan)),
    )


def _write_logs(store: RunStore, runs: Sequence[Run]) -> None:
    """Logs for TensorBoard of the runs that are scored and have none, be they trained now or earlier."""
    from vision_studies.pipelines.alphanet.work.event_logs import write_event_logs
    from vision_studies.training.checkpoints import load_state

    for run in runs:
        folder, name = store.path(run, "tensorboard"), f"{run.variant}, repeat {run.seed}"
        if store.is_complete(run, EVALUATION) and not (folder / name).exists():
            state = load_state(store.path(run, COMBINATIONS_FILE))
            write_event_logs(folder, name, state, store.history(run), store.metrics(run, EVALUATION))


def _require(plan: Plan, feature_sets: pd.DataFrame) -> None:
    if {_name(folder) for folder in plan.source_folders} - set(feature_sets["folder"]):
        raise DataError(
            "The study's features were made with another configuration; make them first: the same command without --tags."
        )


def _name(folder: Path) -> str:
    """Where features lie in the folder of runs; never all digits, which a table of text would give back as a number."""
    return f"features/{folder.name}"


def _require_one(results: pd.DataFrame) -> None:
    if results.empty:
        raise DataError(
            "No AlphaNet is trained with this configuration yet; train it: the same command without --tags."
        )
    if not (results["status"] == COMPLETE).any():
        reasons = "; ".join(sorted(set(results["reason"].dropna())))
        raise DataError(f"No AlphaNet of the study is complete ({reasons}); mend that and run the same command again.")


def _scored(plan: Plan, experiment: Experiment, class_distances: Callable[..., np.ndarray]) -> "ScoredRun":
    """What tables are made of."""
    from vision_studies.pipelines.alphanet.work.evaluation import predicted_on_test
    from vision_studies.pipelines.alphanet.work.experiments import read_combinations
    from vision_studies.pipelines.alphanet.work.outputs import ScoredRun

    classifier, repeat, folder = experiment.classifier, experiment.repeat, plan.runs.path(experiment.run)
    features = plan.features(classifier, repeat)
    scored = ScoredRun(classifier, experiment.run.variant, repeat, features, *predicted_on_test(folder))
    if experiment.neighbours is None:
        return scored
    neighbours, coefficients = read_combinations(folder / COMBINATIONS_FILE, features.splits)
    distances = None
    if experiment.distance != "random":
        source, wide = plan.source_folder(repeat), plan.is_wide(classifier)
        distances = class_distances(source, experiment.neighbours, experiment.distance, wide=wide)
    return replace(
        scored,
        rho=experiment.rho,
        distance=experiment.distance,
        neighbours=neighbours,
        coefficients=coefficients.numpy(),
        class_distances=distances,
    )


def _trade_off(plan: Plan, label: str, repeat: int) -> list[dict[str, Any]]:
    """What scoring has noted of each value of a classifier's knob; nothing of one that has none."""
    file = plan.classifier_folder(label, repeat) / TRADE_OFF
    noted: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return noted


def _with_conditions(
    results: pd.DataFrame, settings: AlphanetSettings, baselines: list[Experiment], experiments: list[Experiment]
) -> pd.DataFrame:
    """Rows are compared with the classifier that they improve; other classifiers with each other.

    A classifier that all repeats share has a single row, which reports, pairing by seed, can compare with one of them alone.
    """
    labels = {experiment.run.variant: experiment.classifier for experiment in experiments}
    if settings.repeats == len({baseline.repeat for baseline in baselines}):
        labels |= {label: label for label in settings.improved}
    conditions = [labels.get(variant, _OTHERS) for variant in results["variant"]]
    return results.assign(condition=np.array(conditions, dtype=object))
