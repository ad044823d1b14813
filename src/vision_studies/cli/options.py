"""Options that several commands have."""

from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.utils import _split_params

from vision_studies.cli.help_texts import OPTIONS

ENV = click.option("--env", "-e", help=OPTIONS["env"])
PARAMS = click.option("--params", type=click.UNPROCESSED, default="", callback=_split_params, help=OPTIONS["params"])
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")


def output_option(text: str, default: str | None = None) -> Any:
    """The option `--output`, a file or a folder, with its help and where the output goes without it."""
    path = None if default is None else Path(default)
    kind = click.Path(path_type=Path)
    return click.option("--output", "-o", type=kind, default=path, show_default=path is not None, help=text)


def study_name(env: str | None) -> str:
    """The study that `--env` names, as it is spelt in paths."""
    return env or "base"
