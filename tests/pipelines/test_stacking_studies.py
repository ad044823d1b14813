"""Studies of stacks, in real processes."""

import json
import re
import shutil
import signal
import time

import pandas as pd
import pytest
import yaml
from tests.conftest import without_figures

TINY = """
stacking:
  seeds: [0, 1]
  networks:
    resnet9: {model: {stem_width: 4, widths: [4, 8]}}
    resnet18: {model: {stem_width: 4, widths: [4, 8]}}
  run:
    base_learners: [resnet9, resnet9]
    meta_learner: {hidden: [8], image_features: null}
    training: {epochs: %d, batch_size: 64, checkpoint_every: 1}
"""
SEARCH = """
  variants: [{name: only, changes: {}, space: null}]
  opponents: []
  search:
    trials: %d
    timeout: null
    seed: 42
    storage: null
    sampler: {name: tpe, startup_trials: 2}
    pruner: {name: median, startup_trials: 2, warmup_epochs: 1}
    spaces:
      sgd:
        training.optimizer.learning_rate: {low: 0.001, high: 0.5, scale: log}
        training.optimizer.nesterov: {options: {"yes": true, "no": false}}
"""


def environment(project, text):
    (project.folder / "conf/tiny").mkdir(exist_ok=True)
    (project.folder / "conf/tiny/parameters.yml").write_text(text, encoding="utf-8")


def outputs(project, study="demo+tiny"):
    return project.folder / f"data/07_model_output/{study}/stacking"


def run(project, *arguments, env="demo+tiny", **options):
    return project.run("run", f"--env={env}", *arguments, **options)


def check_members(curves, scored):
    """The ends of the curve of the average are what single networks and the average have in the table."""
    assert set(curves["variant"]) == {"3x_resnet9", "average"}
    average = curves[curves["variant"] == "average"].set_index("members")["accuracy"]
    assert average[2] == pytest.approx(scored["average"])
    assert average[1] == pytest.approx(scored[["resnet9 alone, 1", "resnet9 alone, 2"]].mean())


@pytest.mark.slow
def test_a_study_trains_its_opponents_scores_everything_once_and_writes_all_its_files(project):
    environment(project, TINY % 2)
    run(project, "--pipeline=data_prep")
    run(project, "--pipeline=stacking")
    folder = outputs(project)
    results = pd.read_parquet(folder / "results.parquet")
    plan = json.loads((folder / "plan.json").read_text())
    names = [
        *("3x_resnet9", "resnet9 alone, 1", "resnet9 alone, 2", "best learner", "average", "weighted average"),
        *("greedy selection", "greedy soup", "same parameters", "same operations"),
    ]
    assert [entry["name"] for entry in plan] == names
    assert sorted(set(results["variant"])) == sorted(names)
    assert results.groupby("variant")["seed"].apply(list).map(sorted).map(str).unique().tolist() == ["[0, 1]"]
    assert set(results["status"]) == {"complete"}
    assert results["test_accuracy"].notna().all()

    reports = project.folder / "data/08_reporting/demo+tiny/stacking"
    comparison = json.loads((reports / "comparison.json").read_text())
    row = comparison["variants"][0]
    scores = results[results["variant"] == "3x_resnet9"]["test_accuracy"]
    assert (row["n"], row["standard_deviation"]) == (2, pytest.approx(scores.std(ddof=1)))
    against = comparison["opponents"]["3x_resnet9"]
    assert [own["variant"] for own in against] == ["3x_resnet9", *names[3:]]
    assert all(own["pairs"] == 2 and own["sentence"] for own in against[1:])
    assert len(json.loads((reports / "conclusions.json").read_text())) == 7
    markdown = (reports / "tables/configuration_comparison.md").read_text()
    assert markdown.count("\n|") == 2 + len(names)
    latex = (reports / "tables/configuration_comparison.tex").read_text()
    assert r"3x\_resnet9 & 2 &" in latex
    assert r"\toprule" in latex
    assert (reports / "tables/efficiency_metrics.tex").is_file()
    details = (reports / "tables/architecture_details.md").read_text()
    assert details.count("resnet_small") == 2
    assert "meta-learner" in details
    check_members(pd.read_csv(folder / "members.csv"), results.groupby("variant")["test_accuracy"].mean())
    for figure in ("comparison", "opponents", "efficiency", "members", "learning_curves", "parts"):
        assert (reports / f"{figure}.png").is_file(), figure
    study = json.loads((folder / "experiment_results/3x_resnet9/study_results.json").read_text())
    assert study["variant_name"] == "3x_resnet9"
    assert study["mock"] is False
    assert len(study["all_trials"]) == len(study["trial_accuracies"]) == 2
    assert study["all_trials"][0]["state"] == 1
    assert study["best_history"]["epochs"] == [1, 2]
    parameters = results.loc[results["variant"] == "3x_resnet9", "parameters"]
    assert study["model_stats"]["total_params"] == parameters.iloc[0]
    histories = pd.read_parquet(folder / "histories.parquet")
    stack = histories[histories["variant"] == "3x_resnet9"]
    assert {"validation_accuracy_base_2", "train_loss_meta", "validation_disagreement"} <= set(stack)
    again = run(project, "--pipeline=stacking")
    assert "steps had nothing new to work with, and their results stay" in again.stdout
    whole = run(project, "--pipeline=stacking", "--runner=SequentialRunner", without_figures("stacking"))
    assert "training: 10 of 10 runs are finished and reused" in whole.stdout
    assert not re.search(r"warning|traceback", again.stdout + again.stderr, re.IGNORECASE)


@pytest.mark.slow
def test_made_up_numbers_can_not_pass_for_results(project):
    environment(project, TINY % 12 + SEARCH % 8)
    run(project, "--pipeline=data_prep")
    run(project, "--pipeline=stacking", "--params=stacking.run.trainer=mock")
    folder = outputs(project)
    results = pd.read_parquet(folder / "results.parquet")
    assert set(results["device"]) == {"mock"}
    assert results["configuration"].map(lambda own: json.loads(own)["mock"]).all()
    reports = project.folder / "data/08_reporting/demo+tiny"
    for table in (reports / "stacking/tables").iterdir():
        assert "[mock]" in table.read_text()
    assert json.loads((folder / "experiment_results/only/study_results.json").read_text())["mock"] is True
    done = run(project, "--pipeline=reporting", "--params=stacking.run.trainer=mock")
    assert "only [chosen] [mock]" in done.stdout
    assert "Marked 'mock': all." in done.stdout
    assert "its numbers answer no question" in done.stdout
    page = (reports / "report.html").read_text(encoding="utf-8")
    assert re.search(r"only.{0,200}mock", page, re.DOTALL)
    trials = json.loads((folder / "trials.json").read_text())["only"]["trials"]
    assert {trial["status"] for trial in trials} == {"complete", "pruned"}  # pruning is real
    found = yaml.safe_load((folder / "experiment_results/only/search_results.yaml").read_text())
    assert (found["best_trial_state"], found["optimizer_type"], found["n_trials"]) == ("COMPLETE", "sgd", 8)
    assert found["timestamp"] == pd.read_parquet(folder / "trial_results.parquet")["finished_at"].max()
    # What was found is an environment by itself, of the very runs that the search has led to.
    (project.folder / "conf/found").mkdir()
    shutil.copy(folder / "experiment_results/only/best_training.yaml", project.folder / "conf/found/parameters.yml")
    planned = json.loads(
        project.run("runs", "plan", "--env=found", "--pipeline=stacking", "--no-timing", "--json").stdout
    )
    fingerprints = [own["fingerprint"] for own in planned[0]["forecasts"][0]["decisions"]]
    assert fingerprints == results["run_fingerprint"].tolist()
    # A real run of the same study is another run: nothing made up is reused.
    fewer = "--params=stacking.search.trials=2"
    real = run(project, "--pipeline=stacking", fewer, without_figures("stacking"))
    assert "reused" not in real.stdout
    assert set(pd.read_parquet(folder / "results.parquet")["device"]) == {"cpu"}


@pytest.mark.slow
def test_a_search_is_killed_joined_by_another_process_and_ends_as_if_nothing_had_happened(project):
    environment(project, TINY % 10 + SEARCH % 6)
    run(project, "--pipeline=data_prep")
    runs = project.folder / "data/06_models/demo+tiny/stacking/runs"

    def wait(process, ready):
        deadline = time.monotonic() + 200
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def at_work(finished):
        checkpoints = [
            path for path in runs.glob("*/checkpoints/*") if not (path.parents[1] / "training.json").exists()
        ]
        return len(list(runs.glob("*/training.json"))) >= finished and checkpoints

    process = project.start("run", "--env=demo+tiny", "--pipeline=stacking")
    wait(process, lambda: at_work(2))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished = {file: file.read_bytes() for file in runs.glob("*/training.json")}
    assert 2 <= len(finished) < 6

    first = project.start("run", "--env=demo+tiny", "--pipeline=stacking")
    wait(first, lambda: len(list(runs.glob("*/training.json"))) > len(finished))
    joined = run(project, "--pipeline=stacking", "--tags=search")
    out, err = first.communicate(timeout=200)
    assert first.returncode == 0, out + err
    assert "interrupted and goes on" in out + joined.stdout
    assert all(file.read_bytes() == content for file, content in finished.items())
    trials = json.loads((outputs(project) / "trials.json").read_text())["only"]["trials"]
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert {trial["status"] for trial in trials} <= {"complete", "pruned"}
    results = pd.read_parquet(outputs(project) / "results.parquet")
    assert results["seed"].tolist() == [0, 1]  # the winner, with seeds that chose nothing
    best = max((trial for trial in trials if trial["status"] == "complete"), key=lambda trial: trial["value"])
    rate = json.loads(results["configuration"].iloc[0])["training.optimizer.learning_rate"]
    assert rate == pytest.approx(best["params"]["training.optimizer.learning_rate"])
    described = yaml.safe_load((outputs(project) / "experiment_results/only/search_results.yaml").read_text())
    assert described["n_trials"] == 6
    stats = json.loads((outputs(project) / "experiment_results/only/hyperparameter_stats.json").read_text())
    assert stats["training.optimizer.nesterov"]["type"] == "categorical"
    shown = {file.stem for file in (outputs(project) / "experiment_results/only").glob("*.png")}
    assert {
        "training_histories",
        "hyperparameters",
        "numerical_hyperparameters",
        "categorical_hyperparameters",
    } <= shown


@pytest.mark.slow
def test_a_variant_that_diverges_is_recorded_with_its_opponents_and_the_study_goes_on(project):
    wild = "{training: {optimizer: {learning_rate: 1.0e+30}, schedule: {name: constant, warmup_epochs: 0}}}"
    variants = f"[{{name: calm, space: null, changes: {{}}}}, {{name: wild, space: null, changes: {wild}}}]"
    environment(project, TINY % 1 + f"  opponents: [average, same_macs]\n  variants: {variants}\n")
    run(project, "--pipeline=data_prep")
    run(project, "--pipeline=stacking", without_figures("stacking"))
    table = pd.read_parquet(outputs(project) / "results.parquet").set_index(["variant", "seed"])
    assert set(table.loc["calm", "status"]) == {"complete"}
    assert set(table.loc["wild", "status"]) == set(table.loc["average (wild)", "status"]) == {"diverged"}
    assert table.loc[("wild", 0), "reason"] == "the training loss was not finite"
    assert "has no weights to combine" in table.loc[("average (wild)", 0), "reason"]
    assert table.loc["calm", "test_accuracy"].notna().all()
    done = run(project, "--pipeline=reporting")
    told = re.sub(r"\s+", " ", done.stdout)
    assert "'wild' has no result: seeds 0 and 1 diverged (the training loss was not finite)." in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  run: {base_learners: [resnet99]}\n", "base_learners names 'resnet99', which is none of networks"),
        ("  run: {base_learners: []}\n", "stacking.run.base_learners"),
        ("  run: {mode: cross_validated, folds: {number: 999}}\n", "folds.number=999 but the rarest class has"),
        ("  networks: {resnet9: {weights_file: nothing.pth}}\n", "weights_file=nothing.pth does not exist"),
        (
            "  networks: {resnet9: {model: {name: torchvision, network: resnet19}}}\n",
            "model.network='resnet19' is no classifier of torchvision. Did you mean 'resnet18'?",
        ),
        (
            "  variants: [{name: a, space: null, changes: {loss: {form: interpolation, alpha: 2}}}]\n",
            "alpha (2) must lie between 0 and 1 with form: interpolation",
        ),
    ],
)
def test_mistakes_are_told_once_in_one_sentence_before_anything_is_trained(prepared, text, message):
    environment(prepared, f"stacking:\n{text}")
    done = run(prepared, "--pipeline=stacking", succeeds=False)
    assert (done.stdout + done.stderr).count(message) == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((prepared.folder / "data/06_models/demo+tiny").glob("stacking/runs/*/checkpoints/*"))
