"""Every study is rehearsed on a few digits, and all are reported on."""

import json
from typing import Any

import pandas as pd
import pytest
import yaml
from tests.conftest import ROOT, Project, quick_project, without_figures

from vision_studies.models.architectures.convnet import ConvNetSettings
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings
from vision_studies.serving.opened_models import selected_model
from vision_studies.studies.stored_runs import find_runs

STUDIES = sorted(
    folder.name
    for folder in (ROOT / "conf").iterdir()
    if folder.is_dir()
    and folder.name not in ("base", "demo", "local")
    and (folder / "environment.yml").exists()
    and yaml.safe_load((folder / "environment.yml").read_text(encoding="utf-8")).keys() & {"pipelines"}
    # Studies of cuts differ in data, classes and modes, which the demo replaces: one is rehearsed, the others are read
    # in tests/catalog/test_cut_studies.py.
    and (not folder.name.startswith("cuts_") or folder.name in ("cuts_fashion_regular", "cuts_architecture"))
    # Imported features have to be there: tests/pipelines/test_alphanet_studies.py makes some.
    and folder.name != "alphanet_imported"
)


def described(study: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / f"conf/{study}/environment.yml").read_text(encoding="utf-8"))


WITH_OWN_FIGURES = ("alpha_study", "hyper_search", "width_transfer")
"""Studies whose figures are drawn: variants as the demo has none, a search, learning rates by width.

The others would draw what the demo draws, which takes longer than the study; tests/figures has each figure with few and with
many variants.
"""


@pytest.fixture(scope="module")
def rehearsals(tmp_path_factory) -> Project:
    """The project in which the studies are rehearsed, one after the other."""
    return quick_project(tmp_path_factory.mktemp("rehearsals"))


def described_variants(study):
    parameters = yaml.safe_load((ROOT / f"conf/{study}/parameters.yml").read_text(encoding="utf-8"))
    return parameters["stacking"]["variants"]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_can_be_rehearsed(rehearsals, study):
    names = described(study)["pipelines"]
    pipelines = ["data_prep", *names]  # their reports are made together, by the next test
    drawn = study in WITH_OWN_FIGURES
    few = "+brief_images" if {"cifar_resnet", "stacking"} & set(names) else ""
    name = f"{study}+demo+brief{few}"
    few_trials = ["--params=stacking.search.trials=4"] if study == "hyper_search" else []
    undrawn = [] if drawn else [without_figures(*pipelines)]
    rehearsals.run("run", f"--env={name}", f"--pipelines={','.join(pipelines)}", *few_trials, *undrawn)
    stages = [stage for run in find_runs(rehearsals.folder / "data/06_models", name) for stage in run.stages]
    assert set(stages) <= {"pretraining", "training", "fitting", "validation", "evaluation"}
    outputs = rehearsals.folder / f"data/07_model_output/{name}"
    assert sorted(folder.name for folder in outputs.iterdir()) == names
    for pipeline in names:
        table = pd.read_parquet(outputs / pipeline / "results.parquet")
        assert set(table["status"]) == {"complete"}
        if pipeline not in ("clustering", "transfer_cuts"):
            assert table.groupby("seed")["configuration_hash"].nunique().eq(table["variant"].nunique()).all()
        if pipeline == "stacking":
            written = rehearsals.folder / f"data/08_reporting/{name}/stacking"
            figures = {"comparison", "opponents", "efficiency", "learning_curves", "members", "parts"}
            assert {path.stem for path in written.glob("*.png")} == (figures if drawn else set())
            tables = {path.name for path in (written / "tables").iterdir()}
            assert len(tables) == 10
            assert {f"{name}_table.tex", f"{name}_report.md"} < tables
            assert json.loads((written / "conclusions.json").read_text(encoding="utf-8"))
            details = outputs / pipeline / "experiment_results"
            assert len(list(details.glob("*/study_results.json"))) == len(described_variants(study))
        if pipeline in ("cifar_resnet", "stacking"):
            parameters = yaml.safe_load((ROOT / f"conf/{study}/parameters.yml").read_text(encoding="utf-8"))
            assert set(table["variant"]) >= {variant["name"] for variant in parameters[pipeline]["variants"]}


@pytest.mark.slow
def test_the_search_for_a_plain_network_ends_in_a_choice_by_validation_that_cut_studies_can_take(rehearsals):
    name = "cuts_architecture+demo+brief+brief_images"
    pipelines = ("data_prep", "cifar_resnet")  # what the test above has trained is reused
    rehearsals.run("run", f"--env={name}", f"--pipelines={','.join(pipelines)}", without_figures(*pipelines))
    rehearsals.run("run", f"--env={name}", "--pipeline=reporting")
    results = pd.read_parquet(rehearsals.folder / f"data/07_model_output/{name}/cifar_resnet/results.parquet")
    parameters = yaml.safe_load((ROOT / "conf/cuts_architecture/parameters.yml").read_text(encoding="utf-8"))
    assert set(results["variant"]) == {variant["name"] for variant in parameters["cifar_resnet"]["variants"]}
    networks = [json.loads(configuration) for configuration in results["configuration"]]
    kinds = {(tuple(own["model.channels"]), own["model.downsampling"]) for own in networks}
    growing = (32, 32, 64, 64, 128, 128)
    assert kinds == {
        *((channels, "average_pool") for channels in (growing, *((width,) * 6 for width in (16, 32, 64, 128, 256)))),
        *((growing, way) for way in ("max_pool", "strided_convolution", None)),
        ((64,) * 6, None),
    }
    chosen = results.loc[results["validation_accuracy"].idxmax()]
    model = selected_model(rehearsals.folder / f"data/06_models/{name}/cifar_resnet/model.safetensors")
    assert model["configuration"]["model"]["channels"] == json.loads(chosen["configuration"])["model.channels"]
    assert model["configuration"]["model"]["downsampling"] == json.loads(chosen["configuration"])["model.downsampling"]
    table = (rehearsals.folder / "data/08_reporting/best_configurations.md").read_text(encoding="utf-8")
    assert any(chosen["variant"] in line and name in line for line in table.splitlines())
    network = ConvNetSettings.model_validate(model["configuration"]["model"])
    cuts = yaml.safe_load((ROOT / "conf/base/parameters_transfer_cuts.yml").read_text(encoding="utf-8"))[
        "transfer_cuts"
    ]
    study = TransferCutsSettings.model_validate(cuts | {"network": network.model_dump()})
    assert study.cut_points("freeze_reinit") == tuple(range(7))


@pytest.mark.slow
def test_one_command_reports_on_all_studies_that_have_run(rehearsals):
    rehearsals.run("run", "--pipeline=reporting")
    studies = [folder.name for folder in (rehearsals.folder / "data/07_model_output").iterdir() if folder.is_dir()]
    reports = rehearsals.folder / "data/08_reporting"
    assert [name for name in studies if not (reports / name / "report.html").is_file()] == []
    assert set(pd.read_csv(reports / "comparison.csv")["study"]) == set(studies)


def test_the_collection_of_studies_of_stacks_has_all_of_them():
    of_stacks = {study for study in STUDIES if described(study)["pipelines"] == ["stacking"]}
    assert set(described("all_studies")["studies"]) == of_stacks


@pytest.mark.slow
def test_a_collection_runs_each_of_its_studies_and_one_that_fails_stops_no_other(rehearsals):
    (rehearsals.folder / "conf/some").mkdir()
    (rehearsals.folder / "conf/some/environment.yml").write_text("studies: [init_study, vit_study, alpha_study]\n")
    (rehearsals.folder / "conf/vitless").mkdir()
    (rehearsals.folder / "conf/vitless/parameters.yml").write_text(
        "stacking: {networks: {vit_b_16: {weights_file: none.pth}}}\n"
    )
    done = rehearsals.run(
        "run",
        "--env=some+demo+brief+vitless",
        "--pipeline=stacking",
        "--params=stacking.run.trainer=mock",
        without_figures("stacking"),
        succeeds=False,
    )
    assert "alpha_study+demo+brief+vitless (3 of 3)" in done.stdout
    assert "weights_file=none.pth does not exist" in done.stderr
    assert "vit_study+demo+brief+vitless did not end well" in done.stderr
    gathered = rehearsals.folder / "data/08_reporting/some+demo+brief+vitless/tables"
    studies = [f"{study}+demo+brief+vitless" for study in ("alpha_study", "init_study")]
    assert sorted(file.name for file in gathered.iterdir()) == sorted(
        f"{study}_{name}" for study in studies for name in ("report.md", "table.tex")
    )
    latex = (gathered / f"{studies[0]}_table.tex").read_text(encoding="utf-8")
    assert (
        r"\caption{Results of the study alpha\_study+demo+brief+vitless (Weight of the base learners' losses)." in latex
    )
    assert r"\label{tab:alpha_study+demo+brief+vitless}" in latex
    assert r"Configuration & Final Accuracy (\%) & Total Parameters & Training Time (s) \\" in latex
    report = (gathered / f"{studies[0]}_report.md").read_text(encoding="utf-8")
    headings = ["Configuration comparison", "Efficiency metrics", "Model architecture details"]
    assert [line[3:].split(":")[0] for line in report.splitlines() if line.startswith("## ")] == headings
    for study, variants in (("init_study", 5), ("alpha_study", 6)):
        folder = rehearsals.folder / f"data/07_model_output/{study}+demo+brief+vitless/stacking"
        table = pd.read_parquet(folder / "results.parquet")
        assert table["variant"].nunique() > variants
        assert set(table["device"]) == {"mock"}
