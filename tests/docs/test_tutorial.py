"""A reader who does what the tutorial says gets a report; pages name the studies and messages that there are."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.command_server import kedro_for_shells
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.settings import CONFIG_LOADER_ARGS

STUDY = "my_study"
CLASSES = ["left", "right", "stop", "yield"]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w+)(?: title=\"(?P<path>[^\"]+)\")?\n"
    r"(?P<content>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: commands that are run, a file with its path, or what is only shown."""

    language: str
    path: str | None
    content: str
    reason: str | None


def blocks(page: str) -> list[Block]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [
        Block(found["language"], found["path"], found["content"], found["reason"]) for found in BLOCK.finditer(text)
    ]


@dataclass
class Reader:
    """A copy of the repository's files, in which the tutorial is followed from its first block to its last."""

    folder: Path
    programs: Path
    """Where `kedro` lies that starts without importing its libraries anew."""
    printed: str = ""

    def follow(self) -> None:
        for block in blocks("tutorial.md"):
            if block.path is not None:
                file = self.folder / block.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.content, encoding="utf-8")
            elif block.language == "bash" and block.reason is None:
                self.printed += self.run(block.content)

    def run(self, commands: str) -> str:
        path = f"{self.programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "DO_NOT_TRACK": "1", "NO_COLOR": "1", "COLUMNS": "400", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    if not (ROOT / ".git").exists():
        pytest.skip("without git nobody knows which files a clone has")
    folder = tmp_path_factory.mktemp("tutorial") / "vision-studies"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]  # what a clone has after a commit
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    with kedro_for_shells(tmp_path_factory.mktemp("programs")) as programs:
        reader = Reader(folder, programs)
        reader.follow()
    return reader


@pytest.mark.slow
def test_the_tutorial_ends_with_a_report_on_the_readers_images(reader):
    reports = reader.folder / "data/08_reporting"
    assert f"Report: {reports / STUDY / 'report.html'}" in reader.printed
    page = (reports / STUDY / "report.html").read_text(encoding="utf-8")
    environment = yaml.safe_load((reader.folder / f"conf/{STUDY}/environment.yml").read_text(encoding="utf-8"))
    for told in (environment["title"], environment["question"], "as_they_are", "shifted"):
        assert told in page
    assert STUDY in (reports / "index.html").read_text(encoding="utf-8")
    card = json.loads((reports / STUDY / "data_prep/data_card.json").read_text(encoding="utf-8"))
    assert card["class_names"] == CLASSES
    assert card["images"] == 400


@pytest.mark.slow
def test_the_rehearsal_of_the_tutorial_leaves_no_row_in_its_study(reader):
    results = reader.folder / f"data/07_model_output/{STUDY}/cifar_resnet/results.json"
    rows = json.loads(results.read_text(encoding="utf-8"))
    assert {(row["variant"], row["seed"]) for row in rows} == {
        (variant, seed) for variant in ("as_they_are", "shifted") for seed in (0, 1, 2)
    }
    assert len(rows) == 6
    assert {row["status"] for row in rows} == {"complete"}


@pytest.mark.slow
def test_the_network_of_the_tutorial_tells_its_reader_the_classes_of_new_photographs(reader):
    with (reader.folder / "predictions.csv").open(encoding="utf-8") as file:
        found = [(row["file"].partition("_")[0], row["class"]) for row in csv.DictReader(file)]
    assert len(found) == 20
    assert {true for true, _ in found} == set(CLASSES)
    right = sum(true == told for true, told in found)
    assert right >= 10, "the page says that nearly all are right; five would be luck"


def test_the_second_question_of_the_tutorial_is_one_that_can_be_run(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    files = [block for block in blocks("tutorial.md") if block.path is not None and block.path.startswith("conf/")]
    for block in files:
        (tmp_path / block.path).parent.mkdir(exist_ok=True)
        (tmp_path / block.path).write_text(block.content, encoding="utf-8")
    settings = CifarResnetSettings(
        **StudyConfigLoader(tmp_path / "conf", STUDY, **CONFIG_LOADER_ARGS)["parameters"]["cifar_resnet"]
    )
    first, second = (
        yaml.safe_load(block.content)["cifar_resnet"]
        for block in files
        if block.path.endswith(f"{STUDY}/parameters.yml")
    )
    assert first["run"] == second["run"]  # else nothing could be reused, as the page says it is
    assert [variant.name for variant in settings.variants] == ["shifted", "shifted_and_mirrored", "as_they_are"]
    assert len(settings.seeds) == 5


def test_every_study_has_its_line():
    text = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    for file in sorted((ROOT / "conf").glob("*/environment.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if {"pipelines", "studies"} & content.keys():
            assert f"| `kedro run --env={file.parent.name}` |" in text, file
    for folder in sorted((ROOT / "conf").iterdir()):
        named = any(f"`{sign}{folder.name}`" in text or f"--env={folder.name}`" in text for sign in ("+", ""))
        assert named or folder.name in ("base", "local") or not folder.is_dir(), (
            f"{folder.name} is nowhere in studies.md"
        )


def sentences(source: str) -> list[str]:
    """Every literal text of a module; what is filled in becomes a blank."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def quoted_messages(of_the_set_up: bool = False) -> list[str]:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    before, _, set_up = text.partition("\n## Set-up\n")
    rows = [line for line in (set_up if of_the_set_up else before).splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def stands_in(message: str, texts: list[str]) -> bool:
    """Whether all parts of a message, between the dots that stand for what is filled in, stand in one of the texts."""
    parts = [part.strip() for part in message.split("...") if part.strip(" '`(),.;:")]
    assert parts, message
    return any(all(part in text for part in parts) for text in texts)


@pytest.mark.slow
def test_messages_that_are_explained_are_those_of_the_code():
    told = [text for file in (ROOT / "src").rglob("*.py") for text in sentences(file.read_text(encoding="utf-8"))]
    messages = quoted_messages()
    assert len(messages) >= 40
    assert [message for message in messages if not stands_in(message, told)] == []


def test_messages_of_the_set_up_are_those_of_its_script_of_the_shell_or_of_the_first_check():
    script = (ROOT / "install.sh").read_text(encoding="utf-8").replace("'", "")
    told = sentences((ROOT / "src/vision_studies/missing_project.py").read_text(encoding="utf-8"))
    of_others = ("kedro: command not found", "No such command 'run'")
    messages = [message for message in quoted_messages(of_the_set_up=True) if message not in of_others]
    assert len(messages) >= 10
    assert [message for message in messages if not stands_in(message.replace("'", ""), [script, *told])] == []
