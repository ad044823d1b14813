"""All cases, section by section: the test goes through them, and the page of the documentation shows them."""

from tests.odd_inputs.case import Case
from tests.odd_inputs.cases_files import FILES
from tests.odd_inputs.cases_labels import LABELS
from tests.odd_inputs.cases_layouts import LAYOUTS
from tests.odd_inputs.cases_pixels import PIXELS
from tests.odd_inputs.cases_sources import SOURCES

SECTIONS: dict[str, list[Case]] = {
    "Files": FILES,
    "Pixels": PIXELS,
    "Folders": LAYOUTS,
    "Labels, copies and shortcuts": LABELS,
    "Tables, Parquet files and archives": SOURCES,
}
"""Title -> its cases."""

CASES = [case for cases in SECTIONS.values() for case in cases]
