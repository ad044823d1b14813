"""`kedro alphanet`: what the pipeline `alphanet` has found, as tables, as listings and in the original project's files."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.errors import DataError, ParameterError
from vision_studies.project_folders import MODELS, OUTPUTS

if TYPE_CHECKING:
    import pandas as pd

    from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier
    from vision_studies.pipelines.alphanet.work.features import FeatureSet

_MEND = "delete it and run the study again"
OUTPUT = click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write to this file instead of the terminal."
)
_TITLES = {"top_1": "Top-1 test accuracy", "top_5": "Top-5 test accuracy"}


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

    STUDY is what --env named when the study ran.
    """


@alphanet.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True)
@click.option(
    "--metric",
    type=click.Choice(["top_1", "top_5"]),
    default="top_1",
    show_default=True,
    help="Accuracy of the first, or of the first five guesses.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "markdown", "latex", "csv"]),
    default="text",
    show_default=True,
    help="How the table is written.",
)
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
@click.option(
    "--style",
    type=click.Choice(["plus_minus", "superscript"]),
    default="plus_minus",
    show_default=True,
    help="How deviations stand in text and LaTeX.",
)
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
    metric: str,
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
    from vision_studies.pipelines.alphanet import tables as alphanet_tables
    from vision_studies.pipelines.alphanet.saved_experiments import read_experiments

    given = {name: value for name, value in of_text.items() if value is not None and value is not False}
    if given and layout != "text":
        option = next(iter(given)).replace("_", "-")
        raise ParameterError(f"--{option} belongs to --format=text; leave it out for {layout}.")
    accuracies = read_experiments([_saved(study, "accuracies.csv") for study in studies])
    accuracies = _chosen(accuracies, patterns, baselines=baselines)
    if accuracies[metric].isna().all():
        raise ParameterError(f"The studies have no {metric}, having five classes or fewer; choose the other --metric.")
    names = dict(rename)
    unknown = [name for name in names if name not in set(accuracies["experiment"])]
    if unknown:
        raise ParameterError(f"--rename: {_none_called(unknown[0], accuracies)}")
    accuracies = accuracies.assign(experiment=accuracies["experiment"].replace(names))
    if layout == "markdown":
        written = alphanet_tables.spreads(accuracies, metric, _TITLES[metric]).markdown()
    elif layout == "latex":
        label = f"tab:alphanet_{metric}"
        written = alphanet_tables.spreads(accuracies, metric, _TITLES[metric], label=label, style=style).latex()
    elif layout == "csv":
        written = alphanet_tables.means(accuracies, metric).csv(1)
    else:
        given["show_headings"] = not given.pop("no_headings", False)
        written = alphanet_tables.text(accuracies, metric, style=style, **given)
    _show(written, output)


@alphanet.command()
@click.argument("study")
@click.option("--experiment", "-x", help="Name of the experiment, as tables have it; the first without it.")
@click.option(
    "--by",
    type=click.Choice(["gain", "accuracy"]),
    default="gain",
    show_default=True,
    help="What the classes shown are chosen by.",
)
@click.option("--smallest", is_flag=True, help="The classes with the smallest gain or accuracy, not the largest.")
@click.option("--number", "-n", type=click.IntRange(min=1), default=5, show_default=True, help="Classes shown.")
@click.option("--mistakes", type=click.IntRange(min=1), help="Mistakes shown in each list; all without it.")
@click.option(
    "--repeat", "repeats", type=int, multiple=True, help="Only this repeat, counted from 0; may be given again."
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="How the listing is written.",
)
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
    from vision_studies.pipelines.alphanet.learnt_combinations import (
        combinations_markdown,
        combinations_text,
        learnt_combinations,
        select_classes,
    )
    from vision_studies.stored_tables import read_table

    names = ("class_accuracies", "combinations", "changes")
    tables = {name: read_table(_saved(study, f"{name}.parquet"), _MEND) for name in names}
    if repeats:
        tables = {name: _of_repeats(own, repeats) for name, own in tables.items()}
    experiment = experiment or tables["combinations"]["experiment"].iloc[0]
    labels = select_classes(tables["class_accuracies"], experiment, by=by, largest=not smallest, number=number)
    found = learnt_combinations(*(tables[name] for name in names), experiment=experiment, labels=labels)
    write = combinations_markdown if layout == "markdown" else combinations_text
    _show(f"{write(found, mistakes).rstrip()}\n", output)


@alphanet.command()
@click.argument("study")
@click.argument("folder", type=click.Path(path_type=Path))
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
def export(study: str, folder: Path, classifier: str | None, repeat: int, name: str | None) -> None:
    """Write features and a classifier of STUDY to FOLDER in the files of the original project."""
    import re

    from vision_studies.pipelines.alphanet.saved_experiments import read_experiments
    from vision_studies.pipelines.alphanet.work.original_format import export_data_set

    if classifier is None:
        accuracies = read_experiments([_saved(study, "accuracies.csv")])
        classifier = str(accuracies.loc[~accuracies["baseline"], "classifier"].iloc[0])
    features, weights = _features_and_classifier(study, classifier, repeat)
    name = name or re.sub(r"[^\w.-]+", "_", f"{features.name}_{classifier}").lstrip("_.-")
    export_data_set(features, weights, folder, name)
    images = ", ".join(f"{len(group.labels):,} {split}" for split, group in features.groups.items())
    click.echo(f"{name}: features of {images} images and the classifier {classifier} lie in {folder}")


def _saved(study: str, file: str) -> Path:
    """A result of a study.

    Raises:
        ParameterError: the study has none.
    """
    path = Path.cwd() / OUTPUTS / study / "alphanet" / file
    if not path.is_file():
        known = sorted(own.parts[-3] for own in (Path.cwd() / OUTPUTS).glob(f"*/alphanet/{file}"))
        option = "" if study == "base" else f" --env={study}"
        raise ParameterError(
            f"The study '{study}' has no results of alphanet; run `kedro run{option}` first, or name one that has: "
            f"{', '.join(known) or 'there is none yet'}."
        )
    return path


def _chosen(accuracies: "pd.DataFrame", patterns: tuple[str, ...], *, baselines: bool) -> "pd.DataFrame":
    """Rows of the experiments that are asked for, with the baselines that these improve."""
    kept = accuracies if baselines else accuracies[~accuracies["baseline"]]
    if not patterns:
        return kept
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in set(kept["experiment"])):
            raise ParameterError(f"--experiments: {_none_called(pattern, kept)}")
    matches = kept["experiment"].map(lambda name: any(fnmatchcase(name, pattern) for pattern in patterns))
    improved = kept.loc[matches & ~kept["baseline"], ["data", "classifier"]].drop_duplicates().apply(tuple, axis=1)
    own = kept[["data", "classifier"]].apply(tuple, axis=1)
    return kept[matches | (kept["baseline"] & own.isin(set(improved)))]


def _none_called(name: str, accuracies: "pd.DataFrame") -> str:
    known = "', '".join(dict.fromkeys(accuracies["experiment"]))
    return f"no experiment is called '{name}'; there are '{known}'."


def _of_repeats(table: "pd.DataFrame", repeats: tuple[int, ...]) -> "pd.DataFrame":
    known = sorted(set(table["repeat"]))
    unknown = [repeat for repeat in repeats if repeat not in known]
    if unknown:
        raise ParameterError(f"There is no repeat {unknown[0]}; the study has {', '.join(map(str, known))}.")
    return table[table["repeat"].isin(repeats)]


def _features_and_classifier(study: str, label: str, repeat: int) -> tuple["FeatureSet", "LinearClassifier"]:
    """What the study's newest results were made with.

    Raises:
        ParameterError: the study has no such classifier or repeat.
        DataError: its features are gone.
    """
    import json

    from vision_studies.pipelines.alphanet.work.classifiers import load_classifier
    from vision_studies.pipelines.alphanet.work.features import has_feature_set
    from vision_studies.pipelines.alphanet.work.sources import open_source
    from vision_studies.stored_tables import read_table

    fitted = read_table(_saved(study, "classifiers.parquet"), _MEND)
    own = fitted[fitted["variant"] == label].set_index("seed")
    if own.empty:
        known = ", ".join(dict.fromkeys(fitted["variant"]))
        raise ParameterError(f"The study '{study}' has no classifier '{label}'; its classifiers are {known}.")
    if repeat not in own.index:
        raise ParameterError(
            f"The study '{study}' has its features in {len(own)} {'repeats' if len(own) > 1 else 'repeat'}, counted from 0; "
            f"there is no --repeat {repeat}."
        )
    configuration = json.loads(own.loc[repeat, "configuration"])
    runs = Path.cwd() / MODELS / study / "alphanet/runs"
    folder = runs / "features" / configuration["features"]
    if not has_feature_set(folder / "features"):
        raise DataError(f"The features in {folder} are gone; run the study '{study}' again.")
    source = open_source(folder)
    wide = len(source.experts) == 1 or configuration["classifier.name"] == "multi_expert"
    classifier = load_classifier(runs / own.loc[repeat, "run_fingerprint"] / "classifier.safetensors")
    return source.taken(wide=wide), classifier


def _show(written: str, output: Path | None) -> None:
    from vision_studies.files import atomic_file

    if output is None:
        click.echo(written.removesuffix("\n"))
        return
    with atomic_file(output) as temporary:
        temporary.write_text(written if written.endswith("\n") else f"{written}\n", encoding="utf-8")
    click.echo(f"Written: {output}")
