"""Kedro's own commands, with names checked and errors told in one sentence."""

import functools
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import click
from kedro.framework.cli.catalog import catalog as kedro_catalog
from kedro.framework.cli.cli import project_commands
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.registry import registry as kedro_registry
from kedro.io import DataCatalog, DatasetNotFoundError

from vision_studies import pipeline_registry
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.errors import INTERRUPTED, told_in_a_sentence
from vision_studies.cli.options import BUDGET, ENV_VARIABLE, RunCommand, explained
from vision_studies.config.lengths_of_time import budget_seconds
from vision_studies.config.registry import METHODS
from vision_studies.errors import ParameterError
from vision_studies.hooks.run_record import SELECTIONS
from vision_studies.pipeline_registry import check_pipelines
from vision_studies.project_folders import REPORTS, project_folder
from vision_studies.settings import CONFIG_LOADER_ARGS

_STOPPED = "Stopped. Nothing that was finished is lost: the same command continues."
_IMAGES = ("image_set", "splits", "ffcv_files")
_OTHERWISE = ("load_versions", "only_missing_outputs")  # selections that leave a pipeline its steps
_RUNNERS = ("SequentialRunner", "ThreadRunner", "ParallelRunner")

# kedro-viz asks FastAPI for a class that FastAPI no longer wants; only kedro-viz can change that.
warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated", module="kedro_viz")


def _run_each(studies: list[str], collection: str) -> None:
    """Run the command once for every study of a collection, in processes of their own; one that fails stops no other.

    In the end the tables that are called after their studies stand in one folder, too. Ctrl-C stops the study at work, which
    says so, and the rest. Raises ParameterError where some failed.
    """
    from vision_studies.pipelines.reporting.collection import gather_tables

    failed, interrupts = [], list[int]()
    # A terminal sends Ctrl-C to every process; it shall end the inner one alone, which has work to put away.
    before = signal.signal(signal.SIGINT, lambda signal_number, _: interrupts.append(signal_number))
    try:
        for number, study in enumerate(studies, start=1):
            click.secho(f"\n{study} ({number} of {len(studies)})", bold=True)
            named = {collection: study, f"--env={collection}": f"--env={study}"}
            arguments = [named.get(argument, argument) for argument in sys.argv[1:]]
            environment = os.environ | {ENV_VARIABLE: study}
            code = subprocess.run([sys.executable, "-m", "kedro", *arguments], check=False, env=environment).returncode
            if interrupts or code == INTERRUPTED:
                sys.exit(INTERRUPTED)
            failed += [study] if code else []
    finally:
        signal.signal(signal.SIGINT, before)
    if (folder := gather_tables(project_folder() / REPORTS, collection, studies)) is not None:
        click.echo(f"\nTables of all studies: {folder.relative_to(project_folder())}")
    if failed:
        raise ParameterError(
            f"{', '.join(failed)} did not end well; see above. The others did, and are not done again."
        )


@functools.wraps(kedro_run.callback)  # type: ignore[arg-type]
def _run(budget: str | None = None, **options: Any) -> Any:
    options["env"] = options.get("env") or os.environ.get(ENV_VARIABLE)
    # --pipeline is the documented way here; Kedro would call it deprecated.
    if options.get("pipeline") and not options.get("pipelines"):
        options |= {"pipelines": [options["pipeline"]], "pipeline": None}
    named = list(options.get("pipelines") or [])
    check_pipelines(named)
    if "reporting" in named:
        pipeline_registry.report_after([name for name in named if name != "reporting"])
    runner = options.get("runner")
    if runner and "." not in runner and runner not in _RUNNERS:
        raise ParameterError(f"There is no runner '{runner}'; use {', '.join(_RUNNERS[:-1])} or {_RUNNERS[-1]}.")
    options["runner"] = runner or "vision_studies.catalog.study_runner.StudyRunner"
    loader = StudyConfigLoader(options.get("conf_source") or project_folder() / "conf", options["env"])
    if budget is not None:
        options["params"] = with_budget(options.get("params") or {}, budget, named or loader.pipelines)
    if loader.studies is not None:
        return _run_each(loader.studies, options["env"])
    chosen = any(options.get(name) for name in SELECTIONS if name not in _OTHERWISE)
    if named and not chosen and "data_prep" not in named and not _is_prepared(named, options):
        click.echo("The images are not prepared yet, or not all of their files: data_prep comes first.")
        options["pipelines"] = ["data_prep", *named]
    assert kedro_run.callback is not None  # noqa: S101 - a click command always has one
    try:
        return kedro_run.callback(**options)
    except DatasetNotFoundError as error:
        unknown = [name for name in options.get("load_versions") or {} if name in str(error)]
        if not unknown:
            raise
        raise ParameterError(
            f"--load-versions: there is no data set '{unknown[0]}'; `kedro versions list` shows those that have versions."
        ) from error
    except ValueError as error:
        if not _is_of_the_choice_of_steps(error):
            raise
        what = str(error).split(". ")[0].rstrip(".")
        raise ParameterError(
            f"{what}; `kedro registry describe` lists the steps, `kedro catalog describe-datasets` the data sets."
        ) from error


def with_budget(params: dict[str, Any], budget: str, pipelines: Sequence[str] | None) -> dict[str, Any]:
    """Parameters of a command of these pipelines (None: all) with `--budget` in the place that each has for it. Raises
    ParameterError where it is no length of time.
    """
    try:
        budget_seconds(budget)
    except ValueError as error:
        raise ParameterError(f"--budget: {error}.") from error
    places = ["execution", *(["choose"] if pipelines is None or "choose" in pipelines else [])]
    return {**params, **{name: {**params.get(name, {}), "budget": budget} for name in places}}


def run_study(name: str, params: dict[str, Any]) -> None:
    """Do a study as `kedro run --env=NAME` does, with these parameters, from images to the report."""
    with run.make_context("run", [f"--env={name}"]) as command:
        _run(**command.params | {"params": params})


def _is_prepared(pipelines: list[str], options: Mapping[str, Any]) -> bool:
    """Whether all is there that `data_prep` makes and these pipelines take."""
    if not {*pipelines} & {*METHODS}:
        return True
    conf = options.get("conf_source") or project_folder() / "conf"
    loader = StudyConfigLoader(conf, options["env"], options.get("params") or {}, **CONFIG_LOADER_ARGS)
    if not loader.images:
        return True
    described = loader.catalog_in(project_folder())
    catalog = DataCatalog.from_config({name: described[name] for name in _IMAGES})
    return all(catalog.exists(name) for name in _IMAGES)


def _is_of_the_choice_of_steps(error: ValueError) -> bool:
    """Whether Kedro refuses what --nodes, --tags and the like leave of the pipeline."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals["__name__"] == "kedro.pipeline.pipeline" and "Pipeline " in str(error)


run = RunCommand(
    name="run",
    callback=told_in_a_sentence(_run, when_stopped=_STOPPED),
    params=[*explained(kedro_run.params), BUDGET],
    help=(
        "Do a study, or a part of it: --env names the study, --pipeline the part.\n\nFinished runs are never done again. "
        "Stop the command whenever you like; the same command continues."
    ),
    short_help="Do a study, or one pipeline of it.",
)


def _guarded(command: click.Command, pipelines_in: str, help_text: str) -> click.Command:
    """A command of Kedro with our checks, errors and help; `pipelines_in` is what names pipelines, if it has that."""
    callback = command.callback
    assert callback is not None  # noqa: S101 - a click command always has one

    @functools.wraps(callback)
    def checked(**options: Any) -> Any:
        named = options.get(pipelines_in) or []
        check_pipelines([named] if isinstance(named, str) else list(named))
        return callback(**options)

    options = explained(command.params)
    return click.Command(command.name, callback=told_in_a_sentence(checked), params=options, help=help_text)


def _guarded_group(group: click.Group, pipelines_in: str, help_text: str, helps: dict[str, str]) -> click.Group:
    guarded = {
        name: _guarded(command, pipelines_in, helps.get(name, command.help or ""))
        for name, command in group.commands.items()
    }
    return click.Group(group.name, guarded, help=help_text)


catalog = _guarded_group(
    kedro_catalog,
    "pipeline",
    "Data sets that a study reads and writes, and where they lie.",
    {
        "describe-datasets": "Names of the data sets, by pipeline: described each by itself, by a pattern, or not at all.",
        "list-patterns": "Patterns that describe several data sets at once, the one that counts first on top.",
        "resolve-patterns": "Every data set with its kind and its file.",
    },
)
registry = _guarded_group(
    kedro_registry,
    "name",
    "Pipelines and their steps.",
    {
        "list": "Names of the pipelines; __default__ is what `kedro run` does without --pipeline.",
        "describe": "Steps of the pipeline NAME in their order; of all pipelines together without NAME.",
    },
)

for _command in (run, catalog, registry):  # Kedro's help would list its commands of these names below ours
    getattr(project_commands, "lazy_subcommands", {}).pop(_command.name, None)
