"""Library datasets that write beside their file and rename, so that a full disk or a kill leaves the old content."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from kedro_datasets import json, matplotlib, pandas, text, yaml
from kedro_datasets._typing import HTMLPreview, ImagePreview, JSONPreview, TablePreview

from vision_studies.catalog.datasets import SharedVersions
from vision_studies.catalog.previews import NO_JSON, NO_TABLE, table_preview, text_preview
from vision_studies.errors import DataError, VisionStudiesError, one_line
from vision_studies.stored_tables import READ_OPTIONS, WRITE_OPTIONS
from vision_studies.versions import Versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _AtomicSave(SharedVersions):
    """Lets the library's own `save` write to a temporary file, which then takes the place of the real one.

    Loading what is not there is told as what it is: something that another part of the pipeline has to make first.
    """

    def save(self, data: Any) -> None:
        with self._saving() as file:
            # __wrapped__: Kedro wraps every save with logging and version checks, and has done so for this one.
            super().save.__wrapped__(self, data)  # type: ignore[misc]
            self._save_beside(data, file)

    def _save_beside(self, data: Any, file: Path) -> None:
        """Write what else belongs to the version."""

    def load(self) -> Any:
        """Read the newest version. Raises DataError where there is none, or it is damaged."""
        if not self._exists():  # type: ignore[attr-defined]
            missing = self._filepath  # type: ignore[attr-defined]
            raise DataError(
                f"There is no {missing} yet; run the part of the pipeline that makes it, or all of it, first."
            )
        try:
            return super().load.__wrapped__(self)  # type: ignore[misc]
        except VisionStudiesError:
            raise
        except Exception as error:  # every library behind a dataset has errors of its own
            damaged = self._get_load_path()
            raise DataError(
                f"{damaged} is damaged ({one_line(error)}); delete it and run the part of the pipeline that "
                "makes it again."
            ) from error

    def _get_save_path(self) -> PurePosixPath:
        return PurePosixPath(self._temporary) if self._temporary else super()._get_save_path()  # type: ignore[misc]


class ParquetDataset(_AtomicSave, pandas.ParquetDataset):
    """`pandas.ParquetDataset`, written atomically, with checksums that are compared when it is read."""

    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = READ_OPTIONS
    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = WRITE_OPTIONS

    def preview(self, nrows: int = 10, columns: list[str] | None = None) -> TablePreview:
        """The first rows, of these columns or of all."""
        from pyarrow.parquet import ParquetFile

        if not self._exists():
            return NO_TABLE
        with ParquetFile(self._get_load_path()) as file:
            # A table without rows has columns all the same.
            first = next(file.iter_batches(nrows, columns=columns), file.schema_arrow.empty_table())
            return table_preview(first.to_pandas()[columns or slice(None)])


class CSVDataset(_AtomicSave, pandas.CSVDataset):
    """`pandas.CSVDataset`, written atomically."""

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows."""
        return table_preview(self.load().head(nrows)) if self._exists() else NO_TABLE


class JSONDataset(_AtomicSave, json.JSONDataset):
    """`json.JSONDataset`, written atomically."""

    def preview(self) -> JSONPreview:
        """All of it."""
        return super().preview() if self._exists() else NO_JSON


class YAMLDataset(_AtomicSave, yaml.YAMLDataset):
    """`yaml.YAMLDataset`, written atomically."""


class TextDataset(_AtomicSave, text.TextDataset):
    """`text.TextDataset`, written atomically."""

    def preview(self) -> HTMLPreview:
        """The beginning of the text."""
        return text_preview(self.load()) if self._exists() else HTMLPreview("")


class MatplotlibDataset(_AtomicSave, matplotlib.MatplotlibDataset):
    """`matplotlib.MatplotlibDataset`, written atomically; loads the file's content."""

    def load(self) -> bytes:
        """The newest version as the bytes of its file."""
        return Path(self._get_load_path()).read_bytes()

    def preview(self) -> ImagePreview:
        """The newest version."""
        return super().preview() if self.exists() else ImagePreview("")


class FigureDataset(MatplotlibDataset):
    """A figure as a picture and, unless that would be very large, as SVG beside it, which pages show."""

    @property
    def versions(self) -> Versions:
        """What is kept of both files."""
        file = Path(self._filepath)
        return Versions.of_file(file, f"{file.stem}.svg")

    def _save_beside(self, data: "Figure", file: Path) -> None:
        from vision_studies.figures.vector import vector

        svg = vector(data)
        if svg is not None:
            file.with_suffix(".svg").write_text(svg, encoding="utf-8")
