"""Accuracies of several studies in one table, and the other tables that figures are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from pathlib import Path

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.long_tail import first_tail
from vision_studies.project_folders import OUTPUTS, REPORTS
from vision_studies.stored_tables import read_table

_COLUMNS = (
    *("classifier", "experiment", "baseline", "rho", "neighbours", "distance", "repeat", "split"),
    *("top_1", "top_5"),
)
_TYPES = {
    **dict.fromkeys(("classifier", "experiment", "split"), "str"),
    **dict.fromkeys(("rho", "neighbours", "top_1", "top_5"), "float64"),
    "repeat": "int64",
}
_FRACTIONS = ("top_1", "top_5")


@dataclass(frozen=True)
class SavedTables:
    """What a study has saved of its experiments; all have a column `data`, which tells data sets apart.

    Attributes:
        accuracies: see `long_tail`.
        class_accuracies: likewise.
        combinations: one row a run, few class and neighbour: classifier, experiment, repeat, label, position, neighbour,
            coefficient and distance.
    """

    accuracies: pd.DataFrame
    class_accuracies: pd.DataFrame
    combinations: pd.DataFrame


def read_tables(folder: Path) -> SavedTables:
    """The tables of a study, in its folder of results of `alphanet`.

    Raises:
        DataError: one is missing or damaged.
    """
    accuracies = read_experiments([folder / "accuracies.csv"])
    data, mend = accuracies["data"].iloc[0], "run the study again"
    others = {}
    for name in ("class_accuracies", "combinations"):
        try:
            others[name] = read_table(folder / f"{name}.parquet", mend).assign(data=data)
        except FileNotFoundError as error:
            raise DataError(f"{folder / name}.parquet is not there; {mend}.") from error
    return SavedTables(accuracies, first_tail(others["class_accuracies"]), others["combinations"])


def joined_tables(tables: Sequence[SavedTables]) -> SavedTables:
    """The tables of several studies as one; of several data sets, classifiers and experiments bear the name of theirs.

    Raises:
        DataError: two of them have results of one data set.
    """
    names = [name for table in tables for name in table.accuracies["data"].unique()]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"Two of the studies are both named '{name}'; name each once.")

    def together(name: str) -> pd.DataFrame:
        table = pd.concat([getattr(each, name) for each in tables], ignore_index=True)
        if len(names) > 1 and len(table):
            for column in ("classifier", "experiment"):
                table[column] = [
                    own if own == data else f"{data}: {own}"
                    for data, own in zip(table["data"], table[column], strict=True)
                ]
        return table

    return SavedTables(together("accuracies"), together("class_accuracies"), together("combinations"))


def read_experiments(files: Sequence[Path], names: Sequence[str] | None = None) -> pd.DataFrame:
    """Join saved tables of accuracies.

    Args:
        files: CSV or Parquet, each with the columns classifier, experiment, baseline, rho, neighbours, distance, repeat, split,
            top_1 and top_5 (fractions).
        names: of the files' studies or data sets. If missing, a file's own column `data` counts; without one, the study
            in whose folder it lies in the project's layout, or else the folder that it lies in.

    Returns:
        All rows in the order of the files, with a first column `data`.

    Raises:
        DataError: no file is given, one is missing, cannot be read or lacks a column, or two have the same name.
    """
    if not files:
        raise DataError("No file of accuracies is given; name at least one.")
    if names is not None and len(names) != len(files):
        raise DataError(f"There are {len(files)} files of accuracies but {len(names)} names; give one name a file.")
    tables: list[pd.DataFrame] = []
    owners: dict[str, Path] = {}
    for file, given in zip(files, names or repeat(None), strict=False):
        table = _read(file)
        data = table.pop("data").astype(str) if "data" in table else _name(file)
        table.insert(0, "data", data if given is None else given)
        for name in table["data"].unique():
            if name in owners:
                raise DataError(f"{owners[name]} and {file} are both named '{name}'; give each file a name of its own.")
            owners[name] = file
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _read(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise DataError(f"{file} is not there; run the study that saves it, or name another file.")
    if file.suffix not in (".csv", ".parquet"):
        raise DataError(f"{file} is neither a .csv nor a .parquet file; name a table of accuracies.")
    try:
        if file.suffix == ".csv":
            # A class or classifier may be called "NA" or "None".
            table = pd.read_csv(file, keep_default_na=False, na_values=["", "nan", "NaN"])
        else:
            table = pd.read_parquet(file)
    except Exception as error:  # pandas and pyarrow have many errors for what a damaged file may be
        raise DataError(f"{file} cannot be read as a table; run the study that saves it again.") from error
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise DataError(
            f"{file} has no column '{missing[0]}'; name a table of accuracies that the alphanet pipeline saved."
        )
    if table.empty:
        raise DataError(f"{file} has no rows; run the study that saves it again.")
    for name, kind in _TYPES.items():
        try:
            table[name] = table[name].astype(kind)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"Column '{name}' of {file} holds something that is no {kind} value; mend the file."
            ) from error
    if not pd.api.types.is_bool_dtype(table["baseline"]):
        raise DataError(f"Column 'baseline' of {file} must hold True or False only; mend the file.")
    for name in _FRACTIONS:
        if not table[name].dropna().between(0, 1).all():
            raise DataError(f"Column '{name}' of {file} must hold fractions from 0 to 1; divide percentages by 100.")
    return table.assign(distance=table["distance"].astype(object).where(table["distance"].notna(), None))


def _name(file: Path) -> str:
    folders = file.absolute().parts[:-1]
    return next((part for before, part in pairwise(folders) if before in (OUTPUTS.name, REPORTS.name)), folders[-1])
