"""Tables in Parquet files that tell when a byte of them has changed, and errors in a sentence when they cannot be read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vision_studies.errors import DataError, one_line

if TYPE_CHECKING:
    import pandas as pd

WRITE_OPTIONS = {"write_page_checksum": True}
"""Of pandas and pyarrow: without checksums, a changed byte can be another number without a word."""

READ_OPTIONS = {"page_checksum_verification": True}
"""The same for reading; files without checksums are read, too."""


def write_table(table: "pd.DataFrame", file: Path) -> None:
    """Write a table without its index, with checksums."""
    table.to_parquet(file, index=False, **WRITE_OPTIONS)


def read_table(file: Path, mend: str, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Read a table that the project has written, or some columns of it. Raises FileNotFoundError where it is not there, and
    DataError where it is damaged.

    Args:
        mend: what to do about a damaged one, as the end of a sentence: "delete it and run the study again".
        columns: which; None for all.
    """
    import pandas as pd

    try:
        return pd.read_parquet(file, columns=columns and list(columns), **READ_OPTIONS)
    except FileNotFoundError:
        raise
    except Exception as error:  # pyarrow and pandas have many errors for what a damaged file may be
        raise DataError(f"{file} is damaged ({one_line(error)}); {mend}.") from error
