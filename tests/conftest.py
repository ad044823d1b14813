import gc
import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from tests.command_server import StartedCommand, command_server
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from vision_studies import project_folders

ROOT = Path(__file__).parents[1]
# Commands and processes that collect tests read hundreds of modules: neither compiles them anew, whatever the shell says.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: threads of their own would only be in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")

NUMERIC = frozenset({"augmentation", "data", "models", "serving", "statistics", "training"})
"""Folders of tests whose numbers depend on the processor, as do those of the methods below `pipelines`.

`make test-processors` runs them under several instruction sets.
"""
SLOW_FIXTURES = frozenset(
    {"project", "demo_project", "chromium", "killed", "together", "site", "rehearsals", "prepared", "extended_project"}
)
"""What starts commands, a browser or processes that train together, or builds a site, and so takes more than a second."""


@cache
def group_of(file: str) -> str:
    """What is run in one process: a file of tests, and all files together that share the project of the demo."""
    return "demo" if "demo_project" in (ROOT / file).read_text(encoding="utf-8") else file


class GroupScheduling(LoadScopeScheduling):
    """Gives whole groups to processes."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.split("::", maxsplit=1)[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is numeric and what is slow, and begin with the groups that have the most slow tests.

    Then no process is left with a long group at the end.
    """
    slow_tests: dict[str, int] = defaultdict(int)
    for item in items:
        folder, *below = item.path.relative_to(ROOT / "tests").parts
        if folder in NUMERIC or (folder == "pipelines" and len(below) > 1):
            item.add_marker(pytest.mark.numeric)
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        slow_tests[_group(item)] += "slow" in item.keywords
    items.sort(key=lambda item: -slow_tests[_group(item)])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays: nobody looks for garbage meanwhile, nor among it afterwards."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _group(item: pytest.Item) -> str:
    return group_of(item.nodeid.split("::")[0])


def heed_interrupts() -> None:
    """In a process about to start: hear Ctrl-C, even where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Project:
    """A copy of the project with empty data folders, in which commands can run without touching the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "conf", folder / "conf")
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
        (folder / "data").mkdir()

    def environment(self) -> dict[str, str]:
        # Networks here are so small that a second thread costs more than it brings.
        return os.environ | {"DO_NOT_TRACK": "1", "COLUMNS": "400", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str) -> StartedCommand:
        return command_server().start(list(arguments), self.folder, self.environment())

    def run(self, *arguments: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        # A busy machine, not a slow command, takes long.
        done = command_server().run(list(arguments), self.folder, self.environment(), timeout=900)
        assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
        return done


@pytest.fixture(autouse=True)
def no_chosen_project(monkeypatch):
    """Each test works with the project around its own working folder, and all pipelines, whatever a session has chosen."""
    monkeypatch.setattr(project_folders, "_chosen", None)
    yield
    if (registry := sys.modules.get("vision_studies.pipeline_registry")) is not None:
        registry.choose_methods(None)


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


SMALL_NETWORK = (
    "{name: resnet_small, stem_width: 8, widths: [8, 16], blocks: [1, 1], strides: [1, 2], squeeze_reduction: null}"
)
QUICK = """
choose: {budget: 10m}   # of which it needs seconds: what is tried must not hang on the machine
stacking:
  opponents: [average]
  run:
    training: {epochs: 1, batch_size: 256}
    folds: {number: 2}
transfer_cuts:
  network: {channels: [4, 4]}
  pretraining: {training: {epochs: 2}}
  subsets: [{fraction: 0.03, repeats: 2}, {fraction: 0.3, repeats: 2}]
  fine_tuning: {training: {epochs: 2, steps_per_epoch: 2}}
clustering:
  tsne: {layers: [conv1], samples: 60}
alphanet:
  backbone: {seeds: [0, 1], run: {training: {epochs: 3, checkpoint_every: 1}}}
  repeats: 2
  training: {epochs: 3, minimum_epochs: 1}
mlp_transfer:
  architectures: [[8], [6, 6]]
  seeds: [11, 12]
  search: {trials: 5}
  training: {epochs: 4, precision: fp32}   # golden losses are those of every processor
"""
ENVIRONMENTS = {
    "quick/parameters.yml": QUICK,
    "quick/parameters_seeds.yml": (
        f"cifar_resnet: {{seeds: [0, 1], run: {{model: {SMALL_NETWORK}, training: {{epochs: 6, checkpoint_every: 1}}}}}}\n"
        "stacking: {seeds: [0, 1]}\n"
    ),
    "brief/parameters.yml": QUICK,
    "brief/parameters_seeds.yml": (
        "cifar_resnet: {seeds: [0], run: {training: {epochs: 1, checkpoint_every: 1}}}\nstacking: {seeds: [0]}\n"
    ),
    "brief_images/parameters.yml": "data_prep: {ffcv: false, splits: {test_fraction: 0.7}}\n",
}


def quick_project(folder: Path) -> Project:
    """A project without data, and with environments that make the demo short.

    `quick` has two seeds and a small network; `brief` one look at the images for one seed, with the study's own networks;
    `brief_images` a third of the images.
    """
    project = Project(folder)
    for name, content in ENVIRONMENTS.items():
        file = project.folder / "conf" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return project


def without_figures(*pipelines: str) -> str:
    """An option for `kedro run` where no figure is looked at: drawing them takes longer than what small networks need."""
    graphs = [import_module(f"vision_studies.pipelines.{name}").create_pipeline() for name in pipelines]
    tags = {tag for graph in graphs for node in graph.nodes for tag in node.tags}
    return f"--tags={','.join(sorted(tags - {'figures'}))}"


@pytest.fixture(scope="session")
def demo_project(tmp_path_factory) -> Project:
    """A project in which `kedro run --env=demo` has run once, with two seeds and few epochs."""
    project = quick_project(tmp_path_factory.mktemp("demo"))
    project.run("run", "--env=demo+quick")
    return project
