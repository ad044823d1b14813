import pandas as pd
import pytest

from vision_studies.statistics.configurations import best_configurations, configurations


def row(variant, validation, test, study="a", pipeline="cifar_resnet", data="digits", loss=None, **more):
    return {
        "study": study,
        "pipeline": pipeline,
        "data": data,
        "variant": variant,
        "condition": None,
        "validation_accuracy": validation,
        "validation_loss": loss,
        "test_accuracy": test,
        "test_loss": 0.5,
        "parameters": 100,
        "macs": 1000,
        "seconds": 2.0,
        "configuration": "{}",
    } | more


def test_configurations_have_n_mean_spread_and_interval():
    table = configurations(
        pd.DataFrame([row("x", 0.9, 0.8), row("x", 0.9, 0.9), row("x", 0.9, None), row("y", 0.7, 0.95)])
    )
    assert table["variant"].tolist() == ["y", "x"]
    described = table.iloc[1]
    assert described["n"] == 2
    assert described["accuracy"] == pytest.approx(0.85)
    assert described["standard_deviation"] == pytest.approx(0.0707, abs=1e-4)
    assert (described["low"], described["high"]) == (pytest.approx(0.2147, abs=1e-4), 1.0)  # an interval ends at 1


def test_validation_chooses_whatever_the_test_images_say():
    table = configurations(
        pd.DataFrame([row("lucky", 0.7, 0.99), row("good", 0.9, 0.8, study="b"), row("bad", 0.5, 0.4)])
    )
    best = best_configurations(table)
    assert best[["variant", "study", "among"]].values.tolist() == [["good", "b", 3]]


def test_each_pipeline_and_set_of_images_has_its_own():
    rows = [
        row("x", 0.9, 0.8),
        row("y", 0.8, 0.8, data="mnist"),
        row("p", None, 0.7, pipeline="mlp_transfer", loss=0.4),
        row("q", None, 0.6, pipeline="mlp_transfer", loss=0.3),
        row("never validated", None, 0.99, pipeline="alphanet"),
    ]
    best = best_configurations(configurations(pd.DataFrame(rows)))
    assert best["variant"].tolist() == ["x", "q", "y"]
    assert best_configurations(configurations(pd.DataFrame(rows).tail(1))).empty
