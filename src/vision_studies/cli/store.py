"""Commands on the store that keeps data and results beyond this machine; see `storage.url`."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import ENV, PARAMS
from vision_studies.errors import ParameterError
from vision_studies.project_folders import project_folder
from vision_studies.settings import CONFIG_LOADER_ARGS

if TYPE_CHECKING:
    from vision_studies.storage.kept_data import KeptData

_SHOWN = 10


@click.group(
    short_help="Bring a study to a store, or from there.",
    epilog=(
        "\b\nExamples:\n"
        "  kedro store status --env=resnet_se\n"
        "  kedro store pull --env=resnet_se --params=storage.url=s3://bucket/folder"
    ),
)
def store() -> None:
    """Bring a study and its data to the store of storage.url, or from there."""


def _command(function: Callable[..., None]) -> Any:
    """A command on everything that a study keeps in the store."""

    @wraps(function)
    def each(env: str | None, params: dict[str, Any]) -> None:
        for kept_data in _kept_data(env, params):
            function(kept_data, ", ".join(kept_data.places))

    return store.command()(ENV(PARAMS(told_in_a_sentence(each))))


@_command
def push(kept_data: "KeptData", places: str) -> None:
    """Send what the store does not have yet.

    `kedro run` does so itself; this is for what it could not send, and for studies that were done without a store.
    """
    folders, size = kept_data.keep_all()
    click.echo(f"{places}: {folders} folders, {size / 1e6:,.1f} MB sent to {kept_data.store.url}")


@_command
def pull(kept_data: "KeptData", places: str) -> None:
    """Fetch what is not here: prepared data, runs, tables, figures and the report.

    What has been found here and is not in the store yet stays as it is.
    """
    click.echo(f"{places}: {kept_data.fetch_all()} folders fetched from {kept_data.store.url}")


@_command
def status(kept_data: "KeptData", places: str) -> None:
    """Name what is here and not in the store, and the other way round."""
    only_here, only_there = kept_data.compare()
    click.echo(f"{places} in {kept_data.store.url}:")
    _list("not in the store as they are here: `kedro store push` sends them", only_here)
    _list("only in the store, or newer there: `kedro store pull` fetches them", only_there)
    if not only_here and not only_there:
        click.echo("  all is in both places")


def _list(what: str, portions: list[str]) -> None:
    if portions:
        click.echo(f"  {len(portions)} folders are {what}")
        for portion in portions[:_SHOWN]:
            click.echo(f"    data/{portion}")
        if len(portions) > _SHOWN:
            click.echo(f"    and {len(portions) - _SHOWN} more")


def _kept_data(env: str | None, params: dict[str, Any]) -> "list[KeptData]":
    from vision_studies.hooks.storage import open_kept_data

    loader = StudyConfigLoader(project_folder() / "conf", env, params, **CONFIG_LOADER_ARGS)
    data_set = loader.data_set_key() if loader.images else None
    kept_data = open_kept_data(project_folder(), loader.study, loader["parameters"], data_set)
    if not kept_data:
        raise ParameterError(
            f"storage.url is null for the study '{loader.study}'; set it in conf/base/parameters_storage.yml or in the study's "
            "environment, for example to s3://bucket/folder."
        )
    return kept_data
