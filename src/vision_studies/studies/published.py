"""A method's answer to how its published project wrote results, and what of a study lies on the disk to be written so."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vision_studies.errors import DataError
from vision_studies.outcomes import COMPLETE
from vision_studies.project_folders import MODELS, OUTPUTS, REPORTS
from vision_studies.run_folders import folds_of
from vision_studies.statistics.metrics import METRICS
from vision_studies.studies.stored_runs import StoredRun, read_run

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.parquet"


@dataclass(frozen=True)
class StoredStudy:
    """What a pipeline of a study has left in a project's folders; reading it changes nothing.

    Files are named as the catalog has them, below the folder of the study and its pipeline. All methods raise DataError, with
    what to do, where a file is missing or damaged.

    Attributes:
        project: folder of the project.
        name: of the study, as `--env` has it.
        pipeline: whose results they are.
        runs_of: pipeline in whose folder its runs lie.
    """

    project: Path
    name: str
    pipeline: str
    runs_of: str

    @property
    def outputs(self) -> Path:
        """Folder of its tables."""
        return self.project / OUTPUTS / self.name / self.pipeline

    @property
    def reports(self) -> Path:
        """Folder of its figures, and of tables for readers."""
        return self.project / REPORTS / self.name / self.pipeline

    @property
    def runs(self) -> Path:
        """Folder of its runs."""
        return self.project / MODELS / self.name / self.runs_of / "runs"

    @property
    def has_results(self) -> bool:
        """Whether there is a results table."""
        return newest(self.outputs / RESULTS) is not None

    @cached_property
    def results(self) -> "pd.DataFrame":
        """Rows of the results table."""
        from vision_studies.studies.results import read_results

        return read_results(self.file(self.outputs / RESULTS))

    def file(self, path: Path) -> Path:
        """The newest version of a file of the study."""
        found = newest(path)
        if found is None:
            raise DataError(f"{path} is not there; {self.again}.")
        return found

    def table(self, name: str, columns: Sequence[str]) -> "pd.DataFrame":
        """A table of the results, Parquet or CSV, which has these `columns` at least."""
        import pandas as pd

        from vision_studies.stored_tables import read_table

        path = self.file(self.outputs / name)
        if path.suffix == ".csv":
            try:
                table = pd.read_csv(path)
            except (OSError, ValueError) as error:  # pandas' own are ValueErrors
                raise self._damaged(path) from error
        else:
            table = read_table(path, self.again)
        missing = [column for column in columns if column not in table]
        if missing:
            raise DataError(
                f"{path} has no column '{missing[0]}', so that another version of the project wrote it; {self.again}."
            )
        return table

    def content(self, path: Path, needed: Sequence[str] = ()) -> Any:
        """What a JSON or YAML file holds, which is a list, or a mapping that has what is `needed`."""
        found = self.file(path)
        try:
            text = found.read_text(encoding="utf-8")
            content = json.loads(text) if found.suffix == ".json" else yaml.safe_load(text)
            if not isinstance(content, list | dict) or any(name not in content for name in needed):
                raise ValueError(f"it is no list or mapping, or lacks one of {list(needed)}")
            return content
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise self._damaged(found) from error

    def complete_runs(self, rows: "pd.DataFrame | None" = None) -> list[tuple[dict[str, Any], StoredRun]]:
        """Rows of the results, or of another table of runs, that are complete, each with its run; in place of one that is put
        together from folds, those of the folds.
        """
        table = self.results if rows is None else rows
        found = []
        for row in table[table["status"] == COMPLETE].to_dict("records"):
            folds = [self.run(folder.name) for folder in folds_of(self.runs / row["run_fingerprint"])]
            found += [
                (row | {metric.column: fold.metric(metric.column) for metric in METRICS if metric.column in row}, fold)
                for fold in folds
            ] or [(row, self.run(row["run_fingerprint"]))]
        return found

    def run(self, fingerprint: str) -> StoredRun:
        """A run that its results name."""
        try:
            return read_run(self.runs / fingerprint)
        except FileNotFoundError as error:
            raise DataError(f"The run {self.runs / fingerprint} is gone; {self.again}.") from error

    def part(self, run: StoredRun, name: str) -> Path:
        """A file of a run."""
        if not (run.folder / name).is_file():
            raise DataError(f"{run.folder / name} is not there; delete the folder of the run, and {self.again}.")
        return run.folder / name

    @property
    def again(self) -> str:
        """How to mend what is missing or damaged, as the end of a sentence."""
        env = "" if self.name == "base" else f" --env={self.name}"
        return f"run `kedro run{env} --pipeline={self.pipeline}` again, which reuses finished runs"

    def _damaged(self, path: Path) -> DataError:
        return DataError(f"{path} is damaged; delete it and {self.again}.")


def newest(path: Path) -> Path | None:
    """A file, or its newest version where Kedro keeps versions of it; None where there is neither."""
    if path.is_file():
        return path
    return max(path.glob(f"*/{path.name}"), default=None)  # versions are time stamps: the last one sorts last


@dataclass(frozen=True)
class Published:
    """How the published project of a method wrote its results.

    Attributes:
        project: its name, as that of the folder from which its scripts are started.
        write: writes the finished results and runs of a study into that folder, which is empty or holds what another method
            of the same project has written. Raises DataError as `StoredStudy`.
    """

    project: str
    write: Callable[[StoredStudy, Path], None]


@dataclass(frozen=True)
class NeverPublished:
    """A method without a published project; `reason` follows "it has no published layout: "."""

    reason: str


def copied(source: Path, target: Path) -> None:
    """Copy a file, with the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write_csv(table: "pd.DataFrame", path: Path) -> None:
    """Write a table without its index, with the folders above it; missing numbers are nan, which every reader takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, na_rep="nan")


def unused(path: Path) -> Path:
    """The path of a folder, or with `_2`, `_3` ... where something is there."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}_{number}")
    return free


def plain_name(text: str) -> str:
    """A name as files of the published projects have it: letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-") or "experiment"
