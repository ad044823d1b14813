"""A table whose description of itself is damaged is told of in a sentence by whoever reads it, whatever the library raises."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.saved_experiments import read_experiments
from vision_studies.pipelines.reporting.study import StudyFolders
from vision_studies.stored_tables import read_table
from vision_studies.studies.results import read_results

READERS = {
    "results.parquet": read_results,
    "table.parquet": lambda file: read_table(file, "delete it"),
    "accuracies.parquet": lambda file: read_experiments([file]),
    "histories.parquet": lambda file: StudyFolders("", file.parents[1], file.parents[1]).charts(),
}


@pytest.mark.parametrize("damage", ["a name", "a number", "no JSON"])
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_description_is_told(tmp_path, name, damage):
    table = pa.Table.from_pandas(pd.DataFrame({"epoch": np.arange(3), "text": ["a", "b", "c"]}))
    description = json.loads(table.schema.metadata[b"pandas"])
    for column in description["columns"]:
        column["numpx_type"] = column.pop("numpy_type")
    if damage == "a number":
        description = {"columns": 7}
    written = b"{" if damage == "no JSON" else json.dumps(description).encode()
    file = tmp_path / "pipeline" / name
    file.parent.mkdir()
    pq.write_table(table.replace_schema_metadata({b"pandas": written}), file)
    with pytest.raises(DataError) as told:
        READERS[name](file)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
