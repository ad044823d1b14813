"""A study in the files of the five published projects, read back by their rules."""

import json
import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tests import published_readers as published
from tests.conftest import ROOT

from vision_studies.config.registry import METHODS
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.published_results import read_result
from vision_studies.serving.opened_models import open_run
from vision_studies.studies import export
from vision_studies.studies.export import export_study
from vision_studies.studies.method import load_method
from vision_studies.studies.published import NeverPublished, Published, newest, plain_name

STUDY = "demo+quick"
PROJECTS = {"dp_sp25_proj1", "Stacked_Generalization", "mp-tl-study", "Hyperparameter-Experiment", "alphanet"}


@pytest.fixture(scope="module")
def exported(demo_project, tmp_path_factory) -> Path:
    """What the command has written of the demo."""
    folder = tmp_path_factory.mktemp("published") / "of_the_demo"
    told = demo_project.run("runs", "export", "--format=published", f"--env={STUDY}", str(folder)).stdout
    assert [line.split(":")[0] for line in told.splitlines()] == list(METHODS)
    assert {path.name for path in folder.iterdir()} == PROJECTS
    return folder


@pytest.fixture
def study(demo_project, tmp_path) -> Path:
    """A project whose tables may be changed, with the runs and images of the demo."""
    for name in ("03_primary", "06_models"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(demo_project.folder / "data" / name)
    for name in ("07_model_output", "08_reporting"):
        shutil.copytree(demo_project.folder / "data" / name / STUDY, tmp_path / "data" / name / STUDY)
    return tmp_path


def outputs(project, pipeline) -> Path:
    return (project if isinstance(project, Path) else project.folder) / f"data/07_model_output/{STUDY}/{pipeline}"


def only(monkeypatch, *pipelines) -> None:
    """Let there be these methods alone: the others need not be written again."""
    monkeypatch.setattr(export, "METHODS", {name: METHODS[name] for name in pipelines})


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_how_it_was_published(name):
    answer = load_method(name).published
    assert isinstance(answer, NeverPublished) or answer.project in PROJECTS


def test_residual_networks_are_read_as_their_project_does(exported, demo_project):
    root = exported / "dp_sp25_proj1"
    results = pd.read_parquet(outputs(demo_project, "cifar_resnet") / "results.parquet")
    runs = [published.training_run(folder) for folder in sorted((root / "outputs/training_runs").iterdir())]
    assert sorted(run["best"]["best_acc"] for run in runs) == pytest.approx(
        sorted(100 * results["validation_accuracy"])
    )
    for run in runs:
        experiment = run["config"]["experiment_name"]
        assert run["logged"] == pytest.approx(run["best"]["best_acc"], abs=1e-4)
        assert run["metrics"][run["best"]["epoch"]]["val_acc"] == pytest.approx(run["best"]["best_acc"])
        chosen = published.checkpoint(root / f"outputs/best_models/{experiment}_best.pth")
        assert chosen["best_acc"] == run["best"]["best_acc"]
        final = published.torch_file(root / f"outputs/final_models/{experiment}_final.pth")
        assert set(final) == {"model_state_dict", "config", "test_accuracy", "best_val_accuracy"}
        [evaluation] = (root / "outputs/evaluations").glob(f"{experiment}_val_acc_*")
        name = rf"{experiment}_val_acc_{run['best']['best_acc']:.2f}_\d{{4}}(_\d\d){{4}}_model_{experiment}_best\.pth"
        assert re.fullmatch(name, evaluation.name)
        predictions = published.rows_of(evaluation / "predictions.csv", ["ID", "Labels"])
        assert [int(row["ID"]) for row in predictions] == list(range(len(predictions)))
        published.checkpoint(evaluation / "model.pth")
    rows = published.rows_of(
        root / "results/model_accuracy.csv", ["model_path", "model_name", "test_accuracy", "val_accuracy"]
    )
    assert [float(row["test_accuracy"]) for row in rows] == pytest.approx((100 * results["test_accuracy"]).tolist())
    assert all((root / row["model_path"]).is_file() for row in rows)
    numbers = {path.stem for path in root.glob("outputs/training_runs/*/checkpoints/*")}
    assert numbers == {"epoch_5", "epoch_6"}


def test_stacks_are_read_as_their_project_does(exported, demo_project):
    root = exported / "Stacked_Generalization"
    experiments = published.latest_experiments(root)
    name = plain_name(STUDY)
    assert [folder.name for folder in experiments.iterdir()] == [name]
    results = published.experiment(experiments / name)
    table = pd.read_parquet(outputs(demo_project, "stacking") / "results.parquet")
    for variant, result in results.items():
        runs = table[table["variant"] == variant]
        accuracy, millions, seconds = published.configuration_row(result)
        assert accuracy == pytest.approx(100 * runs["validation_accuracy"].mean())
        assert millions == pytest.approx(runs["parameters"].iloc[0] / 1e6)
        assert seconds == pytest.approx(runs["seconds"].mean())
    report = (root / f"reports/{name}_report.md").read_text(encoding="utf-8")
    assert re.findall("^#+ (.+)$", report, re.MULTILINE) == [
        *(f"{name} Results", "Configuration Comparison", "Efficiency Metrics", "Model Architecture Details")
    ]
    latex = (root / f"reports/{name}_table.tex").read_text(encoding="utf-8")
    for variant in results:
        assert f"| {variant} " in report.replace("\\_", "_")
        assert variant in latex.replace("\\_", "_")


def test_cuts_and_clusters_are_read_as_their_project_does(exported, demo_project):
    root = exported / "mp-tl-study/digits"
    accuracies = pd.read_csv(outputs(demo_project, "transfer_cuts") / "accuracies.csv")
    for file, mode in (("baselines_small_digits", "baseline"), ("cuts_small_digits_FR", "freeze_reinit")):
        parameters, runs = published.cut_results(root / f"results/{file}.json")
        expected = accuracies[accuracies["mode"] == mode].sort_values(["fraction", "cut", "repeat"])
        assert [run["test_acc"] for run in runs] == pytest.approx(expected["test_accuracy"].tolist())
        assert [run["sampled_cut_point"] for run in runs] == expected["cut"].tolist()
        assert parameters["classes"]["label"] == "small_digits"
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    pretrained = pd.read_parquet(outputs(demo_project, "transfer_cuts") / "pretraining.parquet")
    files = ["small_digits.pth", *(f"small_digits_seed_{seed}.pth" for seed in pretrained["seed"][1:])]
    assert {path.name for path in (root / "pretrained_models").iterdir()} == set(files)
    for file, run in zip(files, pretrained["run_fingerprint"], strict=True):
        ours = open_run(demo_project.folder / f"data/06_models/{STUDY}/transfer_cuts/runs/{run}").network
        theirs = published.custom_cnn(
            root / "pretrained_models" / file, images, pooled_after=parameters["network"]["every"]
        )
        with torch.inference_mode():
            torch.testing.assert_close(theirs, ours(images).log_softmax(1), atol=1e-4, rtol=1e-4)
    scores = pd.read_parquet(outputs(demo_project, "clustering") / "scores.parquet")
    for classes, seen in (("fine_tuning", ""), ("pretraining", "_pretrained")):
        of_classes = scores[scores["classes"] == classes]
        newer = published.cluster_scores(root / f"results/small_digits_cluster{seen}.json", "newer")
        whole = of_classes[of_classes["method"] == "agglomerative"].dropna(subset=["ari", "precision", "recall"])
        assert [row["ARI"] for row in newer] == pytest.approx(whole["ari"].tolist())
        file = "ari_scores_pretrained.json" if seen else "ari_scores_finetuned.json"
        older = published.cluster_scores(root / f"results_jsons/ari/{file}", "older")
        channels = of_classes[of_classes["method"] == "kmeans_channels"]
        best = channels.groupby(["fraction", "repeat", "layer"])["ari"].max()
        found = {(row["Percentage"], row["Repeat"], row["Layer"]): row["Max ARI Score"] / 100 for row in older}
        assert found == pytest.approx(best.to_dict())


def test_perceptrons_are_read_as_their_project_does(exported, demo_project):
    root = exported / "Hyperparameter-Experiment"
    [run] = (root / "runs").iterdir()
    assert re.fullmatch(rf"{plain_name(STUDY)}_\d{{8}}_\d{{6}}", run.name)
    manifest = published.yaml_file(run / "run_manifest.yaml")
    assert root / manifest["run_dir"] == run
    assert list(manifest) == [
        *("run_dir", "search_output_dir", "transfer_output_dir", "search_config_path", "transfer_config_path")
    ]
    search, transfer = root / manifest["search_output_dir"], root / manifest["transfer_output_dir"]
    found = published.searched(search)
    assert set(found) == {"mlp_1x_8", "mlp_2x_6x6"}
    assert published.yaml_file(search / "search_meta.yaml") == {"search_training_seed": 1}
    seeds = published.rows_of(search / "search_seed_losses.csv", ["architecture", "seed", "test_loss"])
    spread = {
        row["architecture"]: row
        for row in published.rows_of(search / "search_test_loss_stats.csv", ["architecture", *published.SPREAD])
    }
    results = pd.read_parquet(outputs(demo_project, "mlp_transfer") / "results.parquet")
    for name, architecture in found.items():
        losses = [float(row["test_loss"]) for row in seeds if row["architecture"] == name]
        assert losses == list(architecture["retrained"].values())
        assert (
            losses == results[results["variant"] == name.rpartition("_")[2]].sort_values("seed")["test_loss"].tolist()
        )
        assert (
            architecture["stats"]["var"] == pytest.approx(np.var(losses)) == pytest.approx(float(spread[name]["var"]))
        )
    cells = published.transferred(transfer)
    assert set(cells) == set(product(found, found))
    for (target, source), cell in cells.items():
        home = found[target]["stats"]["mean"]
        assert cell["mean"] == pytest.approx(np.mean(cell["losses"]))
        assert cell["mean_regret"] == pytest.approx(cell["mean"] - home, abs=1e-12)
        assert cell["max_regret"] == pytest.approx(max(cell["losses"]) - home, abs=1e-12)
        assert cell["mean_relative_regret"] == pytest.approx(cell["mean"] / home)
        if target == source:
            assert (cell["mean_regret"], cell["mean_relative_regret"]) == (0, 1)


def test_alphanets_are_read_as_their_project_does(exported, demo_project):
    root = exported / "alphanet"
    accuracies = pd.read_csv(outputs(demo_project, "alphanet") / "accuracies.csv").set_index(
        ["experiment", "repeat", "split"]
    )["top_1"]
    tables = published.registered(root)
    assert list(tables) == ["digits_own_0", "digits_own_1"]
    for number, (name, table) in enumerate(tables.items()):
        test, labels = published.features(root, table, "test")
        train, train_labels = published.features(root, table, "train")
        few = {int(line) for line in (root / table["split_files_dir"] / "few.txt").read_text().split()}
        baseline = published.result_file(root / table["baseline_eval_file"])
        assert (baseline["epoch_data__seq"], baseline["best_epoch"]) == ([], None)
        files = {"own": (number, root / table["baseline_eval_file"])}
        for rho in (0.5, 1.5):
            [file] = (root / f"results/main/{name}/rho_{rho:g}").glob("rep_*/result.pth")
            files[f"own, rho {rho:g}"] = (int(file.parent.name.removeprefix("rep_")), file)
        for experiment, (repeat, file) in files.items():
            result = published.result_file(file)
            info = result["train_data_info"]
            assert (info["dataset_name"], info["class__set__per__split"]["few"]) == (name, few)
            hits = (published.trained_scores(result, test).argmax(dim=1).numpy() == labels).astype(float)
            close = {"abs": 1.5 / len(labels)}  # one image on the edge
            assert hits.mean() == pytest.approx(result["test_metrics"]["accuracy"], **close)
            assert result["test_metrics"]["accuracy"] == pytest.approx(accuracies[experiment, repeat, "overall"])
            for split, accuracy in result["test_acc__per__split"].items():
                assert accuracy == pytest.approx(accuracies[experiment, repeat, split])
            by_class = [hits[labels == label].mean() for label in result["test_acc__per__class"]]
            assert [*result["test_acc__per__class"].values()] == pytest.approx(by_class, abs=0.04)
            neighbours = result["nn_info"]["nn_class__seq__per__fclass"]
            assert set(neighbours) == few
            assert not few & {label for near in neighbours.values() for label in near}
            for label, near in neighbours.items():
                means = np.stack([train[train_labels == each].numpy().mean(axis=0) for each in (label, *near)])
                stored = result["nn_info"]["nn_mean_feat__mat__per__fclass"][label]
                np.testing.assert_allclose(stored, means, rtol=1e-4, atol=1e-5)
                distances = np.linalg.norm(means[1:] - means[0], axis=1)
                assert (np.diff(distances) >= -1e-5).all()
            back = read_result(file)
            assert (back.data, back.baseline, back.splits["few"]) == (
                name,
                experiment == "own",
                result["test_acc__per__split"]["few"],
            )
            assert back.combinations["coefficient"].isna().all() == back.baseline
            if experiment != "own":
                check_epochs(result, train_labels, few, float(experiment.rpartition(" ")[2]))


def check_epochs(result, labels, few, rho):
    epochs, config = result["epoch_data__seq"], result["training_config"]
    assert len(epochs) == config["train_epochs"]
    assert config["sampler_builder"] == {
        "sampler_classes": ("AllFewSampler", "ClassBalancedBaseSampler"),
        "sampler_args": ({}, {"r": rho}),
    }
    images = int(np.isin(labels, [*few]).sum())
    for epoch in epochs:
        assert epoch["n_train__per__split"]["few"] == images
        assert sum(epoch["n_train__per__class"].values()) == images + int(rho * images)
        assert len(epoch["mean_batch_loss__seq"]) == -(-(images + int(rho * images)) // config["train_batch_size"])
    state, alphanet = result["best_alphanet_classifier_state_dict"], result["alphanet"]
    activation = getattr(torch.nn.functional, alphanet["hact"])
    alphas = [
        published.coefficients(state, source, activation, len(alphanet["hdims"]), dummy=False)
        for source in result["alphanet_source__mat__seq"]
    ]
    best = epochs[result["best_epoch"]]
    torch.testing.assert_close(best["mean_alpha__vec"], torch.stack(alphas).mean(dim=0), atol=1e-4, rtol=1e-3)


def documented() -> dict[str, re.Pattern[str]]:
    """Files of the page's table -> what they may be called."""
    page = (ROOT / "docs/exports.md").read_text(encoding="utf-8")
    files, root = [], ""
    for line in page.splitlines():
        if project := re.match(r"\| \*\*\w+\*\*: `(.+?/)` \|", line):
            root = project[1]
        elif file := re.match(r"\| `(.+?)` \|", line):
            files.append(root + file[1])
    return {name: re.compile(re.sub(r"<\w+>", "[^/]*", re.escape(name))) for name in files}


NOT_IN_THE_DEMO = ("hyperparameter_stats.json", "<variant>/<name>.png", "outputs/hyper_search/", "nnsweep_")


def test_the_page_has_every_file_and_every_file_is_on_the_page(exported):
    patterns = documented()
    files = [str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()]
    used = {name for file in files for name, pattern in patterns.items() if pattern.fullmatch(file)}
    assert [file for file in files if not any(pattern.fullmatch(file) for pattern in patterns.values())] == []
    missing = patterns.keys() - used
    assert [name for name in missing if not any(part in name for part in NOT_IN_THE_DEMO)] == []


def test_a_search_is_written_beside_the_experiment(study, tmp_path, monkeypatch):
    folder = outputs(study, "stacking")
    variant = next(path.name for path in (folder / "experiment_results").iterdir())
    (folder / "trials.json").write_text(json.dumps({variant: {"best": 1}}))
    results = pd.read_parquet(folder / "results.parquet").query("variant == @variant")
    results.assign(trial=[*range(1, len(results) + 1)]).to_parquet(folder / "trial_results.parquet")
    place = folder / f"experiment_results/{variant}"
    (place / "hyperparameter_stats.json").write_text('{"learning_rate": {"type": "numerical"}}')
    (place / "training_histories.png").write_bytes(b"picture")
    for name in ("best_training", "search_results"):
        (place / f"{name}.yaml").write_text(f"of: {name}\n")
    only(monkeypatch, "stacking")
    export_study(study, STUDY, tmp_path / "out")
    root = tmp_path / "out/Stacked_Generalization"
    [search] = (root / "outputs/hyper_search").glob("*/*/*/*")
    assert search.parts[-4:-3] == ("sgd",)
    assert search.name == variant
    assert yaml.safe_load((search / "best_training.yaml").read_text()) == {"of": "best_training"}
    [summary] = search.glob("search_results_*.yaml")
    assert re.fullmatch(r"search_results_\d{8}_\d{6}\.yaml", summary.name)
    experiment = published.latest_experiments(root) / plain_name(STUDY) / variant
    assert {path.name for path in experiment.iterdir()} >= {"hyperparameter_stats.json", "training_histories.png"}
    files = [str(path.relative_to(tmp_path / "out")) for path in root.rglob("*") if path.is_file()]
    assert all(any(pattern.fullmatch(file) for pattern in documented().values()) for file in files)


def test_experiments_with_several_distances_are_a_sweep(study, tmp_path, monkeypatch):
    file = outputs(study, "alphanet") / "accuracies.csv"
    table = pd.read_csv(file)
    table.loc[table["rho"] == 1.5, "distance"] = "cosine"
    table.to_csv(file, index=False)
    only(monkeypatch, "alphanet")
    export_study(study, STUDY, tmp_path / "out")
    results = sorted(
        str(path.parent.relative_to(tmp_path / "out/alphanet/results")) for path in tmp_path.rglob("result.pth")
    )
    assert results == [
        "nnsweep_cosine/digits_own_0/rho_1.5/k_3/rep_0",
        "nnsweep_cosine/digits_own_1/rho_1.5/k_3/rep_1",
        "nnsweep_euclidean/digits_own_0/rho_0.5/k_3/rep_0",
        "nnsweep_euclidean/digits_own_1/rho_0.5/k_3/rep_1",
    ]


def test_a_method_without_a_published_project_is_left_out_and_says_why(study, tmp_path, monkeypatch):
    changed = replace(load_method("clustering"), published=NeverPublished("nobody has published it"))
    monkeypatch.setattr(export, "load_method", lambda name: changed if name == "clustering" else load_method(name))
    only(monkeypatch, "clustering", "mlp_transfer")
    done = export_study(study, STUDY, tmp_path / "out")
    assert done["clustering"] == "left out, for it has no published layout: nobody has published it"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Hyperparameter-Experiment"]
    only(monkeypatch, "clustering")
    with pytest.raises(ParameterError, match="has no results that could be exported"):
        export_study(study, STUDY, tmp_path / "second")


def test_images_that_are_gone_are_named_by_their_fingerprint(study, tmp_path, monkeypatch):
    (study / "data/03_primary").unlink()
    only(monkeypatch, "transfer_cuts")
    export_study(study, STUDY, tmp_path / "out")
    fingerprint = pd.read_parquet(outputs(study, "transfer_cuts") / "results.parquet")["data_fingerprint"].iloc[0]
    assert (tmp_path / f"out/mp-tl-study/images_{fingerprint[:8]}/results").is_dir()


def without_column(file: Path, column: str) -> None:
    table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    table = table.drop(columns=column)
    table.to_csv(file, index=False) if file.suffix == ".csv" else table.to_parquet(file)


def other_numbers(file: Path) -> None:
    table = pd.read_csv(file)
    table.assign(test_accuracy=table["test_accuracy"] / 2).to_csv(file, index=False)


@pytest.mark.parametrize(
    ("pipeline", "file", "harm", "told"),
    [
        ("cifar_resnet", "results.parquet", lambda file: without_column(file, "seed"), "rows without 'seed'"),
        ("cifar_resnet", "results.parquet", lambda file: file.write_bytes(b"PAR1"), "cannot be read"),
        ("stacking", "plan.json", Path.unlink, "plan.json is not there; run `kedro run --env=demo"),
        ("stacking", "trials.json", lambda file: file.write_text("{"), "trials.json is damaged; delete it and run"),
        (
            "transfer_cuts",
            "accuracies.csv",
            lambda file: without_column(file, "train_accuracy"),
            "no column 'train_accuracy'",
        ),
        ("transfer_cuts", "accuracies.csv", other_numbers, "holds the runs of"),
        ("transfer_cuts", "pretraining.parquet", lambda file: without_column(file, "seed"), "has no column 'seed'"),
        (
            "clustering",
            "scores.parquet",
            lambda file: without_column(file, "ari"),
            "no column 'ari', so that another version",
        ),
        (
            "mlp_transfer",
            "transfer_runs.parquet",
            lambda file: without_column(file, "test_loss"),
            "no column 'test_loss'",
        ),
        (
            "mlp_transfer",
            "best_hyperparameters.json",
            lambda file: file.write_text("3"),
            "is damaged; delete it and run",
        ),
        (
            "mlp_transfer",
            "best_hyperparameters.json",
            lambda file: file.write_text("{}"),
            "is damaged; delete it and run",
        ),
        ("alphanet", "accuracies.csv", lambda file: without_column(file, "rho"), "has no column 'rho'"),
        ("alphanet", "classifiers.parquet", lambda file: without_column(file, "variant"), "has no column 'variant'"),
    ],
)
def test_what_a_study_lacks_is_told_in_a_sentence_and_nothing_is_left(
    pipeline, file, harm, told, study, tmp_path, monkeypatch
):
    harm(outputs(study, pipeline) / file)
    only(monkeypatch, pipeline)
    before = set(tmp_path.iterdir())
    with pytest.raises(DataError, match=re.escape(told)) as caught:
        export_study(study, STUDY, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert set(tmp_path.iterdir()) == before


def test_runs_that_are_gone_are_told(study, tmp_path, monkeypatch):
    runs = study / "data/06_models"
    shutil.copytree(runs.resolve() / STUDY / "cifar_resnet", tmp_path / "copy")
    runs.unlink()
    (runs / STUDY).mkdir(parents=True)
    shutil.move(tmp_path / "copy", runs / STUDY / "cifar_resnet")
    only(monkeypatch, "cifar_resnet")
    run = pd.read_parquet(outputs(study, "cifar_resnet") / "results.parquet")["run_fingerprint"].iloc[0]
    folder = runs / STUDY / "cifar_resnet/runs" / run
    (folder / "weights.safetensors").unlink()
    with pytest.raises(DataError, match=r"weights\.safetensors is not there; delete the folder of the run, and run"):
        export_study(study, STUDY, tmp_path / "out")
    shutil.rmtree(folder)
    with pytest.raises(DataError, match=f"{run} is gone; run `kedro run --env="):
        export_study(study, STUDY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_that_is_there_is_written_over(kind, study, tmp_path):
    there = tmp_path / "there"
    content = there
    if kind == "folder":
        there.mkdir()
        content = there / "thesis.txt"
    content.write_text("mine")
    with pytest.raises(ParameterError, match="is there already and is left as it is; name a folder that is not"):
        export_study(study, STUDY, there)
    assert content.read_text() == "mine"


def test_what_comes_while_an_export_is_written_is_not_written_over(study, tmp_path, monkeypatch):
    there = tmp_path / "out"

    def write(_study, folder):
        (folder / "new").write_text("new")
        there.mkdir()
        (there / "thesis.txt").write_text("mine")

    changed = replace(load_method("clustering"), published=Published("project", write))
    monkeypatch.setattr(export, "load_method", lambda _: changed)
    only(monkeypatch, "clustering")
    with pytest.raises(ParameterError, match="is there already"):
        export_study(study, STUDY, there)
    assert [path.read_text() for path in there.iterdir()] == ["mine"]


def test_an_empty_folder_may_be_there(study, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    only(monkeypatch, "clustering")
    assert export_study(study, STUDY, tmp_path / "out") == {"clustering": str(tmp_path / "out/mp-tl-study")}


def test_the_newest_version_is_taken_where_there_are_versions(study, tmp_path, monkeypatch):
    only(monkeypatch, "clustering")
    for name in ("results.parquet", "scores.parquet"):
        file = outputs(study, "clustering") / name
        content = file.read_bytes()
        file.unlink()
        for version, bytes_of in (("2026-01-01T00.00.00.000Z", b"old"), ("2026-01-02T00.00.00.000Z", content)):
            (file / version).mkdir(parents=True)
            (file / version / name).write_bytes(bytes_of)
        assert newest(file) == file / "2026-01-02T00.00.00.000Z" / name
    export_study(study, STUDY, tmp_path / "out")
    assert (tmp_path / "out/mp-tl-study/digits/results/small_digits_cluster.json").is_file()


def test_mistakes_in_the_command_are_told_in_a_sentence(demo_project, tmp_path):
    other = demo_project.run(
        "runs", "export", "--format=published", "--env=nothing", str(tmp_path / "out"), succeeds=False
    )
    assert f"run `kedro run --env=nothing` first, or name one that has: {STUDY}" in other.stderr
    for arguments, told in (
        (["--format=published"], "Missing argument 'FOLDER'"),
        ([], "Missing argument 'RUN'"),
        (["--format=published", "3f2a", "folder"], "--format=published takes FOLDER, not 'folder' as well"),
    ):
        assert told in demo_project.run("runs", "export", *arguments, succeeds=False).stderr
