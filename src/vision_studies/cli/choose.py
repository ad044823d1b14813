"""`kedro choose`: which classifier should I take for these images?"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vision_studies.cli.data import check_text, checked, prep_settings
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.kedro_commands import run_study
from vision_studies.cli.options import PARAMS, path_from_here
from vision_studies.errors import ParameterError
from vision_studies.project_folders import project_folder

if TYPE_CHECKING:
    from vision_studies.data.checks.check import Check

METHOD = "choose"
LARGEST, SMALLEST = 224, 16
"""Sides, in pixels, that images are brought to where nothing else is said."""

_FIXED_NAMES = ("base", "local", METHOD)
_STOPPED = "Stopped. Nothing that was finished is lost: the same command goes on."


@click.command(
    short_help="Say which classifier to take for a folder of images.",
    epilog=(
        "\b\nExamples:\n"
        "  kedro choose photos\n"
        "  kedro choose photos --budget=1h\n"
        "  kedro choose labels.csv --size=128 --study=leaves"
    ),
)
@click.argument("source")
@click.option("--budget", default="10m", show_default=True, help="Time for all candidates: 90s, 10m, 1h.")
@click.option(
    "--size",
    default="auto",
    show_default=True,
    help=f"Pixels that images are brought to; auto: what most of them have, {LARGEST} at most.",
)
@click.option("--study", help="What the study is called, a folder of conf/; by the images' folder without it.")
@PARAMS
def choose(source: str, budget: str, size: str, study: str | None, params: dict[str, Any]) -> None:
    """Say which classifier to take for the images in SOURCE, and how good it will be.

    SOURCE is a folder with a folder for each class, a table or a file, or what data_prep.source takes besides. Its images are
    looked at first, and what is wrong with them stops the command. Then pretrained networks, simple classifiers and averages
    of them are tried, what promises most for its time first; each is tested on images that it has not seen. Ctrl-C ends with
    what has been found so far, and the same command, or one with a larger budget, goes on.
    """
    _choose(source, budget, size, study, params)


def _choose(source: str, budget: str, size: str, study: str | None, params: dict[str, Any]) -> None:
    from vision_studies.config.lengths_of_time import budget_seconds

    try:
        budget_seconds(budget)
    except ValueError as error:
        raise ParameterError(f"--budget: {error}.") from error
    source = path_from_here(source)
    settings = prep_settings(source, METHOD, params)
    [(one, _)] = checked(settings)
    click.echo(check_text(one, settings))
    if any(finding.stops(settings.accept) for finding in one.findings):
        sys.exit(1)
    side = _side(size, one)
    name = _written(project_folder() / "conf", study, source, side, params.get("data_prep", {}))
    click.echo(_plan(one, side, budget, name))
    own = {METHOD: params.get(METHOD, {}) | {"budget": budget}}
    run_study(name, params | own)


choose.callback = told_in_a_sentence(_choose, when_stopped=_STOPPED)


def _side(size: str, one: "Check") -> int:
    """Pixels to a side. Raises ParameterError where `size` is none."""
    import numpy as np

    if size == "auto":
        sides = one.survey.sides[one.survey.readable].min(axis=1)
        return int(np.clip(np.median(sides), SMALLEST, LARGEST))
    if not size.isdigit() or not SMALLEST <= int(size) <= 1024:
        raise ParameterError(
            f"--size={size} is no number of pixels from {SMALLEST} to 1024; leave it out, or name one."
        )
    return int(size)


def _written(conf: Path, study: str | None, source: str, side: int, more: Mapping[str, Any]) -> str:
    """The environment that stands for these images, with `more` of how they are prepared, which is written where there is none
    yet; its name.

    Raises:
        ParameterError: `study` is a name that no folder may have, or that of a study of other images.
    """
    import yaml

    from vision_studies.files import atomic_file

    wanted = {"data_prep": {"source": source, "image_size": side, "resize": "letterbox", **more}}
    base = study or f"{METHOD}_{_plain(source)}"
    if not re.fullmatch(r"\w[\w. -]*", base) or base in _FIXED_NAMES:
        raise ParameterError(f"--study={base} cannot be the name of a study; take letters, digits and _.")
    number = 1
    while True:
        name = base if number == 1 else f"{base}_{number}"
        file = conf / name / "parameters.yml"
        if not (conf / name).exists():
            break
        told = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if isinstance(told, dict) and told.get("data_prep") == wanted["data_prep"]:
            return name
        if study is not None:
            raise ParameterError(
                f"conf/{study} is a study already, of other images or of another size; choose another --study, or run it with "
                f"`kedro run --env={study}`."
            )
        number += 1
    described = (
        f"extends: {METHOD}\n"
        f"title: {_quoted(f'Which classifier for {Path(source).name}?')}\n"
        "question: Which classifier should be taken for these images, and how good will it be?\n"
        f"pipelines: [{METHOD}]\n"
    )
    with atomic_file(conf / name / "environment.yml") as temporary:
        temporary.write_text(described, encoding="utf-8")
    with atomic_file(file) as temporary:
        comment = f"# Written by `kedro choose`; what is not said here is as in conf/{METHOD} and conf/base.\n\n"
        temporary.write_text(comment + yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return name


def _plain(source: str) -> str:
    """The end of a path as letters, digits and _."""
    return re.sub(r"\W+", "_", Path(source).name.split(".")[0], flags=re.ASCII).strip("_") or "images"


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _plan(one: "Check", side: int, budget: str, name: str) -> str:
    images, classes = int(one.survey.readable.sum()), len(one.survey.class_names)
    return (
        f"\n{images:,} images of {classes:,} classes are brought to {side} pixels; candidates are then tried for {budget} at "
        f"most, what promises most for its time first. Ctrl-C ends with what has been found so far.\nThe study is conf/{name}: "
        f"`kedro run --env={name}` goes on with it, and `kedro models predict IMAGES --study={name}` uses what it chooses.\n"
    )
