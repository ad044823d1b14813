"""Nodes of `alphanet` that train and score."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vision_studies.config.alphanet import AlphanetSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.files import remove_leftovers
from vision_studies.pipelines.alphanet import checks, scoring, work
from vision_studies.pipelines.alphanet.work import EVALUATION, FITTING, TRAINING, Experiment, Workplace
from vision_studies.studies.results import COMPLETE, SCHEMA, validate_results
from vision_studies.studies.run_tables import history_table, results_table
from vision_studies.studies.sharing import hold
from vision_studies.studies.stages import run_folder

if TYPE_CHECKING:
    from vision_studies.methods.alphanet.outputs import ScoredRun

_OTHERS = "classifiers"


def train_backbones(
    settings: AlphanetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet | None,
    splits: pd.DataFrame | None,
    runs_folder: Path,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the networks that features come from; rows and histories of all, none where features are imported."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    checks.check(place)
    runs = work.train_backbones(place, fresh=fresh)
    if not runs:
        return validate_results(pd.DataFrame(columns=list(SCHEMA.names))), pd.DataFrame(columns=["epoch"])
    return results_table(runs, runs_folder, [TRAINING]), history_table(runs, runs_folder)


def extract_features(
    settings: AlphanetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet | None,
    splits: pd.DataFrame | None,
    runs_folder: Path,
    _backbones: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of every network, or those of imported files.

    Returns:
        One row a feature set (repeat, folder, fingerprint, features, and images of each group), and one row a class.
    """
    from vision_studies.methods.alphanet import sources
    from vision_studies.methods.alphanet.outputs import class_table
    from vision_studies.training.runtime import select_device

    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    rows, classes = [], pd.DataFrame()
    for repeat, folder in enumerate(place.source_folders):
        with hold(folder / ".lock", f"the features of repeat {repeat + 1}"):
            remove_leftovers(folder)
            if settings.imported is not None:
                source = sources.features_from_files(place.original(), folder)
            else:
                data = place.prepared()
                networks = [run_folder(runs_folder, run) for run in place.backbone_runs()[repeat]]
                source = sources.features_from_images(
                    data,
                    networks,
                    settings.backbone.run,
                    place.class_splits,
                    folder,
                    select_device(execution.device),
                    validated=settings.validation == "carved",
                )
        known = source.features
        images = {f"{name}_images": len(group.labels) for name, group in known.groups.items()}
        rows.append(
            {
                "repeat": repeat,
                "folder": _name(folder),
                "fingerprint": known.fingerprint,
                "features": known.num_features,
            }
            | images
        )
        classes = class_table(known)
    checks.check_features(place)
    return pd.DataFrame(rows), classes


def fit_classifiers(
    settings: AlphanetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet | None,
    splits: pd.DataFrame | None,
    runs_folder: Path,
    feature_sets: pd.DataFrame,
) -> pd.DataFrame:
    """Fit the baselines on the features; rows without test columns."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    _require(place, feature_sets)
    return results_table(work.fit_classifiers(place, fresh=fresh), runs_folder, [FITTING])


def learn_combinations(
    settings: AlphanetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet | None,
    splits: pd.DataFrame | None,
    runs_folder: Path,
    feature_sets: pd.DataFrame,
    _classifiers: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train AlphaNets on the classifiers that are to be improved; rows without test columns, and histories."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    checks.check(place)
    _require(place, feature_sets)
    runs = work.learn_combinations(place, fresh=fresh)
    results = results_table(runs, runs_folder, [TRAINING])
    _require_one(results)
    return results, history_table(runs, runs_folder)


def evaluate_experiments(
    settings: AlphanetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet | None,
    splits: pd.DataFrame | None,
    runs_folder: Path,
    _training: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score every classifier and every AlphaNet once.

    Returns:
        The results table; accuracies by run and split, and by run and class; coefficients; and what became of predictions.
    """
    from vision_studies.methods.alphanet import outputs

    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    scoring.evaluate_runs(place)
    baselines, experiments = place.classifiers(), place.experiments()
    tables = [
        results_table([own.run for own in baselines], runs_folder, [FITTING, EVALUATION]),
        results_table([own.run for own in experiments], runs_folder, [TRAINING, EVALUATION]),
    ]
    results = _with_conditions(pd.concat(tables, ignore_index=True), settings, baselines, experiments)
    known = results.set_index(["variant", "seed"])["test_accuracy"].notna()
    _require_one(tables[1])
    distances: dict[tuple[object, ...], np.ndarray] = {}
    scored = [
        _scored(place, own, distances)
        for own in (*baselines, *experiments)
        if known.get((own.run.variant, own.run.seed))
    ]
    return (
        results,
        outputs.accuracy_table(scored),
        outputs.class_accuracy_table(scored),
        outputs.combination_table(scored),
        outputs.change_table(scored),
    )


def workplace(
    settings: AlphanetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet | None,
    splits: pd.DataFrame | None,
    runs_folder: Path,
) -> Workplace:
    """Where the runs of the study are done."""
    from vision_studies.data.prepared import PreparedData
    from vision_studies.data.splits import cut_tail

    data = None
    if image_set is not None and splits is not None and settings.imported is None:
        data = PreparedData.from_catalog(image_set, splits, {})
        if settings.long_tail is not None:
            data = PreparedData(image_set, cut_tail(data.splits, image_set.labels, settings.long_tail), {})
    return Workplace(settings, study, execution, data, runs_folder)


def _require(place: Workplace, feature_sets: pd.DataFrame) -> None:
    if {_name(folder) for folder in place.source_folders} - set(feature_sets["folder"]):
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


def _scored(place: Workplace, own: Experiment, known: dict[tuple[object, ...], np.ndarray]) -> "ScoredRun":
    """What tables are made of; `known` holds the distances of classes that were measured already."""
    from vision_studies.methods.alphanet.evaluation import read_predictions
    from vision_studies.methods.alphanet.experiments import read_combinations, side_distances
    from vision_studies.methods.alphanet.outputs import ScoredRun

    folder = run_folder(place.folder, own.run)
    features = place.features(own.classifier, own.repeat)
    predictions, among_top = read_predictions(folder)
    if own.neighbours is None:
        return ScoredRun(own.classifier, own.run.variant, own.repeat, features, predictions, among_top)
    neighbours, coefficients = read_combinations(folder / work.COMBINATIONS_FILE, features.splits)
    distance = own.distance or "euclidean"
    asked = (features.fingerprint, features.num_features, own.neighbours, distance)
    if distance != "random" and asked not in known:
        known[asked] = side_distances(features, own.neighbours, distance)
    return ScoredRun(
        own.classifier,
        own.run.variant,
        own.repeat,
        features,
        predictions,
        among_top,
        own.rho,
        distance,
        neighbours,
        coefficients.numpy(),
        known.get(asked),
    )


def _with_conditions(
    results: pd.DataFrame, settings: AlphanetSettings, baselines: list[Experiment], experiments: list[Experiment]
) -> pd.DataFrame:
    """Rows are compared with the classifier that they improve; other classifiers with each other.

    A classifier that all repeats share has a single row, which reports, pairing by seed, can compare with one of them alone.
    """
    labels = {own.run.variant: own.classifier for own in experiments}
    if settings.repeats == len({own.repeat for own in baselines}):
        labels |= {own.run.variant: own.classifier for own in baselines if own.classifier in settings.improved}
    conditions = [labels.get(variant, _OTHERS) for variant in results["variant"]]
    return results.assign(condition=np.array(conditions, dtype=object))
