"""A ninth method is a folder of small files and a line in the registry; everything else finds it."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tests.conftest import Project
from tests.extending.conftest import FOLDER

STUDY = {
    "environment.yml": "title: Means\nquestion: How good is a mean image?\npipelines: [class_means]\n",
    "parameters.yml": "data_prep: {source: digits, image_size: null, ffcv: false}\n",
}
NAME = "class_means"


@pytest.fixture(scope="module")
def ninth(tmp_path_factory) -> Project:
    """A copy of the project with a method more, and a study of it."""
    project = Project(tmp_path_factory.mktemp("ninth"))
    package = project.folder / "src/vision_studies"
    shutil.copytree(FOLDER / NAME, package / "pipelines" / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.move(package / "pipelines" / NAME / "parameters.yml", project.folder / f"conf/base/parameters_{NAME}.yml")
    registry = package / "config/registry.py"
    lines = registry.read_text(encoding="utf-8").splitlines()
    lines.insert(
        lines.index("METHODS = {") + 1, f'    "{NAME}": "vision_studies.pipelines.{NAME}.settings:ClassMeansSettings",'
    )
    registry.write_text("\n".join(lines), encoding="utf-8")
    (project.folder / "conf/means").mkdir()
    for name, content in STUDY.items():
        (project.folder / "conf/means" / name).write_text(content, encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def finished(ninth):
    """The copy, in which the study was killed when it had begun, and then run to its end; with what was planned and said."""
    ninth.run("run", "--env=means", "--pipeline=data_prep")
    ninth.planned = ninth.run("runs", "plan", "--env=means").stdout
    runs = ninth.folder / f"data/06_models/means/{NAME}/runs"
    begun = ninth.start("run", "--env=means", f"--pipeline={NAME}")
    while not any(runs.glob("*/training.json")) and begun.poll() is None:
        time.sleep(0.01)
    begun.send_signal(signal.SIGKILL)
    begun.communicate()
    ninth.times = {file: file.stat().st_mtime_ns for file in runs.glob("*/training.json")}
    ninth.said = ninth.run("run", "--env=means").stdout
    return ninth


def results(project):
    return pd.read_parquet(project.folder / f"data/07_model_output/means/{NAME}/results.parquet")


def test_it_is_a_folder_of_at_most_eight_files_and_a_line():
    assert len([file for file in (FOLDER / NAME).iterdir() if file.is_file()]) <= 9  # README.md and parameters included
    assert len(list((FOLDER / NAME).glob("*.py"))) <= 8


@pytest.mark.slow
def test_its_runs_are_planned_before_they_are_done(finished):
    assert "class_means training train 6 never trained" in " ".join(finished.planned.split())
    assert "6 runs would be trained" in finished.planned


@pytest.mark.slow
def test_it_goes_on_after_a_kill_and_its_results_are_a_table(finished):
    assert finished.times
    assert all(file.stat().st_mtime_ns == time for file, time in finished.times.items())
    table = results(finished)
    assert table["status"].tolist() == ["complete"] * 6
    assert table.groupby("variant")["test_accuracy"].mean()["100% of the images"] > 0.8
    assert "Nothing would be trained: all 6 runs" in finished.run("runs", "plan", "--env=means").stdout


@pytest.mark.slow
def test_it_is_reported_with_its_figure_and_its_answer(finished):
    page = (finished.folder / "data/08_reporting/means/report.html").read_text(encoding="utf-8")
    assert "Mean images" in page
    assert "Shares compared" in page
    verdict = json.loads((finished.folder / "data/08_reporting/means/verdict.json").read_text(encoding="utf-8"))
    sentences = verdict["answers"][0]["sentences"]
    assert sentences[0].startswith("Take '100% of the images': it names")
    said = " ".join(finished.said.split())
    assert [sentence for sentence in sentences if sentence not in said] == []


@pytest.mark.slow
def test_trackers_are_given_its_runs(finished):
    script = (
        "from pathlib import Path\n"
        "from vision_studies.tracking.study_log import StudyFolders\n"
        "from vision_studies.tracking.study_log import read_runs\n"
        "runs = read_runs(StudyFolders.of(Path(), 'means'))\n"
        "print([(run.pipeline, run.status, run.tags['table'], 'test_accuracy' in run.metrics) for run in runs])"
    )
    environment = finished.environment() | {"PYTHONPATH": str(finished.folder / "src")}
    options = {"cwd": finished.folder, "env": environment, "capture_output": True, "text": True}
    read = subprocess.run([sys.executable, "-c", script], check=True, **options).stdout
    assert read.strip() == str([(NAME, "complete", "results", True)] * 6)


@pytest.mark.slow
def test_its_networks_are_listed_predict_and_are_exported(finished, tmp_path):
    assert "class means" in finished.run("models", "list", "--env=means").stdout
    exported = tmp_path / "means.pt2"
    finished.run("models", "export", "--env=means", "--format=torch_export", f"--output={exported}")
    assert exported.stat().st_size > 0
    digits = load_digits()
    images = tmp_path / "images"
    for label in range(10):
        for number, image in enumerate(digits.images[digits.target == label][:5]):
            file = images / str(label) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 255 / 16).astype("uint8")).save(file)
    scored = tmp_path / "scored.json"
    finished.run("models", "evaluate", str(images), "--env=means", f"--output={scored}")
    assert json.loads(scored.read_text(encoding="utf-8"))["accuracy"] > 0.8
    finished.run("models", "predict", str(images / "7"), "--env=means", f"--output={tmp_path / 'sevens.csv'}")
    predicted = pd.read_csv(tmp_path / "sevens.csv")
    assert (predicted["class"].astype(str) == "7").sum() >= 4


@pytest.mark.slow
def test_a_parameter_that_it_does_not_have_is_told(ninth):
    told = ninth.run("run", "--env=means", f"--pipeline={NAME}", f"--params={NAME}.share=1", succeeds=False)
    assert "class_means.share: there is no such parameter; did you mean 'shares'?" in told.stderr
