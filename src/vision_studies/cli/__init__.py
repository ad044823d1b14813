"""Commands of this project; some take the place of Kedro's commands of the same name."""

import click

from vision_studies.cli.alphanet import alphanet
from vision_studies.cli.choose import choose
from vision_studies.cli.data import data
from vision_studies.cli.kedro_commands import catalog, registry, run
from vision_studies.cli.models import models
from vision_studies.cli.run_comparison import compare
from vision_studies.cli.run_plan import plan
from vision_studies.cli.runs import runs
from vision_studies.cli.store import store
from vision_studies.cli.studies import studies
from vision_studies.cli.versions import versions
from vision_studies.hooks.terminal import use_project_logging
from vision_studies.project_folders import project_folder


@click.group(name="vision-studies")
def cli() -> None:
    """Vision Studies: which image classifier to take, and how classifiers generalise."""


use_project_logging(project_folder())
for command in (choose, run, catalog, registry, models, runs, versions, alphanet, store, data, studies):
    cli.add_command(command)
runs.add_command(plan)
runs.add_command(compare)
