"""The page of what a check finds is what the findings and the cases say."""

import re

from scripts.docs_tools.data_check_page import PAGE, data_check_page
from tests.odd_inputs.cases import CASES

from vision_studies.data.checks.findings import KINDS


def test_the_page_is_current():
    written = PAGE.read_text(encoding="utf-8")
    assert written == data_check_page(), "run `python -m scripts.docs_tools.data_check_page`"


def test_every_finding_has_its_place_with_an_example_and_every_case_its_row():
    page = data_check_page()
    for name, kind in KINDS.items():
        part = page.split(f"{{#{name}}}\n")[1].split("\n## ")[0]
        assert kind.why in part
        assert kind.mend in part
        assert re.search(r"\*\*On the disk\*\*: \S+", part)
    assert page.count("\n| ") >= len(KINDS) + len(CASES)
