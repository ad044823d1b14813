"""What can be said of a command without running it: whether all that it names is there."""

import importlib.util
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import project_group
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli import cli
from vision_studies.errors import VisionStudiesError
from vision_studies.settings import CONFIG_LOADER_ARGS

SHELL = {
    "bash",
    "cat",
    "cd",
    "cp",
    "dask",
    "echo",
    "export",
    "git",
    "head",
    "less",
    "ls",
    "mkdir",
    "mv",
    "pip",
    "podman",
    "python",
    "ssh",
    "unzip",
    "xdg-open",
}
"""Programs that every machine has; what they are told is not looked into."""

_OF_THE_REPOSITORY = re.compile(
    r"^(conf|docs|src|tests|notebooks|benchmarks)/|^(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md$|^install\.sh$"
)
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")


class CommandChecks:
    """Checks of commands against a folder of configuration.

    Args:
        conf: `conf/`, with the environments that the documentation tells its reader to make.
    """

    def __init__(self, conf: Path) -> None:
        self.conf = conf

    def problems(self, command: Sequence[str], *, whole: bool = True) -> list[str]:
        """What is wrong with a command.

        Args:
            command: its words.
            whole: whether it must have all that it needs; running text may name a command alone.
        """
        words = [*command]
        while words and _ASSIGNMENT.match(words[0]):
            words.pop(0)
        if not words:
            return []
        program = words[0].removeprefix(".venv/bin/")
        missing = [f"there is no {word}" for word in words[1:] if self._is_missing(word)]
        return missing + (self._kedro(words[1:], whole) if program == "kedro" else _others(program, words[1:]))

    def _is_missing(self, word: str) -> bool:
        path = word.partition("=")[2] if _ASSIGNMENT.match(word) else word
        if not _OF_THE_REPOSITORY.match(path):
            return False
        inside = self.conf / path.removeprefix("conf/") if path.startswith("conf/") else ROOT / path
        return not inside.exists()

    def _kedro(self, arguments: Sequence[str], whole: bool) -> list[str]:
        command: click.Command = click.Group("kedro", commands=kedro_commands())
        context = click.Context(command, info_name="kedro")
        rest = [*arguments]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            found = command.get_command(context, name)
            if found is None:
                return [f"{context.command_path} has no command {name}"]
            command = found
            context = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            return [] if rest == ["--help"] or not whole else [f"{context.command_path} wants a command"]
        return self._options(command, rest, whole)

    def _options(self, command: click.Command, arguments: list[str], whole: bool) -> list[str]:
        try:
            parsed = command.make_context(command.name, arguments)
        except click.exceptions.Exit:  # after --help
            return []
        except click.MissingParameter as error:
            return [error.format_message()] if whole else []
        except click.BadParameter as error:
            # Folders and files of the reader are not there; that is no mistake of the page.
            return [] if "does not exist" in error.message else [error.format_message()]
        except click.ClickException as error:
            return [error.format_message()]
        return self._names(parsed.params)

    def _names(self, given: dict[str, Any]) -> list[str]:
        pipelines = [given.get("pipeline"), *(given.get("pipelines") or [])]
        there = {"__default__", *(path.parent.name for path in ROOT.glob("src/vision_studies/pipelines/*/nodes.py"))}
        unknown = [f"there is no pipeline {name}" for name in pipelines if isinstance(name, str) and name not in there]
        parameters = given.get("params") or {}
        if "env" not in given:
            return unknown
        try:
            loader = StudyConfigLoader(self.conf, given["env"], parameters, **CONFIG_LOADER_ARGS)
            for name in (loader.studies or [given["env"]]) if parameters else []:
                # Reading every parameter takes half a second; without --params it is other tests that do it.
                StudyConfigLoader(self.conf, name, parameters, **CONFIG_LOADER_ARGS)["parameters"]
        except VisionStudiesError as error:
            return [*unknown, str(error)]
        return unknown


def _others(program: str, arguments: Sequence[str]) -> list[str]:
    match program, *arguments:
        case ["make", *words]:
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            named = [word for word in words if not _ASSIGNMENT.match(word)]
            return [f"make has no target {word}" for word in named if word not in targets]
        case ["python", "-m", module, *_]:
            folder, file = ROOT / module.replace(".", "/"), ROOT / f"{module.replace('.', '/')}.py"
            installed = importlib.util.find_spec(module.partition(".")[0])
            there = folder.is_dir() or file.is_file() or (installed and "." not in module)
            return [] if there else [f"there is no module {module}"]
        case ["source", ".venv/bin/activate"] | ["pre-commit", "install"]:
            return []
        case _:
            return [] if program in SHELL else [f"nobody knows the program {program}"]


@cache
def kedro_commands() -> dict[str, click.Command]:
    """The commands that `kedro` has in this project."""
    commands = dict(project_group.commands)
    for group in ("kedro.global_commands", "kedro.project_commands"):
        for entry in entry_points(group=group):
            commands |= entry.load().commands
    return commands | dict(cli.commands)
