"""The results table in the catalog."""

from typing import TYPE_CHECKING

from filelock import FileLock
from kedro_datasets._typing import TablePreview

from vision_studies.catalog.previews import NO_TABLE, table_preview
from vision_studies.catalog.shared_versions import PlainPath
from vision_studies.files import atomic_file

if TYPE_CHECKING:
    import pandas as pd


class ResultsTableDataset(PlainPath["pd.DataFrame", "pd.DataFrame"]):
    """One results table as Parquet, and the same rows as JSON beside it.

    Saving adds rows; a row of the same identity takes the place of the stored one. Processes take turns.
    """

    def load(self) -> "pd.DataFrame":
        """Read the table. Raises DataError where it is damaged or of another schema."""
        from vision_studies.studies.results import read_results

        return read_results(self._path)

    def save(self, data: "pd.DataFrame") -> None:
        """Merge rows into the stored table."""
        from vision_studies.studies.results import merge_results, write_results

        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_name(f".{self._path.name}.lock")):
            merged = merge_results(self.load() if self._exists() else None, data)
            with atomic_file(self._path, keep_equal=True) as temporary:
                write_results(merged, temporary)
            with atomic_file(self._path.with_suffix(".json"), keep_equal=True) as temporary:
                merged.to_json(temporary, orient="records", indent=2)

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, without the long columns."""
        if not self._exists():
            return NO_TABLE
        columns = ["variant", "seed", "validation_accuracy", "test_accuracy", "parameters", "seconds", "status"]
        return table_preview(self.load()[columns].head(nrows))
