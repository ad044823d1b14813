"""`kedro runs` on what the demo has left."""

import json
import re
import shutil

import pandas as pd
import pytest
from tests.conftest import Project

from vision_studies.config.registry import METHODS

STUDY = "demo+quick"
ORIGINAL_METRICS = ["epoch", "train_loss", "train_acc", "val_loss", "val_acc", "learning_rate", "time_elapsed"]
ORIGINAL_METRICS += ["memory_used_mb", "batch_time_ms", "eta_hours"]

pytestmark = pytest.mark.slow


@pytest.fixture
def results(demo_project) -> pd.DataFrame:
    return pd.read_parquet(demo_project.folder / f"data/07_model_output/{STUDY}/cifar_resnet/results.parquet")


def test_runs_are_listed_with_their_accuracies(demo_project, results):
    listed = demo_project.run("runs", "list", f"--env={STUDY}").stdout
    for row in results.itertuples():
        line = next(line for line in listed.splitlines() if row.run_fingerprint in line)
        assert f"{100 * row.test_accuracy:.2f} %" in line
        assert f"{100 * row.validation_accuracy:.2f} %" in line


def test_all_runs_of_a_finished_study_are_of_its_question_until_another_is_asked(demo_project, results, tmp_path):
    listed = demo_project.run("runs", "list", f"--env={STUDY}").stdout
    pipelines = {line.split()[1] for line in listed.splitlines() if line.startswith(STUDY)}
    assert pipelines == set(METHODS) - {"clustering"}  # which works in the runs of transfer_cuts
    assert {line.split()[-1] for line in listed.splitlines() if line.startswith(STUDY)} == {"present"}
    project = copy(demo_project, tmp_path)
    newest = max((project.folder / f"data/08_reporting/{STUDY}/run_records").iterdir())
    record = json.loads(newest.read_text())
    record["parameters"]["cifar_resnet"]["seeds"] = [0]
    (newest.parent / f"{newest.stem}z.json").write_text(json.dumps(record))
    listed = project.run("runs", "list", f"--env={STUDY}").stdout
    for row in results.itertuples():
        line = next(line for line in listed.splitlines() if row.run_fingerprint in line)
        assert line.endswith("present" if row.seed == 0 else "earlier")
    assert (
        f"{(results['seed'] != 0).sum()} of {listed.count('complete ')} runs are not of the present question" in listed
    )


def test_configurations_are_compared_whatever_question_asked_for_them(demo_project):
    results = pd.read_parquet(demo_project.folder / f"data/07_model_output/{STUDY}/stacking/results.parquet")
    results = results.drop_duplicates("run_fingerprint")
    first, second = results["variant"].unique()[:2]
    of = {name: results[results["variant"] == name] for name in (first, second)}
    named = [of[name]["run_fingerprint"].iloc[0] for name in (first, second)]
    compared = demo_project.run("runs", "compare", *named).stdout
    for name, rows in of.items():
        line = next(line for line in compared.splitlines() if line.startswith(name))
        assert line.removeprefix(name).split()[:2] == [str(len(rows)), f"{100 * rows['test_accuracy'].mean():.2f}"]
    assert f"'{second}'" in compared
    assert f"({len(of[second])} shared seeds;" in compared
    assert f"'{second}' differs from '{first}' in" in compared
    for wrong in (named[:1], list(of[first]["run_fingerprint"][:2])):
        refused = demo_project.run("runs", "compare", *wrong, succeeds=False)
        assert "Name two runs or more of different configurations" in refused.stderr


def test_the_accuracy_of_a_checkpoint_is_that_of_its_run(demo_project, results):
    row = results.iloc[0]
    run = demo_project.folder / f"data/06_models/{STUDY}/cifar_resnet/runs/{row['run_fingerprint']}"
    named = demo_project.run("runs", "accuracy", row["run_fingerprint"][:6], f"--env={STUDY}").stdout
    assert f"validation: accuracy {100 * row['validation_accuracy']:.2f} %" in named
    tested = demo_project.run("runs", "accuracy", str(run / "weights.safetensors"), f"--env={STUDY}", "--split=test")
    assert f"test: accuracy {100 * row['test_accuracy']:.2f} %" in tested.stdout
    history = pd.read_parquet(run / "history.parquet")
    last = demo_project.run("runs", "accuracy", str(run / "checkpoints/final.safetensors"), f"--env={STUDY}").stdout
    assert f"accuracy {100 * history['validation_accuracy'].iloc[-1]:.2f} %" in last


def test_a_network_is_not_scored_on_other_images(demo_project, results, tmp_path):
    project = copy(demo_project, tmp_path)
    other = f"--env={STUDY}+other"
    folder = project.folder / "conf/other"
    folder.mkdir(exist_ok=True)
    (folder / "parameters.yml").write_text("data_prep: {splits: {seed: 9}}\n", encoding="utf-8")
    project.run("run", other, "--pipeline=data_prep", "--params=data_prep.ffcv=false")
    weights = f"data/06_models/{STUDY}/cifar_resnet/runs/{results['run_fingerprint'].iloc[0]}/weights.safetensors"
    done = project.run("runs", "accuracy", weights, other, succeeds=False)
    assert "was trained on other images or splits" in done.stderr


def test_tidying_only_names_the_files_until_it_is_told_to_delete(demo_project, tmp_path):
    project = copy(demo_project, tmp_path)
    before = files(project)
    named = project.run("runs", "clean", f"--env={STUDY}").stdout
    assert "could be deleted; add --delete" in named
    assert files(project) == before
    project.run("runs", "clean", f"--env={STUDY}", "--delete")
    gone = before - files(project)
    assert gone
    assert all(re.fullmatch(r"epoch_\d+\.safetensors", path.name) for path in gone)
    assert "nothing to tidy" in project.run("runs", "clean", f"--env={STUDY}").stdout


def test_a_labelled_run_is_exported_in_the_original_layout_and_drawn(demo_project, results, tmp_path):
    row = results.iloc[0]
    project = copy(demo_project, tmp_path)
    project.run("runs", "label", row["run_fingerprint"], "mine")
    project.run("runs", "export", "mine", "exported")
    exported = project.folder / "exported"
    metrics = pd.read_csv(exported / "metrics.csv")
    assert list(metrics.columns) == ORIGINAL_METRICS
    assert metrics["val_acc"].max() == pytest.approx(100 * row["validation_accuracy"])
    config = json.loads((exported / "config.json").read_text())
    assert len(config) == 33
    assert (config["model_name"], config["num_epochs"], config["lr_schedule"]) == ("resnet_small", 6, "onecycle")
    log = (exported / "training.log").read_text()
    assert f"Total Parameters: {row['parameters']:,}" in log
    assert f"Best validation accuracy: {100 * row['validation_accuracy']:.4f}%" in log
    figures = {"loss_plot.png", "validation_plot.png", "learning_rate_plot.png", "combined_plot.png"}
    assert {path.name for path in (exported / "figures").iterdir()} == figures
    project.run("runs", "graphs", *results["run_fingerprint"], "--output=together")
    assert {path.name for path in (project.folder / "together").iterdir()} == figures
    assert "is there already" in project.run("runs", "export", "mine", "exported", succeeds=False).stderr


def copy(project: Project, folder) -> Project:
    shutil.copytree(project.folder, folder / "copy")
    copied = object.__new__(Project)
    copied.folder = folder / "copy"
    return copied


def files(project: Project) -> set:
    return {path.relative_to(project.folder) for path in project.folder.rglob("*.safetensors")}


@pytest.mark.slow
def test_runs_of_another_pipeline_are_listed_and_drawn_and_else_refused_in_a_sentence(demo_project, tmp_path):
    runs = demo_project.folder / "data/06_models/demo+quick/mlp_transfer/runs"
    fingerprint = next(folder.name for folder in runs.iterdir() if (folder / "weights.safetensors").is_file())
    assert fingerprint in demo_project.run("runs", "list", "--env=demo+quick").stdout
    demo_project.run("runs", "graphs", fingerprint, "--env=demo+quick", "-o", str(tmp_path / "graphs"))
    assert len(list((tmp_path / "graphs").glob("*.png"))) == 4
    for arguments in (("accuracy", fingerprint), ("export", fingerprint, str(tmp_path / "copy"))):
        refused = demo_project.run("runs", *arguments, "--env=demo+quick", succeeds=False)
        assert "this command works on runs of cifar_resnet" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_plan_is_what_the_study_would_do_and_changes_nothing(demo_project):
    def state():
        everything = (demo_project.folder / name for name in ("data", "conf"))
        files = (path for folder in everything for path in folder.rglob("*"))
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}

    before = state()
    finished = demo_project.run("runs", "plan", f"--env={STUDY}").stdout
    assert re.search(r"^Nothing would be trained: all \d+ runs are finished and reused\.$", finished, re.MULTILINE)
    changed = "--params=cifar_resnet.run.training.optimizer.learning_rate=0.07,mlp_transfer.training.epochs=3"
    planned = json.loads(demo_project.run("runs", "plan", f"--env={STUDY}", changed, "--json").stdout)
    assert state() == before
    actions = {}
    for stage in planned[0]["forecasts"]:
        for own in stage["decisions"]:
            key = stage["pipeline"], stage["stage"], own["action"], tuple(name for name, _, _ in own["changes"])
            actions[key] = actions.get(key, 0) + 1
    touched = {key[1:]: count for key, count in actions.items() if key[2] != "reuse"}
    variants = len(pd.read_parquet(demo_project.folder / f"data/07_model_output/{STUDY}/cifar_resnet/results.parquet"))
    assert touched == {
        ("training", "train", ("training.optimizer.learning_rate",)): variants,
        ("evaluation", "later", ()): variants,
        ("search", "train", ("training.epochs",)): 10,
    }
    assert {key[0] for key in actions if key[2] != "reuse"} == {"cifar_resnet", "mlp_transfer"}
