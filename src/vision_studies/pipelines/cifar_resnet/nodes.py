"""Nodes of `cifar_resnet`."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.network_run import RunSettings
from vision_studies.config.study import ReportingSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.outcomes import COMPLETE
from vision_studies.pipelines.cifar_resnet.stages import EVALUATION, TRAINING, VALIDATION, ResidualNetworks
from vision_studies.run_folders import folds_of, network_folder, read_description
from vision_studies.stored_predictions import Unavailable, read_predictions
from vision_studies.studies.folds import joined_predictions
from vision_studies.studies.method import run_stages

if TYPE_CHECKING:
    from vision_studies.predictions import Predictions

logger = logging.getLogger(__name__)


def train_runs(context: ResidualNetworks) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the runs that no earlier call has finished; return rows (without test columns) and histories of all."""
    labels = (TRAINING,) if context.settings.until is None else (TRAINING, VALIDATION)
    runs = run_stages(context, *labels)[TRAINING]
    return context.table(runs, [TRAINING]), context.histories(runs)


def evaluate_runs(context: ResidualNetworks, _training: pd.DataFrame) -> pd.DataFrame:
    """Score the selected weights of every trained run on the test split, once; return the rows of the results table."""
    runs = run_stages(context, EVALUATION)[EVALUATION]
    return context.table(runs, [TRAINING, EVALUATION])


def select_model(results: pd.DataFrame, runs_folder: Path, image_set: ImageSet, splits: pd.DataFrame) -> dict[str, Any]:
    """Weights of the run with the best validation accuracy, with all that is needed to use them elsewhere; of a run that is put
    together from folds, those of the best fold by validation.
    """
    from vision_studies.data.prepared import PreparedData
    from vision_studies.serving.opened_models import data_description
    from vision_studies.training.checkpoints import load_state
    from vision_studies.training.network_run import WEIGHTS_FILE, divided

    best = _best_run(results)
    folder = network_folder(runs_folder / best["run_fingerprint"])
    columns = ("variant", "seed", "validation_accuracy", "test_accuracy")
    description = read_description(folder)
    configuration, fingerprint = description["configuration"], description["data_fingerprint"]
    prepared = PreparedData.from_catalog(image_set, splits, {}).divisions[fingerprint]
    data = divided(RunSettings.model_validate(configuration), int(best["seed"]), prepared)
    return {
        "weights": load_state(folder / WEIGHTS_FILE),
        "configuration": configuration,
        "data": data_description(data),
        **{name: best[name] for name in columns},
        "run_fingerprint": folder.name,
        "data_fingerprint": fingerprint,
    }


def write_evaluation(
    results: pd.DataFrame, runs_folder: Path, image_set: ImageSet, splits: pd.DataFrame, model: dict[str, Any]
) -> tuple[dict[str, pd.DataFrame], dict[str, Any], dict[str, Any]]:
    """The evaluation folder of the selected run: predictions to submit, the checkpoint they came from, and a summary."""
    from vision_studies.training.network_run import submissions

    best = _best_run(results)
    columns = ["study", "variant", "seed", "run_fingerprint", "data_fingerprint", "validation_accuracy"]
    summary = {
        **{name: best[name] for name in [*columns, *(name for name in best if name.startswith("test_"))]},
        **json.loads(best["other_metrics"] or "{}"),
        "configuration": model["configuration"],
    }
    folder = runs_folder / best["run_fingerprint"]
    views = sorted({1, *model["configuration"]["evaluation"]["views"]})
    return submissions(_test_predictions(folder, views, image_set, splits, whole=False)), model, summary


def collect_predictions(
    results: pd.DataFrame, runs_folder: Path, image_set: ImageSet, splits: pd.DataFrame
) -> pd.DataFrame:
    """Test predictions of the run with the best validation accuracy."""
    folder = runs_folder / _best_run(results)["run_fingerprint"]
    [plain] = _test_predictions(folder, [1], image_set, splits, whole=True)
    return plain.table()


def compare_runs(results: pd.DataFrame, settings: ReportingSettings) -> list[dict[str, Any]]:
    """Mean, spread and interval of the test accuracy of every variant, and its paired difference to the first one."""
    from vision_studies.statistics.comparisons import compare_variants

    scored = results.dropna(subset=["test_accuracy"])
    table = scored[["variant", "seed"]].assign(value=scored["test_accuracy"])
    comparison = compare_variants(table, baseline=str(scored["variant"].iloc[0]), **settings.over_seeds)
    return json.loads(comparison.to_json(orient="records"))


def plot_training_graphs(
    histories: pd.DataFrame, training_results: pd.DataFrame
) -> tuple[Figure, Figure, Figure, Figure]:
    """Learning curves in one figure, and loss, validation and learning rate in one each."""
    from vision_studies.figures import training
    from vision_studies.figures.style import series_of

    with series_of(training_results["variant"]):
        lines = training.loss_figure(histories), training.validation_figure(histories)
        return training.learning_curves(histories), *lines, training.learning_rate_figure(histories)


def plot_confusion_matrix(predictions: pd.DataFrame, image_set: ImageSet) -> Figure:
    """True against predicted class."""
    from vision_studies.figures.classification import confusion_matrix

    true, predicted = predictions["label"].to_numpy(), predictions["prediction"].to_numpy()
    return confusion_matrix(true, predicted, image_set.class_names)


def plot_reliability(predictions: pd.DataFrame) -> Figure:
    """Accuracy against confidence."""
    from vision_studies.figures.classification import reliability_diagram
    from vision_studies.statistics.calibration import expected_calibration_error, reliability_table

    probabilities = predictions.filter(like="probability_").to_numpy()
    labels = predictions["label"].to_numpy()
    error = expected_calibration_error(probabilities, labels)
    return reliability_diagram(reliability_table(probabilities, labels), error)


def plot_predictions(predictions: pd.DataFrame, image_set: ImageSet) -> Figure:
    """A dozen test images, drawn at random, with their most probable classes."""
    from vision_studies.figures.classification import prediction_grid

    shown = predictions.sample(min(12, len(predictions)), random_state=0)
    images = image_set.images[shown["index"].to_numpy()]
    return prediction_grid(images, shown, image_set.class_names, float(predictions["correct"].mean()))


def plot_comparison(results: pd.DataFrame, comparison: list[dict[str, Any]]) -> Figure:
    """Variants against each other."""
    from vision_studies.figures.comparison import comparison_figure

    return comparison_figure(results, pd.DataFrame(comparison))


def _test_predictions(
    folder: Path, views: Sequence[int], image_set: ImageSet, splits: pd.DataFrame, *, whole: bool
) -> "list[Predictions]":
    """What a run has said of the test images with each number of views; its network is asked again where that was not kept, or
    not all probabilities of what has to be `whole`.
    """
    stored = [read_predictions(folder, views=number) for number in views]
    kept = [said for said in stored if not isinstance(said, Unavailable) and not (whole and said.probabilities is None)]
    if len(kept) == len(views):
        return kept
    for said in stored:
        if isinstance(said, Unavailable):
            logger.warning("%s Until then its network is asked again for the report.", said.reason)
            break
    return _asked_again(folder, views, image_set, splits)


def _asked_again(folder: Path, views: Sequence[int], image_set: ImageSet, splits: pd.DataFrame) -> "list[Predictions]":
    from vision_studies.config.network_run import RunSettings
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.network_run import evaluate
    from vision_studies.training.runtime import select_device

    folds = [_asked_again(fold, views, image_set, splits) for fold in folds_of(folder)]
    if folds:
        return [joined_predictions(same) for same in zip(*folds, strict=True)]
    description = read_description(folder)
    settings = RunSettings.model_validate(description["configuration"])
    changes: dict[str, Any] = {"loader": "device"}
    changes["evaluation"] = settings.evaluation.model_copy(update={"views": tuple(views)})
    data = PreparedData.from_catalog(image_set, splits, {}).divisions[description["data_fingerprint"]]
    asked = settings.model_copy(update=changes)
    outcome = evaluate(asked, description["seed"], data, folder, select_device("auto"))
    return [said for said in outcome.predictions if said.split == "test" and said.views in views]


def _best_run(results: pd.DataFrame) -> dict[str, Any]:
    complete = results[results["status"] == COMPLETE]
    if complete.empty:
        reasons = "; ".join(sorted(set(results["reason"].dropna()))) or "none was trained"
        raise DataError(f"No run of the study is complete ({reasons}); mend that and run the same command again.")
    return complete.loc[complete["validation_accuracy"].idxmax()].to_dict()
