"""`kedro versions`: earlier results, figures and selected models of a study."""

from datetime import UTC, datetime
from typing import Any

import click
from kedro.framework.project import configure_project, pipelines
from kedro.io import DataCatalog
from kedro.io.core import generate_timestamp

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.catalog.datasets import versions_in
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import env_option, study_name
from vision_studies.errors import BusyError, ParameterError, guess
from vision_studies.hooks.lock import at_work, named
from vision_studies.project_folders import project_folder
from vision_studies.reports.table import Table
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.versions import Versions

ENV = env_option("Study whose versions are meant; base without it.")


@click.group(
    short_help="List, restore and delete earlier results and figures.",
    epilog=(
        "\b\nExamples:\n"
        "  kedro versions list --env=resnet_se\n"
        "  kedro versions restore cifar_resnet.results 2026-11-30T06.22.51.123Z --env=resnet_se\n"
        "  kedro run --env=resnet_se --pipeline=reporting\n"
        "  kedro versions clean --env=resnet_se --keep=1 --delete"
    ),
)
def versions() -> None:
    """List, restore and delete earlier results, figures and selected models of a study.

    A version is called after the time when its command began, as the command's record is.
    """


@versions.command("list")
@click.argument("data_set", required=False)
@ENV
@told_in_a_sentence
def list_versions(data_set: str | None, env: str | None) -> None:
    """List versions, of DATA_SET or of all: the newest first."""
    kept, _ = _kept(env)
    chosen = kept if data_set is None else {data_set: _one(kept, data_set)}
    rows = [
        _described(name, one, version, current=version == next(filter(one.is_newest, one.names()), None))
        for name, one in chosen.items()
        for version in one.names()
    ]
    if not rows:
        of = f" of {data_set}" if data_set else ""
        raise ParameterError(
            f"The study '{study_name(env)}' has no versions{of} yet; run it first, or name another with --env."
        )
    click.echo(Table(rows, align="lllr").terminal())
    click.echo("\n* is what lies at the data set's own path")


@versions.command()
@click.argument("data_set")
@click.argument("version")
@ENV
@told_in_a_sentence
def restore(data_set: str, version: str, env: str | None) -> None:
    """Make VERSION of DATA_SET the newest, which is kept under a new name; no other version changes.

    The report and whatever else reads the data set then goes by it, until the step that makes it is done again.
    """
    kept, _ = _kept(env)
    one = _one(kept, data_set)
    with at_work(project_folder(), study_name(env)) as others:
        _refuse_beside(others, env)
        one.restore(version, generate_timestamp())
    click.echo(f"{one.newest()} is that of {version} again")


@versions.command()
@ENV
@click.option("--keep", type=click.IntRange(min=1), help="How many of each data set stay; versions.keep without it.")
@click.option("--delete", is_flag=True, help="Delete the versions; without it they are only named.")
@told_in_a_sentence
def clean(env: str | None, keep: int | None, delete: bool) -> None:
    """Find versions beyond the newest ones of each data set; `kedro run` deletes them by itself."""
    kept, parameters = _kept(env)
    keep = keep or parameters["versions"]["keep"]
    with at_work(project_folder(), study_name(env)) as others:
        old = {name: one.superfluous(keep) for name, one in kept.items()}
        number, freed = sum(map(len, old.values())), sum(kept[name].described(v)[1] for name in old for v in old[name])
        for name, names in old.items():
            for version in names:
                click.echo(f"{name} {version}")
            if delete and names:
                _refuse_beside(others, env)
                kept[name].remove(names)
    done = "deleted" if delete else "could be deleted; add --delete to do it"
    click.echo(f"{number} versions, {freed / 1e6:,.1f} MB: {done if number else 'nothing to tidy'}")


def _kept(env: str | None) -> tuple[dict[str, Versions], dict[str, Any]]:
    """Versions of every data set of the project by name, with the parameters of the study."""
    loader = StudyConfigLoader(project_folder() / "conf", env, {}, **CONFIG_LOADER_ARGS)
    configure_project("vision_studies")
    names = {name for pipeline in pipelines.values() for name in pipeline.datasets()}
    # Its type has parameters that the protocol's has not.
    catalog: Any = DataCatalog.from_config(loader.catalog_in(project_folder()))
    return versions_in(catalog, names), loader["parameters"]


def _one(kept: dict[str, Versions], data_set: str) -> Versions:
    if data_set not in kept:
        raise ParameterError(
            f"There is no data set '{data_set}' with versions.{guess(data_set, list(kept))} `kedro versions list` shows those "
            "that have some."
        )
    return kept[data_set]


def _refuse_beside(others: list[dict[str, Any]], env: str | None) -> None:
    if others:
        who = ", ".join(map(named, others))
        raise BusyError(
            f"The study '{study_name(env)}' is being worked on by {who}; wait until it has finished, or stop it."
        )


def _described(name: str, one: Versions, version: str, *, current: bool) -> dict[str, str]:
    from rich.filesize import decimal

    saved, size = one.described(version)
    return {
        "data set": name,
        "version": f"{version}{' *' if current else ''}",
        "saved (UTC)": datetime.fromtimestamp(saved, UTC).strftime("%Y-%m-%d %H:%M"),
        "size": decimal(size),
    }
