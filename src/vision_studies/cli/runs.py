"""`kedro runs`: what lies in the folders of earlier runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import DEVICE, no_runs, output_option, study_name
from vision_studies.errors import DataError, ParameterError
from vision_studies.project_folders import MODELS
from vision_studies.reports.table import Table
from vision_studies.run_folders import WEIGHTS_FILE, read_history
from vision_studies.studies.stored_runs import StoredRun, find_run, find_runs, label_run, superfluous_checkpoints

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

ENV = click.option("--env", "-e", help="Look for runs in this study only; in all of them without it.")
FIGURES = {
    "loss_plot": "loss_figure",
    "validation_plot": "validation_figure",
    "learning_rate_plot": "learning_rate_figure",
    "combined_plot": "learning_curves",
}
"""File names of the original project -> functions of `plots.training`."""

EARLIER = "earlier"


@click.group(
    epilog=(
        "\b\nExamples:\n"
        "  kedro runs list --env=resnet_se\n"
        "  kedro runs compare 3f2a 91c0\n"
        "  kedro runs label 3f2a best_so_far\n"
        "  kedro runs accuracy best_so_far --env=resnet_se\n"
        "  kedro runs graphs 3f2a 91c0 -o figures"
    )
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
    asked = {study: asked_for(Path.cwd(), study) for study in dict.fromkeys(run.description["study"] for run in found)}
    rows = [_described(run) | {"question": _question(run, asked)} for run in found]
    click.echo(Table(rows, align="l" * len(rows[0])).without("label", "trial").terminal())
    earlier = sum(row["question"] == EARLIER for row in rows)
    if earlier:
        click.echo(
            f"\n{earlier:,} of {len(rows):,} runs are not of the present question, that of their study's newest command: no "
            "table or figure has them. `kedro runs compare` compares them all the same; asking for them again trains nothing."
        )


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

    stored = [find_run(_models(), name, env) for name in names]
    histories = [_history(run).assign(run=run.name, variant=run.label or run.description["variant"]) for run in stored]
    _draw(pd.concat(histories, ignore_index=True), output)
    click.echo(f"{', '.join(f'{name}.png' for name in FIGURES)}: {output}")


@runs.command()
@click.argument("run")
@click.argument("folder", type=click.Path(path_type=Path))
@ENV
@told_in_a_sentence
def export(run: str, folder: Path, env: str | None) -> None:
    """Copy RUN to FOLDER in the original project's layout.

    FOLDER, which must not be there yet, then holds metrics.csv, config.json, training.log, best.safetensors and figures/.
    """
    import shutil
    from datetime import datetime

    from vision_studies.config.network_run import RunSettings
    from vision_studies.files import atomic_folder, write_json
    from vision_studies.pipelines.cifar_resnet.published_files import config_table, metrics_table, training_log
    from vision_studies.serving.opened_models import require_pipeline

    if folder.exists():
        raise ParameterError(f"{folder} is there already; name a folder that is not.")
    stored = find_run(_models(), run, env)
    require_pipeline(stored.description, stored.fingerprint)
    history = _history(stored)
    settings = RunSettings.model_validate(stored.description["configuration"])
    finished = datetime.fromisoformat(stored.stages["training"]["provenance"]["finished_at"])
    parameters, device = int(stored.metric("parameters")), str(stored.metric("device"))
    with atomic_folder(folder) as temporary:
        metrics_table(history, settings).to_csv(temporary / "metrics.csv", index=False)
        write_json(temporary / "config.json", config_table(settings, experiment=stored.name, device=device))
        text = training_log(history, settings, experiment=stored.name, parameters=parameters, finished=finished)
        (temporary / "training.log").write_text(text, encoding="utf-8")
        shutil.copy(stored.folder / WEIGHTS_FILE, temporary / "best.safetensors")
        _draw(history, temporary / "figures")
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


def _question(run: StoredRun, asked: Mapping[str, Mapping[str, set[str] | None]]) -> str:
    """Whether the present question of a run's study asks for the run; empty where that cannot be told."""
    fingerprints = asked[run.description["study"]].get(run.folder.parents[1].name, set())
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
        "status": run.status,
        "validation": percent(run.metric("validation_accuracy")),
        "test": percent(run.metric("test_accuracy")),
        "finished": newest["provenance"]["finished_at"][:16].replace("T", " ") if newest else "–",
        "size": decimal(run.size),
    }


def _history(run: StoredRun) -> Any:
    try:
        return read_history(run.folder)
    except FileNotFoundError as error:
        raise DataError(f"The run {run.fingerprint} has not finished its training yet; run its study again.") from error


def _draw(history: Any, folder: Path) -> None:
    from vision_studies.figures import training
    from vision_studies.files import atomic_file

    for name, function in FIGURES.items():
        with atomic_file(folder / f"{name}.png") as temporary:
            getattr(training, function)(history).savefig(temporary, dpi=150, bbox_inches="tight", format="png")
