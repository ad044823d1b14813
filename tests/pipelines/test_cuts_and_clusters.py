"""The phases of `transfer_cuts` and `clustering`, in real processes."""

import json
import re
import shutil

import pandas as pd
import pytest
from tests.conftest import without_figures
from tests.test_notebooks import NOTEBOOKS, kernel_in, outputs_of

from vision_studies.pipelines.transfer_cuts.published_files import read_channels, read_clusters, read_results
from vision_studies.pipelines.transfer_cuts.rankings import compare_pairs, only_mode

SMALL = """
transfer_cuts:
  network: {channels: [6, 6]}
  modes: [freeze_reinit, freeze, freeze_truncate]
  subsets: [{fraction: 0.03, repeats: 3}, {fraction: 0.3, repeats: 3}]
  pretraining: {seeds: [0, 1], training: {epochs: 3}}
  fine_tuning: {training: {epochs: %d, steps_per_epoch: 4, early_stopping: null}}
  stack: {checkpoint_seconds: 0}
clustering:
  tsne: {layers: [conv1], samples: 60}
"""


def environment(project, epochs=4, extra=""):
    (project.folder / "conf/small").mkdir(exist_ok=True)
    (project.folder / "conf/small/parameters.yml").write_text(SMALL % epochs + extra, encoding="utf-8")


def outputs(project, pipeline="transfer_cuts"):
    return project.folder / "data/07_model_output/demo+small" / pipeline


@pytest.mark.slow
def test_a_study_writes_what_it_found_in_every_form(project):
    environment(project)
    project.run("run", "--env=demo+small", "--pipeline=data_prep")
    first = project.run("run", "--env=demo+small", "--pipeline=clustering")
    assert "fine_tune_networks" not in first.stdout
    second = project.run("run", "--env=demo+small", "--pipeline=transfer_cuts")
    assert "1 of 10 steps had nothing new to work with, and their results stay" in second.stdout
    assert "pretraining" not in second.stdout
    check_the_cuts(project)
    check_the_clusters(project)
    again = project.run("run", "--env=demo+small", "--pipeline=clustering")
    assert "steps had nothing new to work with, and their results stay" in again.stdout
    assert "clustering.cluster_activations" not in again.stdout
    whole = project.run(
        "run", "--env=demo+small", "--pipeline=clustering", "--runner=SequentialRunner", without_figures("clustering")
    )
    assert "clustering: 12 of 12 are finished and reused" in whole.stdout  # networks, sets of classes, methods

    project.run("run", "--env=demo+small", "--pipeline=reporting")
    page = (project.folder / "data/08_reporting/demo+small/report.html").read_text(encoding="utf-8")
    assert page.count('<button type="button" class="zoom') == 8  # seven, and the data card
    assert page.count('<figure class="chart') == 2  # the surface and the learning curves
    assert re.findall(r"The first 50 of (\d+) runs", page) == ["62"]  # two pretrained networks, sixty places
    assert "the comparisons of each condition" in page
    assert "not run" not in page
    check_the_notebooks(project)


def check_the_notebooks(project):
    """With several modes, every cell of theirs has something to show."""
    with kernel_in(project) as kernel:
        for path in (path for path in NOTEBOOKS if path.stem in ("transfer_cuts", "clustering")):
            shown = outputs_of(path, "demo+small", kernel)
            figures = [out for out in shown if "image/png" in out.get("data", {})]
            # Cuts: 7 of one mode and of all, 2 of each mode, 3 pairs, and one that is read from the original layout.
            assert len(figures) == {"transfer_cuts": 7 + 2 * 3 + 3 + 1, "clustering": 7}[path.stem]


def check_the_cuts(project):
    folder = outputs(project)
    accuracies = pd.read_csv(folder / "accuracies.csv")
    assert len(accuracies) == (1 + 3 * 3) * 2 * 3
    assert set(accuracies["status"]) == {"complete"}
    assert set(accuracies["images"]) == {15, 180}  # validation images are counted
    results = pd.read_parquet(folder / "results.parquet")
    assert set(results["condition"]) == {"3 %", "30 %"}
    assert results["run_fingerprint"].nunique() == 42
    read = pd.concat([read_results(path) for path in sorted((folder / "original_layout").glob("*.json"))])
    keys = ["mode", "cut", "fraction", "repeat"]
    both = accuracies.merge(read, on=keys, suffixes=("", "_read"), validate="one_to_one")
    assert len(both) == len(accuracies) == len(read)
    pd.testing.assert_series_equal(both["test_accuracy"], both["test_accuracy_read"], check_names=False)
    pd.testing.assert_series_equal(both["train_accuracy"], both["train_accuracy_read"], check_names=False)
    compared = pd.read_csv(folder / "statistics/freeze/comparisons.csv")
    expected = compare_pairs(only_mode(accuracies, "freeze"))
    pd.testing.assert_frame_equal(compared, expected.reset_index(drop=True), check_dtype=False)
    reports = project.folder / "data/08_reporting/demo+small/transfer_cuts"
    modes = ("freeze_reinit", "freeze", "freeze_truncate")
    pairs = {"freeze_reinit_against_freeze", "freeze_reinit_against_freeze_truncate", "freeze_against_freeze_truncate"}
    assert {path.stem for path in (reports / "tables").iterdir()} == {*modes} | pairs
    for mode in modes:
        kinds = {path.stem for path in (reports / "figures" / mode).iterdir()}
        assert kinds == {
            *("box_plot", "full_box_plot", "difference_lines", "accuracy_lines", "range_lines", "heat_map", "bars"),
            "surface",
        }
    assert {path.stem for path in (reports / "figures").glob("*.png")} == pairs
    sentences = json.loads((reports / "conclusions.json").read_text(encoding="utf-8"))
    assert any("no difference can be significant" in sentence for sentence in sentences)


def check_the_clusters(project):
    folder = outputs(project, "clustering")
    scores = pd.read_parquet(folder / "scores.parquet")
    assert set(scores["method"]) == {"agglomerative", "kmeans_vectors", "kmeans_channels"}
    assert set(scores["classes"]) == {"pretraining", "fine_tuning"}
    channels = scores[scores["method"] == "kmeans_channels"].groupby("layer")["channel"].nunique()
    assert channels.to_dict() == {"input": 1, "conv0": 6, "conv1": 6, "fc": 5}
    whole = scores[scores["method"] == "agglomerative"]
    assert len(whole) == 2 * 2 * 3 * 2  # sets of classes, layers, repeats, fractions
    assert whole["samples"].max() == 180
    assert scores["ari"].between(-0.5, 1).all()
    new = read_clusters(folder / "original_layout/small_digits_cluster_agglomerative.json")
    assert len(new) == len(whole.dropna(subset=["precision", "recall"]))
    assert set(new["dataset"]) == {"Pretrain", "Finetune"}
    old = read_channels(folder / "original_layout/small_digits_cluster_kmeans_channels.json")
    assert len(old) == 2 * 4 * 3 * 2
    ranks = pd.read_csv(folder / "effective_ranks.csv")
    assert len(ranks) == 3 * 2 * 2  # layers, networks, before and after
    assert (ranks["effective_rank"] <= ranks["largest"]).all()
    distances = pd.read_csv(folder / "class_distances.csv")
    assert len(distances) == 2 * 2 * 2  # networks, sets of classes, convolutions
    assert (distances["within"] < distances["between"]).all()
    shown = pd.read_csv(folder / "image_map.csv").groupby(["classes", "layer"]).size()
    assert shown.to_dict() == {("fine_tuning", "conv1"): 60, ("pretraining", "conv1"): 60}
    reports = project.folder / "data/08_reporting/demo+small/clustering"
    ways = {f"{method}_{classes}" for method, classes in scores[["method", "classes"]].drop_duplicates().to_numpy()}
    assert {path.name for path in (reports / "tables").iterdir()} == {
        f"{way}.{kind}" for way in ways for kind in ("md", "tex")
    }
    table = (reports / "tables/agglomerative_fine_tuning.md").read_text(encoding="utf-8")
    assert table.count("needs 6 repeats") == 2 * 2  # two convolutions at two shares: three repeats can tell nothing
    assert {path.stem for path in (reports / "figures/tsne").iterdir()} == {"fine_tuning_conv1", "pretraining_conv1"}
    assert len(json.loads((reports / "conclusions.json").read_text(encoding="utf-8"))) == 6


@pytest.mark.slow
def test_the_published_protocol_tests_on_training_images_and_says_so(project):
    environment(project)
    (project.folder / "conf/published_small").mkdir()
    (project.folder / "conf/published_small/parameters.yml").write_text(
        "transfer_cuts:\n  protocol: published\n  fine_tuning: {validation: whole}\n", encoding="utf-8"
    )
    study = "demo+small+published_small"
    project.run("run", f"--env={study}", "--pipeline=data_prep")
    project.run("run", f"--env={study}", "--pipeline=transfer_cuts", without_figures("transfer_cuts"))
    project.run("run", f"--env={study}", "--pipeline=reporting")
    results = pd.read_parquet(project.folder / f"data/07_model_output/{study}/transfer_cuts/results.parquet")
    other = results["other_metrics"].map(json.loads)
    training = {own["training_images"] for own in other}
    assert len({own["test_images"] for own in other}) == 1
    assert other.iloc[0]["test_images"] > 4 * max(training) / 1.5  # all training images of the new classes
    page = (project.folder / f"data/08_reporting/{study}/report.html").read_text(encoding="utf-8")
    assert "protocol: published" in page
    assert "Protocol: published." in page


@pytest.mark.slow
def test_networks_that_a_study_has_exported_are_those_that_another_starts_from(project):
    few = "\ntransfer_cuts: {modes: [freeze], cuts: [1], subsets: [{fraction: 0.3, repeats: 2}]}\n"
    environment(project)
    (project.folder / "conf/few").mkdir()
    (project.folder / "conf/few/parameters.yml").write_text(few, encoding="utf-8")
    for pipeline in ("data_prep", "transfer_cuts"):
        project.run("run", "--env=demo+small+few", f"--pipeline={pipeline}", without_figures(pipeline))
    project.run("runs", "export", "--format=published", "--env=demo+small+few", "published")
    files = sorted((project.folder / "published").rglob("pretrained_models/*.pth"))
    named = json.dumps([str(file.relative_to(project.folder)) for file in files])
    (project.folder / "conf/from_files").mkdir()
    (project.folder / "conf/from_files/parameters.yml").write_text(
        f"transfer_cuts: {{balanced: false, pretraining: {{weights_files: {named}}}}}\n", encoding="utf-8"
    )
    study = "demo+small+few+from_files"
    project.run("run", f"--env={study}", "--pipeline=transfer_cuts", without_figures("transfer_cuts"))
    tables = [project.folder / f"data/07_model_output/{name}/transfer_cuts" for name in ("demo+small+few", study)]
    trained, imported = (pd.read_parquet(folder / "pretraining.parquet") for folder in tables)
    for column in ("validation_accuracy", "validation_loss", "test_accuracy", "test_loss", "parameters", "macs"):
        assert imported[column].tolist() == pytest.approx(trained[column].tolist(), rel=1e-5), column
    results = pd.read_parquet(tables[1] / "results.parquet")
    assert (results["status"] == "complete").all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("classes: {fine_tuning: ['5', 'nine']}", "transfer_cuts.classes.fine_tuning has 'nine', which is no class"),
        ("classes: {fine_tuning: ['4', '5']}", "'4' is among the classes of pretraining and of fine_tuning"),
        ("subsets: [{fraction: 0.003, repeats: 2}]", "transfer_cuts.subsets: a fraction of 0.003 of"),
        ("cuts: [0, 3]", "cuts has 3, but network.channels has 2 convolutions"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(prepared, change, message):
    # Others who use the folders of these images must not find this study there.
    (prepared.folder / "conf/wrong").mkdir(exist_ok=True)
    (prepared.folder / "conf/wrong/parameters.yml").write_text(f"transfer_cuts: {{{change}}}\n", encoding="utf-8")
    done = prepared.run("run", "--env=demo+quick+wrong", "--pipeline=transfer_cuts", succeeds=False)
    assert done.stderr.count(message) == 1
    assert "Traceback" not in done.stderr
    assert not list(prepared.folder.glob("data/06_models/demo+quick+wrong/transfer_cuts/runs/*/*.json"))
    for folder in prepared.folder.glob("data/0*/demo+quick+wrong"):
        shutil.rmtree(folder)
