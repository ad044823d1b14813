"""The page on which all results are filtered and sorted, of the files that `scripts.docs_tools.record_result` keeps in
`docs/results`. The table stands in the page itself; `docs/assets/results.js` adds what chooses its rows.
"""

from collections.abc import Iterator, Sequence
from html import escape

from scripts.docs_tools.findings import anchor
from scripts.docs_tools.record_result import Answer, Result, Standing

PAGE = "results.md"

_HEAD = """\
---
hide: [toc]
---

# Results

Every candidate of every study that has ended, one a row; [findings](findings.md) say what follows from them, with machine,
versions and all that each study says. Values are of test images, with an interval over the seeds and images beside them; a
difference is to the candidate that its study takes, corrected for the number of comparisons. Values of different images or
budgets are not to be compared.
"""
_COLUMNS = (
    *("Candidate", "Value (%)", "Interval (%)", "Difference (points)", "Verdict"),
    *("Study", "Images", "Budget", "Measure", "Test images", "Seeds", "Version"),
)
_NUMBERS = ("Value (%)", "Difference (points)", "Test images", "Seeds")
TAKEN = "taken"
MISSING = "–"


def results_page(results: Sequence[Result]) -> dict[str, str]:
    """Path below the documentation's folder -> Markdown."""
    body = "\n".join(_row(cells) for result in results for cells in _cells(result))
    headings = "".join(f'<th scope="col"{_kind(name)}>{name}</th>' for name in _COLUMNS)
    # Without a blank line: Markdown takes all of it for one block of HTML.
    table = (
        '<div id="results-filter" class="results-filter" role="search" aria-label="Filter results" hidden></div>\n'
        '<div class="scrolls" role="region" aria-label="All results" tabindex="0">\n'
        '<table class="results" id="all-results">\n<caption>One candidate of a study a row</caption>\n'
        f"<thead><tr>{headings}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
        '<script src="assets/results.js" defer></script>'
    )
    return {PAGE: f"{_HEAD}\n{table}\n"}


def budget_of(study: str) -> str:
    """Environments beside the study's own, such as `hour`; "full size" where there is none."""
    return "+".join(study.split("+")[1:]) or "full size"


def _kind(name: str) -> str:
    return ' class="number"' if name in _NUMBERS else ""


def _cells(result: Result) -> Iterator[dict[str, str]]:
    for answer in result.answers:
        for standing in answer.standings:
            yield _of_standing(result, answer, standing)


def _of_standing(result: Result, answer: Answer, standing: Standing) -> dict[str, str]:
    study = result.study.split("+")[0]
    images = answer.images.split(" (")[0] + (f", {answer.condition}" if answer.condition else "")
    interval = MISSING
    if standing.low is not None and standing.high is not None:
        interval = f"{100 * standing.low:.1f} to {100 * standing.high:.1f}"
    values = (
        escape(standing.name),
        MISSING if standing.value is None else f"{100 * standing.value:.1f}",
        interval,
        MISSING if standing.difference is None else f"{100 * standing.difference:+.1f}",
        TAKEN if standing.name == answer.chosen else escape(standing.says or MISSING),
        f'<a href="findings.html#{anchor(result)}">{escape(study)}</a>',
        *(escape(images), budget_of(result.study), answer.measure.replace("_", " ")),
        *(f"{standing.images or 0:,}", str(standing.seeds or 0), escape(result.versions["vision-studies"])),
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _row(cells: dict[str, str]) -> str:
    first, *others = cells.items()
    shown = "".join(f"<td{_kind(name)}>{value}</td>" for name, value in others)
    return f'<tr><th scope="row">{first[1]}</th>{shown}</tr>'
