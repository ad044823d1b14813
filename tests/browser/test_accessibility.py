"""axe over the pages that the project makes, at both widths and in both themes, and a walk through each by keyboard alone."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.browser.page_checks import WIDTHS, Watched, axe_findings
from tests.browser.test_pages_in_a_browser import charts, written
from tests.reports.test_report_page import failed, figure, report, run
from tests.serving.test_try_page import running
from tests.statistics.test_verdict import candidate

from vision_studies.figures.interactive_results import accuracy_against_cost
from vision_studies.reports.gallery import Judged, as_json, gallery
from vision_studies.reports.page import INDEX_ENDING, SCRIPTS, Chart
from vision_studies.reports.study_pages import StudyCard, render_index, render_study
from vision_studies.serving.calibration import Calibration
from vision_studies.statistics.configurations import best_configurations, configurations
from vision_studies.statistics.verdict import verdict

FOCUSED = """(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const seen = element.__seen === true;
  element.__seen = true;
  const box = element.getBoundingClientRect(), look = getComputedStyle(element);
  return {
    name: element.outerHTML.slice(0, 120), seen,
    shown: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    marked: (look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0) || look.boxShadow !== 'none',
  };
})()"""
UNREACHED = """[...document.querySelectorAll('a[href],button,input,select,textarea,summary,[tabindex="0"]')]
  .filter(element => element.checkVisibility({visibilityProperty: true}) && !element.disabled && element.tabIndex >= 0)
  .filter(element => element.__seen !== true).map(element => element.outerHTML.slice(0, 120))"""


def study(**changes):
    """A study with all parts that a page can have; charts apart, which take their time."""
    labels = np.array([0, 1] * 6)
    said = {"wide": [3, 4], "plain": [0, 3, 7, 8]}
    judged = [
        Judged(name, np.arange(12), labels, answers, np.where(np.eye(2, dtype=bool)[answers], 0.8, 0.2))
        for name, wrong in said.items()
        for answers in [np.where(np.isin(np.arange(12), wrong), 1 - labels, labels)]
    ]
    mistakes = gallery(judged, judged[0], np.zeros((12, 4, 4, 3), np.uint8), ["cat", "dog"])
    rows = [run(name, seed, 0.9 + 0.01 * seed) for name in ("plain", "wide") for seed in range(3)] + [failed()]
    took = verdict(
        [candidate("plain", 0.75, is_baseline=True), candidate("wide", 0.85), candidate("deep", 0.8)],
        study="demo",
        missing=["stacking has no results yet."],
        rehearsal=True,
    )
    given = {
        "verdict": took,
        "mistakes": as_json(mistakes),
        "figures": [figure("Data card", pipeline="data_prep"), figure()],
        "pipelines": {"data_prep": "Images", "cifar_resnet": "Residual networks"},
        "doubts": ["12 images are there twice."],
        "conclusions": {"cifar_resnet": [f"Sentence {number}." for number in range(9)]},
        "differences": [("cifar_resnet.seeds", "[0]", "[0, 1, 2]")],
        "index": "../index.html",
    }
    return render_study(report(rows, **(given | changes)))


def index(folder):
    """The page of all studies, with its chart, in the folder of the page of a study."""
    rows = pd.DataFrame([run(name, seed, 0.9 + 0.01 * seed) for name in ("plain", "wide") for seed in range(3)])
    compared = configurations(
        rows.assign(data="digits", study="study", condition="", configuration_hash=rows["variant"]),
        confidence=0.95,
        interval="t",
    )
    card = StudyCard(
        "study", "A study", "Does it help?", ["cifar_resnet"], "Take 'wide'.", 6, 1, 60.0, "today", ["rehearsal"], 2
    )
    chart, best = Chart(*accuracy_against_cost(compared)), best_configurations(compared)
    made = render_index([card], compared, best, charts=[chart], problems=["No page of 'old'."])
    for name, text in made.scripts.items():
        (folder / SCRIPTS / f"{name}{INDEX_ENDING}").write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(made.html, encoding="utf-8")
    return folder / "index.html"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Path of each page: of all studies, of a study, and of charts alone."""
    folder = tmp_path_factory.mktemp("pages")
    of_study = written(study(), folder)
    few = {"cifar_resnet": charts()[:1]}
    alone = render_study(report([run()], figures=[], charts=few))
    return {
        "study": of_study,
        "charts": written(alone, tmp_path_factory.mktemp("charts")),
        "index": index(folder),
    }


@pytest.mark.parametrize("name", ["study", "charts", "index"])
def test_axe_finds_nothing_in_a_page_of_reports(chromium, axe, pages, name):
    watched = Watched(chromium(), pages[name])
    watched.draw_charts()
    assert axe_findings(watched.page, axe) == []
    watched.page.close()


def test_axe_finds_nothing_in_what_opens_over_a_page(chromium, axe, pages):
    """A mistake, a figure, a run and the meaning of a word."""
    page = Watched(chromium(), pages["study"]).page
    page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    for opener in ("#gallery-images button", "#run-table tbody button", "button.zoom", "[popovertarget]"):
        page.locator(opener).first.press("Enter")
        page.locator("dialog[open], :popover-open").first.wait_for()
        assert axe_findings(page, axe, WIDTHS[:1]) == [], opener
        page.keyboard.press("Escape")
    page.close()


def test_axe_finds_nothing_in_the_page_on_which_images_are_dropped(chromium, axe, tmp_path):
    Image.new("L", (4, 4), 178).save(tmp_path / "usual.png")
    Image.new("L", (4, 4), 255).save(tmp_path / "strange.png")
    (tmp_path / "text.png").write_text("no image")
    logits = np.stack([[-1.0, 1.0], [1.0, -1.0]] * 20).astype(np.float32)
    logits += np.random.default_rng(0).normal(0, 0.1, logits.shape).astype(np.float32)
    page = chromium()
    with running(Calibration.fitted(logits, logits.argmax(axis=1), logits)) as server:
        page.goto(server.address)
        page.get_by_role("heading", name="Try brightness").wait_for()
        assert axe_findings(page, axe) == []
        page.set_input_files("#files", [tmp_path / f"{name}.png" for name in ("usual", "strange", "text")])
        page.get_by_text("text.png: The image cannot be read: no image.").wait_for()
        page.locator(".bar").first.wait_for()
        assert axe_findings(page, axe) == []
    page.close()


def test_axe_would_find_what_cannot_be_read_or_reached(chromium, axe):
    page = chromium()
    page.set_content(
        "<!doctype html><html lang='en'><title>T</title><main><h1>H</h1><button></button>"
        "<p style='color:#aaa;background:#fff'>pale</p><style>@media (prefers-color-scheme: dark)"
        "{i{color:#333;background:#000}}</style><i>dark</i></main></html>"
    )
    found = axe_findings(page, axe)
    assert {line.split(":")[0] for line in found} == {"critical button-name", "serious color-contrast"}
    assert any("dark</i>" in line for line in found)
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["study", "index"])
def test_all_of_a_page_is_reached_by_tab_and_shows_where_one_is(chromium, pages, name, width):
    page = Watched(chromium(width=width, dark=width == WIDTHS[0]), pages[name]).page
    if name == "study":  # the index has a chart, whose controls Plotly makes; it stays folded
        page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
        page.locator("#gallery-images button").first.wait_for()
    stops = []
    for _ in range(400):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop is None or stop["seen"]:
            break
        stops.append(stop)
    assert stops[0]["name"].startswith('<a class="skip"')
    assert [stop["name"] for stop in stops if not stop["shown"]] == []
    assert [stop["name"] for stop in stops if not stop["marked"]] == []
    assert page.evaluate(UNREACHED) == []
    page.close()
