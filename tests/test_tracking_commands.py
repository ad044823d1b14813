"""MLflow and Weights & Biases beside a real study."""

import shutil

import pandas as pd
import pytest
from tests.conftest import Project
from tests.tracking.wandb_files import read_offline_runs

ON = "tracking.mlflow.enabled=true,tracking.wandb.enabled=true,tracking.patience=300"


@pytest.fixture
def stacks(demo_project, tmp_path) -> Project:
    """The demo's stacks alone: tables and what is drawn of them, without the trained networks."""
    project = Project(tmp_path)
    shutil.copytree(demo_project.folder / "conf", project.folder / "conf", dirs_exist_ok=True)
    for part in ("07_model_output/demo+quick/stacking", "08_reporting/demo+quick/stacking"):
        shutil.copytree(demo_project.folder / "data" / part, project.folder / "data" / part)
    return project


def test_a_command_logs_its_study_to_both(stacks):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    pytest.importorskip("wandb", reason="needs the extra wandb")
    arguments = ("run", "--env=demo+quick", "--pipeline=stacking", "--nodes=stacking.tabulate_study")
    told = stacks.run(*arguments, f"--params={ON}").stdout
    data = stacks.folder / "data"
    results = pd.read_parquet(data / "07_model_output/demo+quick/stacking/results.parquet")
    assert f"MLflow: {len(results)} runs in experiment vision_studies" in told
    assert f"Weights & Biases: {len(results)} runs in project vision_studies (offline" in told

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{data}/09_tracking/mlflow.db")
    experiment = client.get_experiment_by_name("vision_studies").experiment_id
    children = client.search_runs([experiment], "tags.table = 'results'")
    assert len(children) == len(results)
    (parent,) = client.search_runs([experiment], "tags.study = 'demo+quick' and attributes.run_name LIKE 'study:%'")
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"
    runs = read_offline_runs(data / "09_tracking/wandb")
    assert len(runs) == len(results) + 1

    histories = pd.read_parquet(data / "07_model_output/demo+quick/stacking/histories.parquet")
    variant = results["variant"].iloc[0]
    own = histories[(histories["variant"] == variant) & (histories["seed"] == 0)].set_index("epoch")
    stack = next(child for child in children if child.info.run_name == f"stacking: {variant}, seed 0")
    offline = runs[f"stacking: {variant}, seed 0"]
    for column, name in {
        "train_loss_base_1": "model_0/train_loss",
        "validation_loss_base_3": "model_2/val_loss",
        "train_loss_meta": "meta/train_epoch_loss",
        "validation_loss": "meta/val_loss",
        "train_loss": "train/epoch_loss",
    }.items():
        expected = list(own[column].items())
        logged = client.get_metric_history(stack.info.run_id, name)
        assert [(point.step, point.value) for point in logged] == expected
        assert offline.values(name) == expected
    assert offline.config["study_run"] == runs["study: demo+quick"].id
