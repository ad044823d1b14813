"""What is told where a command of the project is called and there is no project to work with.

Kedro asks for it before anything else, in every project of an environment in which this package is installed; otherwise it
would say that it knows no such command.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from vision_studies.project_folders import find_project, project_folder

COMMANDS = ("run", "runs", "models", "data", "versions", "store", "alphanet", "studies", "choose")
"""Commands that Kedro does not have outside of a project."""

_WHAT_IT_IS = "a project is a folder with the repository's conf/ and pyproject.toml, and a src/, which may be empty"


def require_project() -> None:
    """End the process with a sentence where what it is asked for needs a project of ours and there is none that works."""
    problem = missing_project(sys.argv[1:], project_folder())
    if problem is not None:
        print(f"Error: {problem}", file=sys.stderr)
        sys.exit(1)
    _forget_other_code()


def _forget_other_code() -> None:
    """Let Kedro import the package anew where the project brings another copy of it than the one that is installed.

    Kedro puts the project's `src` before all else, but has then imported this module already: a second clone in the same
    environment would silently be run with the code of the first.
    """
    project = find_project(project_folder())
    if project is None:
        return
    package, here = project / "src" / __package__, Path(__file__).parent
    if (package / "__init__.py").is_file() and not package.samefile(here):
        for name in [name for name in sys.modules if name.split(".")[0] == __package__]:
            del sys.modules[name]


def missing_project(words: Sequence[str], folder: Path) -> str | None:
    """What is missing for a command.

    Args:
        words: of the command line, without `kedro`.
        folder: where it is called, an absolute path.

    Returns:
        A sentence; None where nothing is, or the command is none of ours.
    """
    project = find_project(folder)
    if project is None:
        if not words or words[0] not in COMMANDS:
            return None
        return (
            f"{folder} lies in no project, which `kedro {words[0]}` needs: {_WHAT_IT_IS}; go into one, or copy these."
        )
    if (project / "src").is_dir() or "vision_studies" not in (project / "pyproject.toml").read_text(encoding="utf-8"):
        return None
    return f"{project} has no folder src, without which Kedro does not start: {_WHAT_IT_IS}; make it with `mkdir src`."
