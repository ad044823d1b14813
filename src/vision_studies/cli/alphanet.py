"""`kedro alphanet`: what the pipeline `alphanet` has found, as tables, as listings and in the original project's files."""

import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import ENV_VARIABLE, look_options, output_option
from vision_studies.errors import ParameterError
from vision_studies.project_folders import MODELS, OUTPUTS, project_folder

if TYPE_CHECKING:
    import pandas as pd

    from vision_studies.classifiers.linear import LinearClassifier
    from vision_studies.figures.style import Setting, Theme
    from vision_studies.pipelines.alphanet.saved_experiments import SavedTables
    from vision_studies.pipelines.alphanet.work.features import FeatureSet
    from vision_studies.statistics.interval_kinds import Interval

_MEND = "delete it and run the study again"
_FIGURES = (
    *("points", "point_gains", "lines", "line_gains", "class_gains", "accuracy_and_images", "accuracy_against_images"),
    *("accuracy_against_distance", "baseline_accuracy_against_distance", "gain_against_distance", "coefficients"),
)
OUTPUT = click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write to this file instead of the terminal."
)
TOP = click.option(
    "--top",
    type=click.IntRange(min=1),
    help="Accuracy of so many first guesses, computed anew from features that the studies have kept.",
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
        "  kedro alphanet figures alphanet_cifar10lt alphanet_cifar100lt --theme=dark --format=pdf\n"
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
@TOP
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
    metric: str,
    top: int | None,
    layout: str,
    patterns: tuple[str, ...],
    baselines: bool,
    rename: tuple[tuple[str, str], ...],
    style: Literal["plus_minus", "superscript"],
    output: Path | None,
    **of_text: Any,
) -> None:
    """Tabulate accuracies of few, medium, many and all classes.

    A row is an experiment of a STUDY: mean and standard deviation over its repeats. Several studies make one table. STUDY may
    be a folder with result files of the original project (result.pth), which are read without being run.
    """
    from vision_studies.pipelines.alphanet import tables

    given = {name: value for name, value in of_text.items() if value is not None and value is not False}
    if given and layout != "text":
        option = next(iter(given)).replace("_", "-")
        raise ParameterError(f"--{option} belongs to --format=text; leave it out for {layout}.")
    if top is not None:
        metric = f"top_{top}"
    accuracies = _chosen(_accuracies(studies, top), patterns, baselines=baselines)
    if accuracies[metric].isna().all():
        raise ParameterError(f"The studies have no {metric}, having five classes or fewer; choose the other --metric.")
    _require_named(rename, accuracies)
    accuracies = accuracies.assign(experiment=accuracies["experiment"].replace(dict(rename)))
    title = tables.TITLES.get(metric, f"Top-{top} test accuracy")
    label = f"tab:alphanet_{metric}"
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
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, envvar=ENV_VARIABLE)
@click.option(
    "--figure",
    "-f",
    "names",
    type=click.Choice(_FIGURES),
    multiple=True,
    help="Only this one; may be repeated. All without it.",
)
@_choice("--metric", choices=["top_1", "top_5"], text="Accuracy of the splits: first guess, or first five.")
@TOP
@click.option(
    "--experiments", "-x", "patterns", metavar="PATTERN", multiple=True, help="Experiments by name, as for `table`."
)
@click.option("--rename", nargs=2, metavar="NAME SHOWN", multiple=True, help="Show experiment NAME as SHOWN.")
@_choice(
    "--interval", choices=["t", "bootstrap"], text="Intervals of means and bands of lines: Student's, or bootstrapped."
)
@click.option(
    "--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Of all intervals."
)
@look_options
@click.option(
    "--width", type=click.FloatRange(1, 60), help="Inches; each figure's own, and what --context says, without it."
)
@click.option("--aspect", type=click.FloatRange(0.1, 10), help="Width over height; each figure's own without it.")
@_choice("--format", "ending", choices=["png", "pdf", "svg"], text="Of the files.")
@click.option("--dpi", type=click.IntRange(20, 1200), default=150, show_default=True, help="Pixels an inch.")
@click.option("--transparent", is_flag=True, help="Nothing behind the figures.")
@output_option("Folder for the figures.", "figures")
@told_in_a_sentence
def figures(
    studies: tuple[str, ...],
    names: tuple[str, ...],
    metric: str,
    top: int | None,
    patterns: tuple[str, ...],
    rename: tuple[tuple[str, str], ...],
    interval: "Interval",
    confidence: float,
    theme: "Theme",
    setting: "Setting",
    width: float | None,
    aspect: float | None,
    ending: str,
    dpi: int,
    transparent: bool,
    output: Path,
) -> None:
    """Draw what one STUDY or several have found, in one look, each figure with the experiments of all of them.

    STUDY may be a folder with result files of the original project (result.pth), which are read without being run.
    """
    from dataclasses import replace

    from vision_studies.figures.saving import save_figure
    from vision_studies.figures.style import Look, looking
    from vision_studies.pipelines.alphanet.joint_figures import joint_figures
    from vision_studies.pipelines.alphanet.saved_experiments import joined_tables

    metric = metric if top is None else f"top_{top}"
    tables = joined_tables([_tables(study, top) for study in studies])
    chosen = _chosen(tables.accuracies, patterns, baselines=True)
    _require_named(rename, chosen)
    shown = {
        name: table[table["experiment"].isin(set(chosen["experiment"]))].replace({"experiment": dict(rename)})
        for name, table in vars(tables).items()
        if len(table)
    }
    look = Look(theme, setting, width, aspect)
    options: dict[str, Any] = {"metric": metric, "confidence": confidence, "interval": interval}
    # Result files may come without those of their baselines.
    without = set(chosen["classifier"]) - set(chosen.loc[chosen["baseline"].astype(bool), "classifier"])
    possible = [name for name in _FIGURES if "gain" not in name or not without]
    with looking(look):
        drawn = list(joint_figures(replace(tables, **shown), names or possible, **options))
        for name, figure in drawn:
            save_figure(figure, output / f"{name}.{ending}", look, dpi=dpi, transparent=transparent)
    if not drawn:
        raise ParameterError(
            "Neither rho nor the number of neighbours varies, so that there are no lines; name other figures."
        )
    click.echo(f"{', '.join(f'{name}.{ending}' for name, _ in drawn)}: {output}")


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
    from vision_studies.pipelines.alphanet.long_tail import first_tail
    from vision_studies.stored_tables import read_table

    names = ("class_accuracies", "combinations", "changes")
    tables = [_of_repeats(read_table(_saved(study, f"{name}.parquet"), _MEND), repeats) for name in names]
    tables[0] = first_tail(tables[0])
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


def _is_published(study: str) -> bool:
    """Whether a folder is named, and no study."""
    return Path(study).is_dir() and not (project_folder() / OUTPUTS / study / "alphanet").is_dir()


def _tables(study: str, top: int | None) -> "SavedTables":
    """Tables of a study, or of result files in a folder; with accuracies of the first `top` guesses where these are wanted."""
    from dataclasses import replace

    from vision_studies.pipelines.alphanet.published_results import published_tables
    from vision_studies.pipelines.alphanet.saved_experiments import read_tables

    tables = (
        published_tables(Path(study)) if _is_published(study) else read_tables(_saved(study, "accuracies.csv").parent)
    )
    return replace(tables, accuracies=_with_top(study, tables.accuracies, top))


def _accuracies(studies: tuple[str, ...], top: int | None) -> "pd.DataFrame":
    """Accuracies of studies and of result files in folders, one below the other."""
    import pandas as pd

    from vision_studies.pipelines.alphanet.published_results import published_tables
    from vision_studies.pipelines.alphanet.saved_experiments import read_experiments

    own = [study for study in studies if not _is_published(study)]
    if own:  # which refuses what is named twice
        read_experiments([_saved(study, "accuracies.csv") for study in own])
    parts = [
        _with_top(
            study,
            read_experiments([_saved(study, "accuracies.csv")])
            if study in own
            else published_tables(Path(study)).accuracies,
            top,
        )
        for study in studies
    ]
    return pd.concat(parts, ignore_index=True)


def _with_top(study: str, accuracies: "pd.DataFrame", top: int | None) -> "pd.DataFrame":
    from vision_studies.pipelines.alphanet.top_accuracies import with_top_accuracies
    from vision_studies.stored_tables import read_table

    if top is None or f"top_{top}" in accuracies:
        return accuracies
    if _is_published(study):
        raise ParameterError(
            f"--top={top} needs the features of every study, which result files do not hold; leave it out."
        )
    results = read_table(_saved(study, "results.parquet"), _MEND, ["variant", "seed", "run_fingerprint"])
    return with_top_accuracies(accuracies, results, project_folder() / MODELS / study / "alphanet/runs", top)


def _require_named(rename: tuple[tuple[str, str], ...], accuracies: "pd.DataFrame") -> None:
    for name, _ in rename:
        if name not in set(accuracies["experiment"]):
            raise ParameterError(f"--rename: {_none_called(name, accuracies)}")


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
