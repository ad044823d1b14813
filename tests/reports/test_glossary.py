from pathlib import Path

import pytest

from vision_studies.reports.glossary import Explained, glossary, markdown

PAGE = Path(__file__).parents[2] / "docs/glossary.md"


def test_the_page_of_the_documentation_is_made_from_the_glossary():
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "python -m vision_studies.reports.glossary > docs/glossary.md"
    )


def test_every_word_has_a_sentence_and_an_address_of_its_own():
    terms = glossary()
    assert len({term.key for term in terms}) == len(terms) > 30
    forms = [form for term in terms for form in (term.name, *term.also)]
    assert len(forms) == len(set(forms))
    assert all(term.means[0].isupper() and term.means.endswith((".", ")", "1")) for term in terms)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FR beats F; FR again", ["FR", "F"]),
        ("corrected p = 1", ["Holm"]),
        ("On own all settings, rho 0.5", ["own", "rho"]),
        ("its own best, a setting of own making", []),
        ("Baseline and 'same operations' of stacking", ["baseline", "same operations"]),
        ("F1, FRs, v_rho and rho-like are other words", []),
        ("a seed of a variant, by accuracy", []),  # which everybody knows
    ],
)
def test_words_are_explained_once_where_they_stand(text, found):
    explained = Explained()
    html = explained(text)
    assert html.count("<button") == len(found)
    assert {term.name for term in explained.terms()} == set(found)
    assert html.striptags() == text


def test_what_is_explained_stays_text():
    html = Explained()("<script>rho</script> & FR")
    assert "<script>" not in html
    assert html.unescape().count("<button") == 2
