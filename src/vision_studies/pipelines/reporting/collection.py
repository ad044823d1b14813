"""A collection of studies: what its studies have written under their own names, in one folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from vision_studies.files import atomic_file


def gather_tables(reports: Path, collection: str, studies: Sequence[str]) -> Path | None:
    """Copy the tables that are called after their study, `<study>/<pipeline>/tables/<study>_<name>`, into one folder.

    Args:
        reports: folder of reports, with a folder a study.
        collection: how it is called, as `--env` has it.
        studies: of the collection; those without such tables leave none.

    Returns:
        `<collection>/tables` in the folder of reports; None where there is no table.
    """
    folder = reports / collection / "tables"
    tables = [file for study in studies for file in sorted((reports / study).glob(f"*/tables/{study}_*"))]
    for table in tables:
        with atomic_file(folder / table.name, keep_equal=True) as temporary:
            shutil.copyfile(table, temporary)
    return folder if tables else None
