"""`kedro models`: what trained networks are good for."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.model_choice import ChosenModel, choice_options, models_text
from vision_studies.cli.options import DEVICE, env_option, no_runs, output_option
from vision_studies.config.data_prep import source_folder
from vision_studies.predictions import CalibratorName
from vision_studies.project_folders import project_folder
from vision_studies.statistics.conformal import SET_KINDS, SetKind

if TYPE_CHECKING:
    import torch

    from vision_studies.data.image_source import ImageSource
    from vision_studies.serving.calibration import Abstention, Calibration
    from vision_studies.training.classifier import ImageClassifier

_NAMED_CORRUPT = 10
_CLASSES_SHOWN = 50
_FEW_VALIDATION_IMAGES = 100  # of which five lie beyond the threshold
VIEWS = click.option(
    "--views",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Test-time views (mirrored, shifted) whose probabilities are averaged.",
)
CALIBRATE = click.option(
    "--calibrate/--no-calibrate",
    default=True,
    help="Calibrate by the validation images, which the first time takes longest.",
)
Choose = Callable[[], ChosenModel]
"""Finds the model that a command's options name."""


@click.group(short_help="Use trained models: predict, try, evaluate, export.")
def models() -> None:
    """Use trained models: list, predict, try, evaluate, export, describe.

    Without --variant or --model, a study's model is what its verdict takes or, where it has none, its best run by validation
    accuracy.
    """


@models.command("list")
@env_option("Study; every one without it.", "--study")
@click.option("--all", "every", is_flag=True, help="Runs without a test accuracy, too, such as trials of a search.")
@told_in_a_sentence
def list_models(env: str | None, every: bool) -> None:
    """Show the models that can be used."""
    text = models_text(project_folder(), env, every=every)
    if not text:
        raise no_runs(env)
    click.echo(text)


@models.command()
@click.argument("images", type=click.Path(path_type=Path, allow_dash=True))
@choice_options
@VIEWS
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, help="Most probable classes of each image."
)
@click.option("--column", help="Column of a table that names the images, where it is not recognised.")
@click.option(
    "--accepted",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="Share of the validation images that count as like the training images.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Give each image a set of classes, of which this share holds the right one.",
)
@click.option(
    "--sets",
    type=click.Choice(SET_KINDS),
    default=SET_KINDS[0],
    show_default=True,
    help="With --coverage: as small as can be, or larger for images that are hard.",
)
@CALIBRATE
@click.option(
    "--calibrator",
    type=click.Choice(get_args(CalibratorName)),
    default="temperature",
    show_default=True,
    help="What calibrates: one temperature, a factor and summand for each class, or rising steps (many images).",
)
@click.option(
    "--abstain",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Withhold the answers of which the model is least sure, as of this share of the validation images.",
)
@click.option("--submission", is_flag=True, help="Columns ID and Labels (numbers of classes) instead.")
@DEVICE
@output_option("Where the table goes: .csv, .parquet or .json.", "predictions.csv")
@told_in_a_sentence
def predict(
    images: Path,
    choose: Choose,
    views: int,
    top: int,
    column: str | None,
    accepted: float,
    coverage: float | None,
    sets: SetKind,
    calibrate: bool,
    calibrator: CalibratorName,
    abstain: float | None,
    submission: bool,
    device: str,
    output: Path,
) -> None:
    """Name the classes of images.

    IMAGES is a folder of image files, one image, a table (CSV, JSON lines, Parquet) with a column of paths, - for paths on
    standard input, a .npy file with uint8 [N, H, W, C], or a .pkl file such as cifar_test_nolabel.pkl, which is read without
    being run. The table has a file, its class, how confident the model is, how probable the class is (calibrated by validation
    images), and whether the image is unlike the training images. Images that cannot be read are named and left out.
    """
    from vision_studies.serving.image_classifier import Predictor
    from vision_studies.serving.image_predictions import AskedSets, predictions, write_left_out
    from vision_studies.serving.prediction_tables import TableForm, write_predictions
    from vision_studies.training.runtime import select_device

    asked = None if coverage is None else AskedSets(coverage, sets)
    wanted = [name for name, value in (("--coverage", coverage), ("--abstain", abstain)) if value is not None]
    if wanted and (views > 1 or submission or not calibrate):
        raise click.UsageError(
            f"{' and '.join(wanted)} asks for what validation images tell of single views; leave out --views, --submission and "
            "--no-calibrate."
        )
    source, chosen = _named_images(images, column), choose()
    classifier, where = chosen.open(), select_device(device)
    calibration = _calibration(chosen, where) if calibrate and not submission else None
    if wanted and calibration is None:
        raise click.UsageError(f"There are no validation images to go by; leave out {' and '.join(wanted)}.")
    calibration = calibration and calibration.by(calibrator)
    abstention = None if calibration is None or abstain is None else calibration.abstention(abstain)
    predictor = Predictor(classifier, where, views)
    form = TableForm(submission, top, accepted, None if abstention is None else abstention.least)
    with _progress(len(source)) as advance:
        batches = predictions(predictor, source, advance, calibration, asked)
        corrupt, counted = write_predictions(batches, source, classifier.images.class_names, output, form)
    _name_corrupt(source, corrupt)
    if len(corrupt) > _NAMED_CORRUPT:
        path = output.with_name(f"{output.stem}_left_out.csv")
        write_left_out(corrupt, source, path)
        click.echo(f"  all of them: {path}", err=True)
    read = len(source) - len(corrupt)
    _say_which(chosen)
    click.echo(f"{read:,} {'image' if read == 1 else 'images'}: {output}")
    if abstention is not None:
        click.echo(_abstained_text(counted["abstained"], read, abstention))
    if unlike := counted["unlike"]:
        look = "looks" if unlike == 1 else "look"
        likely = f"{100 * accepted:g} % of the validation images look more like them"
        click.echo(f"{unlike:,} of them {look} unlike the training images: {likely}.")


def _abstained_text(abstained: int, images: int, abstention: "Abstention") -> str:
    from scipy.stats import binomtest

    ends = binomtest(abstention.right, abstention.answered).proportion_ci(method="wilson")
    right = 100 * abstention.right / abstention.answered
    return (
        f"{abstained:,} of {images:,} {'is' if abstained == 1 else 'are'} left without an answer; of {abstention.answered:,} "
        f"validation images of which the model is as sure as of the others, {right:.1f} % are right "
        f"(95 % interval {100 * ends.low:.1f} to {100 * ends.high:.1f} %)."
    )


def _say_which(chosen: ChosenModel) -> None:
    """Which model was chosen and why, where the options do not name one."""
    if text := chosen.chosen_text:
        click.echo(text)


def _named_images(images: Path, column: str | None) -> "ImageSource":
    from vision_studies.data.image_source import open_images
    from vision_studies.serving.image_lists import TABLES, open_paths, open_table
    from vision_studies.serving.unlabelled_pickle import PICKLES, open_unlabelled

    if str(images) == "-":
        return open_paths(sys.stdin.buffer)
    if images.suffix.lower() in TABLES and not images.is_dir():
        return open_table(images, column)
    return open_unlabelled(images) if images.suffix in PICKLES else open_images(images)


def _calibration(
    chosen: ChosenModel, device: "torch.device", what: str = "probability and likeness"
) -> "Calibration | None":
    """What validation images tell of a model; None, with a sentence on the error stream that says what there is not then,
    where they are not there.
    """
    from vision_studies.errors import DataError
    from vision_studies.serving.run_scores import calibrate

    try:
        calibration = calibrate(chosen.weights, device)
    except DataError as error:
        click.echo(f"Without {what}, which validation images tell: {error}", err=True)
        return None
    if calibration.images < _FEW_VALIDATION_IMAGES:
        said = what[0].upper() + what[1:]
        click.echo(f"{said} from {calibration.images} validation images alone, which is little.", err=True)
    return calibration


@models.command()
@click.argument("folder", type=click.Path(path_type=Path))
@choice_options
@VIEWS
@DEVICE
@output_option("Write everything to this JSON file, too.")
@told_in_a_sentence
def evaluate(folder: Path, choose: Choose, views: int, device: str, output: Path | None) -> None:
    """Score a model on labelled images.

    FOLDER holds them as <class>/<image>. Shows accuracy with its interval, loss, calibration error, how far probabilities can
    be trusted, and accuracy by class.
    """
    import numpy as np

    from vision_studies.data.image_source import open_labelled
    from vision_studies.files import write_json
    from vision_studies.serving.image_classifier import Predictor
    from vision_studies.serving.image_predictions import predictions, score
    from vision_studies.training.runtime import select_device

    chosen = choose()
    classifier = chosen.open()
    names = classifier.images.class_names
    source, labels = open_labelled(folder, names)
    _warn_of_own_images(folder, chosen)
    predictor = Predictor(classifier, select_device(device), views)
    with _progress(len(source)) as advance:
        batches = list(predictions(predictor, source, advance))
    corrupt = {position: reason for batch in batches for position, reason in batch.corrupt.items()}
    truth = labels[np.concatenate([batch.positions for batch in batches])]
    scores = score(np.concatenate([batch.probabilities for batch in batches]), truth, names)
    _name_corrupt(source, corrupt)
    missing = [name for name in names if name not in {row["class"] for row in scores["classes"]}]
    if missing:
        shown = ", ".join(missing[:_NAMED_CORRUPT]) + (", ..." if len(missing) > _NAMED_CORRUPT else "")
        click.echo(
            f"{folder} has no images of {len(missing)} of the model's {len(names)} classes ({shown}); what follows is about "
            "the others.\n",
            err=True,
        )
    _say_which(chosen)
    _show_score(scores)
    if output is not None:
        about = {"model": str(classifier.path), "folder": str(folder), "views": views, "missing_classes": missing}
        left_out = {str(source.names[position]): reason for position, reason in corrupt.items()}
        write_json(output, {**about, **scores, "left_out": left_out})
        click.echo(f"\nWritten: {output}")


@models.command()
@choice_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", "torchscript", "torch_export"]),
    default="onnx",
    show_default=True,
    help="onnx needs `pip install .[export]`.",
)
@CALIBRATE
@output_option("The file; model.onnx and the like without it.")
@told_in_a_sentence
def export(choose: Choose, kind: str, calibrate: bool, output: Path | None) -> None:
    """Write a model to a file for other programs.

    The network in it takes float images [N, C, H, W] with pixels from 0 to 1, any number at a time, and gives probabilities
    [N, classes]. Names of the classes, the images' size and the temperature that calibrates probabilities lie in the file as
    metadata. It is read back and compared with the original first.
    """
    from vision_studies.serving.model_export import FORMATS, export_model
    from vision_studies.training.runtime import select_device

    chosen = choose()
    classifier = chosen.open()
    path = output or Path(f"model{FORMATS[kind]}")
    description = chosen.run.description if chosen.run else {}
    names = ("study", "pipeline", "variant", "seed", "data_fingerprint")
    about = {name: str(description[name]) for name in names if name in description}
    calibration = _calibration(chosen, select_device("cpu"), "a temperature") if calibrate else None
    difference = export_model(classifier, kind, path, about, calibration)
    size, channels = classifier.images.image_size, classifier.images.in_channels
    _say_which(chosen)
    click.echo(
        f"{path}: {path.stat().st_size / 1e6:,.1f} MB, float images [N, {channels}, {size}, {size}] with pixels from 0 to 1 "
        f"-> probabilities [N, {len(classifier.images.class_names)}]"
    )
    differ = f"differ by {difference:.1e} at most" if difference else "do not differ"
    click.echo(f"On random images, its probabilities and those of the original {differ}.")


@models.command()
@choice_options
@output_option("Write to this file instead of the terminal.")
@told_in_a_sentence
def card(choose: Choose, output: Path | None) -> None:
    """Write a model card in Markdown.

    It says what the model is, what it is for and what not, how it was made and how good it is, from the study's files.
    """
    from vision_studies.cli.model_card import card_text
    from vision_studies.files import atomic_file

    text = card_text(project_folder(), choose())
    if output is None:
        click.echo(text, nl=False)
        return
    with atomic_file(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(f"Written: {output}")


@models.command("try")
@choice_options
@VIEWS
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 for any that is free.")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@DEVICE
@told_in_a_sentence
def try_model(choose: Choose, views: int, port: int, browser: bool, device: str) -> None:
    """Open a page on which images are dropped.

    It shows what the model says of each: the most probable classes, and whether the image is unlike those that it knows. The
    page is served to this machine alone, and keeps no image; Ctrl-C ends it.
    """
    import webbrowser

    from vision_studies.serving.image_classifier import Predictor
    from vision_studies.serving.try_page import TryServer
    from vision_studies.training.runtime import select_device

    chosen, where = choose(), select_device(device)
    classifier = chosen.open()
    calibration = _calibration(chosen, where)
    with TryServer(Predictor(classifier, where, views), calibration, _about(chosen, classifier), port) as server:
        _say_which(chosen)
        click.echo(f"{server.address} shows what the model says of images; Ctrl-C ends it.")
        if browser:
            webbrowser.open(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _about(chosen: ChosenModel, classifier: "ImageClassifier") -> dict[str, Any]:
    """What the page says of a model: its name, and facts in a line."""
    from vision_studies.reports.formatting import percent
    from vision_studies.studies.method import networks_of

    names, size = classifier.images.class_names, classifier.images.image_size
    facts = [f"{len(names)} classes", f"images of {size} × {size} pixels"]
    if (run := chosen.run) is None:
        return {"name": chosen.path.name, "facts": facts}
    told = run.description
    if (accuracy := run.metric("test_accuracy")) is not None:
        facts.insert(0, f"{percent(accuracy)} of the test images right")
    title = networks_of(told["pipeline"]).title(told["configuration"])
    return {
        "name": title,
        "facts": [f"{told['study']}, {told['pipeline']}, {told['variant']}, seed {told['seed']}", *facts],
    }


@contextmanager
def _progress(images: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many images more have been dealt with; a line on a terminal shows it."""
    from rich import get_console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = get_console()
    columns = (TextColumn("images"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=images)
        yield lambda more: progress.update(task, advance=more)


def _name_corrupt(source: "ImageSource", corrupt: dict[int, str]) -> None:
    """Say on the error stream which images were left out: ten by name, the others by number."""
    if not corrupt:
        return
    count = len(corrupt)
    click.echo(f"{count:,} {'image' if count == 1 else 'images'} cannot be read and left out:", err=True)
    for position, reason in list(corrupt.items())[:_NAMED_CORRUPT]:
        name = str(source.names[position]).encode(errors="replace").decode()
        click.echo(f"  {name}: {reason}", err=True)
    if count > _NAMED_CORRUPT:
        click.echo(f"  and {count - _NAMED_CORRUPT:,} more", err=True)


def _warn_of_own_images(folder: Path, chosen: ChosenModel) -> None:
    """Say so if the folder is where the model's own images were read from, which costs nothing to know."""
    from vision_studies.serving.stored_data import images_of_runs

    if chosen.run is None:
        return
    data = images_of_runs(project_folder())(chosen.run)
    sources = data.image_set.origin.get("settings", {}).get("source", []) if data else []
    sources = [sources] if isinstance(sources, str) else sources
    if any(folder.resolve().is_relative_to(origin) for origin in map(source_folder, sources) if origin is not None):
        click.echo(
            f"{folder} is where the model's images came from: it has learnt from many of these, so that its accuracy on "
            "new images will be lower.\n",
            err=True,
        )


def _show_score(scores: dict[str, Any]) -> None:
    from vision_studies.reports.formatting import number, percent
    from vision_studies.reports.table import Table

    def counted(row: dict[str, Any]) -> dict[str, str]:
        interval = f"{100 * row['accuracy_low']:.2f} – {100 * row['accuracy_high']:.2f} %"
        accuracy = {"accuracy": percent(row["accuracy"]), f"{100 * scores['confidence']:g} % interval": interval}
        return {"images": number(row["images"]), **accuracy}

    whole = {**counted(scores), "loss": f"{scores['loss']:.4f}"}
    whole |= {"calibration error": percent(scores["calibration_error"])}
    click.echo(Table([whole], align="r" * len(whole)).terminal())
    click.echo(f"\n{Table(_reliability_rows(scores), align='lrr').terminal()}")
    classes = scores["classes"]
    if len(classes) > _CLASSES_SHOWN:
        click.echo(f"\nThe {_CLASSES_SHOWN} classes with the lowest accuracy; --output has all {len(classes)}:")
        classes = sorted(classes, key=lambda row: row["accuracy"])[:_CLASSES_SHOWN]
    rows = [
        {"class": row["class"], **counted(row), "most often taken for": row["mistaken_for"] or ""} for row in classes
    ]
    click.echo(f"\n{Table(rows, align='lrrrl').terminal()}")


def _reliability_rows(scores: dict[str, Any]) -> list[dict[str, str]]:
    """How far probabilities can be trusted, a row for each number."""
    from vision_studies.statistics.reliability import IN_PERCENT

    rows = []
    for title, found in scores["reliability"].items():
        factor, unit, decimals = (100, " %", 2) if title in IN_PERCENT else (1, "", 4)
        value, *ends = (f"{factor * number:.{decimals}f}" for number in found.values())
        interval = f"{ends[0]} – {ends[1]}{unit}" if ends else ""
        rows.append(
            {"probabilities": title, "": f"{value}{unit}", f"{100 * scores['confidence']:g} % interval": interval}
        )
    return rows
