"""What the report shows of the best run, from what it has kept or, where that is gone or too little, from its network."""

import numpy as np
import pandas as pd
import pytest
from tests.data.conftest import make_image_set
from tests.test_base_parameters import base_run

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.pipelines.cifar_resnet.nodes import collect_predictions, write_evaluation
from vision_studies.run_folders import predictions_file
from vision_studies.studies.predictions import kept
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.training import network_run
from vision_studies.training.runtime import select_device


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Images, splits, a store with one run that was trained, and what its network says."""
    images = make_image_set(count=60, size=8)
    settings = SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, copies="together", long_tail=None)
    splits = make_splits(images, settings)
    data = PreparedData(images, splits, {})
    small = {"widths": [4, 8], "blocks": [1, 1], "strides": [1, 2], "stem_width": 4, "squeeze_reduction": 2}
    training = {"epochs": 1, "batch_size": 16, "precision": "fp32"}
    evaluation = {"batch_size": 10, "views": [3], "padding": 1}
    settings = base_run({"model": small, "training": training, "evaluation": evaluation})
    run = Run("cifar_resnet", "study", "plain", 0, 4, settings.model_dump(mode="json"), data.fingerprint, 2)
    store = RunStore(tmp_path_factory.mktemp("runs"))
    folder, device = store.begin(run), select_device("cpu")
    store.record(run, "training", network_run.train(settings, 4, data, folder, device))
    return images, splits.to_table(), store, run, network_run.evaluate(settings, 4, data, folder, device)


def whole(_store, _run):
    """All of it was kept."""


def gone(store, run):
    for file in store.path(run).glob("predictions_*.parquet"):
        file.unlink()


def damaged(store, run):
    predictions_file(store.path(run), "test").write_bytes(b"half")


@pytest.mark.parametrize("detail", ["full", "correct"])
@pytest.mark.parametrize("harm", [whole, gone, damaged])
def test_the_report_has_the_predictions_of_the_best_run(trained, harm, detail):
    images, splits, store, run, outcome = trained
    store.record(run, "evaluation", kept(outcome, detail))
    harm(store, run)
    columns = {"status": "complete", "reason": None, "validation_accuracy": 0.5, "other_metrics": None}
    names = ("study", "variant", "seed", "data_fingerprint")
    row = {name: getattr(run, name) for name in names} | columns | {"run_fingerprint": run.fingerprint}
    results = pd.DataFrame([row | {"test_accuracy": outcome.metrics["test_accuracy"]}])
    table = collect_predictions(results, store.folder, images, splits)
    plain, three, _ = outcome.predictions
    assert table["correct"].mean() == outcome.metrics["test_accuracy"]
    np.testing.assert_allclose(table.filter(like="probability_").to_numpy(), plain.probabilities, atol=1e-3)
    model = {"configuration": run.configuration}
    submitted, _, summary = write_evaluation(results, store.folder, images, splits, model)
    assert submitted["predictions"]["Labels"].tolist() == plain.predicted.tolist()
    assert submitted["predictions_tta3"]["Labels"].tolist() == three.predicted.tolist()
    assert summary["test_accuracy"] == outcome.metrics["test_accuracy"]
