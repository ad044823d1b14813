"""Options that several commands have, and the help of Kedro's own commands in the terms of this project."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from vision_studies.cli.params import read_params
from vision_studies.errors import ParameterError
from vision_studies.project_folders import MODELS, project_folder

ENV_VARIABLE = "KEDRO_ENV"
"""Names the study where no option does, as for Kedro itself."""

OPTIONS = {
    "env": (
        "Study: a folder of conf/, or several joined by +, merged from left to right. Without it the values of conf/base, "
        "under conf/local where you have one."
    ),
    "pipeline": "One pipeline. Without it all that the study is about, from data to report.",
    "pipelines": "Several pipelines, separated by commas: data_prep,cifar_resnet.",
    "params": (
        "Values of parameters for this command alone, separated by commas: "
        "cifar_resnet.seeds=[0,1],execution.device=cpu. fresh=true does finished runs again."
    ),
    "node_names": "Only these steps, separated by commas, named as the terminal does: cifar_resnet.train_runs.",
    "from_nodes": "These steps, separated by commas, and all that follow from them.",
    "to_nodes": "These steps, separated by commas, and all that they need.",
    "from_inputs": "All steps that follow from these data sets, separated by commas.",
    "to_outputs": "All steps that these data sets need, separated by commas.",
    "tags": "Only steps with one of these tags, separated by commas.",
    "namespaces": "Only steps of these pipelines, separated by commas.",
    "load_versions": "Versions to read, separated by commas, as `kedro versions list` shows them: data set:version.",
    "runner": "SequentialRunner, ThreadRunner or ParallelRunner. Runs of a study go side by side with execution.workers.",
    "is_async": "Load and save data sets in threads.",
    "runner_params": "Options of the runner, separated by commas: max_workers=4.",
    "config": "YAML file with values of these options; what the command line says counts before it.",
    "conf_source": "Folder of the configuration instead of conf/.",
    "only_missing_outputs": "Only steps whose saved outputs are missing.",
    "name": "The pipeline's name.",
    "verbose": "Show where an error came from.",
}
"""Parameter of a command -> its help."""


def env_option(text: str, *other_names: str) -> Any:
    """The option `--env` with its help, and by other names; the environment variable KEDRO_ENV counts where it is not given."""
    return click.option("--env", "-e", *other_names, "env", envvar=ENV_VARIABLE, help=text)


ENV = env_option(OPTIONS["env"])
PARAMS = click.option("--params", type=click.UNPROCESSED, default="", callback=read_params, help=OPTIONS["params"])
BUDGET = click.Option(
    ["--budget"],
    help="Time for the runs of the study, over all its commands: 90s, 10m, 2h. Every variant comes with its first seed before "
    "any has its second; what would not end in time is not begun, and a larger budget goes on.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")

_FIRST = ("env", "pipeline", "pipelines", "params")
_EXAMPLES = (
    ("kedro run --env=demo", "everything at a small size, on digits"),
    ("kedro run --env=resnet_se", "a study, from data to report"),
    ("kedro run --env=resnet_se+demo", "the same study rehearsed in a minute"),
    ("kedro run --env=resnet_se --pipeline=reporting", "its report again"),
    ("kedro run --pipeline=data_prep --params=data_prep.source=/images", "prepare your own images"),
)


def explained(parameters: Sequence[click.Parameter]) -> list[click.Parameter]:
    """Copies of Kedro's options with the help of `OPTIONS`, those that everyone needs first."""
    copies = [copy.copy(parameter) for parameter in parameters]
    for parameter in copies:
        if isinstance(parameter, click.Option):
            parameter.help = OPTIONS.get(parameter.name or "", parameter.help)
        if parameter.name == "params":
            parameter.callback = read_params
    return sorted(copies, key=lambda option: _FIRST.index(option.name) if option.name in _FIRST else len(_FIRST))


class RunCommand(click.Command):
    """A command whose help ends with examples and with what `--env` may name."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write examples and environments below the options."""
        with formatter.section("Examples"):
            formatter.write_dl(list(_EXAMPLES))
        studies, others = environments(project_folder() / "conf")
        if studies:
            with formatter.section("Studies for --env"):
                formatter.write_dl(list(studies.items()))
        if others:
            with formatter.section("To be joined to a study by +"):
                formatter.write_text(", ".join(others))


def environments(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Studies with their titles, and the environments without a title, which only change others, in the folder `conf/`."""
    studies, others = {}, []
    folders = (path for path in folder.glob("*") if path.is_dir() and path.name not in ("base", "local"))
    for environment in sorted(folders):
        file = environment / "environment.yml"
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except (OSError, ValueError, yaml.YAMLError):
            content = {"title": f"{file.relative_to(folder.parent)} cannot be read"}
        if isinstance(content, dict) and "title" in content:
            studies[environment.name] = str(content["title"])
        else:
            others.append(environment.name)
    # A rehearsal on digits is a study of its own, too; it is looked for in both places.
    return studies, sorted({*others, *({"demo"} & set(studies))})


def path_from_here(source: str) -> str:
    """A path as it is typed means what it means to every other program; a named source stays one."""
    from vision_studies.config.data_prep import NAMED_SOURCES
    from vision_studies.project_folders import expanded

    path = expanded(source)
    return source if source in NAMED_SOURCES and not path.exists() else str(path.absolute())


def output_option(text: str, default: str | None = None) -> Any:
    """The option `--output`, a file or a folder, with its help and where the output goes without it."""
    path = None if default is None else Path(default)
    kind = click.Path(path_type=Path)
    return click.option("--output", "-o", type=kind, default=path, show_default=path is not None, help=text)


def look_options(command: Any) -> Any:
    """The options `--theme` and `--context`: on what and where figures will be seen."""
    theme = click.option(
        "--theme",
        type=click.Choice(["light", "dark"]),
        default="light",
        show_default=True,
        help="The page behind figures.",
    )
    context = click.option(
        "--context",
        "setting",
        type=click.Choice(["paper", "notebook", "talk", "poster"]),
        default="notebook",
        show_default=True,
        help="Where figures are seen: they are 0.8, 1, 1.5 or 2 times as large with all in them, and with a width of their own "
        "text and lines are.",
    )
    return theme(context(command))


def no_runs(env: str | None) -> ParameterError:
    """Tells that no run lies in the project's folder, or none of the study that `--env` names."""
    where = f" for the study {env}" if env else ""
    return ParameterError(f"No run lies in {project_folder() / MODELS}{where}; run a study first.")


def study_name(env: str | None) -> str:
    """The study that `--env` names, as it is spelt in paths."""
    return env or "base"
