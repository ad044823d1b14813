"""Where the project lies, and what it keeps, as seen from its folder; the catalog alone names these folders, too."""

import os
from pathlib import Path

_DESCRIPTION, _TABLE = "pyproject.toml", "[tool.kedro]"

DATA = Path("data")
BACKBONES = DATA / "01_raw/backbones"
"""Weights of pretrained networks, in a folder a library."""

CHECKS = DATA / "02_intermediate/checks"
"""What `kedro data check` knows of image files, until they change."""

TIMES = DATA / "02_intermediate/times"
"""How long work has taken on this machine, in a file a processor and set of libraries."""

PRIMARY = DATA / "03_primary"
"""Prepared images and their splits, in a folder a data set."""

MODEL_INPUT = DATA / "05_model_input"
"""Files that images are loaded from, likewise."""

MODELS = DATA / "06_models"
"""Folders of runs, in a folder a study and pipeline."""

OUTPUTS = DATA / "07_model_output"
"""Results tables and other tables, likewise."""

REPORTS = DATA / "08_reporting"
"""Figures, tables for readers and reports, in a folder a study."""

OF_STUDIES, OF_DATA_SETS = (MODELS, OUTPUTS, REPORTS), (PRIMARY, MODEL_INPUT)
LAYERS = tuple(folder.name for folder in (*OF_DATA_SETS, *OF_STUDIES))
"""Names of all of them."""


_chosen: Path | None = None


def project_folder() -> Path:
    """Folder of the project that this process works with, from whichever folder it was started.

    It is the one that `choose_project` has named, or else the nearest around the working folder; the working folder itself
    where there is none around.
    """
    if _chosen is not None:
        return _chosen
    here = Path.cwd()
    return find_project(here) or here


def find_project(folder: Path) -> Path | None:
    """The Kedro project that `folder`, an absolute path, is or lies in; None where it lies in none."""
    for candidate in (folder, *folder.parents):
        try:
            if _TABLE in (candidate / _DESCRIPTION).read_text(encoding="utf-8"):
                return candidate
        except (OSError, ValueError):  # none there, or none that can be read: Kedro takes neither for a project
            continue
    return None


def choose_project(folder: Path) -> None:
    """Let this process work with a project, wherever it was started; one around the working folder need not be named."""
    global _chosen  # noqa: PLW0603 - parameters that name files know no session
    _chosen = None
    if project_folder() != folder:
        _chosen = folder


def in_project(path: str | Path) -> Path:
    """A path that a parameter names: one that is relative starts at the project's folder, and `~` is the user's own."""
    return project_folder() / expanded(path)


def expanded(path: str | Path) -> Path:
    """A path with the user's own folder for `~`; as it is where the user has none, for which Path's own raises."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - see above


def run_records(project: Path, study: str) -> Path:
    """Folder of the records of a study's commands."""
    return project / REPORTS / study / "run_records"
