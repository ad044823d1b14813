"""The page on which all results are filtered."""

from html.parser import HTMLParser

from scripts.docs_tools.findings import all_results
from scripts.docs_tools.results_page import PAGE, results_page
from tests.docs.test_findings_page import of


class Rows(HTMLParser):
    """Cells of the table, row by row."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.within = [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - the parser names them
        if tag == "tr":
            self.rows.append([])
        self.within = tag in ("th", "td", "a")
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):  # noqa: ARG002
        self.within = False

    def handle_data(self, data):
        if self.within:
            self.rows[-1][-1] += data


def test_each_candidate_has_a_row_with_its_study_budget_and_interval():
    page = results_page([of("resnet_se+hour", "Little."), of("speedrun", "<b>", 0.1)])[PAGE]
    headings, *rows = Rows(page).rows
    assert len(rows) == 4
    assert dict(zip(headings, rows[1], strict=True)) == {
        "Candidate": "b",
        "Study": "resnet_se",
        "Images": "cifar10",
        "Budget": "hour",
        "Measure": "accuracy",
        "Value (%)": "90.0",
        "Interval (%)": "88.0 to 90.0",
        "Difference (points)": "-1.0",
        "Verdict": "worse",
        "Test images": "10,000",
        "Seeds": "3",
        "Version": "9.2.0",
    }
    assert [row[4] for row in rows] == ["taken", "worse", "taken", "worse"]
    assert rows[2][7] == "full size"
    assert 'href="findings.html#resnet_se-hour"' in page


def test_what_is_kept_stands_in_one_block_of_html():
    page = results_page(all_results())[PAGE]
    table = page[page.index("<div") :]
    assert "\n\n" not in table.strip()  # Markdown would end the block there
