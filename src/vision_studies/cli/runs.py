"""`kedro runs`: what lies in the folders of earlier runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.model_choice import SELECTED, ChosenModel, why_unusable
from vision_studies.cli.options import DEVICE, env_option, look_options, no_runs, output_option, study_name
from vision_studies.errors import DataError, ParameterError, one_line
from vision_studies.outcomes import COMPLETE
from vision_studies.project_folders import MODELS, OUTPUTS, project_folder
from vision_studies.reports.formatting import spread
from vision_studies.reports.table import Table
from vision_studies.run_folders import CHECKPOINTS, HISTORY_FILE, WEIGHTS_FILE, folds_of, numbered_checkpoints
from vision_studies.stored_tables import read_table
from vision_studies.studies.exported_runs import FINGERPRINT, export_name, renamed_export
from vision_studies.studies.method import networks_of
from vision_studies.studies.stored_runs import (
    StoredRun,
    find_run,
    find_runs,
    label_run,
    require_label,
    tidy_checkpoints,
)

if TYPE_CHECKING:
    from vision_studies.figures.style import Look, Setting, Theme
    from vision_studies.statistics.metrics import Split

ENV = env_option("Look for runs in this study only; in all of them without it.")
SPLIT = click.Choice(["validation", "test"])
EXPORTS = click.option(
    "--exports",
    type=click.Path(path_type=Path),
    default=Path("exports"),
    show_default=True,
    help="Folder of exported runs.",
)

EARLIER = "earlier"
_MOST_INCHES = 60


@click.group(
    short_help="List, compare, plan, label, export and tidy up runs.",
    epilog=(
        "\b\nExamples:\n"
        "  kedro runs list --env=resnet_se\n"
        "  kedro runs compare 3f2a 91c0\n"
        "  kedro runs label 3f2a best_so_far\n"
        "  kedro runs accuracy best_so_far\n"
        "  kedro runs graphs 3f2a 91c0 -o figures"
    ),
)
def runs() -> None:
    """List, compare, score, label, tidy, draw and export runs of earlier studies.

    RUN is the beginning of a run's fingerprint, as `kedro runs list` shows it, or its label.
    """


@runs.command("list")
@ENV
@told_in_a_sentence
def list_runs(env: str | None) -> None:
    """List runs with their status, accuracies and size on the disk, and whether the study's present question asks for them."""
    from vision_studies.studies.question import asked_for

    found = find_runs(_models(), env)
    if not found:
        raise no_runs(env)
    asked = {
        study: asked_for(project_folder(), study) for study in dict.fromkeys(run.description["study"] for run in found)
    }
    rows = [_described(run) | {"question": _question(run, asked)} for run in found]
    click.echo(Table(rows, align="l" * len(rows[0])).without("label", "trial", "fold").terminal())
    earlier = sum(row["question"] == EARLIER for row in rows)
    if earlier:
        click.echo(
            f"\n{earlier:,} of {len(rows):,} runs are not of the present question, that of their study's newest command: no "
            "table or figure has them. `kedro runs compare` compares them all the same; asking for them again trains nothing."
        )


@runs.command()
@click.argument("checkpoint")
@ENV
@click.option(
    "--split",
    type=SPLIT,
    default="validation",
    show_default=True,
    help="Images to score on. test only when every choice has been made: what is chosen by test accuracy has none left.",
)
@DEVICE
@output_option("Add a row to this CSV file, too: model_path, model_name, test_accuracy, val_accuracy (in percent).")
@told_in_a_sentence
def accuracy(checkpoint: str, env: str | None, split: "Split", device: str, output: Path | None) -> None:
    """Score CHECKPOINT, of any pipeline: accuracy and loss, on the images that its run was validated or tested with.

    CHECKPOINT is a run (the beginning of its fingerprint, or its label) or a file: weights, a numbered checkpoint or a
    study's model.
    """
    from vision_studies.serving.run_scores import score_model
    from vision_studies.training.runtime import select_device

    path = _checkpoint(checkpoint, env)
    scores = score_model(path, split, select_device(device))
    share, loss = 100 * scores[f"{split}_accuracy"], scores.get(f"{split}_loss")
    click.echo(f"{split}: accuracy {share:.2f} %{'' if loss is None else f', loss {loss:.4f}'} ({path})")
    if output is not None:
        _add_row(output, path, split, share)


@runs.command()
@click.argument("names", metavar="[RUN]...", nargs=-1)
@ENV
@click.option(
    "--variant", help="All runs of this variant of the study, as its tables call it, such as '1 %: FR, cut 4'."
)
@click.option(
    "--split",
    type=SPLIT,
    default="validation",
    show_default=True,
    help="Images to score on. test only when every choice has been made.",
)
@DEVICE
@output_option("Write the table to this CSV file, too (fractions).")
@told_in_a_sentence
def classes(
    names: tuple[str, ...], env: str | None, variant: str | None, split: "Split", device: str, output: Path | None
) -> None:
    """Tabulate precision, recall and F1 of every class, of one RUN or of several as means over them.

    RUN is as for `kedro runs accuracy`. Without RUN, --variant names runs of the study of --env (base without it).
    """
    from vision_studies.files import atomic_file
    from vision_studies.serving.class_report import SCORES, class_report, mean_report
    from vision_studies.serving.run_scores import predict_split
    from vision_studies.training.runtime import select_device

    if (variant is None) != bool(names):
        raise ParameterError("Name one RUN or several, or a --variant without any.")
    paths = [_checkpoint(name, env) for name in names] or _runs_of_variant(study_name(env), str(variant))
    reports = [class_report(predict_split(path, split, select_device(device))) for path in paths]
    report = mean_report(reports)
    rows = [
        {"class": row["class"], "images": f"{row['images']:,}"}
        | {name: spread(100 * row[name], 100 * row[f"{name}_deviation"], 2) for name in SCORES}
        for row in report.to_dict("records")
    ]
    of = "1 run" if len(reports) == 1 else f"mean and sample standard deviation of {len(reports)} runs"
    click.echo(f"{split}, in percent, {of}\n\n{Table(rows, align='lrrrr').terminal()}")
    if output is not None:
        with atomic_file(output) as temporary:
            report.to_csv(temporary, index=False)
        click.echo(f"\nWritten: {output}")


@runs.command()
@click.argument("checkpoint")
@ENV
@click.option(
    "--correct", type=click.IntRange(min=0), default=8, show_default=True, help="Images that are named rightly."
)
@click.option("--wrong", type=click.IntRange(min=0), default=4, show_default=True, help="Images that are not.")
@click.option("--split", type=SPLIT, default="validation", show_default=True, help="Images to choose from.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the choice.")
@DEVICE
@output_option("The picture.", "predictions.png")
@told_in_a_sentence
def predictions(
    checkpoint: str, env: str | None, correct: int, wrong: int, split: "Split", seed: int, device: str, output: Path
) -> None:
    """Draw images that CHECKPOINT names rightly and wrongly, each with its three most probable classes.

    CHECKPOINT is a run or a file, as for `kedro runs accuracy`. Images are drawn at random; where there are fewer, all are
    shown.
    """
    import pandas as pd

    from vision_studies.figures.classification import prediction_grid
    from vision_studies.files import atomic_file
    from vision_studies.serving.run_scores import predict_split
    from vision_studies.training.runtime import select_device

    predicted = predict_split(_checkpoint(checkpoint, env), split, select_device(device))
    table = predicted.table()
    shown = pd.concat(
        [
            rows.sample(min(count, len(rows)), random_state=seed)
            for rows, count in ((table[table["correct"]], correct), (table[~table["correct"]], wrong))
        ]
    )
    if shown.empty:
        raise ParameterError(
            f"Of {len(table):,} {split} images {int(table['correct'].sum()):,} are named rightly, so that --correct={correct} "
            f"and --wrong={wrong} leave nothing to draw; raise one of them."
        )
    selection = "drawn at random among right and wrong ones"
    images, names = predicted.image_set.images[shown["index"].to_numpy()], predicted.class_names
    figure = prediction_grid(images, shown, names, float(table["correct"].mean()), selection=selection, split=split)
    with atomic_file(output) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight", format="png")
    click.echo(str(output))


@runs.command()
@ENV
@click.option("--delete", is_flag=True, help="Delete the checkpoints; without it they are only named.")
@click.option(
    "--keep-every",
    type=click.IntRange(min=0),
    help="Keep those of every so many epochs instead of what keep_every was when they were written; 0 keeps none.",
)
@told_in_a_sentence
def clean(env: str | None, delete: bool, keep_every: int | None) -> None:
    """Find numbered checkpoints that nothing needs any more.

    The best and the last of every run stay, and those that keep_every keeps; a run that is being worked on is left alone.
    """
    sizes: dict[Path, int] = {}
    for run in find_runs(_models(), env):
        sizes |= tidy_checkpoints(run, keep_every=keep_every, delete=delete)
    for file in sizes:
        click.echo(str(file.relative_to(project_folder())))
    done = "deleted" if delete else "could be deleted; add --delete to do it"
    click.echo(f"{len(sizes)} checkpoints, {sum(sizes.values()) / 1e6:,.0f} MB: {done if sizes else 'nothing to tidy'}")


@runs.command()
@click.argument("run")
@click.argument("label")
@ENV
@EXPORTS
@told_in_a_sentence
def label(run: str, label: str, env: str | None, exports: Path) -> None:
    """Call RUN by LABEL from now on.

    Commands take the label in the place of RUN. The run's files keep their places, so that its study finds them; the folder
    among the exports to which it was exported, if there is one, is called by the label, too.
    """
    stored = find_run(_models(), run, env)
    require_label(label)
    moved = renamed_export(exports, stored, label)
    label_run(_models(), stored, label)
    click.echo(f"{stored.description['study']}/{stored.fingerprint} is called '{label}'")
    if moved is not None:
        moved[0].rename(moved[1])
        click.echo(f"{moved[0]} is {moved[1]} now")


def _figsize(_: click.Context, parameter: click.Parameter, given: str | None) -> tuple[float, float] | None:
    """Width and height from a text such as 10,6."""
    if given is None:
        return None
    try:
        width, height = (float(number) for number in given.split(","))
    except ValueError:
        width = height = 0.0
    if not (1 <= width <= _MOST_INCHES and 1 <= height <= _MOST_INCHES):
        raise click.BadParameter(
            f"'{given}' is no width and height from 1 to {_MOST_INCHES} inches; write them as 10,6.", param=parameter
        )
    return width, height


@runs.command()
@click.argument("names", metavar="[RUN]...", nargs=-1)
@ENV
@click.option("--all", "every", is_flag=True, help="All runs (of --env), each in a folder of its own.")
@output_option("Folder for the figures.", "figures")
@click.option("--dpi", type=click.IntRange(20, 1200), default=150, show_default=True, help="Pixels an inch.")
@click.option(
    "--figsize",
    metavar="WIDTH,HEIGHT",
    callback=_figsize,
    help="Inches, such as 10,6; combined_plot is half as high again. Each figure's own size without it.",
)
@look_options
@told_in_a_sentence
def graphs(
    names: tuple[str, ...],
    env: str | None,
    every: bool,
    output: Path,
    dpi: int,
    figsize: tuple[float, float] | None,
    theme: "Theme",
    setting: "Setting",
) -> None:
    """Draw the four training graphs of one RUN, or of several in one.

    RUN may be a metrics.csv, too, of an exported run or of the original project. With --all no RUN is named.
    """
    import pandas as pd

    from vision_studies.figures.style import Look
    from vision_studies.pipelines.cifar_resnet.published_files import GRAPHS, draw_graphs, read_metrics

    if every == bool(names):
        raise ParameterError("Name one RUN or several, or --all without any.")
    size = (None, None) if figsize is None else (figsize[0], figsize[0] / figsize[1])
    look = Look(theme, setting, *size)
    if every:
        _graphs_of_all(env, output, dpi, look)
        return
    histories = []
    for name in names:
        if Path(name).suffix == ".csv":
            histories.append(read_metrics(Path(name)).assign(run=name, variant=name))
            continue
        run = find_run(_models(), name, env)
        histories.append(run.history().assign(run=run.name, variant=run.label or run.description["variant"]))
    draw_graphs(pd.concat(histories, ignore_index=True), output, dpi, look)
    click.echo(f"{', '.join(f'{name}.png' for name in GRAPHS)}: {output}")


def _graphs_of_all(env: str | None, output: Path, dpi: int, look: "Look") -> None:
    from vision_studies.pipelines.cifar_resnet.published_files import GRAPHED, draw_graphs

    found = find_runs(_models(), env)
    if not found:
        raise no_runs(env)
    drawn = 0
    for run in found:
        if not (run.folder / HISTORY_FILE).is_file():
            continue
        history = run.history()
        if set(history) >= GRAPHED:
            folder = output / run.description["study"] / run.fingerprint
            draw_graphs(
                history.assign(run=run.name, variant=run.label or run.description["variant"]), folder, dpi, look
            )
            click.echo(f"{run.name}: {folder}")
            drawn += 1
    if not drawn:
        raise ParameterError(
            f"None of the {len(found):,} runs has a history of losses and accuracies; train one first."
        )


def _places(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, Path | None]:
    """The run, which is empty with --format=published, and the folder."""
    of_study = context.params["layout"] == "published"
    names = ["FOLDER"] if of_study else ["RUN", "FOLDER"]
    if not given:
        raise click.MissingParameter(ctx=context, param=parameter, param_type="argument", param_hint=f"'{names[0]}'")
    if len(given) > len(names):
        raise click.UsageError(
            f"--format={context.params['layout']} takes {' and '.join(names)}, not '{given[len(names)]}' as well.",
            context,
        )
    run, *folder = ["", *given] if of_study else given
    return run, Path(*folder) if folder else None


@runs.command(
    epilog=(
        "\b\nExamples:\n"
        "  kedro runs export 3f2a\n"
        "  kedro runs export 3f2a one_run\n"
        "  kedro runs export --format=published --env=resnet_se published"
    )
)
@click.argument("places", metavar="[RUN] [FOLDER]", nargs=-1, callback=_places)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["run", "published"]),
    default="run",
    show_default=True,
    is_eager=True,
    help="run: one RUN of cifar_resnet. published: all that the study of --env (base without it) has found; takes no RUN.",
)
@ENV
@EXPORTS
@told_in_a_sentence
def export(places: tuple[str, Path | None], layout: str, env: str | None, exports: Path) -> None:
    """Write RUN, or a whole study, to FOLDER in the original projects' files.

    FOLDER must not be there yet. Of one RUN it then holds metrics.csv, config.json, training.log, best.safetensors, figures/
    and checkpoints/; without FOLDER the run goes into the folder of exports, under its label or else its network, accuracy
    and epoch. Of a study, FOLDER holds a folder for each published project whose question it asks, with that project's names.
    """
    run, folder = places
    if layout == "published" and folder is not None:
        from vision_studies.studies.export import export_study

        for pipeline, done in export_study(project_folder(), study_name(env), folder).items():
            click.echo(f"{pipeline}: {done}")
    else:
        _export_run(find_run(_models(), run, env), folder, exports)


def _export_run(stored: StoredRun, folder: Path | None, exports: Path) -> None:
    import shutil

    from vision_studies.files import atomic_folder
    from vision_studies.pipelines.cifar_resnet.published_files import write_logs
    from vision_studies.studies.export import require_unused

    pipeline = stored.description["pipeline"]
    if pipeline != SELECTED:
        raise ParameterError(
            f"{stored.fingerprint} belongs to {pipeline}, and this command works on runs of {SELECTED}; name one of those."
        )
    history = stored.history()
    if folds := folds_of(stored.folder):
        raise ParameterError(
            f"{stored.fingerprint} is put together from the runs of {len(folds)} folds, which the original files know nothing "
            f"of; export one of these: {', '.join(folder.name for folder in folds)}."
        )
    if (reason := why_unusable(stored)) is not None:
        raise ParameterError(f"{stored.fingerprint} is one of the runs that cannot be exported: {reason}.")
    if folder is None:
        folder = exports / export_name(stored)
    require_unused(folder)
    with atomic_folder(folder) as temporary:
        write_logs(stored, history, stored.name, temporary, {FINGERPRINT: stored.fingerprint})
        shutil.copy(stored.folder / WEIGHTS_FILE, temporary / "best.safetensors")
        (temporary / CHECKPOINTS).mkdir()
        for file, epoch in numbered_checkpoints(stored.folder / CHECKPOINTS).items():
            shutil.copy(file, temporary / CHECKPOINTS / f"epoch_{epoch}.safetensors")
    click.echo(f"{stored.name}: {folder}")


def _models() -> Path:
    return project_folder() / MODELS


def _checkpoint(named: str, env: str | None) -> Path:
    """The file that is named, or the folder of the run."""
    return Path(named) if Path(named).is_file() else find_run(_models(), named, env).folder


def _runs_of_variant(study: str, variant: str) -> list[Path]:
    """Folders of the runs that the study's tables of results have of a variant."""
    found: dict[str, list[Path]] = {}
    for file in sorted((project_folder() / OUTPUTS / study).glob("*/results.parquet")):
        results = read_table(file, "run the study again", ["variant", "run_fingerprint", "status"])
        runs_folder = _models() / study / file.parent.name / "runs"
        for row in results[results["status"] == COMPLETE].to_dict("records"):
            found.setdefault(str(row["variant"]), []).append(runs_folder / row["run_fingerprint"])
    if variant not in found:
        there = ", ".join(f"'{name}'" for name in found) or "it has no results yet"
        raise ParameterError(f"The study '{study}' has no variant '{variant}'; there are {there}.")
    return found[variant]


def _add_row(table: Path, model: Path, split: "Split", accuracy: float) -> None:
    """Add what a model has scored to a table in the original project's form, which is made where it is missing."""
    import pandas as pd

    from vision_studies.files import atomic_file

    run = ChosenModel(model, project_folder()).run
    title = "" if run is None else networks_of(run.description["pipeline"]).title(run.description["configuration"])
    row = {"model_path": str(model), "model_name": title, "test_accuracy": None, "val_accuracy": None}
    row["test_accuracy" if split == "test" else "val_accuracy"] = f"{accuracy:.4f}"
    rows = pd.DataFrame([row])
    if table.exists():
        try:
            earlier = pd.read_csv(table, dtype=str)
        except ValueError as error:
            raise DataError(f"{table} is no table of accuracies ({one_line(error)}); name another file.") from error
        if list(earlier.columns) != list(row):
            raise DataError(f"{table} has other columns than {', '.join(row)}; name another file.")
        rows = pd.concat([earlier, rows], ignore_index=True)
    with atomic_file(table) as temporary:
        rows.to_csv(temporary, index=False)
    click.echo(f"Row {len(rows)} of {table}")


def _question(run: StoredRun, asked: Mapping[str, Mapping[str, set[str] | None]]) -> str:
    """Whether the present question of a run's study asks for the run; empty where that cannot be told."""
    fingerprints = asked[run.description["study"]].get(run.folder.parents[1].name)
    return "" if fingerprints is None else "present" if run.fingerprint in fingerprints else EARLIER


def _described(run: StoredRun) -> dict[str, Any]:
    from rich.filesize import decimal

    from vision_studies.reports.formatting import percent

    newest = next(reversed(run.stages.values()), None)
    return {
        **{name: run.description[name] for name in ("study", "pipeline")},
        "run": run.fingerprint,
        "label": run.label or "",
        **{name: run.description[name] for name in ("variant", "trial", "seed")},
        "fold": run.fold,
        "status": run.status,
        "validation": percent(run.metric("validation_accuracy")),
        "test": percent(run.metric("test_accuracy")),
        "finished": newest["provenance"]["finished_at"][:16].replace("T", " ") if newest else "–",
        "size": decimal(run.size),
    }
