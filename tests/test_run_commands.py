"""`kedro runs` on what the demo has left."""

import json
import re
import shutil

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock
from tests.conftest import Project

from vision_studies.cli import cli
from vision_studies.config.registry import METHODS
from vision_studies.errors import ParameterError
from vision_studies.serving.run_scores import score_model
from vision_studies.studies.method import networks_of
from vision_studies.studies.stored_runs import find_runs

STUDY = "demo+quick"
ORIGINAL_METRICS = ["epoch", "train_loss", "train_acc", "val_loss", "val_acc", "learning_rate", "time_elapsed"]
ORIGINAL_METRICS += ["memory_used_mb", "batch_time_ms", "eta_hours"]

pytestmark = pytest.mark.slow


@pytest.fixture
def results(demo_project) -> pd.DataFrame:
    return pd.read_parquet(demo_project.folder / f"data/07_model_output/{STUDY}/cifar_resnet/results.parquet")


@pytest.fixture
def within(monkeypatch):
    """Runs `kedro runs` in a project's folder, in this process: each start of Python takes seconds."""

    def run(project, *arguments, fails=False):
        monkeypatch.chdir(project.folder)
        done = CliRunner().invoke(cli, ["runs", *map(str, arguments)], catch_exceptions=False)
        assert (done.exit_code != 0) == fails, done.output
        return done

    return run


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
    shutil.rmtree(newest.parent)  # then nobody knows what was asked
    listed = project.run("runs", "list", f"--env={STUDY}").stdout
    assert "earlier" not in listed
    assert "present question" not in listed


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


def test_the_accuracy_of_a_checkpoint_is_that_of_its_run(demo_project, results, tmp_path, within):
    row = results.iloc[0]
    run = demo_project.folder / f"data/06_models/{STUDY}/cifar_resnet/runs/{row['run_fingerprint']}"
    named = within(demo_project, "accuracy", row["run_fingerprint"][:6], f"--env={STUDY}").stdout
    assert f"validation: accuracy {100 * row['validation_accuracy']:.2f} %" in named
    tested = within(demo_project, "accuracy", str(run / "weights.safetensors"), "--split=test")
    assert f"test: accuracy {100 * row['test_accuracy']:.2f} %" in tested.stdout
    best = results.loc[results["validation_accuracy"].idxmax()]
    selected = demo_project.folder / f"data/06_models/{STUDY}/cifar_resnet/model.safetensors"
    for file in (selected, shutil.copy(selected, tmp_path / "moved.safetensors")):
        scored = within(demo_project, "accuracy", str(file), "--split=test").stdout
        assert f"test: accuracy {100 * best['test_accuracy']:.2f} %" in scored
    history = pd.read_parquet(run / "history.parquet")
    last = within(demo_project, "accuracy", str(run / "checkpoints/final.safetensors"), f"--env={STUDY}").stdout
    assert f"accuracy {100 * history['validation_accuracy'].iloc[-1]:.2f} %" in last


def test_accuracies_are_collected_in_a_table_of_the_original_form(demo_project, results, tmp_path, within):
    table, row = tmp_path / "model_accuracy.csv", results.iloc[0]
    for split in ("validation", "test"):
        within(demo_project, "accuracy", row["run_fingerprint"], f"--split={split}", f"--output={table}")
    rows = pd.read_csv(table)
    assert list(rows.columns) == ["model_path", "model_name", "test_accuracy", "val_accuracy"]
    assert set(rows["model_name"]) == {"resnet_small"}
    assert rows["val_accuracy"][0] == pytest.approx(100 * row["validation_accuracy"], abs=1e-4)
    assert rows["test_accuracy"][1] == pytest.approx(100 * row["test_accuracy"], abs=1e-4)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    refused = within(demo_project, "accuracy", row["run_fingerprint"], f"--output={other}", fails=True)
    assert "has other columns than" in refused.stderr
    assert other.read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("pipeline", ["cifar_resnet", "transfer_cuts"])
def test_right_and_wrong_predictions_of_a_run_are_drawn(demo_project, tmp_path, pipeline, within):
    runs = find_runs(demo_project.folder / "data/06_models", STUDY)
    run = next(run for run in runs if run.description["pipeline"] == pipeline and run.status == "complete")
    pictures = tmp_path / "predictions.png"
    within(demo_project, "predictions", run.fingerprint, "--correct=3", "--wrong=2", f"--output={pictures}")
    assert pictures.read_bytes().startswith(b"\x89PNG")
    refused = within(demo_project, "predictions", run.fingerprint, "--correct=0", "--wrong=0", fails=True)
    assert "leave nothing to draw" in refused.stderr


def test_every_class_of_a_variant_has_precision_recall_and_f1_over_its_repeats(demo_project, tmp_path, within):
    results = pd.read_parquet(demo_project.folder / f"data/07_model_output/{STUDY}/transfer_cuts/results.parquet")
    variant = results["variant"].value_counts().index[0]
    runs = results[results["variant"] == variant]
    arguments = ("--env", STUDY, "--split=test", "-o", tmp_path / "classes.csv")
    shown = within(demo_project, "classes", "--variant", variant, *arguments).stdout
    assert f"mean and sample standard deviation of {len(runs)} runs" in shown
    table = pd.read_csv(tmp_path / "classes.csv")
    of_classes = table.iloc[:-1]
    # Recall, weighted by images, is the accuracy that the study has recorded.
    recall = (of_classes["recall"] * of_classes["images"]).sum() / of_classes["images"].sum()
    assert recall == pytest.approx(runs["test_accuracy"].mean(), abs=0.01)
    within(demo_project, "classes", runs["run_fingerprint"].iloc[0], *arguments)
    alone = pd.read_csv(tmp_path / "classes.csv")
    assert alone["class"].tolist() == table["class"].tolist()
    assert "there are '" in within(demo_project, "classes", "--variant=none", "--env", STUDY, fails=True).stderr
    assert "Name one RUN or several, or a --variant" in within(demo_project, "classes", fails=True).stderr


def test_a_network_is_scored_on_the_images_of_its_training_or_not_at_all(demo_project, results, tmp_path):
    project = copy(demo_project, tmp_path)
    row = results.iloc[0]
    arguments = (
        "run",
        f"--env={STUDY}",
        "--pipeline=data_prep",
        "--params=data_prep.ffcv=false,data_prep.splits.seed=9",
    )
    first = {path.parent for path in project.folder.glob("data/03_primary/*/splits.parquet")}
    project.run(*arguments)  # other splits, which it must not be scored on
    scored = project.run("runs", "accuracy", row["run_fingerprint"], f"--env={STUDY}").stdout
    assert f"validation: accuracy {100 * row['validation_accuracy']:.2f} %" in scored
    for folder in first:
        shutil.rmtree(folder)
    refused = project.run("runs", "accuracy", row["run_fingerprint"], f"--env={STUDY}", succeeds=False)
    assert "was trained on images that are not in" in refused.stderr
    project.run("runs", "export", row["run_fingerprint"], "late")
    assert "Layers: not known, because the images" in (project.folder / "late/training.log").read_text()


KINDS = {
    **{
        "choose": 2,
        "cifar_resnet": 1,
        "stacking": 3,
        "transfer_cuts": 2,
        "clustering": 0,
        "mlp_transfer": 1,
        "alphanet": 3,
    },
}
"""Pipeline -> how many kinds of its runs the demo has at least, told apart by what their configuration says."""

REFUSED = {"clustering": "name the run of transfer_cuts"}
"""Pipeline -> what is said of runs that cannot be scored; those of all others can."""


@pytest.mark.parametrize("pipeline", METHODS)
def test_runs_of_every_pipeline_are_scored_as_their_study_scored_them_or_refused_in_a_sentence(demo_project, pipeline):
    kinds = {}
    for run in find_runs(demo_project.folder / "data/06_models", STUDY):
        configuration = run.description["configuration"]
        kind = (*sorted(configuration), configuration.get("method"), configuration.get("rule"))
        if run.description["pipeline"] == pipeline and run.status == "complete":
            kinds.setdefault(kind, run)
    assert len(kinds) >= KINDS[pipeline]
    refused = set()
    for kind, run in kinds.items():
        for split in ("validation", "test"):
            recorded = run.metric(f"{split}_accuracy")
            if recorded is None:
                continue
            try:
                scores = score_model(run.folder, split, torch.device("cpu"))
            except ParameterError as error:
                refused.add(str(error))
                continue
            # In bfloat16 an image between two classes may fall to either, by what else is in the batch.
            assert scores[f"{split}_accuracy"] == pytest.approx(recorded, abs=0.01), (kind, split)
    if not kinds:
        refused.add(networks_of(pipeline).unusable({}, demo_project.folder))
    assert {pipeline for text in refused if REFUSED[pipeline] in text} == ({pipeline} & REFUSED.keys())
    assert all(REFUSED[pipeline] in text for text in refused)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("transfer_cuts/runs/*/clusters-*.parquet", "is no whole safetensors file"),
        ("alphanet/runs/*/predictions_test.parquet", "holds no classifier; name its run"),
        ("cifar_resnet/runs/*/predictions_test.parquet", "is no whole safetensors file"),
    ],
)
def test_a_file_that_holds_no_classifier_is_left_as_it_is_and_told(demo_project, within, file, message):
    path = next(demo_project.folder.glob(f"data/06_models/{STUDY}/{file}"))
    assert message in within(demo_project, "accuracy", path, fails=True).stderr
    assert path.is_file()


def test_numbered_checkpoints_of_networks_in_other_pipelines_are_scored(demo_project):
    runs = find_runs(demo_project.folder / "data/06_models", STUDY)
    run = next(run for run in runs if run.description["configuration"].get("method") == "joint")
    final = run.folder / "checkpoints/final.safetensors"
    history = pd.read_parquet(run.folder / "history.parquet")
    scores = score_model(final, "validation", torch.device("cpu"))
    assert scores["validation_accuracy"] == pytest.approx(history["validation_accuracy"].iloc[-1], abs=0.01)


def test_tidying_only_names_the_files_until_it_is_told_to_delete(demo_project, results, tmp_path, within):
    project = copy(demo_project, tmp_path)
    before = files(project)
    named = within(project, "clean", f"--env={STUDY}").stdout
    assert "could be deleted; add --delete" in named
    assert files(project) == before
    busy, *others = sorted((project.folder / f"data/06_models/{STUDY}/cifar_resnet/runs").glob("*/.lock"))
    with FileLock(busy):
        within(project, "clean", f"--env={STUDY}", "--keep-every=3", "--delete")
    gone = before - files(project)
    assert all(re.fullmatch(r"epoch_\d+\.safetensors", path.name) for path in gone)
    left = {lock.parent.name: {file.name for file in numbered(lock.parent)} for lock in (busy, *others)}
    assert left.pop(busy.parent.name) == {"epoch_0005.safetensors", "epoch_0006.safetensors"}
    assert set(map(frozenset, left.values())) == {frozenset({"epoch_0006.safetensors"})}
    within(project, "clean", f"--env={STUDY}", "--delete")
    assert not [file for lock in (busy, *others) for file in numbered(lock.parent)]
    assert "nothing to tidy" in within(project, "clean", f"--env={STUDY}").stdout
    row = results.iloc[0]
    run = project.folder / f"data/06_models/{STUDY}/cifar_resnet/runs/{row['run_fingerprint']}"
    assert (run / "weights.safetensors").is_file()
    last = within(project, "accuracy", str(run / "checkpoints/final.safetensors")).stdout
    history = pd.read_parquet(run / "history.parquet")
    assert f"accuracy {100 * history['validation_accuracy'].iloc[-1]:.2f} %" in last


def test_a_labelled_run_is_exported_in_the_original_layout_and_drawn(demo_project, results, tmp_path, within):
    row = results.iloc[0]
    project = copy(demo_project, tmp_path)
    within(project, "label", row["run_fingerprint"], "mine")
    within(project, "export", "mine", "exported")
    exported = project.folder / "exported"
    metrics = pd.read_csv(exported / "metrics.csv")
    assert list(metrics.columns) == ORIGINAL_METRICS
    assert metrics["val_acc"].max() == pytest.approx(100 * row["validation_accuracy"])
    config = json.loads((exported / "config.json").read_text())
    assert len(config) == 34
    assert config["run_fingerprint"] == row["run_fingerprint"]
    assert (config["model_name"], config["num_epochs"], config["lr_schedule"]) == ("resnet_small", 6, "onecycle")
    log = (exported / "training.log").read_text()
    assert f"Total Parameters: {row['parameters']:,}" in log
    assert f"Best validation accuracy: {100 * row['validation_accuracy']:.4f}%" in log
    assert re.search(rf"total +{row['parameters']:,}$", log, re.MULTILINE)
    assert "Saved checkpoint: checkpoints/epoch_6.safetensors" in log
    saved = {path.name for path in (exported / "checkpoints").iterdir()}
    assert saved == {"epoch_5.safetensors", "epoch_6.safetensors"}
    figures = {"loss_plot.png", "validation_plot.png", "learning_rate_plot.png", "combined_plot.png"}
    assert {path.name for path in (exported / "figures").iterdir()} == figures
    within(project, "graphs", *results["run_fingerprint"], "--output=together")
    assert {path.name for path in (project.folder / "together").iterdir()} == figures
    within(project, "graphs", "exported/metrics.csv", row["run_fingerprint"], "--output=from_file", "--dpi=40")
    assert {path.name for path in (project.folder / "from_file").iterdir()} == figures
    assert "is there already" in within(project, "export", "mine", "exported", fails=True).stderr


def test_exports_are_named_by_what_the_run_is_and_follow_its_label(demo_project, results, tmp_path, within):
    project = copy(demo_project, tmp_path)
    row, other = results.iloc[0], results.iloc[1]["run_fingerprint"]
    exports, fingerprint = project.folder / "exports", row["run_fingerprint"]

    def exported():
        return {path.name for path in exports.iterdir()}

    within(project, "export", fingerprint)
    plain = f"resnet_small_acc{100 * row['validation_accuracy']:.2f}_epoch{row['best_epoch']}_{fingerprint[:8]}"
    assert exported() == {plain}
    within(project, "label", fingerprint, "best so far")
    assert exported() == {"best so far"}
    within(project, "export", other)
    taken = within(project, "label", other, "best so far", fails=True)
    assert "is there already and holds something else" in taken.stderr
    assert "best so far" not in within(project, "list").stdout.replace(fingerprint, "").split(other)[1].split("\n")[0]
    within(project, "label", fingerprint, "elsewhere", "--exports=nowhere")
    assert "best so far" in exported()
    assert "is there already" in within(project, "export", other, fails=True).stderr
    slashed = within(project, "label", fingerprint, "../up", fails=True)
    assert "could not be the name of a folder" in slashed.stderr


def copy(project: Project, folder) -> Project:
    shutil.copytree(project.folder, folder / "copy")
    copied = object.__new__(Project)
    copied.folder = folder / "copy"
    return copied


def numbered(folder) -> list:
    return sorted(folder.glob("checkpoints/epoch_*.safetensors"))


def files(project: Project) -> set:
    return {path.relative_to(project.folder) for path in project.folder.rglob("*.safetensors")}


@pytest.mark.slow
def test_runs_of_another_pipeline_are_listed_drawn_and_scored_and_not_exported(demo_project, tmp_path, within):
    runs = demo_project.folder / "data/06_models/demo+quick/mlp_transfer/runs"
    fingerprint = next(folder.name for folder in runs.iterdir() if (folder / "weights.safetensors").is_file())
    assert fingerprint in within(demo_project, "list", "--env=demo+quick").stdout
    within(demo_project, "graphs", fingerprint, "--env=demo+quick", "-o", str(tmp_path / "graphs"))
    assert len(list((tmp_path / "graphs").glob("*.png"))) == 4
    assert "validation: accuracy" in within(demo_project, "accuracy", fingerprint, "--env=demo+quick").stdout
    refused = demo_project.run(
        "runs", "export", fingerprint, str(tmp_path / "copy"), "--env=demo+quick", succeeds=False
    )
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
    planned = json.loads(demo_project.run("runs", "plan", f"--env={STUDY}", changed, "--no-timing", "--json").stdout)
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
