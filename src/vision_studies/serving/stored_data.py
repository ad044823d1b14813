"""The prepared images that stored runs were trained on, found by their fingerprint."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import DataError
from vision_studies.project_folders import PRIMARY, project_folder
from vision_studies.stored_tables import read_table
from vision_studies.studies.method import StoredNetwork, networks_of
from vision_studies.studies.stored_runs import StoredRun

_MEND = "delete it and run `kedro run --pipeline=data_prep` again"


def prepared_data_sets(project: Path) -> dict[str, PreparedData]:
    """All prepared data of a project by fingerprint; images are memory-mapped and not read. Raises DataError where a prepared
    set is damaged.
    """
    prepared = (
        PreparedData.from_catalog(ImageSet.open(table.parent / "image_set"), read_table(table, _MEND), {})
        for table in sorted((project / PRIMARY).glob("*/splits.parquet"))
        if (table.parent / "image_set").is_dir()
    )
    return {fingerprint: each for data in prepared for fingerprint, each in data.divisions.items()}


def images_of_runs(project: Path) -> Callable[[StoredRun], PreparedData | None]:
    """Finds the images and splits that runs were trained on; None where they are not there any more. What runs of a pipeline
    share is found once.
    """
    prepared = prepared_data_sets(project)
    found: dict[tuple[str, ...], PreparedData | None] = {}

    def images_of(run: StoredRun) -> PreparedData | None:
        key = tuple(str(run.description[name]) for name in ("study", "pipeline", "data_fingerprint"))
        if key not in found:
            stored = StoredNetwork(run.folder, run.description)
            found[key] = networks_of(run.description["pipeline"]).data(stored, prepared)
        return found[key]

    return images_of


def data_of_run(run: StoredNetwork) -> PreparedData:
    """The images and splits that a run was trained on; see `data_of_file`."""
    return _found(run.path, partial(networks_of(run.description["pipeline"]).data, run))


def data_of_file(path: Path, fingerprint: str) -> PreparedData:
    """The images and splits, by their fingerprint, that a model in a project's folder was trained on, or one that lies
    elsewhere, where they are in this project. Raises DataError where they are not there any more, or have changed.
    """
    return _found(path, lambda prepared: prepared.get(fingerprint))


def _found(folder: Path, choose: Callable[[Mapping[str, PreparedData]], PreparedData | None]) -> PreparedData:
    places = (*folder.absolute().parents, project_folder())
    project = next((parent for parent in places if (parent / PRIMARY).is_dir()), None)
    data = choose(prepared_data_sets(project)) if project else None
    if data is None:
        raise DataError(
            f"{folder} was trained on images that are not in {project / PRIMARY if project else PRIMARY} any more, and they "
            "alone say what its classes are called; prepare them again with `kedro run --pipeline=data_prep` and the "
            "study's --env."
        )
    return data
