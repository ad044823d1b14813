"""Small projects to do harm to: a study of all pipelines that takes seconds, and commands in processes of their own."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.command_server import StartedCommand, command_server
from tests.conftest import ROOT

STUDY = "demo+faults"
PIPELINES = (
    "data_prep",
    "cifar_resnet",
    "stacking",
    "transfer_cuts",
    "clustering",
    "mlp_transfer",
    "alphanet",
    "choose",
    "reporting",
)
"""In the order in which each finds what it needs."""

SETTINGS = """
title: Faults
cifar_resnet:
  seeds: [0, 1]
  run:
    training: {epochs: 4, checkpoint_every: 1}
stacking:
  seeds: [0]
  networks:
    resnet9: {model: {stem_width: 4, widths: [4, 8]}}
  variants:
    - {name: joint, changes: {}, space: null}
    - {name: folds, changes: {mode: cross_validated}, space: null}
  opponents: [average]
  run:
    base_learners: [resnet9, resnet9]
    meta_learner: {hidden: [8], image_features: null}
    training: {epochs: 2, batch_size: 256, checkpoint_every: 1}
    folds: {number: 2}
transfer_cuts:
  network: {channels: [4, 4]}
  pretraining: {seeds: [0], training: {epochs: 2}}
  subsets: [{fraction: 0.03, repeats: 2}, {fraction: 0.3, repeats: 2}]
  fine_tuning: {training: {epochs: 2, steps_per_epoch: 2}}
clustering:
  tsne: {layers: [conv1], samples: 60}
mlp_transfer:
  architectures: [[8], [6, 6]]
  seeds: [11, 12]
  search: {trials: 4}
  training: {epochs: 4}
choose:
  budget: 1h
alphanet:
  backbone: {seeds: [0, 1], run: {training: {epochs: 3, checkpoint_every: 1}}}
  repeats: 2
  training: {epochs: 3, minimum_epochs: 1}
"""


@dataclass(frozen=True)
class Ended:
    """A command that is over.

    Attributes:
        code: its exit code; -9 for one that was killed.
        seconds: how long it took.
        output: what it printed, errors included.
    """

    code: int
    seconds: float
    output: str


class Project:
    """A folder with configuration, code and data, in which commands can run without touching the checkout."""

    def __init__(self, folder: Path, output: str = "output.txt") -> None:
        self.folder = folder
        self._output = folder / output

    @classmethod
    def create(cls, folder: Path) -> "Project":
        """An empty one, with the environment `faults`."""
        folder.mkdir(parents=True)
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("credentials.yml"))
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        (folder / "conf/faults").mkdir()
        title, _, rest = SETTINGS.strip().partition("\n")
        (folder / "conf/faults/environment.yml").write_text(title + "\n", encoding="utf-8")
        (folder / "conf/faults/parameters.yml").write_text(rest + "\n", encoding="utf-8")
        (folder / "data").mkdir()
        return cls(folder)

    def copy(self, folder: Path) -> "Project":
        """The same at another place."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def without(self, pipeline: str) -> "Project":
        """This one, after all that `pipeline` has made is taken out."""
        for path in own_folders(self.folder, pipeline):
            if path.is_file():
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)
        return self

    def start(self, *arguments: str, variables: dict[str, str] | None = None) -> StartedCommand:
        """A kedro command in a process group of its own; its output goes to a file beside the data."""
        environment = os.environ | {"DO_NOT_TRACK": "1", "COLUMNS": "400", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        with self._output.open("w", encoding="utf-8") as output:
            return command_server().start(
                list(arguments), self.folder, environment | (variables or {}), output.fileno()
            )

    def output(self) -> str:
        """What the last command has printed so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def run(self, *arguments: str, variables: dict[str, str] | None = None, timeout: float = 600) -> Ended:
        """Do a kedro command to its end."""
        began = time.monotonic()
        process = self.start(*arguments, variables=variables)
        with ended_with(process):
            code = process.wait(timeout)
        return Ended(code, time.monotonic() - began, self.output())


@contextmanager
def ended_with(process: subprocess.Popen[str] | StartedCommand) -> Iterator[None]:
    """Leave no process behind, whatever happens inside."""
    try:
        yield
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[str] | StartedCommand) -> None:
    """SIGKILL to the process and all it has started."""
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def own_folders(project: Path, pipeline: str) -> list[Path]:
    """Folders that `pipeline` alone writes to."""
    data = project / "data"
    if pipeline == "data_prep":
        return [data / "03_primary", data / "05_model_input", data / "08_reporting" / STUDY / "data_prep"]
    layers = ("06_models", "07_model_output", "08_reporting")
    if pipeline == "clustering":  # of the networks of another pipeline, in whose folders it keeps what it has done
        clusterings = (data / "06_models" / STUDY / "transfer_cuts/runs").glob("*/clusters-*.parquet")
        return [*clusterings, *(data / layer / STUDY / pipeline for layer in layers)]
    if pipeline == "reporting":
        reports = data / "08_reporting"
        return [*reports.glob("[!.]*.*"), *(reports / STUDY).glob("[!.]*.*"), reports / STUDY / "tables"]
    return [data / layer / STUDY / pipeline for layer in layers]


def arguments_of(pipeline: str) -> tuple[str, ...]:
    """The command that does a pipeline of the small study."""
    return ("run", f"--env={STUDY}", f"--pipeline={pipeline}")
