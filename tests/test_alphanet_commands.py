"""`kedro alphanet` on what the demo has left."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from vision_studies.cli import cli
from vision_studies.pipelines.alphanet.top_accuracies import with_top_accuracies
from vision_studies.pipelines.alphanet.work.original_format import import_data_set, read_registry

STUDY = "demo+quick"

pytestmark = pytest.mark.slow


@pytest.fixture
def outputs(demo_project, monkeypatch):
    monkeypatch.chdir(demo_project.folder)
    return demo_project.folder / f"data/07_model_output/{STUDY}/alphanet"


@pytest.fixture
def accuracies(outputs) -> pd.DataFrame:
    return pd.read_csv(outputs / "accuracies.csv")


@pytest.fixture
def improved(accuracies) -> str:
    """The classifier that the demo's AlphaNets work on."""
    [label] = accuracies.loc[~accuracies["baseline"], "classifier"].unique()
    return label


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["alphanet", *arguments])


def output(*arguments: str) -> str:
    done = invoke(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def refusal(*arguments: str) -> str:
    done = invoke(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_the_table_has_the_means_and_deviations_of_the_saved_accuracies(accuracies):
    described = accuracies.groupby(["experiment", "split"])["top_5"].agg(["mean", "std"]) * 100
    table = output("table", STUDY, "--metric=top_5")
    lines = table.splitlines()[2:]
    assert len(lines) == accuracies["experiment"].nunique()
    for line in lines:
        name = re.split(r"\s{2,}", line)[0]
        cells = re.findall(r"([\d.]+) ±\s+([\d.]+)", line)
        for split, (mean, deviation) in zip(("few", "medium", "many", "overall"), cells, strict=True):
            assert float(mean) == pytest.approx(described.loc[(name, split), "mean"], abs=0.051)
            assert float(deviation) == pytest.approx(described.loc[(name, split), "std"], abs=0.0051)


def test_accuracies_of_any_number_of_guesses_are_computed_from_what_the_study_has_kept(
    demo_project, outputs, accuracies
):
    results = pd.read_parquet(outputs / "results.parquet")
    runs = demo_project.folder / f"data/06_models/{STUDY}/alphanet/runs"
    again = with_top_accuracies(accuracies, results, runs, 5)["top_5"]
    np.testing.assert_allclose(again, accuracies["top_5"], atol=1e-6)
    third = with_top_accuracies(accuracies, results, runs, 3)["top_3"]
    assert ((accuracies["top_1"] <= third) & (third <= accuracies["top_5"])).all()
    assert (third > accuracies["top_1"]).any()
    means = accuracies.assign(top_3=third).groupby(["experiment", "split"])["top_3"].mean() * 100
    lines = output("table", STUDY, "--top=3", "--format=csv").splitlines()[1:]
    for line in lines:
        name, *cells = next(csv.reader([line]))
        expected = [means[name, split] for split in ("few", "medium", "many", "overall")]
        assert [float(cell) for cell in cells] == pytest.approx(expected, abs=0.051)
    assert "Top-3 test accuracy" in output("table", STUDY, "--top=3", "--format=latex")
    assert "every class is among the first 10 guesses" in refusal("table", STUDY, "--top=10")


def test_figures_of_a_study_are_drawn_again_in_another_look(outputs, tmp_path):
    names = ("-f", "points", "-f", "lines", "-f", "coefficients")
    done = output("figures", STUDY, *names, "--theme=dark", "--context=paper", "--dpi=30", "-o", str(tmp_path))
    assert done.startswith("points.png, lines.png, coefficients.png: ")
    assert {path.name for path in tmp_path.iterdir()} == {"points.png", "lines.png", "coefficients.png"}
    output("figures", STUDY, "-f", "point_gains", "--top=3", "--format=svg", "-o", str(tmp_path))
    assert "Change in top-3 accuracy of each experiment" in (tmp_path / "point_gains.svg").read_text()


def test_experiments_are_chosen_by_patterns_and_keep_what_they_improve(improved):
    def rows(*arguments):
        return [line.split('"')[1] if '"' in line else line.split(",")[0] for line in output(*arguments).splitlines()]

    named = ["table", STUDY, "--format=csv"]
    small, large = f"{improved}, rho 0.5", f"{improved}, rho 1.5"
    assert set(rows(*named)) == {"Experiment", "own", "cRT", small, large}
    assert rows(*named, "-x", "*rho 1.5") == ["Experiment", improved, large]
    assert set(rows(*named, "-x", "own", "-x", "cRT", "-x", "*0.5")) == {"Experiment", "own", "cRT", small}
    assert rows(*named, "-x", "*0.5", "--no-baselines") == ["Experiment", small]
    assert rows(*named, "-x", "*0.5", "--rename", small, "ours") == ["Experiment", improved, "ours"]


def test_several_studies_stand_in_one_table(outputs, tmp_path, monkeypatch):
    for study, added in (("one", 0.0), ("two", 0.01)):
        folder = tmp_path / f"data/07_model_output/{study}/alphanet"
        folder.mkdir(parents=True)
        table = pd.read_csv(outputs / "accuracies.csv")
        table["top_1"] = 0.5 + added
        table.to_csv(folder / "accuracies.csv", index=False)
    monkeypatch.chdir(tmp_path)
    text = output("table", "two", "one", "--web", "--name-width=20")
    assert [line for line in text.splitlines() if line.endswith(":")] == ["two:", "one:"]
    assert text.count("51.0^±0.00^") == text.count("50.0^±0.00^") == 16
    assert f"\ncRT{' ' * 17}  51.0^" in text
    assert output("table", "one", "two", "--format=latex", "-o", "made/table.tex") == "Written: made/table.tex\n"
    assert (tmp_path / "made/table.tex").read_text().count("& 50.0 $\\pm$ 0.00") == 16
    assert "| two " in output("table", "one", "two", "--format=markdown")


def test_combinations_are_those_of_the_classes_that_are_asked_for(outputs, improved):
    experiment = f"{improved}, rho 1.5"
    known = pd.read_parquet(outputs / "class_accuracies.parquet").query("experiment == @experiment and split == 'few'")
    means = known.groupby("name")["accuracy"].mean()
    asked = ["combinations", STUDY, "-x", experiment, "--by=accuracy", "--smallest"]
    text = output(*asked, "-n", "1", "--mistakes=1")
    [name] = re.findall(r"^\[(.+)\] = \[\1\]$", text, re.MULTILINE)
    assert means[name] == means.min()
    assert f"Mean AlphaNet accuracy: {means[name]:.2f}" in text
    assert text.count("|-> as") == 2
    learnt = pd.read_parquet(outputs / "combinations.parquet").query(
        "experiment == @experiment and name == @name and repeat == 1"
    )
    single = output(*asked, "--repeat=1")
    block = next(own for own in single.split("*" * 44) if f"[{name}] = " in own)
    assert re.findall(r"\+ \((.+)\)\[(.+)\]", block) == [
        (f"{row.coefficient:.2g}", row.neighbour_name) for row in learnt.sort_values("position").itertuples()
    ]
    sections = output("combinations", STUDY, "--format=markdown", "-n", "3")
    assert len(re.findall("^### ", sections, re.MULTILINE)) == 3


def test_an_exported_data_set_comes_back_with_the_accuracy_of_its_classifier(accuracies, improved, tmp_path):
    folder = tmp_path / "exported"
    assert f"digits_{improved}" in output("export", STUDY, str(folder), "--repeat=1")
    described = read_registry(folder / "config/datasets.toml", f"digits_{improved}")
    classifier = import_data_set(described, tmp_path / "imported")
    features = np.load(tmp_path / "imported/test_features.npy")
    labels = np.load(tmp_path / "imported/test_labels.npy")
    found = (classifier.scores(features).argmax(axis=1) == labels).mean()
    own = accuracies.query("experiment == @improved and repeat == 1 and split == 'overall'")
    assert found == pytest.approx(own["top_1"].item())
    output("export", STUDY, str(tmp_path / "second"), "--classifier=own", "--name=mine")
    assert (tmp_path / "second/classifiers/mine.pth").is_file()
    assert "exists and is not overwritten" in refusal("export", STUDY, str(folder))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["table", "nothing"],
            "has no results of alphanet; run `kedro run --env=nothing` first, or name one that has: demo",
        ),
        (["combinations", "nothing"], "The study 'nothing' has no results of alphanet"),
        (["export", "nothing", "folder"], "The study 'nothing' has no results of alphanet"),
        (["table", STUDY, "-x", "cLS*"], "no experiment is called 'cLS*'; there are '"),
        (["table", STUDY, "--rename", "rho", "r"], "no experiment is called 'rho'"),
        (["table", STUDY, "--format=csv", "--web"], "--web belongs to --format=text"),
        (["table", STUDY, "--number-width=3"], "raise it to"),
        (["combinations", STUDY, "-x", "cRT"], "There is no experiment 'cRT'"),
        (["combinations", STUDY, "--repeat=5"], "There is no repeat 5; the study has 0, 1."),
        (["export", STUDY, "folder", "--classifier=LWS"], "has no classifier 'LWS'; its classifiers are own, cRT."),
        (["export", STUDY, "folder", "--repeat=5"], "there is no --repeat 5"),
        (["export", STUDY, "folder", "--name=a/b"], "cannot name a data set's folders"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(arguments, told, outputs):
    assert told in refusal(*arguments)


def test_features_that_are_gone_are_told(outputs, tmp_path, monkeypatch):
    folder = tmp_path / f"data/07_model_output/{STUDY}/alphanet"
    folder.mkdir(parents=True)
    for file in ("accuracies.csv", "classifiers.parquet"):
        (folder / file).write_bytes((outputs / file).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "are gone; run the study" in refusal("export", STUDY, "folder")
