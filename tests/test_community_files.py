"""Forms for issues, the citation, and the version that stands in one place."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import ROOT

import vision_studies

GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_there_is_a_form_for_bugs_and_one_for_the_rest():
    assert [form.stem for form in FORMS] == ["bug_report", "question_or_feature"]
    assert read(GITHUB / "ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": False}


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_the_host_shows(form):
    content = read(form)
    assert set(content) <= {"name", "description", "title", "labels", "assignees", "body"}
    assert content["name"]
    assert content["description"]
    for element in content["body"]:
        assert set(element) <= {"type", "id", "attributes", "validations"}
        assert element["type"] in {"markdown", "input", "textarea", "dropdown", "checkboxes"}
        assert element["attributes"]["value" if element["type"] == "markdown" else "label"].strip()
        assert element["type"] != "dropdown" or len(element["attributes"]["options"]) > 1
        assert set(element.get("validations", {})) <= {"required"}
    identifiers = [element["id"] for element in content["body"] if element["type"] != "markdown"]
    assert identifiers
    assert len(set(identifiers)) == len(identifiers)


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "vision_studies.__version__"}
    folders = (".github", "benchmarks", "conf/base", "docs", "notebooks", "scripts", "src", "tests")
    files = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    texts = [path for path in files if path.suffix in {".py", ".md", ".toml", ".cff", ".yml", ".yaml", ".sh", ".ipynb"}]
    version = re.compile(rf"(?<![\w.=]){re.escape(vision_studies.__version__)}(?![\w.])")
    of_results = {"docs/findings.md", "docs/studies.md"}  # which say of each result by which version it was made
    repeated = {str(path.relative_to(ROOT)) for path in texts if version.search(path.read_text(encoding="utf-8"))}
    assert repeated - of_results == {"src/vision_studies/__init__.py", "CHANGELOG.md"}


def test_the_changelog_begins_with_what_is_to_come_and_the_version_that_is():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(vision_studies.__version__)} \(\d{{4}}-\d\d-\d\d\)", headings[1])


def test_the_citation_names_the_holders_of_the_licence():
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert "version" not in citation
    holder = re.search(r"Copyright \(c\) \d{4} (.+)", (ROOT / "LICENSE").read_text(encoding="utf-8"))
    assert citation["authors"] == [{"name": holder[1]}]
    assert citation["license"] == PROJECT["project"]["license"]
