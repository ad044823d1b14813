"""The phases of `mlp_transfer`, in real processes."""

import json
import re
import shutil
import signal
import time

import pandas as pd
import pytest
import yaml
from tests.conftest import without_figures

METRICS = ["validation_loss", "validation_accuracy", "test_loss", "test_accuracy", "best_epoch", "status"]
SMALL = """
data_prep: {ffcv: false, splits: {test_fraction: 0.7}}
mlp_transfer:
  architectures: [[12], [8, 8], [10, 6]]
  seeds: [11, 12]
  search: {trials: 5}
  training: {epochs: %d, batch_size: 64, early_stopping: {patience: 30}}
  stack: {checkpoint_seconds: 0}
"""


def environment(project, epochs=8, extra=""):
    (project.folder / "conf/small").mkdir(exist_ok=True)
    (project.folder / "conf/small/parameters.yml").write_text(SMALL % epochs + extra, encoding="utf-8")


def outputs(project):
    return project.folder / "data/07_model_output/demo+small/mlp_transfer"


def tables(project):
    folder = outputs(project)
    return {
        "search": pd.read_parquet(folder / "search_results.parquet")[["variant", "trial", *METRICS]],
        "home": pd.read_parquet(folder / "results.parquet")[["variant", "seed", *METRICS]],
        "transfer": pd.read_parquet(folder / "transfer_runs.parquet"),
        "regret": pd.read_csv(folder / "transfer/regret_matrix.csv"),
    }


def wait(process, ready):
    deadline = time.monotonic() + 200
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


TO_THE_TABLES = ("run", "--env=demo+small", "--pipeline=mlp_transfer", "--to-nodes=mlp_transfer.tabulate_transfer")
"""All that is trained, without a figure."""


def kill_when(project, ready):
    process = project.start(*TO_THE_TABLES)
    wait(process, ready)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_killed_in_the_search_and_in_the_transfer_it_ends_with_the_same_tables(project):
    environment(project, epochs=20)
    project.run("run", "--env=demo+small", "--pipeline=data_prep")
    runs = project.folder / "data/06_models/demo+small/mlp_transfer/runs"

    def in_a_stack():
        return list(runs.glob("stacks/training/*/stack.safetensors"))

    kill_when(project, lambda: len(list(runs.glob("*/training.json"))) >= 5 and in_a_stack())
    finished = {file: file.read_bytes() for file in runs.glob("*/training.json")}
    assert 5 <= len(finished) < 15
    assert not (outputs(project) / "search_results.parquet").exists()

    kill_when(project, lambda: (outputs(project) / "results.parquet").exists() and in_a_stack())
    assert all(file.read_bytes() == content for file, content in finished.items())
    assert not (outputs(project) / "transfer_runs.parquet").exists()

    done = project.run(*TO_THE_TABLES)
    assert "search_hyperparameters" not in done.stdout  # which had ended
    interrupted = tables(project)
    project.run(*TO_THE_TABLES, "--params=fresh=true")
    for name, table in tables(project).items():
        pd.testing.assert_frame_equal(interrupted[name], table, check_exact=True, obj=name)


@pytest.mark.slow
def test_the_phases_run_alone_and_refuse_what_another_configuration_has_left(project):
    environment(project)
    (project.folder / "conf/small/environment.yml").write_text("pipelines: [mlp_transfer]\n", encoding="utf-8")
    project.run("run", "--env=demo+small", "--pipeline=data_prep")

    def phase(name, *, refused=""):
        done = project.run("run", "--env=demo+small", f"--tags={name}", succeeds=not refused)
        assert done.stderr.count(refused) == 1 if refused else "Traceback" not in done.stderr
        assert "Traceback" not in done.stderr
        return set(re.findall(r"mlp_transfer\.(\w+)", done.stdout))

    phase("transfer", refused="search_results.parquet yet; run the part of the pipeline that makes it")
    assert phase("search") == {"search_hyperparameters", "select_hyperparameters"}
    assert phase("retrain") == {"retrain_architectures"}
    assert not (outputs(project) / "search").exists()
    phase("search_report")
    assert not (outputs(project) / "transfer").exists()
    assert phase("transfer") == {"transfer_hyperparameters"}
    phase("report")
    check_the_published_files(outputs(project))
    check_the_transfer(outputs(project))
    check_that_the_report_is_made_anew_of_what_is_on_the_disk(project, lambda: phase("report"))

    earlier = kept(project)
    environment(project, epochs=9)
    phase("transfer", refused="searched for with another configuration (training differ)")
    phase("search")
    phase("report", refused="same command with --tags=retrain")
    phase("retrain")
    phase("report", refused="same command with --tags=transfer")
    phase("transfer")
    now = kept(project)
    assert {file: now[file] for file in earlier} == earlier  # nothing that was finished is written over
    assert sum(file.endswith("training.json") for file in now.keys() - earlier.keys()) >= 3 * 5 + 3 * 2
    environment(project)
    project.run("run", "--env=demo+small", "--pipeline=mlp_transfer")
    assert kept(project) == now  # what was asked before comes back without a training
    check_the_published_files(outputs(project))


def kept(project):
    """Files of finished runs with their bytes and times."""
    runs = project.folder / "data/06_models/demo+small/mlp_transfer/runs"
    files = [file for file in runs.glob("*/*") if file.is_file() and not file.name.startswith(".")]
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def check_that_the_report_is_made_anew_of_what_is_on_the_disk(project, report):
    figures = project.folder / "data/08_reporting/demo+small/mlp_transfer"
    made = [outputs(project) / "search", outputs(project) / "transfer", outputs(project) / "importance.csv", figures]

    def written():
        files = [file for path in made for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
        files = [file for file in files if ".versions" not in file.parts]
        texts = [file for file in files if file.suffix in (".csv", ".yaml", ".json")]
        return {*files}, {str(file): file.read_bytes() for file in texts}

    before, runs = written(), kept(project)
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = report()
    assert done >= {"tabulate_search", "plot_search", "tabulate_transfer", "plot_transfer", "conclude"}
    assert not done & {"search_hyperparameters", "retrain_architectures", "transfer_hyperparameters"}
    assert written() == before
    assert kept(project) == runs


def check_the_published_files(folder):
    for name, layers in {"12": [12], "8x8": [8, 8], "10x6": [10, 6]}.items():
        trials = pd.read_csv(folder / f"search/{name}/search_results.csv")
        assert trials.columns.tolist() == [
            *("trial", "best_val_loss", "test_loss", "best_epoch", "terminating_epoch", "lr", "beta1", "beta2", "eps"),
            *("weight_decay", "dropout", "leaky_relu_alpha", "status"),
        ]
        assert len(trials) == 5
        assert trials["test_loss"].isna().all()  # the search never sees the test split
        best = yaml.safe_load((folder / f"search/{name}/best_hyperparameters.yaml").read_text())
        assert best["architecture"] == {"name": name, "layers": layers}
        row = trials.loc[trials["best_val_loss"].idxmin()]
        assert best["best_trial_idx"] == row["trial"]
        assert best["hyperparameters"]["lr"] == pytest.approx(row["lr"])
        history = pd.read_csv(folder / f"search/{name}/best_trial/metrics.csv")
        assert history.columns.tolist() == ["epoch", "training_loss", "validation_loss"]
        assert (folder / f"search/{name}/best_trial/loss_curve.png").is_file()
        retrained = pd.read_csv(folder / f"search/{name}/retrain/seed_losses.csv")
        assert retrained["seed"].tolist() == [11, 12]
        summary = yaml.safe_load((folder / f"search/{name}/summary.yaml").read_text())
        assert summary["test_loss_stats"]["mean"] == pytest.approx(retrained["test_loss"].mean())
        assert yaml.safe_load((folder / f"search/{name}/retrain/seed_12/config.yaml").read_text())["seed"] == 12
    assert yaml.safe_load((folder / "search/search_meta.yaml").read_text()) == {
        "search_training_seed": 1,
        "protocol": "corrected",
    }
    assert len(yaml.safe_load((folder / "search/summary.yaml").read_text())["architectures"]) == 3
    assert len(pd.read_csv(folder / "search/search_seed_losses.csv")) == 6
    assert pd.read_csv(folder / "search/search_test_loss_stats.csv").columns.tolist() == [
        *("architecture", "mean", "var", "min", "max")
    ]


def check_the_transfer(folder):
    losses = pd.read_csv(folder / "transfer/transfer_seed_losses.csv")
    assert len(losses) == 3 * 3 * 2
    home = losses[losses["target_arch"] == losses["source_arch"]]
    retrained = pd.read_csv(folder / "search/search_seed_losses.csv")
    assert sorted(home["test_loss"]) == sorted(retrained["test_loss"])
    regret = pd.read_csv(folder / "transfer/regret_matrix.csv").set_index(["target_arch", "source_arch"])
    assert (regret.loc[[("12", "12"), ("8x8", "8x8")], "mean_regret"] == 0).all()
    wide = pd.read_csv(folder / "transfer/matrices/test_loss.csv").set_index("target_arch")
    assert wide.shape == (3, 3)
    cell = losses[(losses["target_arch"] == "12") & (losses["source_arch"] == "8x8")]
    assert wide.loc["12", "8x8"] == pytest.approx(cell["test_loss"].mean())
    sentences = json.loads(
        (folder.parents[2] / "08_reporting/demo+small/mlp_transfer/conclusions.json").read_text(encoding="utf-8")
    )
    assert len(sentences) == 2
    cells = pd.read_parquet(folder / "transfer_runs.parquet")
    assert cells.loc[cells["target_arch"] == cells["source_arch"], "reused"].all()


@pytest.mark.slow
def test_when_every_trial_diverges_one_sentence_says_so(project):
    environment(project)
    file = project.folder / "conf/small/parameters.yml"
    # Learning rates at which no weight stays finite.
    hopeless = "search: {trials: 2, space: {lr: {low: 1.0e+35, high: 1.0e+37, scale: log}}}"
    file.write_text(file.read_text().replace("search: {trials: 5}", hopeless))
    project.run("run", "--env=demo+small", "--pipeline=data_prep")
    done = project.run("run", "--env=demo+small", "--pipeline=mlp_transfer", succeeds=False)
    assert done.stderr.count("No trial of the architecture 12 gave usable weights (2 diverged)") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_published_protocol_trains_the_chosen_trials_once_and_says_what_it_is(project):
    environment(project, extra="  protocol: published\n")
    text = (project.folder / "conf/small/parameters.yml").read_text().replace("seeds: [11, 12]", "seeds: [1, 2]")
    (project.folder / "conf/small/parameters.yml").write_text(text)
    project.run("run", "--env=demo+small", "--pipeline=data_prep")
    project.run("run", "--env=demo+small", "--pipeline=mlp_transfer", without_figures("mlp_transfer"))
    project.run("run", "--env=demo+small", "--pipeline=reporting")
    folder = outputs(project)
    home = pd.read_parquet(folder / "results.parquet")
    trials = pd.read_parquet(folder / "search_results.parquet")
    assert trials["test_loss"].notna().all()
    chosen = json.loads((folder / "best_hyperparameters.json").read_text())["architectures"]
    assert set(home.loc[home["seed"] == 1, "run_fingerprint"]) == {own["run_fingerprint"] for own in chosen.values()}
    stats = pd.read_csv(folder / "search/search_test_loss_stats.csv").set_index("architecture")
    expected = home.groupby("variant")["test_loss"].var(ddof=0)
    assert stats.loc["8x8", "var"] == pytest.approx(expected["8x8"])
    cells = pd.read_parquet(folder / "transfer_runs.parquet")
    assert cells.loc[cells["seed"] == 1, "reused"].all()
    page = (project.folder / "data/08_reporting/demo+small/report.html").read_text(encoding="utf-8")
    assert "protocol: published" in page
