"""The documentation as `make docs` builds it."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from scripts.docs_tools.api_pages import PACKAGES
from tests.browser.conftest import chromium  # noqa: F401 - a fixture
from tests.conftest import ROOT
from tests.docs.test_docstring_examples import examples

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src"}
SESSION = re.compile(
    r">Examples:</span></p>\s*(<p>.*?</p>\s*)?"  # a sentence may come first
    r'<div class="highlight"><pre><span></span><code><span class="gp">'
)
LOADING_LINKS = {"stylesheet", "preload", "modulepreload", "icon", "preconnect", "dns-prefetch"}


class Page(HTMLParser):
    """What a page has: ids, links, what it loads, elements by name, and the value shown with each parameter."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.ids: set[str] = set()
        self.repeated_ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.elements: dict[str, int] = {}
        self.values: dict[str, str] = {}
        self._parameter = ""
        self._in_value = False
        self.text = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements[tag] = self.elements.get(tag, 0) + 1
        if "id" in given:
            (self.repeated_ids if given["id"] in self.ids else self.ids).add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given:
            self.loads.append(given[LOADED[tag]])
        if tag == "link" and LOADING_LINKS & set(given.get("rel", "").split()):
            self.loads.append(given["href"])
        if tag == "dt":
            self._parameter = given.get("id", "")
        if given.get("class") == "value":
            self._in_value = True

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_value:
            self.values[self._parameter] = self.values.get(self._parameter, "") + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self._in_value = False


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("documentation") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    told = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("INFO")]
    assert done.returncode == 0, "\n".join(told)
    assert not [line for line in told if line.strip()]
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html")}


def leaves(values: object, path: str = "") -> dict[str, object]:
    """Dotted name -> value of all that conf/base sets; a list is one value."""
    if not isinstance(values, dict) or not values:
        return {path: values}
    return {
        name: leaf for key, value in values.items() for name, leaf in leaves(value, f"{path}.{key}".strip(".")).items()
    }


def shown(name: str, values: dict[str, object]) -> object:
    """The value that the reference shows for a name: its own, or its part of that of a group."""
    if name in values:
        return values[name]
    group, _, key = name.rpartition(".")
    assert group, "the reference does not have it"
    within = shown(group, values)
    assert isinstance(within, dict)
    return within[key]


def test_the_reference_has_every_parameter_with_its_value(site, pages):
    for file in sorted((ROOT / "conf/base").glob("parameters*.yml")):
        for key, group in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            name = "execution" if file.name == "parameters.yml" else key
            page = pages[site / f"reference/parameters/{name}.html"]
            values = {parameter: yaml.safe_load(text) for parameter, text in page.values.items()}
            for parameter, value in leaves(group, key).items():
                assert shown(parameter, values) == value, parameter


def test_the_reference_has_every_kind_with_its_range(site, pages):
    kinds = (site / "reference/parameters/kinds.html").read_text(encoding="utf-8")
    assert {
        "optimizer-adamw",
        "optimizer-adamw.betas",
        "schedule-plateau",
        "steps-cutout.size",
        "model-resnet9",
    } <= pages[site / "reference/parameters/kinds.html"].ids
    cutout = kinds[kinds.index('id="steps-cutout.size"') :]
    assert "whole number ≥ 1" in cutout[: cutout.index("</dd>")]
    widths = kinds[kinds.index('id="model-resnet_small.stem_width"') :]
    assert "<code>hybrid_resnet_published</code> <code>64</code>" in widths[: widths.index("</dd>")]


def test_every_place_of_the_reference_has_an_address_of_its_own(site, pages):
    for file in (site / "reference").rglob("*.html"):
        assert not pages[file].repeated_ids, file


def test_equations_are_drawn_by_the_browser(site, pages):
    methods = [page for file, page in pages.items() if file.parent == site / "methods" and file.name != "index.html"]
    assert len(methods) >= 9
    for page in methods:
        assert page.elements.get("math", 0) > 0, page.file
    for page in pages.values():
        assert 'class="arithmatex"' not in page.file.read_text(encoding="utf-8"), page.file


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for page in pages.values():
        assert not [address for address in page.loads if urlsplit(address).netloc], page.file
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert "url(http" not in text, style
        assert "@import" not in text, style


def test_every_link_within_the_site_resolves(site, pages):
    for page in pages.values():
        if page.file.name == "404.html":
            continue  # its links are those of a site at the root of a server
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (page.file.parent / unquote(address.path)).resolve() if address.path else page.file
            assert target.exists(), f"{page.file.relative_to(site)} -> {link}"
            if address.fragment and target in pages:
                known = pages[target].ids | {"__top", ""}
                assert unquote(address.fragment) in known, f"{page.file.relative_to(site)} -> {link}"


def test_the_library_is_described_module_by_module(site, pages):
    for package in PACKAGES:
        folder = ROOT / "src/vision_studies" / package
        modules = {
            ".".join(("vision_studies", *file.relative_to(ROOT / "src/vision_studies").with_suffix("").parts))
            for file in folder.rglob("*.py")
            if not file.name.startswith("_")
        }
        assert modules <= pages[site / f"reference/api/{package}.html"].ids


def test_examples_are_shown_as_sessions(site):
    for package in PACKAGES:
        start = ".".join(("vision_studies", *package.split("/"))) + "."
        own = [own for module, own in examples().items() if module.startswith(start)]
        text = (site / f"reference/api/{package}.html").read_text(encoding="utf-8")
        assert len(SESSION.findall(text)) == sum(map(len, own)), package


def test_the_search_works_on_pages_from_the_disk(site, chromium):  # noqa: F811 - the fixture
    page = chromium(width=375)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "reference/parameters/kinds.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("label[for=__search].md-header__button").click()
    page.locator(".md-search__input").press_sequentially("momentum")
    page.locator(".md-search-result__item a").first.wait_for(timeout=10_000)
    assert not [address for address in asked if not address.startswith(("file:", "data:", "blob:"))]


def test_results_are_filtered_and_sorted_by_keyboard_on_a_page_from_the_disk(site, chromium):  # noqa: F811 - the fixture
    page = chromium(width=375)
    page.goto((site / "results.html").as_uri())
    everything = page.locator("#all-results tbody tr").count()
    status = page.get_by_role("status").filter(has_text="results")
    assert status.text_content() == f"{everything} of {everything} results"
    page.get_by_label("Study").select_option(index=1)
    of_one = page.locator("#all-results tbody tr:visible").count()
    assert 0 < of_one < everything
    page.get_by_role("searchbox", name="Search", exact=True).and_(page.locator("#results-filter input")).fill(
        "no such thing"
    )
    assert page.get_by_text("No result is like this; choose less.").is_visible()
    page.get_by_role("button", name="Show all").press("Enter")
    page.get_by_role("button", name="Value (%)").press("Enter")
    values = [
        float(text) for text in page.locator("#all-results tbody td:nth-of-type(1)").all_text_contents() if text != "–"
    ]
    assert values == sorted(values, reverse=True)
    assert page.locator("#all-results th[aria-sort=descending]").text_content() == "Value (%)"


@pytest.mark.parametrize(
    "name", ["findings", "results", "questions", "coming_from", "running", "gallery", "studies", "features"]
)
def test_pages_do_not_scroll_sideways_and_wide_tables_say_that_they_do(site, chromium, name):  # noqa: F811 - the fixture
    page = chromium(width=375)
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = page.locator(".md-typeset__scrollwrap, .scrolls").evaluate_all(
        "parts => parts.filter(part => part.scrollWidth > part.clientWidth + 1)"
        ".map(part => part.tabIndex === 0 && part.getAttribute('role') === 'region' && part.matches('.is-wide'))"
    )
    assert all(wide)


def test_pages_that_show_how_to_extend_show_the_code_that_is_tested(site):
    for page in sorted((ROOT / "docs/extending").glob("*.md")):
        shown = Page(site / "extending" / f"{page.stem}.html").text
        for file in re.findall(r'^--8<-- "([^"]+)"$', page.read_text(encoding="utf-8"), re.MULTILINE):
            lines = [line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line.strip()]
            assert [line for line in lines if line not in shown] == [], file
        assert "8<" not in shown.replace("&lt;", "<"), page
