"""Continuous integration, and what those who join are told: all that is named is there."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from tests.conftest import ROOT
from tests.docs.command_blocks import commands_in_text, split_commands
from tests.docs.command_checks import CommandChecks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
PATH_IN_TEXT = re.compile(r"`((?:conf|docs|src|tests|\.github)/[^`<\s]*)`")


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md"])
def test_links_and_paths_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    of_readers = name == "README.md"  # it also names folders that its reader makes
    named = [*LINK.findall(text), *([] if of_readers else PATH_IN_TEXT.findall(text))]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_leads_to_those_who_join():
    end = (ROOT / "README.md").read_text(encoding="utf-8")[-400:]
    assert {"CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"} <= set(LINK.findall(end))


def test_the_workflow_tests_every_python_that_the_project_admits(workflow):
    admitted = SpecifierSet(PROJECT["requires-python"])
    pythons = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in admitted]
    strategy = workflow["jobs"]["check"]["strategy"]
    assert strategy["matrix"] == {"python": pythons}
    assert strategy["fail-fast"] is False


def test_the_workflow_checks_everywhere_and_runs_every_test_once(workflow):
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    run = {name: [step for step in job["steps"] if "run" in step] for name, job in workflow["jobs"].items()}
    assert {name: [step["run"] for step in steps] for name, steps in run.items()} == {
        "check": ["make check"],
        "test": ["make test"],
    }
    assert {name: steps[0]["env"] for name, steps in run.items()} == {
        "check": {"PYTHON": "python${{ matrix.python }}"},
        "test": {"PYTHON": "python3.11"},
    }


@pytest.mark.parametrize("name", ["check", "test"])
def test_a_job_ends_in_time_and_keeps_what_it_has_fetched(name, workflow):
    job = workflow["jobs"][name]
    assert 0 < job["timeout-minutes"] <= 180
    (python,) = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@")]
    assert {key: python[key] for key in ("cache", "cache-dependency-path")} == {
        "cache": "pip",
        "cache-dependency-path": "requirements.txt",
    }


def test_the_workflow_names_no_host():
    assert "://" not in (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")


def test_what_the_workflow_the_hooks_and_the_forms_call_is_there(workflow):
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    asked = commands_in_text(ROOT / ".github/pull_request_template.md")
    checks = CommandChecks(ROOT / "conf")
    for line in [*steps, *(hook["entry"] for hook in hooks), *asked]:
        assert [told for command in split_commands(line) for told in checks.problems(command)] == [], line
