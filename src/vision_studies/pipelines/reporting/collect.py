"""Finding what the pipelines of a study have left: results tables and the newest version of every figure."""

import json
from pathlib import Path

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.studies.results import validate_results


def collect_results(folder: Path) -> pd.DataFrame:
    """Rows of the results tables of all pipelines, from `<folder>/<pipeline>/results.parquet`.

    Raises:
        DataError: there is none, or one is damaged or of another schema.
    """
    files = sorted(folder.glob("*/results.parquet"))
    if not files:
        raise DataError(
            f"There are no results in {folder} yet; run a pipeline of this study first, for example "
            f"`kedro run --env={folder.name} --pipeline=cifar_resnet`."
        )
    return pd.concat([_read(file) for file in files], ignore_index=True)


def collect_conclusions(folder: Path) -> dict[str, list[str]]:
    """Sentences in which a pipeline has put its answer, from `<folder>/<pipeline>/conclusions.json`.

    Raises:
        DataError: a file is damaged.
    """
    found = {}
    for file in sorted(folder.glob("*/conclusions.json")):
        try:
            found[file.parent.name] = [str(sentence) for sentence in json.loads(file.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise DataError(f"{file} cannot be read ({error}); delete it and run its pipeline again.") from error
    return found


def collect_figures(folder: Path) -> dict[tuple[str, str], bytes]:
    """PNG files of the newest versions, from `<folder>/<pipeline>/<name>.png/<version>/<name>.png`.

    Returns:
        (pipeline, name) -> content of the file.
    """
    newest: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.glob("*/*.png/*/*.png")):  # versions are time stamps: the last one sorts last
        newest[file.parents[2].name, file.stem] = file
    return {key: file.read_bytes() for key, file in newest.items()}


def _read(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} cannot be read ({error}); delete it and run its pipeline again: the runs it lists are kept."
        ) from error
    return validate_results(table)
