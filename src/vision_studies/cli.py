"""Kedro's commands, with errors a user can mend told in one sentence."""

import difflib
import functools
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

import click
from kedro.framework.cli.catalog import catalog as kedro_catalog
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.registry import registry as kedro_registry

from vision_studies.errors import ParameterError, VisionStudiesError


@click.group(name="vision-studies")
def cli() -> None:
    """Commands of this project; they take the place of Kedro's commands of the same name."""


def _told_in_a_sentence(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print the message of an error that is the user's to mend, and nothing else. Other errors are left alone.

    VISION_STUDIES_TRACEBACK=1 shows where it came from.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            told = _user_error(error)
            if told is None or os.environ.get("VISION_STUDIES_TRACEBACK"):
                raise
            click.secho(f"Error: {told}", fg="red", err=True)
            sys.exit(1)

    return wrapped


def _user_error(error: BaseException) -> VisionStudiesError | None:
    """The error of ours behind what Kedro raised."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if isinstance(current, VisionStudiesError):
            return current
        seen.add(id(current))
        current = current.__cause__ or current.__context__
    return None


def _check_pipelines(names: list[str]) -> None:
    spec = find_spec("vision_studies.pipelines")
    there = [
        "__default__",
        *(module.name for module in iter_modules(spec.submodule_search_locations if spec else None)),
    ]
    for name in names:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            guess = f" Did you mean '{close[0]}'?" if close else ""
            raise ParameterError(f"There is no pipeline '{name}'.{guess} There are: {', '.join(there)}.")


@functools.wraps(kedro_run.callback)  # type: ignore[arg-type]
def _run(**options: Any) -> Any:
    # --pipeline is the documented way here; Kedro would call it deprecated.
    if options.get("pipeline") and not options.get("pipelines"):
        options |= {"pipelines": [options["pipeline"]], "pipeline": None}
    _check_pipelines(list(options.get("pipelines") or []))
    assert kedro_run.callback is not None  # noqa: S101 - a click command always has one
    return kedro_run.callback(**options)


run = click.Command(
    name="run",
    callback=_told_in_a_sentence(_run),
    params=kedro_run.params,
    help="Run pipelines of a study: --env names the study, --pipeline the pipeline (all of them without it).",
    short_help="Run the pipelines of a study.",
)
cli.add_command(run)


def _guarded(command: click.Command, pipelines_in: str) -> click.Command:
    """The command of Kedro with our checks and errors.

    Args:
        command: the command.
        pipelines_in: the option or argument, if it has it, that names pipelines.
    """
    callback = command.callback
    assert callback is not None  # noqa: S101 - a click command always has one

    @functools.wraps(callback)
    def checked(**options: Any) -> Any:
        named = options.get(pipelines_in) or []
        _check_pipelines([named] if isinstance(named, str) else list(named))
        return callback(**options)

    return click.Command(command.name, callback=_told_in_a_sentence(checked), params=command.params, help=command.help)


for group, names in ((kedro_catalog, "pipeline"), (kedro_registry, "name")):
    commands = {name: _guarded(command, names) for name, command in group.commands.items()}
    cli.add_command(click.Group(group.name, commands, help=group.help))
