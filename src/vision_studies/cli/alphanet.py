"""`kedro alphanet`: what the pipeline `alphanet` has found, as tables, as listings and in the original project's files."""

import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import ENV_VARIABLE
from vision_studies.errors import ParameterError
from vision_studies.project_folders import MODELS, OUTPUTS, project_folder

if TYPE_CHECKING:
    import pandas as pd

    from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier
    from vision_studies.pipelines.alphanet.work.features import FeatureSet

_MEND = "delete it and run the study again"
OUTPUT = click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write to this file instead of the terminal."
)


def _choice(*names: str, choices: list[str], text: str) -> Callable[[Any], Any]:
    """An option with these values, the first of which it has if it is not given."""
    return click.option(*names, type=click.Choice(choices), default=choices[0], show_default=True, help=text)


def _study_and_folder(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, Path]:
    """The study, which KEDRO_ENV names where one place alone is given, and the folder."""
    study, *others = given if len(given) > 1 else (os.environ.get(ENV_VARIABLE, ""), *given)
    if not study or not others:
        hint = "'FOLDER'" if study else "'STUDY'"
        raise click.MissingParameter(ctx=context, param=parameter, param_type="argument", param_hint=hint)
    if len(others) > 1:
        raise click.UsageError(f"Got unexpected extra argument ({others[1]})", context)
    return study, Path(others[0])


@click.group(
    epilog=(
        "\b\nExamples:\n"
        "  kedro alphanet table alphanet_cifar10lt alphanet_cifar100lt --format=markdown\n"
        "  kedro alphanet combinations alphanet_cifar10lt -n 3\n"
        "  kedro alphanet export alphanet_cifar10lt original_files"
    )
)
def alphanet() -> None:
    """Show and hand on what studies of long tails have found.

    STUDY is what --env named when the study ran; the variable KEDRO_ENV names it where none is given.
    """


@alphanet.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, envvar=ENV_VARIABLE)
@_choice("--metric", choices=["top_1", "top_5"], text="Accuracy of the first, or of the first five guesses.")
@_choice("--format", "layout", choices=["text", "markdown", "latex", "csv"], text="How the table is written.")
@click.option(
    "--experiments",
    "-x",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="Experiments by name, with * and ?; may be repeated. The classifiers that they improve stay above them.",
)
@click.option(
    "--baselines/--no-baselines", default=True, show_default=True, help="Show classifiers as AlphaNet finds them, too."
)
@click.option("--rename", nargs=2, metavar="NAME SHOWN", multiple=True, help="Show experiment NAME as SHOWN.")
@_choice("--style", choices=["plus_minus", "superscript"], text="How deviations stand in text and LaTeX.")
@click.option("--web", is_flag=True, help="In text, superscripts between circumflexes.")
@click.option("--number-width", type=int, help="In text, characters of a column of numbers.")
@click.option("--name-width", type=int, help="In text, characters of the column of names.")
@click.option("--deviation-width", type=int, help="In text, characters of a deviation.")
@click.option("--heading", help="In text, what stands above the names.")
@click.option("--no-headings", is_flag=True, help="In text, leave out the line of headings.")
@OUTPUT
@told_in_a_sentence
def table(
    studies: tuple[str, ...],
    metric: Literal["top_1", "top_5"],
    layout: str,
    patterns: tuple[str, ...],
    baselines: bool,
    rename: tuple[tuple[str, str], ...],
    style: Literal["plus_minus", "superscript"],
    output: Path | None,
    **of_text: Any,
) -> None:
    """Tabulate accuracies of few, medium, many and all classes.

    A row is an experiment of a STUDY: mean and standard deviation over its repeats. Several studies make one table.
    """
    from vision_studies.pipelines.alphanet import tables
    from vision_studies.pipelines.alphanet.saved_experiments import read_experiments

    given = {name: value for name, value in of_text.items() if value is not None and value is not False}
    if given and layout != "text":
        option = next(iter(given)).replace("_", "-")
        raise ParameterError(f"--{option} belongs to --format=text; leave it out for {layout}.")
    accuracies = read_experiments([_saved(study, "accuracies.csv") for study in studies])
    accuracies = _chosen(accuracies, patterns, baselines=baselines)
    if accuracies[metric].isna().all():
        raise ParameterError(f"The studies have no {metric}, having five classes or fewer; choose the other --metric.")
    for name, _ in rename:
        if name not in set(accuracies["experiment"]):
            raise ParameterError(f"--rename: {_none_called(name, accuracies)}")
    accuracies = accuracies.assign(experiment=accuracies["experiment"].replace(dict(rename)))
    title, label = tables.TITLES[metric], f"tab:alphanet_{metric}"
    if layout == "markdown":
        written = tables.spreads(accuracies, metric, title).markdown()
    elif layout == "latex":
        written = tables.spreads(accuracies, metric, title, label=label, style=style).latex()
    elif layout == "csv":
        written = tables.means(accuracies, metric).csv(1)
    else:
        given["show_headings"] = not given.pop("no_headings", False)
        written = tables.text(accuracies, metric, style=style, **given)
    _show(written, output)


@alphanet.command()
@click.argument("study", envvar=ENV_VARIABLE)
@click.option("--experiment", "-x", help="Name of the experiment, as tables have it; the first without it.")
@_choice("--by", choices=["gain", "accuracy"], text="What the classes shown are chosen by.")
@click.option("--smallest", is_flag=True, help="The classes with the smallest gain or accuracy, not the largest.")
@click.option("--number", "-n", type=click.IntRange(min=1), default=5, show_default=True, help="Classes shown.")
@click.option("--mistakes", type=click.IntRange(min=1), help="Mistakes shown in each list; all without it.")
@click.option(
    "--repeat", "repeats", type=int, multiple=True, help="Only this repeat, counted from 0; may be given again."
)
@_choice("--format", "layout", choices=["text", "markdown"], text="How the listing is written.")
@OUTPUT
@told_in_a_sentence
def combinations(
    study: str,
    experiment: str | None,
    by: Literal["gain", "accuracy"],
    smallest: bool,
    number: int,
    mistakes: int | None,
    repeats: tuple[int, ...],
    layout: str,
    output: Path | None,
) -> None:
    """List what few classes of STUDY have learnt from their neighbours.

    Of each class: the coefficients of its neighbours, its accuracy, and its mistakes before and after.
    """
    from vision_studies.pipelines.alphanet import learnt_combinations as learnt
    from vision_studies.stored_tables import read_table

    names = ("class_accuracies", "combinations", "changes")
    tables = [_of_repeats(read_table(_saved(study, f"{name}.parquet"), _MEND), repeats) for name in names]
    experiment = experiment or tables[1]["experiment"].iloc[0]
    labels = learnt.select_classes(tables[0], experiment, by=by, largest=not smallest, number=number)
    write = learnt.combinations_markdown if layout == "markdown" else learnt.combinations_text
    written = write(learnt.learnt_combinations(*tables, experiment=experiment, labels=labels), mistakes)
    _show(f"{written.rstrip()}\n", output)


@alphanet.command()
@click.argument("places", metavar="STUDY FOLDER", nargs=-1, callback=_study_and_folder)
@click.option("--classifier", help="Label of the classifier; the first that AlphaNet improves without it.")
@click.option(
    "--repeat",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Repeat whose features and weights are written.",
)
@click.option("--name", help="Name of the data set in datasets.toml; made of the data and the classifier without it.")
@told_in_a_sentence
def export(places: tuple[str, Path], classifier: str | None, repeat: int, name: str | None) -> None:
    """Write features and a classifier of STUDY to FOLDER in the files of the original project."""
    import re

    from vision_studies.pipelines.alphanet.saved_experiments import read_experiments
    from vision_studies.pipelines.alphanet.work.original_format import export_data_set

    study, folder = places
    if classifier is None:
        accuracies = read_experiments([_saved(study, "accuracies.csv")])
        classifier = str(accuracies.loc[~accuracies["baseline"], "classifier"].iloc[0])
    features, weights = _features_and_classifier(study, classifier, repeat)
    name = name or re.sub(r"[^\w.-]+", "_", f"{features.name}_{classifier}").lstrip("_.-")
    export_data_set(features, weights, folder, name)
    images = ", ".join(f"{len(group.labels):,} {split}" for split, group in features.groups.items())
    click.echo(f"{name}: features of {images} images and the classifier {classifier} lie in {folder}")


def _saved(study: str, file: str) -> Path:
    """A file of a study's results, which is there."""
    path = project_folder() / OUTPUTS / study / "alphanet" / file
    if not path.is_file():
        studies = sorted(other.parts[-3] for other in (project_folder() / OUTPUTS).glob(f"*/alphanet/{file}"))
        option = "" if study == "base" else f" --env={study}"
        raise ParameterError(
            f"The study '{study}' has no results of alphanet; run `kedro run{option}` first, or name one that has: "
            f"{', '.join(studies) or 'there is none yet'}."
        )
    return path


def _chosen(accuracies: "pd.DataFrame", patterns: tuple[str, ...], *, baselines: bool) -> "pd.DataFrame":
    """Rows of the experiments that are asked for, with the baselines that these improve."""
    rows = accuracies if baselines else accuracies[~accuracies["baseline"]]
    if not patterns:
        return rows
    experiments: set[str] = set()
    for pattern in patterns:
        matching = {name for name in rows["experiment"] if fnmatchcase(name, pattern)}
        if not matching:
            raise ParameterError(f"--experiments: {_none_called(pattern, rows)}")
        experiments |= matching
    matches = rows["experiment"].isin(experiments)
    classifiers = rows.set_index(["data", "classifier"]).index
    return rows[matches | (rows["baseline"] & classifiers.isin(classifiers[matches & ~rows["baseline"]]))]


def _none_called(name: str, accuracies: "pd.DataFrame") -> str:
    names = "', '".join(dict.fromkeys(accuracies["experiment"]))
    return f"no experiment is called '{name}'; there are '{names}'."


def _of_repeats(table: "pd.DataFrame", repeats: tuple[int, ...]) -> "pd.DataFrame":
    """Rows of these repeats; all without any."""
    there = sorted(set(table["repeat"]))
    for repeat in repeats:
        if repeat not in there:
            raise ParameterError(f"There is no repeat {repeat}; the study has {', '.join(map(str, there))}.")
    return table[table["repeat"].isin(repeats)] if repeats else table


def _features_and_classifier(study: str, label: str, repeat: int) -> tuple["FeatureSet", "LinearClassifier"]:
    """What the study's newest results were made with."""
    from vision_studies.pipelines.alphanet.published_study import open_classifier
    from vision_studies.stored_tables import read_table

    fitted = read_table(_saved(study, "classifiers.parquet"), _MEND)
    repeats = fitted[fitted["variant"] == label].set_index("seed")
    if repeats.empty:
        labels = ", ".join(dict.fromkeys(fitted["variant"]))
        raise ParameterError(f"The study '{study}' has no classifier '{label}'; its classifiers are {labels}.")
    if repeat not in repeats.index:
        number = f"{len(repeats)} {'repeats' if len(repeats) > 1 else 'repeat'}"
        raise ParameterError(
            f"The study '{study}' has its features in {number}, counted from 0; there is no --repeat {repeat}."
        )
    return open_classifier(project_folder() / MODELS / study / "alphanet/runs", repeats.loc[repeat])


def _show(written: str, output: Path | None) -> None:
    from vision_studies.files import atomic_file

    if output is None:
        click.echo(written.removesuffix("\n"))
        return
    with atomic_file(output) as temporary:
        temporary.write_text(written if written.endswith("\n") else f"{written}\n", encoding="utf-8")
    click.echo(f"Written: {output}")
