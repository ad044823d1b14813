"""Predictions in the store of runs: written before what makes a stage finished, forgotten with the run, carried by a store."""

import os
from dataclasses import replace

import numpy as np
import pytest

from vision_studies.outcomes import Outcome
from vision_studies.predictions import Predictions
from vision_studies.run_folders import predictions_file
from vision_studies.storage.kept_data import KeptData
from vision_studies.storage.layout import study_places
from vision_studies.storage.store import Store
from vision_studies.stored_predictions import Unavailable
from vision_studies.studies.predictions import Keeping, kept
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone

RUN = Run("cifar_resnet", "study", "plain", 0, 3, {"epochs": 1}, "data", 1)


def said(split="test", views=1) -> Predictions:
    probabilities = np.zeros((3, 8))
    probabilities[:, :2] = [[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]]
    return Predictions.of(split, np.array([7, 3, 5]), np.array([1, 1, 1]), probabilities, views=views)


def scored(*predictions) -> Outcome:
    return Outcome({"test_accuracy": 2 / 3}, predictions=predictions)


@pytest.fixture
def store(tmp_path) -> RunStore:
    runs = RunStore(tmp_path / "data/06_models/study/cifar_resnet/runs")
    runs.begin(RUN)
    return runs


def test_what_a_stage_says_of_images_is_kept_by_split_and_views(store):
    store.record(RUN, "evaluation", scored(said(), said("validation"), said(views=8)))
    names = {path.name for path in store.path(RUN).glob("*.parquet")}
    assert names == {
        "predictions_test.parquet",
        "predictions_validation.parquet",
        "predictions_test_views_8.parquet",
    }
    assert store.predictions(RUN).accuracy == pytest.approx(store.metrics(RUN, "evaluation")["test_accuracy"])
    assert store.predictions(RUN, "validation").data_fingerprint == RUN.data_fingerprint
    assert store.predictions(RUN, views=8).views == 8
    assert isinstance(store.predictions(RUN, "out_of_fold"), Unavailable)


def test_predictions_come_before_what_makes_the_stage_finished(store, monkeypatch):
    def killed(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("vision_studies.studies.run_store.write_stage", killed)
    with pytest.raises(KeyboardInterrupt):
        store.record(RUN, "evaluation", scored(said()))
    assert predictions_file(store.path(RUN), "test").is_file()
    assert not store.is_finished(RUN, "evaluation")


def test_what_a_killed_process_has_left_goes_when_the_run_is_done_again(store):
    left = store.path(RUN) / ".predictions_test.parquet.12345678-1-abc.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))  # of a machine that nobody has heard of for a day
    store.begin(RUN)
    assert not left.exists()


def test_a_run_that_is_forgotten_has_no_predictions(store):
    store.record(RUN, "evaluation", scored(said(), said("validation")))
    store.forget(RUN)
    assert not list(store.path(RUN).glob("*.parquet"))
    assert "has no predictions" in store.predictions(RUN).reason


def test_a_store_carries_predictions_to_another_machine(store, tmp_path):
    store.record(RUN, "evaluation", scored(said()))
    (tmp_path / "server").mkdir()
    server = Store(f"file://{tmp_path}/server", {})
    first, second = (
        KeptData.of(root, study_places("study"), server) for root in (tmp_path / "data", tmp_path / "other")
    )
    first.keep_all()
    second.fetch_all()
    there = RunStore(tmp_path / "other/06_models/study/cifar_resnet/runs")
    np.testing.assert_array_equal(there.predictions(RUN).probabilities, store.predictions(RUN).probabilities)


@pytest.mark.parametrize("detail", ["full", "top", "correct"])
def test_a_method_keeps_as_much_as_it_says(store, detail):
    work = Keeping(Alone(lambda _run, _folder: scored(said(), said("validation"))), detail)
    work([RUN], store.path(RUN), lambda run, outcome: store.record(run, "evaluation", outcome))
    assert store.predictions(RUN).detail == store.predictions(RUN, "validation").detail == detail


def test_a_method_that_scores_a_run_cannot_forget_its_predictions():
    with pytest.raises(RuntimeError, match="its method gives no predictions"):
        kept(scored(said("validation")), "full")
    unfinished = replace(scored(), status="diverged")
    assert kept(unfinished, "full").predictions == ()
    assert kept(Outcome({"validation_accuracy": 0.5}), "full").predictions == ()
