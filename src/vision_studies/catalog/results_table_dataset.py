"""The results table in the catalog."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from vision_studies.catalog.previews import no_table, table_preview
from vision_studies.files import atomic_file

if TYPE_CHECKING:
    import pandas as pd


class ResultsTableDataset(AbstractDataset["pd.DataFrame", "pd.DataFrame"]):
    """One results table as Parquet, and the same rows as JSON beside it.

    Saving adds rows; a row of the same identity takes the place of the stored one. Processes take turns.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Point at the Parquet file.

        Args:
            filepath: the file.
            metadata: for Kedro's plugins.
        """
        self._file = Path(filepath)
        self.metadata = metadata

    def load(self) -> "pd.DataFrame":
        """Read the table.

        Raises:
            DataError: it is damaged or of another schema.
        """
        from vision_studies.studies.results import read_results

        return read_results(self._file)

    def save(self, data: "pd.DataFrame") -> None:
        """Merge rows into the stored table."""
        from vision_studies.studies.results import merge_results, write_results

        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._file.with_name(f".{self._file.name}.lock")):
            merged = merge_results(self.load() if self._exists() else None, data)
            with atomic_file(self._file, keep_equal=True) as temporary:
                write_results(merged, temporary)
            with atomic_file(self._file.with_suffix(".json"), keep_equal=True) as temporary:
                merged.to_json(temporary, orient="records", indent=2)

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, without the long columns."""
        if not self._exists():
            return no_table()
        columns = ["variant", "seed", "validation_accuracy", "test_accuracy", "parameters", "seconds", "status"]
        return table_preview(self.load()[columns].head(nrows))

    def _exists(self) -> bool:
        return self._file.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._file)}
