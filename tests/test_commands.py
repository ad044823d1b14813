"""Commands as a user types them, in a copy of the project."""

import json
import re

import pandas as pd
import pytest

from vision_studies.config.registry import METHODS


def test_the_pipelines_are_listed(demo_project):
    listed = demo_project.run("registry", "list").stdout
    expected = sorted(["__default__", "data_prep", "reporting", *METHODS])
    assert re.findall(r"^- (\S+)$", listed, re.MULTILINE) == expected


@pytest.mark.slow
def test_the_demo_trains_scores_and_reports(demo_project):
    study = demo_project.folder / "data/07_model_output/demo+quick/cifar_resnet"
    results = pd.read_parquet(study / "results.parquet")
    assert results["status"].tolist() == ["complete", "complete"]
    assert (results["test_accuracy"] > 0.5).all()
    assert len(json.loads((study / "results.json").read_text())) == 2
    report = demo_project.folder / "data/08_reporting/demo+quick/report.html"
    page = report.read_text(encoding="utf-8")
    assert page.count('<button type="button" class="zoom') == 35
    assert page.count('<figure class="chart') == 8
    assert len(page.encode()) < 500_000
    assert sorted(file.name for file in report.parent.glob("scripts/*")) == [
        *(f"chart-{number}.page.js" for number in range(1, 9)),
        "gallery.page.js",
        "runs.page.js",
    ]
    index = (demo_project.folder / "data/08_reporting/index.html").read_text(encoding="utf-8")
    assert 'href="demo%2Bquick/report.html"' in index
    record = json.loads(
        next((demo_project.folder / "data/08_reporting/demo+quick/run_records").glob("*.json")).read_text()
    )
    assert record["status"] == "complete"
    assert record["parameters"]["cifar_resnet"]["seeds"] == [0, 1]
    assert record["versions"]["torch"].startswith("2.13.0")
    outputs = {path.parts[-1] for path in (demo_project.folder / "data").glob("0*/*") if path.name != ".gitkeep"}
    of_all_studies = {"index.html", "scripts", "comparison.csv", "best_configurations.md", "best_configurations.tex"}
    assert {name.split("-")[0] for name in outputs - of_all_studies} <= {"demo+quick", "digits", "times"}


@pytest.mark.slow
def test_a_second_time_nothing_is_done_again_and_the_report_comes_last(demo_project):
    again = demo_project.run("run", "--env=demo+quick", "--pipelines=data_prep,cifar_resnet,reporting")
    assert "1797 images reused" in again.stdout
    assert re.search(r"\d+ of 19 steps had nothing new to work with, and their results stay", again.stdout)
    assert not {"train_runs", "evaluate_runs"} & {line.split(".")[-1] for line in again.stdout.splitlines()}
    last = [line for line in again.stdout.splitlines() if line.strip()][-1]
    assert re.fullmatch(r"Report: \S+data/08_reporting/demo\+quick/report\.html", last)
    assert "resnet_small" in again.stdout
    assert not re.search(r"warning|traceback", again.stdout + again.stderr, re.IGNORECASE)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--pipeline=reporting", "--pipelines=reporting"])
def test_both_spellings_of_the_option_work_without_a_warning(demo_project, option):
    done = demo_project.run("run", "--env=demo+quick", option)
    assert "Report: " in done.stdout
    assert "deprecated" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--env=dmo",), "There is no environment 'dmo' in conf/. Did you mean 'demo'?"),
        (("--env=demo", "--pipeline=cifar_resnt"), "There is no pipeline 'cifar_resnt'. Did you mean 'cifar_resnet'?"),
        (("--env=demo", "--params=data_prep.sauce=x"), "data_prep.sauce: there is no such parameter"),
        (("--env=demo", "--params=data_prep.source=/none", "--pipeline=data_prep"), "/none does not exist"),
        (("--env=demo+local", "--pipeline=reporting"), "There are no results in"),
        (
            (
                "--env=demo",
                "--params=data_prep.image_size=9",
                "--pipeline=cifar_resnet",
                "--nodes=cifar_resnet.train_runs",
            ),
            "There is no image set in",
        ),
        (("--env=demo", "--params=execution.device=cuda"), "execution.device=cuda but torch finds 0 GPUs"),
    ],
)
def test_mistakes_are_told_once_in_one_sentence_before_anything_is_trained(project, arguments, message):
    if "execution.device=cuda" in arguments[-1]:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
    (project.folder / "conf/local").mkdir(exist_ok=True)
    done = project.run("run", *arguments, succeeds=False)
    assert (done.stdout + done.stderr).count(message) == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((project.folder / "data").glob("06_models/*/*/runs/*/checkpoints/*"))


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_there(demo_project, tmp_path):
    import subprocess

    from tests.conftest import Project

    project = Project(tmp_path)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path / "data")], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        project.run("run", "--env=demo", "--pipeline=data_prep", "--params=data_prep.ffcv=false")
        before = {path: path.read_bytes() for path in (tmp_path / "data/03_primary").rglob("*") if path.is_file()}
        done = project.run("run", "--env=demo", "--pipeline=cifar_resnet", succeeds=False)
        assert "needs 32 MB but its disk has" in done.stderr  # the fault harness fills a disk that had enough
        assert "Traceback" not in done.stdout + done.stderr
        assert {path: path.read_bytes() for path in before} == before
        assert not [path for path in (tmp_path / "data/06_models").rglob("*.safetensors") if path.is_file()]
    finally:
        subprocess.run(["umount", str(tmp_path / "data")], check=True)
