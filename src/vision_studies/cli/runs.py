"""`kedro runs`: what lies in the folders of earlier runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import DEVICE, no_runs, output_option, study_name
from vision_studies.project_folders import MODELS
from vision_studies.reports.table import Table
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.studies.stored_runs import StoredRun, find_run, find_runs, label_run, superfluous_checkpoints

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

ENV = click.option("--env", "-e", help="Look for runs in this study only; in all of them without it.")


@click.group(
    epilog=(
        "\b\nExamples:\n"
        "  kedro runs list --env=resnet_se\n"
        "  kedro runs label 3f2a best_so_far\n"
        "  kedro runs accuracy best_so_far --env=resnet_se\n"
        "  kedro runs graphs 3f2a 91c0 -o figures"
    )
)
def runs() -> None:
    """List, score, label, tidy, draw and export runs of earlier studies.

    RUN is the beginning of a run's fingerprint, as `kedro runs list` shows it, or its label.
    """


@runs.command("list")
@ENV
@told_in_a_sentence
def list_runs(env: str | None) -> None:
    """List runs with their status, accuracies and size on the disk."""
    rows = [_described(run) for run in find_runs(_models(), env)]
    if not rows:
        raise no_runs(env)
    click.echo(Table(rows, align="l" * len(rows[0])).without("label", "trial").terminal())


@runs.command()
@click.argument("checkpoint")
@click.option("--env", "-e", help="Study whose images CHECKPOINT is scored on; base without it.")
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="Images to score on. test only when every choice has been made: what is chosen by test accuracy has none left.",
)
@DEVICE
@told_in_a_sentence
def accuracy(checkpoint: str, env: str | None, split: str, device: str) -> None:
    """Score CHECKPOINT: accuracy and loss.

    CHECKPOINT is a run (the beginning of its fingerprint, or its label) or a file: weights, a numbered checkpoint or a
    study's model.
    """
    from vision_studies.serving.opened_models import accuracy_of, read_trained
    from vision_studies.training.runtime import select_device

    path = Path(checkpoint)
    if not path.is_file():
        path = find_run(_models(), checkpoint, study_name(env)).folder / WEIGHTS_FILE
    data = _prepared_data(env)
    loss, share = accuracy_of(read_trained(path.absolute()), data, split, select_device(device))
    click.echo(f"{split}: accuracy {100 * share:.2f} %, loss {loss:.4f} ({path})")


@runs.command()
@ENV
@click.option("--delete", is_flag=True, help="Delete the checkpoints; without it they are only named.")
@told_in_a_sentence
def clean(env: str | None, delete: bool) -> None:
    """Find numbered checkpoints that nothing needs any more; the best and the last of every run stay."""
    files = [file for run in find_runs(_models(), env) for file in superfluous_checkpoints(run)]
    freed = sum(file.stat().st_size for file in files) / 1e6
    for file in files:
        click.echo(str(file.relative_to(Path.cwd())))
        if delete:
            file.unlink()
    done = "deleted" if delete else "could be deleted; add --delete to do it"
    click.echo(f"{len(files)} checkpoints, {freed:,.0f} MB: {done if files else 'nothing to tidy'}")


@runs.command()
@click.argument("run")
@click.argument("label")
@ENV
@told_in_a_sentence
def label(run: str, label: str, env: str | None) -> None:
    """Call RUN by LABEL from now on.

    Commands take the label in the place of RUN. The run's files keep their places, so that its study finds them.
    """
    stored = find_run(_models(), run, env)
    label_run(_models(), stored, label)
    click.echo(f"{stored.description['study']}/{stored.fingerprint} is called '{label}'")


@runs.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@ENV
@output_option("Folder for the figures.", "figures")
@told_in_a_sentence
def graphs(names: tuple[str, ...], env: str | None, output: Path) -> None:
    """Draw the four training graphs of one RUN, or of several in one."""
    import pandas as pd

    from vision_studies.pipelines.cifar_resnet.published_files import GRAPHS, draw_graphs

    stored = [find_run(_models(), name, env) for name in names]
    histories = [run.history().assign(run=run.name, variant=run.label or run.description["variant"]) for run in stored]
    draw_graphs(pd.concat(histories, ignore_index=True), output)
    click.echo(f"{', '.join(f'{name}.png' for name in GRAPHS)}: {output}")


def _places(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, Path]:
    """The run, which is empty with --format=published, and the folder."""
    names = ["FOLDER"] if context.params["layout"] == "published" else ["RUN", "FOLDER"]
    if len(given) < len(names):
        hint = f"'{names[len(given)]}'"
        raise click.MissingParameter(ctx=context, param=parameter, param_type="argument", param_hint=hint)
    if len(given) > len(names):
        raise click.UsageError(
            f"--format={context.params['layout']} takes {' and '.join(names)}, not '{given[len(names)]}' as well.",
            context,
        )
    *run, folder = given
    return "".join(run), Path(folder)


@runs.command(
    epilog=(
        "\b\nExamples:\n"
        "  kedro runs export 3f2a one_run\n"
        "  kedro runs export --format=published --env=resnet_se published"
    )
)
@click.argument("places", metavar="[RUN] FOLDER", nargs=-1, callback=_places)
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
@told_in_a_sentence
def export(places: tuple[str, Path], layout: str, env: str | None) -> None:
    """Write RUN, or a whole study, to FOLDER in the original projects' files.

    FOLDER must not be there yet. Of one RUN it then holds metrics.csv, config.json, training.log, best.safetensors and
    figures/; of a study, a folder for each published project whose question it asks, with that project's names.
    """
    run, folder = places
    if layout == "published":
        from vision_studies.studies.export import export_study

        for pipeline, done in export_study(Path.cwd(), study_name(env), folder).items():
            click.echo(f"{pipeline}: {done}")
    else:
        _export_run(find_run(_models(), run, env), folder)


def _export_run(stored: StoredRun, folder: Path) -> None:
    import shutil

    from vision_studies.files import atomic_folder
    from vision_studies.pipelines.cifar_resnet.published_files import write_logs
    from vision_studies.serving.opened_models import require_pipeline
    from vision_studies.studies.export import require_unused

    require_unused(folder)
    require_pipeline(stored.description, stored.fingerprint)
    with atomic_folder(folder) as temporary:
        write_logs(stored, stored.history(), stored.name, temporary)
        shutil.copy(stored.folder / WEIGHTS_FILE, temporary / "best.safetensors")
    click.echo(f"{stored.name}: {folder}")


def _models() -> Path:
    return Path.cwd() / MODELS


def _prepared_data(env: str | None) -> "PreparedData":
    """Images and splits of a study."""
    from vision_studies.data.prepared import PreparedData

    configure_project("vision_studies")
    with KedroSession.create(Path.cwd(), env=env) as session:
        catalog = session.load_context().catalog  # type: ignore[attr-defined] # the stub names the base class
        return PreparedData.from_catalog(catalog.load("image_set"), catalog.load("splits"), {})


def _described(run: StoredRun) -> dict[str, Any]:
    from rich.filesize import decimal

    from vision_studies.reports.formatting import percent

    newest = next(reversed(run.stages.values()), None)
    return {
        **{name: run.description[name] for name in ("study", "pipeline")},
        "run": run.fingerprint,
        "label": run.label or "",
        **{name: run.description[name] for name in ("variant", "trial", "seed")},
        "status": run.status,
        "validation": percent(run.metric("validation_accuracy")),
        "test": percent(run.metric("test_accuracy")),
        "finished": newest["provenance"]["finished_at"][:16].replace("T", " ") if newest else "–",
        "size": decimal(run.size),
    }
