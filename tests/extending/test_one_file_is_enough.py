"""A model, an augmentation and a metric are each added by one file or entry, and each shows up everywhere."""

import json

import numpy as np
import pandas as pd
import pytest

from vision_studies.stored_predictions import read_predictions


@pytest.fixture(scope="module")
def shown(extended_project):
    return json.loads(extended_project.script("what_shows_up.py").stdout)


@pytest.fixture(scope="module")
def finished(extended_project):
    """The copy, in which the study of the toys has run; with what the command said."""
    extended_project.said = extended_project.run("run", "--env=toys").stdout
    return extended_project


@pytest.fixture(scope="module")
def results(finished):
    return pd.read_parquet(finished.folder / "data/07_model_output/toys/cifar_resnet/results.parquet")


def test_their_parameters_are_checked_without_torch(shown):
    assert not shown["torch_for_parameters"]
    width, name = shown["messages"].splitlines()
    assert "cifar_resnet.run.model.width: 0 is not allowed" in width
    assert "'toy_darke' is not one of random_crop, random_flip" in name
    assert "did you mean 'toy_darken'?" in name


def test_the_model_has_an_opponent_of_as_many_parameters(shown):
    assert shown["parameters_of_the_opponent"] == pytest.approx(50_000, rel=0.01)


def test_features_and_classifier_of_the_model_give_its_logits(shown):
    assert shown["largest_error_of_scores"] < 1e-6


def test_the_model_is_called_by_its_name(shown):
    assert shown["architecture"] == "toy_perceptron"


def test_all_three_stand_in_the_reference(shown):
    assert '<dt id="model-toy_perceptron.gain">' in shown["kinds"]
    assert '<dt id="steps-toy_darken.most">' in shown["kinds"]
    line = next(line for line in shown["metrics_page"].splitlines() if "`test_top_two`" in line)
    assert line.endswith("among the two most probable ones | fraction | higher | test | yes |")


def test_the_study_is_trained_with_model_and_augmentation(results):
    assert results["status"].tolist() == ["complete"] * 4
    configurations = [json.loads(text) for text in results["configuration"]]
    assert {own["model.name"] for own in configurations} == {"toy_perceptron"}
    assert {own["model.width"] for own in configurations} == {16, 32}
    assert configurations[0]["augmentation.steps"] == [{"name": "toy_darken", "most": 0.3}]


def test_the_metric_is_a_column_of_the_results_and_right(finished, results):
    assert (results["test_top_two"] >= results["test_accuracy"]).all()
    row = results.iloc[0]
    folder = finished.folder / "data/06_models/toys/cifar_resnet/runs" / row["run_fingerprint"]
    stored = read_predictions(folder)
    hits = 0
    for probabilities, label in zip(stored.probabilities, stored.labels, strict=True):
        hits += (probabilities > probabilities[label]).sum() < 2
    assert row["test_top_two"] == pytest.approx(hits / len(stored.labels))


def test_the_metric_stands_in_the_tables_of_page_and_terminal(finished, results):
    runs = results.drop_duplicates("variant")["run_fingerprint"]
    assert "top 2" in finished.run("runs", "compare", *runs).stdout
    [page] = (finished.folder / "data/08_reporting/toys").glob("**/report.html")
    text = page.read_text(encoding="utf-8")
    assert '<th scope="col">Among the first two (%)</th>' in text


def test_variants_are_compared_by_the_metric(shown):
    baseline, other = shown["compared"]
    assert (baseline["variant"], other["variant"]) == ("one", "two")
    assert baseline["mean"] == pytest.approx(shown["mean"])
    assert "points" in other["sentence"]


def test_the_metric_stands_in_the_table_of_runs_and_in_trackers(shown):
    assert shown["cell"] == f"{100 * shown['value']:.2f} %"
    assert shown["tracked"] == shown["value"]


def test_the_study_is_forecast(finished):
    assert "all 4 runs are finished and reused" in finished.run("runs", "plan", "--env=toys").stdout


def test_a_trained_toy_predicts_is_exported_and_has_its_card(finished, tmp_path):
    np.save(tmp_path / "new.npy", np.zeros((3, 8, 8, 1), np.uint8))
    finished.run("models", "predict", str(tmp_path / "new.npy"), "--env=toys", "-o", str(tmp_path / "new.csv"))
    assert len(pd.read_csv(tmp_path / "new.csv")) == 3
    finished.run("models", "export", "--env=toys", "--format=torchscript", "-o", str(tmp_path / "model.pt"))
    assert (tmp_path / "model.pt").is_file()
    finished.run("models", "card", "--env=toys", "-o", str(tmp_path / "card.md"))
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert card.startswith("---")
    assert "toy_perceptron" in card
    assert "| test top two |" in card
