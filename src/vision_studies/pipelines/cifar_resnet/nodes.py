"""Nodes of `cifar_resnet`."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.cifar_resnet import CifarResnetSettings, RunSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.reporting import ReportingSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.studies.execution import execute
from vision_studies.studies.results import COMPLETE
from vision_studies.studies.run_tables import history_table, results_table
from vision_studies.studies.runs import Run, plan_runs
from vision_studies.studies.stages import Outcome

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

TRAINING, EVALUATION = "training", "evaluation"


def train_runs(
    settings: CifarResnetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    ffcv_files: Mapping[str, Path],
    runs_folder: Path,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the runs that no earlier call has finished; return rows (without test columns) and histories of all."""
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.distributed import require_equal_shares

    data = PreparedData.from_catalog(image_set, splits, ffcv_files)
    runs = study_runs(settings, study, data)
    for run in runs:  # all before the first begins
        require_equal_shares(run.configuration["training"]["batch_size"], execution.processes_per_run)
    execute(runs, TRAINING, partial(_train, data=data, execution=execution), runs_folder, execution, fresh=fresh)
    return results_table(runs, runs_folder, [TRAINING]), history_table(runs, runs_folder)


def evaluate_runs(
    settings: CifarResnetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    ffcv_files: Mapping[str, Path],
    runs_folder: Path,
    training_results: pd.DataFrame,
) -> pd.DataFrame:
    """Score the selected weights of every trained run on the test split, once; return the rows of the results table."""
    from vision_studies.data.prepared import PreparedData

    data = PreparedData.from_catalog(image_set, splits, ffcv_files)
    runs = study_runs(settings, study, data)
    trained = set(training_results.loc[training_results["status"] == COMPLETE, "run_fingerprint"])
    scored = [run for run in runs if run.fingerprint in trained]
    execute(scored, EVALUATION, partial(_evaluate, data=data, execution=execution), runs_folder, execution)
    return results_table(runs, runs_folder, [TRAINING, EVALUATION])


def select_model(results: pd.DataFrame, runs_folder: Path, image_set: ImageSet, splits: pd.DataFrame) -> dict[str, Any]:
    """Weights of the run with the best validation accuracy, with all that is needed to use them elsewhere."""
    from vision_studies.data.prepared import PreparedData
    from vision_studies.methods.cifar_resnet import WEIGHTS_FILE
    from vision_studies.methods.trained_network import data_description
    from vision_studies.training.checkpoints import load_state

    best = _best_run(results)
    folder = runs_folder / best["run_fingerprint"]
    kept = ("variant", "seed", "run_fingerprint", "validation_accuracy", "test_accuracy", "data_fingerprint")
    return {
        "weights": load_state(folder / WEIGHTS_FILE),
        "configuration": json.loads((folder / "run.json").read_text(encoding="utf-8"))["configuration"],
        "data": data_description(PreparedData.from_catalog(image_set, splits, {})),
        **{name: best[name] for name in kept},
    }


def write_evaluation(
    results: pd.DataFrame, runs_folder: Path, model: dict[str, Any]
) -> tuple[dict[str, pd.DataFrame], dict[str, Any], dict[str, Any]]:
    """The evaluation folder of the selected run: predictions to submit, the checkpoint they came from, and a summary."""
    from vision_studies.methods.cifar_resnet import submissions

    best = _best_run(results)
    metrics = [name for name in best if name.startswith("test_")]
    summary = {
        **{name: best[name] for name in ("study", "variant", "seed", "run_fingerprint", "data_fingerprint")},
        "validation_accuracy": best["validation_accuracy"],
        **{name: best[name] for name in metrics},
        **json.loads(best["other_metrics"] or "{}"),
        "configuration": model["configuration"],
    }
    return submissions(runs_folder / best["run_fingerprint"]), model, summary


def collect_predictions(results: pd.DataFrame, runs_folder: Path) -> pd.DataFrame:
    """Test predictions of the run with the best validation accuracy."""
    from vision_studies.methods.cifar_resnet import predictions_table

    return predictions_table(runs_folder / _best_run(results)["run_fingerprint"])


def compare_runs(results: pd.DataFrame, settings: ReportingSettings) -> list[dict[str, Any]]:
    """Mean, spread and interval of the test accuracy of every variant, and its paired difference to the first one."""
    from vision_studies.analysis.comparisons import compare_variants

    scored = results.dropna(subset=["test_accuracy"])
    table = scored[["variant", "seed"]].assign(value=scored["test_accuracy"])
    comparison = compare_variants(
        table,
        baseline=str(scored["variant"].iloc[0]),
        confidence=settings.confidence,
        interval=settings.interval,
        test=settings.test,
    )
    return json.loads(comparison.to_json(orient="records"))


def plot_training_graphs(histories: pd.DataFrame) -> tuple[Figure, Figure, Figure, Figure]:
    """Learning curves in one figure, and loss, validation and learning rate in one each."""
    from vision_studies.plots import training

    return (
        training.learning_curves(histories),
        training.loss_figure(histories),
        training.validation_figure(histories),
        training.learning_rate_figure(histories),
    )


def plot_confusion_matrix(predictions: pd.DataFrame, image_set: ImageSet) -> Figure:
    """True against predicted class."""
    from vision_studies.plots.classification import confusion_matrix

    return confusion_matrix(
        predictions["label"].to_numpy(), predictions["prediction"].to_numpy(), image_set.class_names
    )


def plot_reliability(predictions: pd.DataFrame) -> Figure:
    """Accuracy against confidence."""
    from vision_studies.analysis.calibration import expected_calibration_error, reliability_table
    from vision_studies.plots.classification import reliability_diagram

    probabilities = predictions.filter(like="probability_").to_numpy()
    labels = predictions["label"].to_numpy()
    return reliability_diagram(
        reliability_table(probabilities, labels), expected_calibration_error(probabilities, labels)
    )


def plot_predictions(predictions: pd.DataFrame, image_set: ImageSet) -> Figure:
    """A dozen test images, drawn at random, with their most probable classes."""
    from vision_studies.plots.classification import prediction_grid

    shown = predictions.sample(min(12, len(predictions)), random_state=0)
    images = image_set.images[shown["index"].to_numpy()]
    return prediction_grid(images, shown, image_set.class_names, float(predictions["correct"].mean()))


def plot_comparison(results: pd.DataFrame, comparison: list[dict[str, Any]]) -> Figure:
    """Variants against each other."""
    from vision_studies.plots.comparison import comparison_figure

    return comparison_figure(results, pd.DataFrame(comparison))


def study_runs(settings: CifarResnetSettings, study: StudySettings, data: "PreparedData") -> list[Run]:
    """All runs of the study."""
    from vision_studies.methods.cifar_resnet import METHOD_VERSION

    return plan_runs(
        pipeline="cifar_resnet",
        study=study.name,
        base=settings.run.model_dump(mode="json"),
        variants={variant.name: variant.changes for variant in settings.variants},
        seeds=settings.seeds,
        data_fingerprint=data.fingerprint,
        method_version=METHOD_VERSION,
        resolve=lambda merged: RunSettings.model_validate(merged).model_dump(mode="json"),
    )


def _train(run: Run, folder: Path, *, data: "PreparedData", execution: ExecutionSettings) -> Outcome:
    from vision_studies.methods import cifar_resnet
    from vision_studies.training.distributed import training_device

    settings = RunSettings.model_validate(run.configuration)
    processes = execution.processes_per_run
    device = training_device(execution.device, processes)
    return cifar_resnet.train(settings, run.seed, data, folder, device, processes=processes)


def _evaluate(run: Run, folder: Path, *, data: "PreparedData", execution: ExecutionSettings) -> Outcome:
    from vision_studies.methods import cifar_resnet
    from vision_studies.training.runtime import select_device

    settings = RunSettings.model_validate(run.configuration)
    return Outcome(cifar_resnet.evaluate(settings, data, folder, select_device(execution.device)))


def _best_run(results: pd.DataFrame) -> dict[str, Any]:
    complete = results[results["status"] == COMPLETE]
    if complete.empty:
        reasons = "; ".join(sorted(set(results["reason"].dropna()))) or "none was trained"
        raise DataError(f"No run of the study is complete ({reasons}); mend that and run the same command again.")
    return complete.loc[complete["validation_accuracy"].idxmax()].to_dict()
