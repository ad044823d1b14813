import numpy as np
import pandas as pd
import pytest
import torch
from tests.pipelines.stacking.conftest import CountingData, make_run

from vision_studies.errors import DataError
from vision_studies.pipelines.stacking import cross_validation
from vision_studies.pipelines.stacking.cross_validation import FOLDS_FILE, assign_folds, fold_weights
from vision_studies.pipelines.stacking.outputs import load_outputs, metrics_on_test
from vision_studies.pipelines.stacking.work import Job

CPU = torch.device("cpu")


def run_of(base_learners=("small", "wide"), **changes):
    folds = {"number": 3, **changes.pop("folds", {})}
    return make_run(mode="cross_validated", base_learners=[*base_learners], folds=folds, **changes)


def test_folds_are_stratified_and_hold_every_image_once():
    labels = np.repeat([0, 1, 2], [30, 12, 9])
    folds = assign_folds(labels, 3, seed=1)
    counts = pd.crosstab(labels, folds)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    np.testing.assert_array_equal(folds, assign_folds(labels, 3, seed=1))
    assert (folds != assign_folds(labels, 3, seed=2)).any()


@pytest.mark.parametrize("labels", [np.repeat([0, 1], [9, 2]), np.array([0, 1])])
def test_a_class_that_a_fold_would_lack_is_told(labels):
    with pytest.raises(
        DataError, match=r"folds.number=3 but the rarest class has \d training images.* set stacking.run.folds"
    ):
        assign_folds(labels, 3, seed=0)


def test_a_group_is_in_one_fold_and_groups_of_one_change_nothing():
    labels, units = np.arange(90) % 3, np.arange(90) // 5
    folds = assign_folds(labels, 3, seed=1, units=units)
    assert (pd.DataFrame({"fold": folds, "unit": units}).groupby("unit")["fold"].nunique() == 1).all()
    assert (pd.crosstab(labels, folds) >= 5).all(axis=None)
    np.testing.assert_array_equal(assign_folds(labels, 3, 1, np.arange(90)), assign_folds(labels, 3, 1))
    with pytest.raises(
        DataError, match=r"of a class stand in 2 groups or sets of copies.* set stacking.run.folds.number"
    ):
        assign_folds(np.repeat([0, 1], [9, 4]), 3, seed=0, units=np.repeat([*range(9), 20, 21], [1] * 9 + [2, 2]))


def test_no_prediction_that_the_meta_learner_learns_from_is_of_an_image_its_network_was_trained_on(
    tmp_path, counting_data
):
    run = run_of()
    cross_validation.train(Job(run, 0, counting_data, tmp_path, CPU))
    stored = pd.read_parquet(tmp_path / FOLDS_FILE)
    train = counting_data.splits.train
    assert sorted(stored["index"]) == sorted(train)
    assert stored["index"].is_unique
    assert stored.notna().all().all()
    # What each network was trained on, and what it was then asked for, as the loaders saw it.
    asked = [(split, shuffle, set(indices)) for split, shuffle, indices in counting_data.asked]
    trainings = [indices for split, shuffle, indices in asked if split == "train" and shuffle][:-1]
    held_out = [indices for split, shuffle, indices in asked if split == "train" and not shuffle]
    assert len(trainings) == len(held_out) == 3 * 2
    for own, predicted in zip(trainings, held_out, strict=True):
        assert not own & predicted
        assert own | predicted == set(train)
    by_fold = {fold: set(rows["index"]) for fold, rows in stored.groupby("fold")}
    assert [by_fold[number // 2] for number in range(6)] == held_out
    assert "test" not in {split for split, _, _ in asked}


def test_the_stored_predictions_are_plain_and_those_of_the_fold_s_networks(tmp_path, counting_data):
    from vision_studies.pipelines.stacking.stacked_networks import build_learner
    from vision_studies.pipelines.stacking.work import WEIGHTS_FILE
    from vision_studies.training.checkpoints import load_weights

    run = run_of()
    trained = cross_validation.train(Job(run, 0, counting_data, tmp_path, CPU))
    stored = pd.read_parquet(tmp_path / FOLDS_FILE)
    held_out, validated = trained.predictions
    assert (held_out.split, validated.split) == ("out_of_fold", "validation")
    np.testing.assert_array_equal(held_out.indices, counting_data.splits.train)
    logits = torch.tensor(stored.filter(like="logit_").to_numpy()).view(len(stored), 2, 3)
    np.testing.assert_allclose(held_out.probabilities, logits.softmax(2).mean(1).numpy(), atol=1e-5)
    assert validated.accuracy == trained.metrics["validation_accuracy"]
    batch = next(iter(counting_data.loader("train", kind="device", batch_size=1000, device=CPU).epoch(0)))
    for fold in range(3):
        for learner in range(2):
            model = build_learner(run.base_learners[learner], counting_data, seed=99, member=learner)
            load_weights(model, tmp_path / f"fold_{fold}_learner_{learner}" / WEIGHTS_FILE).eval()
            with torch.inference_mode():
                expected = model(batch.images).numpy()
            rows = (stored["fold"] == fold).to_numpy()
            columns = [f"logit_{learner + 1}_{label}" for label in range(3)]
            np.testing.assert_allclose(stored.loc[rows, columns], expected[rows], atol=1e-4)
    histories = pd.read_parquet(tmp_path / cross_validation.HISTORIES_FILE)
    confidence, stability = histories["validation_confidence"], histories["validation_stability"]
    assert confidence.between(1 / 3, 1).all()
    assert (stability.isna() == (histories["epoch"] == 1)).all()
    assert stability.dropna().between(-1, 1).all()
    expected_epochs = list(range(1, run.training.epochs + 1))
    assert {key: list(own) for key, own in histories.groupby(["learner", "fold"])["epoch"]} == {
        (learner, fold): expected_epochs for learner in range(2) for fold in range(3)
    }


@pytest.mark.slow
@pytest.mark.parametrize("inference", ["all_folds", "best_fold", "weighted", "refit"])
def test_every_way_of_inference_scores_each_test_image_once_and_the_same_each_time(tmp_path, counting_data, inference):
    run = run_of(folds={"inference": inference})
    trained = cross_validation.train(Job(run, 0, counting_data, tmp_path, CPU))
    assert np.isfinite(trained.metrics["validation_loss"])
    outputs = cross_validation.outputs_on_test(Job(run, 0, counting_data, tmp_path, CPU))
    np.testing.assert_array_equal(outputs.indices, counting_data.splits.test)
    np.testing.assert_allclose(outputs.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert outputs.logits.shape == (len(counting_data.splits.test), 3, 3)
    again = cross_validation.outputs_on_test(Job(run, 0, counting_data, tmp_path, CPU))
    np.testing.assert_array_equal(outputs.logits, again.logits)
    assert {"test_accuracy_base_1", "test_accuracy_base_2"} <= metrics_on_test(outputs)["other_metrics"].keys()


@pytest.mark.slow
def test_the_ways_differ_in_what_they_ask(tmp_path, counting_data):
    networks = {}
    for inference in ("all_folds", "best_fold", "weighted", "refit"):
        run = run_of(folds={"inference": inference})
        cross_validation.train(Job(run, 0, counting_data, tmp_path / inference, CPU))
        counting_data.asked.clear()
        cross_validation.outputs_on_test(Job(run, 0, counting_data, tmp_path / inference, CPU))
        networks[inference] = len(counting_data.asked)
    # Networks that are asked, and the meta-learner once for every set of them.
    assert networks == {"all_folds": 6 + 3, "best_fold": 2 + 1, "weighted": 6 + 3, "refit": 2 + 1}


def test_the_weights_of_folds_sum_to_one_and_follow_accuracy():
    weights = fold_weights(np.array([[0.9, 0.8], [0.6, 0.7], [0.9, 0.9]]))
    assert weights.sum() == pytest.approx(1)
    assert weights.argsort().tolist() == [1, 0, 2]
    assert fold_weights(np.full((5, 3), 0.5)) == pytest.approx(np.full(5, 0.2))


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, counting_data, monkeypatch):
    whole = cross_validation.train(Job(run_of(), 0, counting_data, tmp_path / "whole", CPU))
    calls = []
    real = cross_validation.fit_split

    def stop_at_the_fourth(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(cross_validation, "fit_split", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        cross_validation.train(Job(run_of(), 0, counting_data, tmp_path / "resumed", CPU))
    monkeypatch.setattr(cross_validation, "fit_split", real)
    resumed = cross_validation.train(Job(run_of(), 0, counting_data, tmp_path / "resumed", CPU))
    assert resumed.history["validation_loss"].equals(whole.history["validation_loss"])
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "whole" / FOLDS_FILE), pd.read_parquet(tmp_path / "resumed" / FOLDS_FILE)
    )


@pytest.mark.slow
def test_labels_without_meaning_show_the_leak_of_in_sample_predictions(tmp_path):
    """The leak that folds are there to prevent: networks recite the labels of images that they were trained on."""
    from tests.data.conftest import make_image_set

    from vision_studies.config.data_prep import SplitSettings
    from vision_studies.data.splits import make_splits
    from vision_studies.pipelines.stacking.stacked_networks import build_learner
    from vision_studies.pipelines.stacking.work import score
    from vision_studies.training.checkpoints import load_state

    image_set = make_image_set(count=420, size=8)  # random pixels: no label follows from them
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    )
    data = CountingData(image_set, splits, {})
    run = run_of(
        base_learners=("small", "small"),
        augmentation={"steps": []},
        training={
            "epochs": 30,
            "batch_size": 32,
            "checkpoint_every": 30,
            "label_smoothing": 0.0,
            "optimizer": {"learning_rate": 0.1},
        },
        meta_learner={"image_features": None, "hidden": []},
    )
    cross_validation.train(Job(run, 0, data, tmp_path, CPU))
    stored = pd.read_parquet(tmp_path / FOLDS_FILE)
    labels, folds = stored["label"].to_numpy(), stored["fold"].to_numpy()
    logits = stored.filter(like="logit_1_").to_numpy()
    out_of_fold = (logits.argmax(axis=1) == labels).mean()
    model = build_learner(run.base_learners[0], data, seed=0, member=0)
    model.load_state_dict(load_state(tmp_path / "fold_0_learner_0/checkpoints/final.safetensors")["model"])
    in_sample = score(model, Job(run, 0, data, tmp_path, CPU), "train", positions=np.flatnonzero(folds != 0))
    assert (in_sample.logits[:, 0].argmax(axis=1) == in_sample.labels).mean() > 0.8
    assert abs(out_of_fold - 1 / 3) < 0.1


@pytest.mark.slow
def test_a_linear_stack_is_not_worse_than_the_plain_average_out_of_fold(tmp_path, digits):
    run = run_of(
        meta_learner={"image_features": None, "hidden": [], "dropout": 0.0},
        training={"epochs": 6, "batch_size": 32, "optimizer": {"learning_rate": 0.2}},
    )
    cross_validation.train(Job(run, 0, digits, tmp_path, CPU))
    outputs = load_outputs(tmp_path, "validation")
    metrics = metrics_on_test(outputs)  # of validation images here
    noise = 2 * np.sqrt(0.25 / len(outputs.labels))
    assert metrics["test_accuracy"] > 0.7
    assert metrics["test_accuracy"] >= metrics["other_metrics"]["test_accuracy_base_average"] - noise
