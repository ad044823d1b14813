"""`kedro studies`: new ones, and what several say together."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import output_option
from vision_studies.errors import ParameterError, guess
from vision_studies.project_folders import OUTPUTS, REPORTS, project_folder

if TYPE_CHECKING:
    from vision_studies.pipelines.reporting.study import StudyFolders


@click.group(
    short_help="Write a study of your own; compare studies of several sets.",
    epilog="\b\nExamples:\n  kedro studies new birds --from=resnet_se --data=photos/birds\n"
    "  kedro studies compare alpha_study alpha_study+cifar100 alpha_study+fashion_mnist -o ranks",
)
def studies() -> None:
    """Write a study of your own images; compare the variants of studies that differ in their images."""


@studies.command("new")
@click.argument("name")
@click.option("--from", "template", required=True, help="A study that asks what you ask, or a pipeline.")
@click.option("--data", "source", required=True, help="Folder, table or archive of the images, or a named source.")
@click.option(
    "--image-size",
    type=click.IntRange(4, 1024),
    help="Pixels to a side that images are brought to; without it 192 where pretrained networks are tried (choose), and 32, "
    "which the other studies' networks are made for.",
)
@told_in_a_sentence
def new(name: str, template: str, source: str, image_size: int | None) -> None:
    """Write conf/NAME: a study of your images with the question and the variants of another one, to be read and changed.

    conf/NAME_quick is its quick form. Nothing is prepared or trained, and no file that exists is changed.
    """
    from vision_studies.cli.new_study import next_steps, write_study
    from vision_studies.cli.options import path_from_here

    conf, path = project_folder() / "conf", path_from_here(source)
    click.echo(next_steps(name, source, write_study(conf, name, template, path, image_size), conf))


@studies.command("compare")
@click.argument("names", metavar="STUDY STUDY...", nargs=-1, required=True)
@click.option("--pipeline", help="Whose variants; may be left out where the studies have one pipeline in common.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Points within which accuracies are alike for all practical purposes.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Of all claims.")
@output_option("Write ranks.csv, pairs.csv, accuracies.csv and mean_ranks.svg into this folder, too.")
@told_in_a_sentence
def compare(
    names: tuple[str, ...], pipeline: str | None, margin: float, confidence: float, output: Path | None
) -> None:
    """Rank the variants that every STUDY has over their sets of images: each counts once.

    Friedman's test and Nemenyi's critical difference, Wilcoxon's signed ranks with Holm's correction for each pair, and how
    probable it is that one variant is better, alike or worse in practice.
    """
    from vision_studies.figures.mean_ranks import mean_ranks_figure
    from vision_studies.figures.saving import save_figure
    from vision_studies.figures.style import Look
    from vision_studies.files import atomic_file
    from vision_studies.pipelines.reporting.several_studies import compare_studies

    chosen = [_study(name) for name in dict.fromkeys(names)]
    compared = compare_studies(chosen, pipeline, margin=margin / 100, confidence=confidence)
    click.echo(compared.text())
    if output is None:
        return
    tables = {
        "ranks": compared.ranks,
        "pairs": compared.compared,
        "accuracies": compared.accuracies.reset_index(names="study"),
    }
    for name, table in tables.items():
        with atomic_file(output / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    ranking = compared.ranking
    figure = mean_ranks_figure(list(compared.accuracies), ranking.ranks, ranking.critical_difference, ranking.sets)
    save_figure(figure, output / "mean_ranks.svg", Look())
    click.echo(f"\n{output / 'mean_ranks.svg'} shows it; ranks.csv, pairs.csv and accuracies.csv lie beside it")


def _study(name: str) -> "StudyFolders":
    from vision_studies.pipelines.reporting.study import StudyFolders, find_studies

    outputs, reports = (project_folder() / folder for folder in (OUTPUTS, REPORTS))
    study = StudyFolders(name, outputs / name, reports / name)
    if not study.has_results():
        there = [found.name for found in find_studies(outputs, reports)]
        raise ParameterError(
            f"The study '{name}' has no results in {outputs}.{guess(name, there)} "
            + (f"Those that have some are {', '.join(there)}." if there else "Run it first.")
        )
    return study
