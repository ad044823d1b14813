"""The studies that the page of the verdict shows are what the verdict says today."""

import re

import pytest
from scripts.docs_tools.verdict_branches import BRANCHES, PAGE, branches, page

SAID = {
    "A clear winner": "It is better than the next by validation",
    "The baseline wins": "So the baseline wins",
    "A tie": "differ by the",
    "As good, and cheaper": "as good as the best, with a ninth of the operations",
    "One seed": "One seed: how much it varies",
    "Thirteen test images": "13 test images are few",
    "A class without test images": "No test image shows 'eel'",
    "All at 100 %": "Both name every test image rightly",
    "Runs whose loss became NaN": "'deep' has no result: seeds 0, 1 and 2 diverged",
    "An interrupted study": "Missing: stacking has no results yet: 7 of at most 36 runs have ended",
}


def rounded(text):
    """Without the last digits, in which processors may differ."""
    return re.sub(r"p = [^)]*|(?<=\d)\.\d+|\b[\d,]+ more (?=seed|test)", "", text)


def test_the_page_is_current():
    written = PAGE.read_text(encoding="utf-8")
    assert rounded(written) == rounded(page()), "run `python -m scripts.docs_tools.verdict_branches --write`"


@pytest.mark.parametrize("title", BRANCHES)
def test_each_study_says_what_it_is_there_for(title):
    assert set(SAID) == set(BRANCHES)
    assert SAID[title] in " ".join(BRANCHES[title]())


def test_every_study_has_its_heading():
    assert [line[4:] for line in branches().splitlines() if line.startswith("### ")] == list(BRANCHES)
