"""`kedro runs plan`: what `kedro run` would do with each run of a study, and why."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.utils import _split_params
from kedro.io import DataCatalog

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.help_texts import OPTIONS
from vision_studies.cli.kedro_commands import check_pipelines
from vision_studies.cli.plan_text import StudyPlan, plan_text
from vision_studies.cli.study_data import study_name
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.project_folders import MODELS
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.forecast import StageForecast, forecast
from vision_studies.studies.method import Method, load_method, make_context
from vision_studies.studies.run_store import RunStore

_DATA = ("image_set", "splits")


@click.command(
    "plan",
    epilog=(
        "\b\nExamples:\n"
        "  kedro runs plan --env=demo\n"
        "  kedro runs plan --env=demo --params=cifar_resnet.run.training.epochs=30 --runs"
    ),
)
@click.option("--env", "-e", help=OPTIONS["env"])
@click.option("--pipeline", "-p", help=OPTIONS["pipeline"])
@click.option("--params", type=click.UNPROCESSED, default="", callback=_split_params, help=OPTIONS["params"])
@click.option("--runs", "each", is_flag=True, help="Name every run, too.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON: a list of studies.")
@told_in_a_sentence
def plan(env: str | None, pipeline: str | None, params: dict[str, Any], each: bool, as_json: bool) -> None:
    """Show what `kedro run` would do with each run, and why.

    Give it the options of the command you are about to start. It trains, changes and holds up nothing.
    """
    import json

    if pipeline is not None:
        check_pipelines([pipeline])
    loader = StudyConfigLoader(Path.cwd() / "conf", env)
    studies: list[str | None] = [*loader.studies] if loader.studies is not None else [env]
    plans = [_plan(study, pipeline, params) for study in studies]
    if as_json:
        click.echo(json.dumps([asdict(own) for own in plans], indent=2))
        return
    click.echo("\n\n".join(plan_text(own, each=each) for own in plans))


def _plan(env: str | None, pipeline: str | None, params: dict[str, Any]) -> StudyPlan:
    # Without Kedro's session, which would import the modules of all pipelines.
    options: dict[str, Any] = {**CONFIG_LOADER_ARGS}
    loader = StudyConfigLoader(Path.cwd() / "conf", env, params, **options)
    parameters, described = loader["parameters"], loader["catalog"]
    catalog = DataCatalog.from_config({name: described[name] for name in _DATA})
    pipelines = _chosen(loader, pipeline)
    methods = [load_method(name) for name in pipelines if name in METHODS]
    most = {method.name: method.most_runs(method.settings(*_models(method, parameters))) for method in methods}
    if not all(catalog.exists(name) for name in _DATA):
        return StudyPlan(study_name(env), pipelines, None, None, most)
    image_set, splits = (catalog.load(name) for name in _DATA)
    folder = image_set.folder if image_set is not None else None
    study, execution = (_validated(key, parameters) for key in ("study", "execution"))
    found: list[StageForecast] = []
    for method in methods:
        store = RunStore(Path.cwd() / MODELS / study_name(env) / method.runs_folder_of / "runs")
        models = _models(method, parameters)
        context = make_context(method, models, study, execution, parameters["fresh"], (image_set, splits), store)
        found += forecast(context)
    prepared = str(folder.parent.relative_to(Path.cwd())) if folder is not None else None
    return StudyPlan(study_name(env), pipelines, prepared, tuple(found), most)


def _chosen(loader: StudyConfigLoader, pipeline: str | None) -> tuple[str, ...]:
    """Pipelines that `kedro run` would do, in its order."""
    if pipeline not in (None, "__default__"):
        return (str(pipeline),)
    methods = [name for name in METHODS if loader.pipelines is None or name in loader.pipelines]
    return (*(("data_prep",) if loader.images else ()), *methods, "reporting")


def _models(method: Method[Any], parameters: Mapping[str, Any]) -> list[Any]:
    return [_validated(key, parameters) for key in method.parameter_names]


def _validated(key: str, parameters: Mapping[str, Any]) -> Any:
    return settings_model(key).model_validate(parameters[key])
