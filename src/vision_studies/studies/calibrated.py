"""Test predictions of finished runs, calibrated by what the same runs have kept of images that they had not learnt from.

Nothing is trained or asked again, so that runs of earlier versions are calibrated, too. The images are those of validation, or
the training images that a cross-validation has held out; of a run that is put together from folds, each fold has its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vision_studies.predictions import CalibratorName, PredictedSplit, Predictions
from vision_studies.run_folders import folds_of
from vision_studies.statistics.calibrators import Calibrator, fit_calibrator
from vision_studies.statistics.evidence import Evidence
from vision_studies.stored_predictions import Unavailable, all_probabilities, read_predictions
from vision_studies.studies.evidence import VariantEvidence

_HELD_OUT: tuple[PredictedSplit, ...] = ("validation", "out_of_fold")


def calibrated_evidence(
    own: VariantEvidence, runs: Path, names: Sequence[CalibratorName]
) -> dict[str, Evidence] | Unavailable:
    """Evidence of a variant with calibrated probabilities, by the name of what calibrates; or why there is none.

    Args:
        own: with probabilities, of `evidence.read_evidence`.
        runs: folder of the runs.
        names: of what is fitted.
    """
    evidence = own.evidence
    if evidence.probabilities is None:
        return Unavailable(own.seeds_only or own.no_probabilities or "No probabilities are kept.")
    held_out = [_held_out_of(runs / fingerprint) for fingerprint in own.runs.fingerprints]
    missing = next((each for each in held_out if isinstance(each, Unavailable)), None)
    if missing is not None:
        return missing
    known = [each for each in held_out if not isinstance(each, Unavailable)]
    found: dict[str, Evidence] = {}
    for name in names:
        said = [
            _calibrated(
                name, evidence.probabilities[seed], None if evidence.folds is None else evidence.folds[seed], each
            )
            for seed, each in enumerate(known)
        ]
        # One temperature changes no class; half precision may have made two of them alike.
        named = evidence.predicted if name == "temperature" else None
        found[name] = _with_probabilities(evidence, np.stack(said), named)
    return found


def _with_probabilities(evidence: Evidence, probabilities: np.ndarray, predicted: np.ndarray | None) -> Evidence:
    named = probabilities.argmax(axis=2) if predicted is None else predicted
    correct = named == evidence.labels
    values = correct.mean(axis=1)
    return replace(evidence, probabilities=probabilities, predicted=named, correct=correct, values=values)


def _calibrated(
    name: CalibratorName, probabilities: np.ndarray, folds: np.ndarray | None, held_out: Sequence[Predictions]
) -> np.ndarray:
    """Probabilities float32 [N, classes] of a run, by held-out predictions of its one network, or of that of each fold."""
    fitted = [_fitted(name, each) for each in held_out]
    if len(fitted) == 1 or folds is None:
        return fitted[0](probabilities).astype(np.float32)
    calibrated = np.empty(probabilities.shape, dtype=np.float32)
    for fold, calibrator in enumerate(fitted, start=1):
        calibrated[folds == fold] = calibrator(probabilities[folds == fold])
    return calibrated


def _fitted(name: CalibratorName, held_out: Predictions) -> Calibrator:
    assert held_out.probabilities is not None  # noqa: S101 - `_held_out` has asked
    return fit_calibrator(name, held_out.probabilities, held_out.labels)


def _held_out_of(folder: Path) -> list[Predictions] | Unavailable:
    """Held-out predictions of the one network of a run, or of that of each of its folds."""
    found = [_held_out(each) for each in folds_of(folder) or [folder]]
    missing = next((each for each in found if isinstance(each, Unavailable)), None)
    return missing or [each for each in found if isinstance(each, Predictions)]


def _held_out(folder: Path) -> Predictions | Unavailable:
    said = [read_predictions(folder, split) for split in _HELD_OUT]
    kept = next((each for each in said if isinstance(each, Predictions) and len(each.indices)), None)
    if kept is None:
        return Unavailable(
            f"{folder} has kept nothing of images that its network had not learnt from, besides the test images."
        )
    probabilities = all_probabilities(folder, kept)
    return probabilities if isinstance(probabilities, Unavailable) else kept
