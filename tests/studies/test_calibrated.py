"""Finished runs are calibrated by what they have kept of images that they had not learnt from."""

from typing import get_args

import numpy as np
import pytest
from scipy.special import softmax

from vision_studies.files import write_json
from vision_studies.outcomes import Outcome
from vision_studies.predictions import CalibratorName, Predictions
from vision_studies.run_folders import FOLDS_FILE
from vision_studies.statistics.calibrators import fit_calibrator
from vision_studies.stored_predictions import Unavailable
from vision_studies.studies.calibrated import calibrated_evidence
from vision_studies.studies.evidence import read_evidence, variant_runs
from vision_studies.studies.folds import joined_predictions
from vision_studies.studies.predictions import kept
from vision_studies.studies.results import results_table
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

CLASSES = 3


def said(split, seed, first=0, images=90):
    random = np.random.default_rng([seed, first])
    logits = random.normal(0, 1, (images, CLASSES))
    labels = (random.random((images, 1)) < softmax(logits, axis=1).cumsum(axis=1)).argmax(axis=1)
    kept_as = softmax(3 * logits, axis=1).astype(np.float16).astype(float)
    return Predictions.of(split, np.arange(first, first + images), labels, kept_as)


def study(folder, *predictions, detail="full", fold=0):
    """A store with a run a seed that has said these things."""
    store, runs = RunStore(folder), []
    for seed, own in enumerate(predictions):
        run = Run("cifar_resnet", "study", "plain", 0, seed, {}, f"data{fold or ''}", 1, fold)
        store.begin(run)
        store.record(run, "training", Outcome({"validation_accuracy": 0.5}))
        tested = next(each for each in own if each.split == "test")
        store.record(run, "evaluation", kept(Outcome({"test_accuracy": tested.accuracy}, predictions=own), detail))
        runs.append(run)
    return store, runs


def evidence_of(store, runs):
    [found] = read_evidence(
        variant_runs(results_table(runs, store, ["training", "evaluation"])), store.folder, "probabilities"
    )
    return found


@pytest.mark.parametrize("split", ["validation", "out_of_fold"])
def test_each_seed_is_calibrated_by_its_own_held_out_images(tmp_path, split):
    spoken = [(said("test", 0), said(split, seed, 500)) for seed in (1, 2)]
    store, runs = study(tmp_path, *spoken)
    own = evidence_of(store, runs)
    found = calibrated_evidence(own, store.folder, get_args(CalibratorName))
    assert tuple(found) == get_args(CalibratorName)
    for name, evidence in found.items():
        for row, (tested, held_out) in enumerate(spoken):
            expected = fit_calibrator(name, held_out.probabilities, held_out.labels)(tested.probabilities)
            np.testing.assert_allclose(evidence.probabilities[row], expected, atol=1e-6)
        assert np.array_equal(evidence.correct, evidence.predicted == evidence.labels)
    assert np.array_equal(found["temperature"].predicted, own.evidence.predicted)


def test_a_run_of_folds_is_calibrated_fold_by_fold(tmp_path):
    parts = [(said("test", 0, first), said("validation", first + 1, 500)) for first in (0, 90)]
    store, [run] = study(tmp_path, (joined_predictions([tested for tested, _ in parts]),))
    names = []
    for fold, part in enumerate(parts, start=1):
        _, [own] = study(tmp_path, part, fold=fold)
        names.append(own.fingerprint)
    write_json(store.path(run) / FOLDS_FILE, {"runs": names, "validation_accuracy": [0.5, 0.5], "best": names[0]})
    found = calibrated_evidence(evidence_of(store, [run]), store.folder, ["temperature"])["temperature"]
    expected = [
        fit_calibrator("temperature", held_out.probabilities, held_out.labels)(tested.probabilities)
        for tested, held_out in parts
    ]
    np.testing.assert_allclose(found.probabilities[0], np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize(
    ("spoken", "detail", "reason"),
    [
        ((said("test", 0),), "full", "has kept nothing of images that its network had not learnt from"),
        (
            (said("test", 0), said("validation", 1, 500)),
            "correct",
            "keeps only the predicted classes of its test images",
        ),
    ],
)
def test_what_is_not_there_is_said(tmp_path, spoken, detail, reason):
    store, runs = study(tmp_path, spoken, detail=detail)
    found = calibrated_evidence(evidence_of(store, runs), store.folder, ["temperature"])
    assert isinstance(found, Unavailable)
    assert reason in found.reason
