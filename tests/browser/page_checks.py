"""What every page of a report must do in a browser; for any page, by its path."""

import itertools
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

WIDTHS = (375, 1440)
HARMLESS = ("GPU stall due to ReadPixels", "Canvas2D: Multiple readback operations")

HEADINGS = """[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')]
  .filter(heading => !heading.closest('dialog:not([open])'))
  .map(heading => [Number(heading.tagName[1]), heading.textContent.trim()])"""
IMAGES = """[...document.querySelectorAll('img')]
  .filter(image => !image.closest('dialog:not([open])')).map(image => [image.alt, image.src.slice(0, 60)])"""
LINKS = "[...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))"
# Elements that the keyboard reaches, without a name: from a label, the text, or an attribute.
NAMELESS = """[...document.querySelectorAll('a[href],button,input,select,textarea,summary,[tabindex="0"]')]
  .filter(element => element.offsetParent !== null)
  .filter(element => !(element.getAttribute('aria-label') || element.textContent.trim() || element.title
    || [...(element.labels ?? [])].some(label => label.textContent.trim())
    || (element.getAttribute('aria-labelledby') ?? '').split(' ').some(id => document.getElementById(id))
    || [...element.querySelectorAll('img')].some(image => image.alt)))
  .map(element => element.outerHTML.slice(0, 200))"""

# Two frames, after which styles of another theme hold and what moves has been given its place.
SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


class Watched:
    """A page, with all that it has said and asked for since it was opened."""

    def __init__(self, page, path: Path) -> None:
        self.page, self.path = page, path
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url[:200]}"))
        page.on("request", lambda request: self.requests.append(request.url))
        began = time.perf_counter()
        page.goto(path.as_uri())
        self.seconds_to_load = time.perf_counter() - began

    def _said(self, message) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in HARMLESS):
            self.complaints.append(f"{message.type}: {message.text}")

    def draw_charts(self) -> int:
        """Unfold all, and scroll to every interactive figure, so that it is drawn; returns how many there are."""
        self.page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
        figures = self.page.locator("figure.chart")
        for place in range(figures.count()):
            figures.nth(place).evaluate("figure => figure.scrollIntoView()")
            self.page.wait_for_selector(f"figure.chart >> nth={place} >> .main-svg >> nth=0", timeout=60_000)
        return figures.count()


def check_page(watched: Watched) -> None:
    """All that holds for every page, whatever it shows; draws its charts first."""
    page = watched.page
    watched.draw_charts()
    assert watched.complaints == []
    foreign = [url for url in watched.requests if urlsplit(url).scheme not in ("file", "data", "blob")]
    assert foreign == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("window.innerWidth")
    assert [source for alt, source in page.evaluate(IMAGES) if not alt.strip()] == []
    assert page.evaluate(NAMELESS) == []
    check_headings(page)
    check_links(page, watched.path)
    assert watched.seconds_to_load < 10  # two on an idle machine


def check_headings(page) -> None:
    """One h1, which comes first; no level is left out; none is empty."""
    headings = page.evaluate(HEADINGS)
    levels = [level for level, _ in headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert [text for text in headings if not text[1]] == []
    assert [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1] == []


def check_links(page, path: Path) -> None:
    """Every link leads to an element of the page, or to a file that is there."""
    for link in page.evaluate(LINKS):
        parts = urlsplit(link)
        assert parts.scheme in ("", "file"), link
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        assert target.exists(), link
        if parts.fragment and target == path.resolve():
            assert page.evaluate("id => document.getElementById(id) !== null", unquote(parts.fragment)), link


def axe_findings(page, axe: str, widths=WIDTHS) -> list[str]:
    """What axe finds at these widths and in both themes: importance, rule, and the elements that break it. The page is left
    at the last width, in light colours.
    """
    found = []
    page.evaluate(axe)
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for theme, rules in (("dark", ["color-contrast"]), ("light", None)):  # the theme changes colours alone
            page.emulate_media(color_scheme=theme)
            page.evaluate(SETTLED)
            chosen = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
            broken = page.evaluate("chosen => axe.run(document, chosen)", chosen)["violations"]
            found += [
                f"{rule['impact']} {rule['id']}: {width} px, {theme}: {[node['html'][:160] for node in rule['nodes'][:3]]}"
                for rule in broken
            ]
    return found
