"""The pages that explain the methods: equations that can be drawn, and names of things that are there."""

import ast
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from latex2mathml.converter import convert
from tests.conftest import ROOT

FOLDER = ROOT / "docs/methods"
PAGES = sorted(FOLDER.glob("*.md"))
SOURCE = ROOT / "src"
PARAMETERS = sorted((ROOT / "conf/base").glob("parameters*.yml"))

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DISPLAYED = re.compile(r"^\$\$$(.*?)^\$\$$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$([^$\n]+)\$")
CODE = re.compile(r"`([^`\n]+)`")
QUOTED = re.compile(r'"[^"]+"')  # names of projects, years among them
LINK = re.compile(r"\]\(([^)\s]+)\)")
CITATION = re.compile(
    r"([A-Z]\w+)(?: et al\.| and [A-Z]\w+|,(?: [A-Z]\w+,?)+ and [A-Z]\w+)?'?s?,? \(?((?:18|19|20)\d\d)\b"
)


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request) -> Path:
    return request.param


def prose(page: Path) -> str:
    """The page without its diagrams."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def equations(page: Path) -> list[str]:
    text = prose(page)
    return DISPLAYED.findall(text) + INLINE.findall(CODE.sub("", DISPLAYED.sub("", text)))


def named(page: Path, pattern: str) -> set[str]:
    return {name for name in CODE.findall(prose(page)) if re.fullmatch(pattern, name)}


def test_every_method_has_its_page():
    pipelines = {
        folder.name for folder in (SOURCE / "vision_studies/pipelines").iterdir() if (folder / "nodes.py").exists()
    }
    index = prose(FOLDER / "index.md")
    assert {name for name in pipelines if f"| `{name}` |" not in index} <= {"reporting"}
    assert {f"{path.stem}.md" for path in PAGES} - {"index.md"} <= set(LINK.findall(index))


def test_equations_become_whole_mathml(page):
    found = equations(page)
    assert found
    for equation in found:
        drawn = convert(equation)
        elements = ElementTree.fromstring(drawn).iter()  # noqa: S314 - our own pages; a bare & would make it no XML
        assert all(element.text for element in elements if element.tag.endswith(("mi", "mo"))), (
            f"something of {equation} is lost"
        )
        assert "\\" not in drawn, f"latex2mathml does not know a command of {equation}"


def test_no_equation_is_left_open(page):
    rest = INLINE.sub("", CODE.sub("", DISPLAYED.sub("", prose(page))))
    assert "$" not in rest


def test_equations_in_tables_do_not_end_their_cell(page):
    for line in prose(page).splitlines():
        if line.startswith("|"):
            assert not [equation for equation in INLINE.findall(line) if "|" in equation], line


def test_modules_and_what_they_hold_are_there(page):
    for name in named(page, r"vision_studies(\.\w+)+"):
        assert is_there(name), f"{name} is nowhere in the package"


def test_files_are_there(page):
    for name in named(page, r"(src|conf|docs|tests|benchmarks|data)/[\w./-]+"):
        assert (ROOT / name).exists(), name


def test_parameters_are_those_of_the_base_configuration(page):
    own = settings()
    for name in named(page, rf"({'|'.join(own)})(\.\w+)+"):
        value = own
        for key in name.split("."):
            assert isinstance(value, dict), f"{name} ends before {key}"
            assert key in value, f"{name}: there is no {key}"
            value = value[key]


def test_links_lead_to_files_of_the_site(page):
    for target in LINK.findall(prose(page)):
        path, _, _ = target.partition("#")
        assert "://" not in target, "pages are read without a network"
        found = (page.parent / path).resolve()
        assert found.is_file(), target
        assert found.is_relative_to(ROOT / "docs"), target


def test_what_is_cited_stands_among_the_sources(page):
    body, _, sources = prose(page).partition("\n## Sources\n")
    entries = [entry for entry in sources.split("\n- ") if entry.strip()]
    missing = {
        (author, year)
        for author, year in CITATION.findall(QUOTED.sub("", INLINE.sub("", CODE.sub("", body))))
        if not any(author in entry.partition("(")[0] and f"({year})" in entry for entry in entries)
    }
    assert not missing
    unused = [entry for entry in entries if not is_cited(entry, body)]
    assert not unused


def is_cited(entry: str, body: str) -> bool:
    """Whether the page speaks of a source: a paper by its first author and year, a project by its name."""
    project = re.search(r'The project "([^"]+)"', entry)
    if project:
        return f'"{project.group(1)}"' in body
    authors, _, rest = entry.removeprefix("- ").strip().partition(" (")
    first = re.split(r",| and | et al", authors)[0].split()[-1]
    return re.search(rf"{first}[^()|]*\(?{rest[:4]}", body) is not None


def is_there(name: str) -> bool:
    """Whether a dotted name is a module or package, or stands at the top of one; nothing is imported."""
    path = SOURCE.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
        return True
    module, _, last = name.rpartition(".")
    file = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    return file.is_file() and last in top_level(file)


@cache
def top_level(file: Path) -> set[str]:
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@cache
def settings() -> dict:
    return {
        key: value
        for file in PARAMETERS
        for key, value in yaml.safe_load(file.read_text(encoding="utf-8")).items()
        if isinstance(value, dict)
    }
