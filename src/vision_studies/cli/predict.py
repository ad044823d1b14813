"""`kedro predict`: the classes of images that have no labels."""

from pathlib import Path

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.study_data import MODELS, study_name
from vision_studies.errors import ParameterError


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("--env", "-e", help="Study whose selected model is used; base without it.")
@click.option("--model", type=click.Path(path_type=Path), help="Model file, instead of the study's newest one.")
@click.option("--views", type=click.IntRange(min=1), default=1, help="Test-time views that are averaged.")
@click.option("--details", is_flag=True, help="Add the columns Class and Confidence.")
@click.option("--device", default="auto", help="auto, cpu or cuda.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("predictions.csv"), help="Where the table goes."
)
@told_in_a_sentence
def predict(
    images: Path, env: str | None, model: Path | None, views: int, details: bool, device: str, output: Path
) -> None:
    """Write ID and Labels of IMAGES, a folder of image files or a .npy file with uint8 [N, H, W, C]."""
    from vision_studies.data.unlabelled import read_unlabelled
    from vision_studies.files import atomic_file
    from vision_studies.methods.trained_network import predict as predict_images
    from vision_studies.methods.trained_network import prediction_table, read_trained
    from vision_studies.training.runtime import select_device

    trained = read_trained(model or newest_model(Path.cwd(), env))
    data = trained.described_data()
    names, pixels = read_unlabelled(images, image_size=data["image_size"], channels=data["in_channels"])
    probabilities = predict_images(trained, pixels, views, select_device(device))
    table = prediction_table(names, probabilities, data["class_names"] if details else None)
    with atomic_file(output) as temporary:
        table.to_csv(temporary, index=False)
    click.echo(f"{len(table)} images: {output}")


def newest_model(project: Path, env: str | None) -> Path:
    """The newest version of a study's selected model.

    Raises:
        ParameterError: the study has none.
    """
    study = study_name(env)
    versions = sorted((project / MODELS / study / "cifar_resnet/model.safetensors").glob("*/model.safetensors"))
    if not versions:
        option = f" --env={env}" if env else ""
        raise ParameterError(
            f"The study '{study}' has no model yet; run `kedro run{option}` first, or name another study with --env."
        )
    return versions[-1]
