"""Scoring what `alphanet` has fitted and trained, each once on test."""

from functools import partial
from pathlib import Path

from vision_studies.config.alphanet import CombinationRunSettings
from vision_studies.pipelines.alphanet.work import (
    CLASSIFIER_FILE,
    COMBINATIONS_FILE,
    EVALUATION,
    FITTING,
    TRAINING,
    Experiment,
    Workplace,
    is_complete,
    load,
)
from vision_studies.studies.execution import execute
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Outcome


def evaluate_runs(place: Workplace) -> None:
    """Score every fitted classifier and every trained AlphaNet once."""
    for stage, experiments in ((FITTING, place.classifiers()), (TRAINING, place.experiments())):
        known = {own.run.fingerprint: own for own in experiments}
        ready = [own.run for own in known.values() if is_complete(place.folder, own.run, stage)]
        execute(ready, EVALUATION, partial(_evaluate, place=place, known=known), place.folder, place.execution)


def _evaluate(run: Run, folder: Path, *, place: Workplace, known: dict[str, Experiment]) -> Outcome:
    from vision_studies.methods.alphanet.evaluation import evaluate, improved_classifier, improved_scores
    from vision_studies.methods.alphanet.sources import baseline_scores

    own = known[run.fingerprint]
    features = place.features(own.classifier, own.repeat)
    test = features.groups["test"]
    classifier_file = place.classifier_folder(own.classifier, own.repeat) / CLASSIFIER_FILE
    scores = baseline_scores(place.source_folder(own.repeat), classifier_file, wide=place.is_wide(own.classifier))
    if own.neighbours is not None:
        from vision_studies.methods.alphanet.experiments import read_combinations

        scale = CombinationRunSettings.model_validate(run.configuration["combinations"]).training.prediction_scale
        neighbours, coefficients = read_combinations(folder / COMBINATIONS_FILE, features.splits)
        improved = improved_classifier(load(place, own), neighbours, coefficients, scale)
        scores = improved_scores(scores, test, improved, features.splits.few, scale)
    logits = run.configuration["classifier"]["name"] != "ncm"  # which gives distances
    return Outcome(evaluate(scores, test.labels, features.splits, folder, probabilities=logits))
