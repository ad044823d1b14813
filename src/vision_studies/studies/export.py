"""A study's finished results and runs in the folders of the published projects, from what lies on the disk."""

from pathlib import Path

from vision_studies.config.registry import METHODS
from vision_studies.errors import ParameterError
from vision_studies.files import atomic_folder
from vision_studies.project_folders import OUTPUTS
from vision_studies.studies.method import load_method
from vision_studies.studies.published import NeverPublished, StoredStudy


def require_unused(folder: Path) -> None:
    """Refuse to write over something. Raises ParameterError where `folder` is there and is not empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ParameterError(f"{folder} is there already and is left as it is; name a folder that is not.")


def export_study(project: Path, study: str, folder: Path) -> dict[str, str]:
    """Write what every pipeline of a study has found as its published project wrote it, all or nothing.

    Args:
        project: folder of the project.
        study: as `--env` names it.
        folder: where to; a folder a published project is made in it. It is not there yet, or empty.

    Returns:
        Pipeline with results -> what was written, or why nothing was.

    Raises:
        ParameterError: `folder` holds something, or the study has no results that a published project had a form for.
        DataError: a file of the study is missing, damaged, or of another version of the project.
        StorageError: the disk is full, or `folder` cannot be written.
    """
    require_unused(folder)
    studies = []
    for name in METHODS:
        method = load_method(name)
        stored = StoredStudy(project, study, name, method.runs_of or name)
        if stored.has_results:
            studies.append((method.published, stored))
    if all(isinstance(published, NeverPublished) for published, _ in studies):
        others = sorted({path.parts[-3] for path in (project / OUTPUTS).glob("*/*/results.parquet")} - {study})
        env = "" if study == "base" else f" --env={study}"
        raise ParameterError(
            f"The study '{study}' has no results that could be exported; run `kedro run{env}` first, or name one that has: "
            f"{', '.join(others) or 'there is none yet'}."
        )
    done = {}
    with atomic_folder(folder) as temporary:
        for published, stored in studies:
            if isinstance(published, NeverPublished):
                done[stored.pipeline] = f"left out, for it has no published layout: {published.reason}"
                continue
            place = temporary / published.project
            place.mkdir(exist_ok=True)
            published.write(stored, place)
            done[stored.pipeline] = str(folder / published.project)
        require_unused(folder)  # writing takes a while
    return done
