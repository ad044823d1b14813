"""Kedro's own commands, with names checked and errors told in one sentence."""

import difflib
import functools
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import click
from kedro.framework.cli.catalog import catalog as kedro_catalog
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.registry import registry as kedro_registry

from vision_studies import pipeline_registry
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.errors import ParameterError


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


def _run_each(studies: list[str], collection: str) -> None:
    """Run the command once for every study of a collection, in processes of their own; one that fails stops no other.

    Raises:
        ParameterError: some failed.
    """
    failed = []
    for place, study in enumerate(studies, start=1):
        click.secho(f"\n{study} ({place} of {len(studies)})", bold=True)
        named = {collection: study, f"--env={collection}": f"--env={study}"}
        arguments = [named.get(argument, argument) for argument in sys.argv[1:]]
        if subprocess.run([sys.executable, "-m", "kedro", *arguments], check=False).returncode:
            failed.append(study)
    if failed:
        raise ParameterError(
            f"{', '.join(failed)} did not end well; see above. The others did, and are not done again."
        )


def _choose_methods(loader: StudyConfigLoader) -> None:
    """Without `--pipeline`, a study does the pipelines that its `environment.yml` names."""
    if loader.pipelines is not None:
        _check_pipelines(loader.pipelines)
        pipeline_registry.choose_methods(loader.pipelines, images=loader.images)


@functools.wraps(kedro_run.callback)  # type: ignore[arg-type]
def _run(**options: Any) -> Any:
    # --pipeline is the documented way here; Kedro would call it deprecated.
    if options.get("pipeline") and not options.get("pipelines"):
        options |= {"pipelines": [options["pipeline"]], "pipeline": None}
    _check_pipelines(list(options.get("pipelines") or []))
    loader = StudyConfigLoader(options.get("conf_source") or Path.cwd() / "conf", options.get("env"))
    if loader.studies is not None:
        return _run_each(loader.studies, options["env"])
    if not options.get("pipelines"):
        _choose_methods(loader)
    assert kedro_run.callback is not None  # noqa: S101 - a click command always has one
    return kedro_run.callback(**options)


run = click.Command(
    name="run",
    callback=told_in_a_sentence(_run),
    params=kedro_run.params,
    help="Run pipelines of a study: --env names the study, --pipeline the pipeline (all of them without it).",
    short_help="Run the pipelines of a study.",
)


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

    return click.Command(command.name, callback=told_in_a_sentence(checked), params=command.params, help=command.help)


def _guarded_group(group: click.Group, pipelines_in: str) -> click.Group:
    commands = {name: _guarded(command, pipelines_in) for name, command in group.commands.items()}
    return click.Group(group.name, commands, help=group.help)


catalog = _guarded_group(kedro_catalog, "pipeline")
registry = _guarded_group(kedro_registry, "name")
