"""Blocks of commands in the documentation: where they stand, whether they are run, and the commands in them.

A block begins with ```` ```bash ````. All are run, but those after a line `<!-- not run: REASON -->`. A block without a
language whose lines begin with `$ ` shows commands with what they print. Commands also stand in running text and tables.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<script>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_MARKER = re.compile(r"<!--\s*not run:\s*(?P<reason>[^>]*?)\s*-->\s*\Z")
_IN_TEXT = re.compile(r"`((?:kedro|make) [^`\n]+)`")
_PROMPT = "$ "
_OPERATORS = {"&&", "||", "|", ";", "&"}


@dataclass(frozen=True)
class CommandBlock:
    """A block of commands; `reason` says why it is not run, None where it is."""

    file: str
    line: int
    script: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def commands(self) -> Iterator[list[str]]:
        """The words of each command."""
        for line in self.script.replace("\\\n", " ").splitlines():
            yield from split_commands(line)


def split_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, without comments and without what joins commands."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    command: list[str] = []
    for word in lexer:
        if word in _OPERATORS:
            yield command
            command = []
        else:
            command.append(word)
    if command:
        yield command


def pages_with_commands(root: Path) -> list[Path]:
    """The files whose blocks of commands count."""
    return [
        root / "README.md",
        root / "CONTRIBUTING.md",
        root / "SECURITY.md",
        *sorted((root / "docs").rglob("*.md")),
        *sorted((root / "src/vision_studies/pipelines").glob("*/README.md")),
    ]


def command_blocks(root: Path) -> list[CommandBlock]:
    """Every block of commands of the documentation."""
    return [block for file in pages_with_commands(root) for block in blocks_in(file, root)]


def blocks_in(file: Path, root: Path) -> Iterator[CommandBlock]:
    """The blocks of commands of one file."""
    text = file.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        script, marker = dedent(found["script"]), _MARKER.search(text, 0, found.start())
        reason = marker["reason"] if marker else None
        if found["language"] == "" and script.startswith(_PROMPT):
            lines = [line for line in script.splitlines() if line.startswith(_PROMPT)]
            script, reason = "\n".join(line.removeprefix(_PROMPT) for line in lines), "shown with what it printed"
        elif found["language"] != "bash":
            continue
        yield CommandBlock(str(file.relative_to(root)), text.count("\n", 0, found.start()) + 1, script, reason)


def commands_in_text(file: Path) -> list[str]:
    """Commands between backquotes, those with something left out excepted."""
    text = _BLOCK.sub("", file.read_text(encoding="utf-8"))
    return [command for command in _IN_TEXT.findall(text) if "..." not in command and "…" not in command]


def other_shells(file: Path) -> set[str]:
    """First lines of blocks of commands that would escape because they are called otherwise than bash."""
    found = _BLOCK.finditer(file.read_text(encoding="utf-8"))
    return {
        block["script"].partition("\n")[0]
        for block in found
        if block["language"] in ("sh", "shell", "console", "zsh")
        or (block["language"] == "" and re.match(r"\s*(kedro|make) ", block["script"]))
    }
