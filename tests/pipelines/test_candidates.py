"""What a study could recommend, from its results table and what its runs have kept."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vision_studies.config.registry import METHODS
from vision_studies.config.study import ReportingSettings, is_rehearsal
from vision_studies.files import write_json
from vision_studies.pipelines.reporting import candidates as room
from vision_studies.pipelines.reporting.candidates import candidates
from vision_studies.pipelines.reporting.study import StudyFolders, headline_of, own_conclusions, study_verdict
from vision_studies.predictions import Predictions
from vision_studies.run_folders import predictions_file, write_stage
from vision_studies.statistics.verdict import answer
from vision_studies.stored_predictions import write_predictions
from vision_studies.studies.method import Choice, NoChoice, load_method
from vision_studies.studies.results import SCHEMA, validate_results, write_results

IMAGES = np.arange(100, 140)
LABELS = np.arange(40) % 4
SETTINGS = ReportingSettings(confidence=0.95, interval="t", test="t", margin=0.01, calibration=("temperature",))


def said(accuracy, *, split="test", classes=None, indices=IMAGES, labels=LABELS):
    """Predictions of which the first are right."""
    predicted = np.where(np.arange(len(labels)) < round(accuracy * len(labels)), labels, (labels + 1) % 4)
    scores = np.eye(4, dtype=np.float32)[predicted]
    return Predictions.of(split, indices, labels, scores, classes=classes)


class Study:
    """A results table, and runs that have kept what they said."""

    def __init__(self, folder):
        self.models, self.rows = folder / "06_models/cells", []

    def add(
        self, variant, accuracy=0.8, *, pipeline="cifar_resnet", seeds=(0, 1), keep=True, validation=0.7, **columns
    ):
        for seed in seeds:
            fingerprint = columns.get(
                "run_fingerprint", f"{pipeline}-{variant}-{seed}".replace(" ", "_").replace("%", "")
            )
            row = {
                "pipeline": pipeline,
                "study": "cells",
                "variant": variant,
                "trial": 0,
                "seed": seed,
                "configuration": json.dumps({"method": "joint"}),
                "validation_accuracy": validation,
                "test_accuracy": accuracy,
                "seconds": 10.0,
                "status": "complete",
                "run_fingerprint": fingerprint,
                "configuration_hash": "c",
                "data_fingerprint": "d1",
                "finished_at": "2026-01-02T10:00:00+00:00",
            }
            self.rows.append(row | columns)
            if keep:
                self.keep(pipeline, fingerprint, said(accuracy) if keep is True else keep)
        return self

    def keep(self, pipeline, fingerprint, *predictions):
        folder = self.models / pipeline / "runs" / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "run.json", {"data_fingerprint": "d1"})
        for one in predictions:
            write_predictions(folder, replace(one, data_fingerprint="d1"))
        return folder

    def candidates(self, images="cells"):
        table = validate_results(pd.DataFrame(self.rows, columns=SCHEMA.names))
        return candidates(table, [images] * len(table), self.models)


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_what_runs_have_kept_is_the_evidence(study):
    [own] = study.add("wide", 0.75, seeds=(3, 5)).candidates()
    assert own.evidence.seeds.tolist() == [3, 5]
    assert own.evidence.images.tolist() == IMAGES.tolist()
    assert own.evidence.values.tolist() == [0.75, 0.75]
    assert (own.name, own.pipeline, own.images, own.condition, own.seeds_only) == (
        "wide",
        "cifar_resnet",
        "cells",
        "",
        "",
    )
    assert (own.validation["validation_accuracy"], own.training_seconds, dict(own.statuses)) == (
        0.7,
        10.0,
        {"complete": 2},
    )


def test_labels_of_the_image_set_are_known_of_each_class(study):
    [own] = study.add("new classes", 0.5, keep=said(0.5, classes=np.array([7, 2, 9, 4]))).candidates()
    assert (own.classes, own.evidence.correct.mean()) == ((7, 2, 9, 4), 0.5)


WRONG = {
    "gone": (lambda file, _: file.unlink(), "has no predictions of its test images"),
    "cut off": (lambda file, _: file.write_bytes(file.read_bytes()[:40]), "is damaged"),
    "of other images": (lambda _, row: row.update(data_fingerprint="d2"), "is of other images"),
    "of another result": (lambda _, row: row.update(test_accuracy=0.5), "other than its result"),
}


@pytest.mark.parametrize("case", WRONG)
def test_predictions_that_cannot_be_used_leave_the_seeds_with_the_reason(study, case):
    spoil, reason = WRONG[case]
    study.add("wide", 0.75, seeds=(0, 1))
    spoil(predictions_file(study.models / "cifar_resnet/runs/cifar_resnet-wide-1", "test"), study.rows[1])
    [own] = study.candidates()
    assert reason in own.seeds_only
    assert (len(own.evidence.images), own.evidence.values.tolist()) == (0, [0.75, study.rows[1]["test_accuracy"]])


def test_of_many_runs_it_is_known_what_is_right_and_not_what_is_predicted(study, monkeypatch):
    monkeypatch.setattr(room, "MOST_PREDICTED", 3)
    for own in study.add("a", 0.75).add("b", 0.5).candidates():
        assert own.evidence.predicted is None
        assert len(own.evidence.images) == len(IMAGES)


def test_runs_without_a_result_are_told_with_seeds_and_reasons(study):
    study.add("wide", seeds=(0, 1, 2))
    study.add("deep", seeds=(0,))
    study.add("deep", seeds=(1,), keep=False, status="diverged", reason="the loss is not a number", test_accuracy=None)
    study.add("late", seeds=(0, 1), keep=False, test_accuracy=None)
    wide, deep, late = study.candidates()
    assert wide.problems == ()
    assert deep.problems == ("seed 1 diverged (the loss is not a number)", "seed 2 not run, though others were")
    assert late.problems == (
        "seeds 0 and 1 trained, and not scored on test images",
        "seed 2 not run, though others were",
    )
    assert (late.evidence, deep.evidence.seeds.tolist()) == (None, [0])


def test_the_same_runs_under_two_names_are_one_candidate(study):
    study.add("3 %: baseline", pipeline="transfer_cuts", condition="3 %", seeds=(0,), run_fingerprint="same")
    study.add("3 %: FR, cut 0", pipeline="transfer_cuts", condition="3 %", seeds=(0,), run_fingerprint="same")
    study.add("3 %: FR, cut 1", pipeline="transfer_cuts", condition="3 %", seeds=(0,))
    found = study.candidates()
    assert [(own.title, own.condition, own.is_baseline) for own in found] == [
        ("baseline", "3 % of the images", True),
        ("FR, cut 1", "3 % of the images", False),
    ]


def test_a_method_that_recommends_nothing_has_no_candidates(study):
    assert study.add("pretrained network", pipeline="clustering").candidates() == []


OF_METHODS = [
    ("stacking", {"method": "joint"}, False),
    ("stacking", {"method": "cross_validated"}, False),
    ("stacking", {"method": "network"}, True),
    ("stacking", {"method": "combination"}, True),
    ("alphanet", {"classifier.name": "crt", "features": "f"}, True),
    ("alphanet", {"classifier.name": "own", "combinations.neighbours": 3}, False),
    ("cifar_resnet", {}, False),
    ("mlp_transfer", {}, False),
]


@pytest.mark.parametrize(("pipeline", "configuration", "is_baseline"), OF_METHODS)
def test_methods_say_what_is_to_be_beaten(study, pipeline, configuration, is_baseline):
    [own] = study.add("one", pipeline=pipeline, seeds=(0,), configuration=json.dumps(configuration)).candidates()
    assert own.is_baseline == is_baseline


def test_every_method_says_how_it_is_chosen_among_or_why_it_is_not():
    for name in METHODS:
        found = load_method(name).verdict
        assert isinstance(found, Choice) or found.reason.startswith("asks ")
    assert isinstance(load_method("clustering").verdict, NoChoice)


def test_classifiers_of_one_study_stand_beside_each_other_whatever_they_improve_and_the_mean_over_classes_decides(
    study,
):
    """The validation images of a long tail are mostly of frequent classes: what is best on average names rare ones wrongly."""
    few = np.array([0] * 18 + [1] * 2)
    on_validation = {
        "cRT": np.where(np.arange(20) < 4, 1, few),  # wrong on 4 of 18 frequent, right on both rare ones
        "own, rho 0.5": np.zeros(20, dtype=int),  # right on all frequent ones, and on none of the rare
    }
    for name, predicted in on_validation.items():
        configuration = {"combinations.rho": 0.5} if "rho" in name else {"classifier.name": "crt"}
        condition = "own" if "rho" in name else "classifiers"
        study.add(
            name,
            0.8 if name == "cRT" else 0.6,
            pipeline="alphanet",
            seeds=(0,),
            configuration=json.dumps(configuration),
            condition=condition,
            validation=float((predicted == few).mean()),
        )
        fingerprint = f"alphanet-{name}-0".replace(" ", "_")
        scores = np.eye(2, dtype=np.float32)[predicted]
        study.keep("alphanet", fingerprint, Predictions.of("validation", np.arange(20), few, scores))
    found = answer(study.candidates())
    assert (found.chooser, found.measure) == ("validation_balanced_accuracy", "balanced_accuracy")
    assert [one.candidate.name for one in found.standings] == ["cRT", "own, rho 0.5"]
    assert found.best.candidate.is_baseline
    assert found.best.validation == pytest.approx((14 / 18 + 1) / 2)


def test_without_validation_predictions_of_all_the_accuracy_over_images_decides(study):
    for name, validation in (("cRT", 0.8), ("NCM", 0.9)):
        study.add(name, pipeline="alphanet", configuration="{}", validation=validation)
    assert answer(study.candidates()).chooser == "validation_accuracy"


@pytest.fixture
def folders(tmp_path):
    """A study of two pipelines, of which one has results, and the command that began both."""
    for name in ("07_model_output", "08_reporting"):
        (tmp_path / name / "cells").mkdir(parents=True)
    found = StudyFolders("cells", tmp_path / "07_model_output/cells", tmp_path / "08_reporting/cells")
    study = Study(tmp_path).add("wide", 0.75, validation=0.9).add("plain", 0.25, validation=0.8)
    (found.outputs / "cifar_resnet").mkdir()
    table = validate_results(pd.DataFrame(study.rows, columns=SCHEMA.names))
    write_results(table, found.outputs / "cifar_resnet/results.parquet")
    return found


def begun(folders, *pipelines, **parameters):
    record = {"parameters": parameters | {"study": {}}, "namespaces": [*pipelines], "status": "interrupted"}
    write_json(folders.reports / "run_records/1.json", record)


def test_a_pipeline_that_was_begun_and_has_no_results_is_missing_with_how_far_it_has_come(folders):
    (folders.reports / "run_records").mkdir()
    begun(folders, "stacking")
    for number in range(3):
        run = folders.models / f"stacking/runs/{number}"
        run.mkdir(parents=True)
        write_json(run / "run.json", {})
        if number:
            write_stage(run / "training.json", {}, "complete", None, {})
    assert folders.unfinished == [
        "stacking has no results yet: 2 runs have ended; `kedro run --env=cells --pipeline=stacking` goes on from there."
    ]
    found = study_verdict(folders, folders.results(), SETTINGS)
    assert found.missing == tuple(folders.unfinished)
    assert found.answers[0].best.candidate.name == "wide"


def test_what_has_results_is_not_missing(folders):
    (folders.reports / "run_records").mkdir()
    begun(folders, "data_prep", "reporting")
    assert folders.unfinished == []


def test_the_headline_is_that_of_the_file_where_it_is_of_these_results_and_else_made_anew(folders):
    made = headline_of(folders, folders.results(), SETTINGS)
    assert made.startswith("Take 'wide': it names 75.0 % of the test images rightly")
    write_json(folders.reports / "verdict.json", {"headline": "As it was.", "sources": folders.fingerprint()})
    assert headline_of(folders, folders.results(), SETTINGS) == "As it was."
    write_json(folders.reports / "verdict.json", {"headline": "As it was.", "sources": "others"})
    assert headline_of(folders, folders.results(), SETTINGS) == made
    (folders.reports / "verdict.json").write_text("{")
    assert headline_of(folders, folders.results(), SETTINGS) == made


def test_sentences_of_a_pipeline_that_only_compares_give_way_to_the_verdict(folders):
    for name in (*METHODS, "earlier_method"):
        (folders.reports / name).mkdir()
        write_json(folders.reports / name / "conclusions.json", [f"{name} says so."])
    assert set(own_conclusions(folders)) == {
        "transfer_cuts",
        "clustering",
        "mlp_transfer",
        "alphanet",
        "choose",
        "earlier_method",
    }


@pytest.mark.parametrize(
    ("study", "expected"),
    [("demo", True), ("resnet_se+demo", True), ("resnet_se+cifar100", False), ("demonstrated", False)],
)
def test_a_rehearsal_is_named_so_on_the_command_line(study, expected):
    assert is_rehearsal(study) == expected
