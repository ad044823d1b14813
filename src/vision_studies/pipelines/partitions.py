"""Tables of a catalog's partitions."""

from typing import Any

import pandas as pd


def loaded(partition: Any) -> pd.DataFrame:
    """A partition of the catalog is a function that loads it; straight from a node it is the table itself."""
    return partition() if callable(partition) else partition
