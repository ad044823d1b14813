"""Where what a project keeps lies, as seen from the project's folder; the catalog alone names these folders, too."""

from pathlib import Path

DATA = Path("data")
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


def run_records(project: Path, study: str) -> Path:
    """Folder of the records of a study's commands."""
    return project / REPORTS / study / "run_records"
