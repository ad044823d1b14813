"""Nodes of `choose`."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.study import ReportingSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.figures.classification import confusion_matrix
from vision_studies.figures.contact_sheet import contact_sheet
from vision_studies.outcomes import COMPLETE
from vision_studies.pipelines.choose import plots
from vision_studies.pipelines.choose.budget import OutOfTime
from vision_studies.pipelines.choose.candidates import CLASSIFIER, EVALUATION, merits
from vision_studies.pipelines.choose.stages import FEATURES, MEASURING, Choosing, step_at_work, study_runs
from vision_studies.stored_predictions import Unavailable
from vision_studies.studies.method import run_stages

if TYPE_CHECKING:
    from vision_studies.studies.runs import Run

logger = logging.getLogger(__name__)

STOPPED = "stopped by Ctrl-C"
CERTAIN = 0.5
"""By how much another class must be more probable than the label, for the label to be worth a look."""

MOST_LISTED = 200
"""Images of each kind that are worth a look."""


def try_candidates(context: Choosing) -> pd.DataFrame:
    """Try what promises most for its time, as long as it ends in time; return the rows of all that has been tried.

    Ctrl-C ends with what there is; what it has stopped is noted as failed, so that the next command tries it again.
    """
    try:
        try:
            run_stages(context, MEASURING, FEATURES, EVALUATION)
        except OutOfTime:  # while features were computed: there is time for averages alone
            run_stages(replace(context, fresh=False), MEASURING, FEATURES, EVALUATION)
    except KeyboardInterrupt:
        if not any(context.runs.is_complete(run, EVALUATION) for run in study_runs(context)):
            raise
        logger.warning("Stopped: what follows is of what has been tried so far; the same command goes on.")
        run = step_at_work(context)
        if run is not None:
            context.runs.begin(run)
            context.runs.record_failure(run, EVALUATION, InterruptedError(STOPPED), STOPPED)
    return context.table(study_runs(context), [EVALUATION])


def collect_predictions(context: Choosing, results: pd.DataFrame) -> pd.DataFrame:
    """What the candidate that is best by validation says of the test images."""
    said = context.runs.predictions(_best(context, results))
    if isinstance(said, Unavailable):
        raise DataError(said.reason)
    return said.table()


def find_label_errors(context: Choosing, results: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Images whose label is worth a look, and images that no candidate gets right.

    Returns:
        Columns index, name, label and suggested (names of classes), kind (`label` or `hard`) and score (the probability of
        the label; the lowest first).
    """
    from vision_studies.statistics.label_errors import label_errors

    image_set = context.images.image_set
    columns = predictions.filter(like="probability_").to_numpy(dtype=np.float32)
    index, labels = predictions["index"].to_numpy(), predictions["label"].to_numpy()
    own = columns[np.arange(len(labels)), labels]
    found = label_errors(labels, columns)
    likely = found.positions[found.margins >= CERTAIN]
    hard = np.setdiff1d(np.flatnonzero(_never_right(context, results, index)), likely, assume_unique=False)
    hard = hard[np.argsort(own[hard], kind="stable")]
    names = np.asarray(image_set.class_names)
    file_names = None if image_set.items is None else image_set.items["name"].to_numpy()
    rows = [
        {
            "index": int(index[place]),
            "name": f"image {index[place]}" if file_names is None else str(file_names[index[place]]),
            "label": names[labels[place]],
            "suggested": names[columns[place].argmax()],
            "kind": kind,
            "score": float(own[place]),
        }
        for kind, places in (("label", likely), ("hard", hard))
        for place in places[:MOST_LISTED]
    ]
    return pd.DataFrame(rows, columns=["index", "name", "label", "suggested", "kind", "score"])


def _never_right(context: Choosing, results: pd.DataFrame, index: np.ndarray) -> np.ndarray:
    """Which images no candidate but those without a network gets right, bool [N]."""
    wrong = np.ones(len(index), bool)
    tried = 0
    for run in _complete(context, results):
        said = context.runs.predictions(run)
        if not isinstance(said, Unavailable) and np.array_equal(said.indices, index):
            wrong &= ~said.correct
            tried += 1
    return wrong & (tried > 2)


def measure_learning_curve(context: Choosing, results: pd.DataFrame, reporting: ReportingSettings) -> pd.DataFrame:
    """Accuracy of the best classifier of features with fewer images, and what a power law makes of it.

    Returns:
        Columns images, accuracy, low, high, and kind: `measured`, `fitted` (further images among them), or `checked` (what the
        smaller sizes promise at the largest).
    """
    from vision_studies.pipelines.choose.learning import learning_curve_of

    complete = [run for run in _complete(context, results) if run.configuration["kind"] == CLASSIFIER]
    accuracies = results.assign(merit=merits(results)).set_index("run_fingerprint")["merit"]
    best = max(complete, key=lambda run: accuracies[run.fingerprint])
    return learning_curve_of(best, context.images, context.runs, reporting.confidence)


def plot_candidates(results: pd.DataFrame) -> tuple[Figure, Figure]:
    """Accuracies by features and classifiers, and what time buys."""
    return plots.candidates_map(results), plots.time_lines(results)


def plot_learning_curve(learning_curve: pd.DataFrame) -> Figure:
    """Accuracy by the number of images."""
    return plots.learning_curve_lines(learning_curve)


def plot_confusion_matrix(predictions: pd.DataFrame, image_set: ImageSet) -> Figure:
    """True against predicted class of the chosen candidate."""
    true, predicted = predictions["label"].to_numpy(), predictions["prediction"].to_numpy()
    return confusion_matrix(true, predicted, image_set.class_names)


def plot_label_errors(label_errors: pd.DataFrame, image_set: ImageSet) -> Figure:
    """Images whose labels are worth a look, and those that nothing gets right."""
    return contact_sheet(plots.suspect_rows(label_errors, image_set.images), f"{image_set.name}: images to look at")


def _complete(context: Choosing, results: pd.DataFrame) -> "list[Run]":
    complete = set(results.loc[results["status"] == COMPLETE, "run_fingerprint"])
    runs = [run for run in study_runs(context) if run.fingerprint in complete]
    if not runs:
        reasons = "; ".join(sorted(set(results["reason"].dropna()))) or "nothing was tried"
        raise DataError(f"No candidate is complete ({reasons}); mend that and run the same command again.")
    return runs


def _best(context: Choosing, results: pd.DataFrame) -> "Run":
    accuracies = results.assign(merit=merits(results)).set_index("run_fingerprint")["merit"]
    return max(_complete(context, results), key=lambda run: accuracies[run.fingerprint])
