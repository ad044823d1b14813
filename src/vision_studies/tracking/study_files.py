"""Where a study lies, and which of its files are shown."""

from dataclasses import dataclass
from pathlib import Path

from vision_studies.project_folders import MODELS, OUTPUTS, REPORTS

FOLDER = Path("data/09_tracking")
"""Where trackers keep what they keep on this machine, as seen from the project."""


@dataclass(frozen=True)
class StudyFolders:
    """Where a study lies.

    Attributes:
        outputs: tables, in a folder a pipeline.
        models: folders of runs, likewise.
        reports: figures, tables for readers, and the report.
    """

    outputs: Path
    models: Path
    reports: Path

    @classmethod
    def of(cls, project: Path, study: str) -> "StudyFolders":
        """The folders of a study in a project."""
        return cls(project / OUTPUTS / study, project / MODELS / study, project / REPORTS / study)

    def state(self) -> dict[str, tuple[int, int]]:
        """Size and time of every table and of the results of every run: where they are as they were, no run is new."""
        files = [*self.outputs.glob("*/*.parquet"), *self.models.glob("*/runs/*/*.json")]
        statuses = {str(file): file.stat() for file in sorted(files)}
        return {file: (status.st_size, status.st_mtime_ns) for file, status in statuses.items()}

    def summary(self) -> str:
        """What the study has found, in a few lines; empty before there is a report."""
        file = self.reports / "summary.txt"
        return file.read_text(encoding="utf-8") if file.is_file() else ""


def find_artefacts(folders: StudyFolders, largest_bytes: int = 25_000_000) -> dict[str, Path]:
    """What a study shows: figures in their newest version, tables, sentences, the report; and its results tables.

    Args:
        folders: where the study lies.
        largest_bytes: files above this size stay where they are.

    Returns:
        Path in the tracker -> file.
    """
    artefacts = {f"{file.parent.name}/{file.name}": file for file in sorted(folders.outputs.glob("*/results.*"))}
    for file in sorted(folders.reports.rglob("*")):
        path = file.relative_to(folders.reports)
        if file.is_file() and path.parts[0] != "run_records" and not any(part.startswith(".") for part in path.parts):
            if path.name in path.parts[:-1]:  # <name>.png/<version>/<name>.png: the last time is the newest version
                path = Path(*path.parts[: path.parts.index(path.name) + 1])
            artefacts[path.as_posix()] = file
    return {path: file for path, file in artefacts.items() if file.stat().st_size <= largest_bytes}
