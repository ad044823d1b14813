"""A copy of the project to which a model, an augmentation and a metric have been added, each by one file or entry."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT, Project

FOLDER = Path(__file__).parent
STUDY = {
    "environment.yml": "title: Toys\nquestion: Do they all show up?\npipelines: [cifar_resnet]\n",
    "parameters.yml": """
data_prep: {source: digits, image_size: null, ffcv: false, splits: {validation_fraction: 0.15, long_tail: null}}
cifar_resnet:
  seeds: [0, 1]
  variants: [{name: narrow, changes: {}}, {name: wide, changes: {model: {width: 32}}}]
  run:
    model: {name: toy_perceptron}
    augmentation: {steps: [{name: toy_darken, most: 0.3}]}
    training: {epochs: 2, batch_size: 128, mixing: null, precision: fp32, checkpoint_every: 2}
    evaluation: {views: [1]}
""",
}


class ExtendedProject(Project):
    """Commands and scripts in the copy's own code."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": f"{self.folder / 'src'}:{ROOT}"}

    def script(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a script beside this file, in the project's folder."""
        command = [sys.executable, "-W", "error", str(FOLDER / name)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="session")
def extended_project(tmp_path_factory) -> ExtendedProject:
    """The copy, with a study of the toys."""
    project = ExtendedProject(tmp_path_factory.mktemp("extended"))
    package = project.folder / "src/vision_studies"
    for toy, place in {"toy_model": "models/architectures", "toy_augmentation": "augmentation/steps"}.items():
        (package / place / f"{toy}.py").write_text((FOLDER / f"{toy}.py").read_text(encoding="utf-8"), encoding="utf-8")
    metrics = package / "statistics/metrics.py"
    metrics.write_text(with_entry(metrics.read_text(encoding="utf-8")), encoding="utf-8")
    folder = project.folder / "conf/toys"
    folder.mkdir()
    for name, content in STUDY.items():
        (folder / name).write_text(content, encoding="utf-8")
    return project


def with_entry(metrics: str) -> str:
    """The list of metrics with the toy's entry behind that of the Brier score, and its function before the list."""
    toy = (FOLDER / "toy_metric.py").read_text(encoding="utf-8")
    function, entry = (ast.get_source_segment(toy, node) for node in ast.parse(toy).body[-2:])
    before, after = metrics.split("METRICS: tuple")
    following = '    _metric(\n        "best_epoch"'
    assert after.count(following) == 1
    entry = entry.removeprefix("TOP_TWO = ")
    return f"{before}{function}\n\n\nMETRICS: tuple" + after.replace(following, f"{entry},\n{following}")
