import shutil

import numpy as np
import pandas as pd
import pytest
from tests.browser.page_checks import WIDTHS, Watched, axe_findings, check_page
from tests.reports.test_report_page import report, run

from vision_studies.figures.interactive_results import accuracy_against_cost, learning_curves
from vision_studies.figures.interactive_trials import parallel_coordinates
from vision_studies.pipelines.mlp_transfer.regret_map import regret_heat_map
from vision_studies.pipelines.transfer_cuts.accuracy_map import accuracy_map
from vision_studies.reports.gallery import Judged, as_json, gallery
from vision_studies.reports.page import (
    PLOTLY,
    SCRIPTS,
    STUDY_ENDING,
    Chart,
    Page,
    plotly_script,
)
from vision_studies.reports.study_pages import render_study

EVIL = '<a href="https://example.org">&lt;%{x}</a><script>alert(1)</script>'
CURVES, REGRET, CUTS, TRIALS, COST = range(5)


def charts():
    generator = np.random.default_rng(0)
    histories = [
        {"run": f"{variant}, seed {seed}", "variant": variant, "seed": seed, "epoch": epoch}
        | {"train_loss": 2 / epoch, "validation_loss": 1 / epoch + seed / 9, "validation_accuracy": 1 - 0.5 / epoch}
        | {"learning_rate": 0.1 / epoch}
        for variant in ("plain", EVIL)
        for seed in range(2)
        for epoch in range(1, 6)
    ]
    names = [EVIL, "32", "2020-01"]
    regrets = [
        {"target_arch": one, "source_arch": other, "mean_regret": float(one != other), "mean_relative_regret": 1.0}
        for one in names
        for other in names
    ]
    accuracies = [
        {"mode": "baseline" if cut < 0 else "FR", "cut": cut, "fraction": fraction, "test_accuracy": 0.5 + cut / 20}
        for cut in (-1, 0, 1)
        for fraction in (0.03, 1.0)
    ]
    trials = [
        {"group": name, "trial": trial, "objective": generator.uniform(0.1, 1), "lr": 10 ** generator.uniform(-4, -1)}
        | {"optimizer": ("adamw", EVIL)[trial % 2]}
        for name in ("8", EVIL)
        for trial in range(6)
    ]
    variants = [
        {"study": EVIL, "pipeline": pipeline, "data": data, "variant": EVIL, "accuracy": 0.9, "low": 0.88, "high": 0.91}
        | {"parameters": 1e5, "macs": 1e7, "seconds": 12.5}
        for pipeline in ("stacking", EVIL)
        for data in ("digits", "cifar10")
    ]
    return [
        Chart(*learning_curves(pd.DataFrame(histories))),
        Chart(*regret_heat_map(pd.DataFrame(regrets))),
        Chart(*accuracy_map(pd.DataFrame(accuracies), {"FR": EVIL})),
        Chart(*parallel_coordinates(pd.DataFrame(trials), objective=f"loss {EVIL}", lower_is_better=True)),
        Chart(*accuracy_against_cost(pd.DataFrame(variants))),
    ]


def written(page: Page, folder):
    """A page of a study with what lies beside it, in a folder of its own."""
    study = folder / "study"
    (study / SCRIPTS).mkdir(parents=True)
    (folder / SCRIPTS).mkdir()
    (folder / SCRIPTS / f"{PLOTLY}{STUDY_ENDING}").write_text(plotly_script(), encoding="utf-8")
    for name, text in page.scripts.items():
        (study / SCRIPTS / f"{name}{STUDY_ENDING}").write_text(text, encoding="utf-8")
    (study / "report.html").write_text(page.html, encoding="utf-8")
    return study / "report.html"


@pytest.fixture(scope="module")
def chart_page(tmp_path_factory):
    shown = report([run(configuration='{"run.protocol": "untuned"}')], figures=[], charts={"cifar_resnet": charts()})
    return written(render_study(shown), tmp_path_factory.mktemp("charts"))


@pytest.fixture(scope="module")
def wide(chromium, chart_page):
    """One page for many tests, which leave it as they find it: starting Plotly takes a second or more."""
    return Watched(chromium(), chart_page)


@pytest.fixture(scope="module")
def narrow(chromium, chart_page):
    return Watched(chromium(width=375, dark=True), chart_page)


def chart(watched, place):
    found = watched.page.locator("figure.chart").nth(place)
    found.evaluate("figure => figure.scrollIntoView()")
    found.locator(".main-svg").first.wait_for()
    return found


def shown(figure):
    """Hover texts of the traces that are to be seen."""
    return figure.locator(".plot").evaluate(
        "plot => plot.data.filter(own => own.visible !== false).map(own => own.hovertemplate)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("opened", ["wide", "narrow"])
def test_a_page_of_charts_is_sound(opened, request):
    watched = request.getfixturevalue(opened)
    check_page(watched)
    assert watched.page.locator("figure.chart[data-drawn]").count() == 5
    assert watched.page.locator(".plot noscript, .plot > p").count() == 0
    # Nothing is wider than its figure, where it would be cut off.
    assert watched.page.locator(".plot").evaluate_all(
        "plots => plots.every(plot => plot.querySelector('.main-svg').clientWidth <= plot.clientWidth)"
    )


def test_names_are_shown_as_they_are_written(wide):
    assert wide.draw_charts() == 5
    assert wide.page.locator("figure.chart .plot a").count() == 0
    ticks = chart(wide, REGRET).locator(".xtick text").all_text_contents()
    assert ticks == [EVIL[:21] + "…", "32", "2020-01"]
    labels = chart(wide, TRIALS).locator(".annotation-text").all_text_contents()
    assert f"loss {EVIL}"[:39] + "…" in labels
    curves = chart(wide, CURVES)
    assert curves.get_by_label(EVIL, exact=True).count() == 1
    assert chart(wide, COST).get_by_label(f"{EVIL}, digits", exact=True).count() == 1
    curves.locator(".plot").evaluate("plot => Plotly.Fx.hover(plot, [{curveNumber: 2, pointNumber: 3}])")
    assert EVIL[:59] in "".join(curves.locator(".hoverlayer").all_text_contents())
    assert wide.complaints == []


def test_runs_are_switched_on_and_off_by_keyboard(wide):
    figure = chart(wide, CURVES)
    assert len(shown(figure)) == 4
    figure.get_by_label("plain, seed 1", exact=True).press("Space")
    assert len(shown(figure)) == 3
    group = figure.get_by_label("plain", exact=True)
    assert group.evaluate("box => box.indeterminate")
    figure.get_by_role("button", name="None: Runs").click()
    assert shown(figure) == []
    assert figure.locator(".scatterlayer .trace").count() == 0
    group.press("Space")
    assert [text.split("<br>")[0] for text in shown(figure)] == ["plain"] * 2
    figure.get_by_role("button", name="All: Runs").press("Enter")
    assert len(shown(figure)) == 4
    assert wide.complaints == []


def test_a_metric_is_chosen_and_switched_off_runs_stay_off(wide):
    figure = chart(wide, CURVES)
    assert "accuracy" in figure.locator(".ytitle").text_content()
    figure.get_by_label("plain, seed 0", exact=True).uncheck()
    figure.get_by_role("combobox").select_option(label="Validation loss")
    assert figure.locator(".ytitle").text_content() == "validation loss (nats per image)"
    losses = figure.locator(".plot").evaluate("plot => [...plot.data[0].y]")
    assert losses == pytest.approx([1 / epoch for epoch in range(1, 6)], rel=1e-4)
    assert len(shown(figure)) == 3
    figure.get_by_role("combobox").select_option(label="Validation accuracy")
    assert figure.locator(".plot").evaluate("plot => plot.data[0].y[0]") == 50
    figure.get_by_label("plain, seed 0", exact=True).check()
    assert wide.complaints == []


def test_views_of_other_figures_are_chosen_by_buttons(wide):
    cost = chart(wide, COST)
    cost.get_by_role("button", name="Operations").click()
    assert cost.locator(".xtitle").text_content() == "multiply-accumulate operations for an image"
    assert cost.locator(".plot").evaluate("plot => plot.data[0].x[0]") == 1e7
    assert cost.get_by_role("button", name="Operations").get_attribute("aria-pressed") == "true"
    assert cost.get_by_role("button", name="Parameters").get_attribute("aria-pressed") == "false"
    trials = chart(wide, TRIALS)
    before = shown(trials)
    trials.get_by_role("button", name=EVIL, exact=True).click()
    assert len(shown(trials)) == len(before)
    assert shown(trials) != before
    assert wide.complaints == []


def test_charts_follow_light_and_dark_while_the_page_is_open(wide):
    from playwright.sync_api import expect

    text = chart(wide, CURVES).locator(".xtitle")
    expect(text).to_have_css("fill", "rgb(28, 33, 39)")
    wide.page.emulate_media(color_scheme="dark")
    expect(text).to_have_css("fill", "rgb(230, 233, 237)")
    wide.page.emulate_media(color_scheme="light")
    expect(text).to_have_css("fill", "rgb(28, 33, 39)")
    assert wide.complaints == []


def test_all_charts_are_printed_and_in_light_colours(narrow):
    looks = "[...document.querySelectorAll('.plot')].map(plot => [plot._fullLayout.width, plot._fullLayout.font.color])"
    chart(narrow, CURVES)
    narrow.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert narrow.page.evaluate(looks) == [[660, "#000000"]] * 5
    narrow.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert all(width <= 375 and colour == "#e6e9ed" for width, colour in narrow.page.evaluate(looks))
    assert narrow.complaints == []


def test_without_javascript_the_page_says_what_is_missing(chromium, chart_page):
    page = chromium(java_script_enabled=False)
    page.goto(chart_page.as_uri())
    told = page.locator("figure.chart noscript p")
    assert told.count() == 5
    assert all(one.is_visible() and "needs JavaScript" in one.text_content() for one in told.all())


def test_a_page_that_was_sent_alone_says_so_in_place_of_the_figures(chromium, chart_page, tmp_path):
    alone = tmp_path / "report.html"
    alone.write_text(chart_page.read_text(encoding="utf-8"), encoding="utf-8")
    watched = Watched(chromium(), alone)
    watched.page.locator("figure.chart").last.scroll_into_view_if_needed()
    for figure in watched.page.locator("figure.chart").all():
        figure.scroll_into_view_if_needed()
        figure.get_by_text("scripts that lie beside the page are not there").wait_for()
    assert watched.complaints


def test_a_page_that_was_taken_elsewhere_with_its_scripts_draws_its_figures(chromium, chart_page, tmp_path):
    """As trackers take it: without the folder above, and with Plotly among the scripts of the page."""
    shutil.copytree(chart_page.parent, tmp_path / "taken")
    (tmp_path / "taken" / SCRIPTS / f"{PLOTLY}{STUDY_ENDING}").write_text(plotly_script(), encoding="utf-8")
    page = chromium()
    page.goto((tmp_path / "taken/report.html").as_uri())
    page.locator("figure.chart").first.evaluate(
        "figure => { for (let own = figure; own; own = own.parentElement) if (own.open === false) own.open = true;"
        " figure.scrollIntoView(); }"
    )
    page.locator("figure.chart .main-svg").first.wait_for()
    page.close()


@pytest.fixture(scope="module")
def study_page(chromium, demo_project):
    return Watched(chromium(), demo_project.folder / "data/08_reporting/demo+quick/report.html")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["demo+quick/report.html", "index.html"])
@pytest.mark.parametrize(("width", "dark"), list(zip(WIDTHS, (True, False), strict=True)))
def test_pages_of_the_demo_are_sound(chromium, demo_project, page, width, dark):
    check_page(Watched(chromium(width=width, dark=dark), demo_project.folder / "data/08_reporting" / page))


@pytest.mark.slow
@pytest.mark.parametrize("page", ["demo+quick/report.html", "index.html"])
def test_axe_finds_nothing_in_pages_of_the_demo(chromium, axe, demo_project, page):
    watched = Watched(chromium(), demo_project.folder / "data/08_reporting" / page)
    watched.page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    # tests/browser/test_accessibility.py looks at both widths, on pages that are smaller.
    assert axe_findings(watched.page, axe, WIDTHS[:1]) == []
    watched.page.close()


@pytest.mark.slow
def test_the_page_of_a_study_differs_in_light_and_dark(chromium, demo_project, study_page):
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = Watched(chromium(dark=True), study_page.path).page.evaluate(ground)
    assert (study_page.page.evaluate(ground), dark) == ("rgb(255, 255, 255)", "rgb(22, 25, 29)")


def test_runs_are_searched_sorted_and_opened(chromium, tmp_path):
    rows = [
        run(f"variant_{number:02}", seed, 0.5 + 0.003 * ((7 * number + seed) % 60))
        for number in range(20)
        for seed in range(4)
    ]
    rows += [run("broken", 0, None, status="failed", reason="out of memory", run_fingerprint="f00d")]
    watched = Watched(chromium(), written(render_study(report(rows, figures=[])), tmp_path))
    page = watched.page
    page.get_by_role("link", name="Runs").click()
    page.get_by_text("1 to 50 of 81").wait_for()
    shown, counted, search = (
        page.locator("#run-table tbody tr"),
        page.locator("#run-count"),
        page.get_by_label("Search"),
    )
    assert counted.text_content() == "1 to 50 of 81"
    page.get_by_role("button", name="After").click()
    assert counted.text_content() == "51 to 81 of 81"
    assert page.get_by_role("button", name="After").is_disabled()
    search.fill("variant_07")
    assert (counted.text_content(), shown.count()) == ("1 to 4 of 4", 4)
    search.fill("model.name=broken")  # a setting
    assert shown.all_text_contents()[0].startswith("brokenout of memory")
    search.fill("nothing has this")
    assert counted.text_content() == "No run has this."
    search.fill("")
    heading = page.get_by_role("columnheader", name="Test accuracy", exact=True)
    place = heading.evaluate("heading => heading.cellIndex")
    for order, falls in (("ascending", False), ("descending", True)):
        heading.get_by_role("button").press("Enter")
        assert heading.get_attribute("aria-sort") == order
        texts = shown.locator(f"td:nth-child({place + 1})").all_text_contents()
        found = [float(text.split()[0]) for text in texts]
        assert len(found) == 50  # what is missing comes last, whichever way
        assert found == sorted(found, reverse=falls)
    search.fill("broken")
    page.get_by_role("button", name="broken").click()
    details = page.locator("#run-details")
    assert details.get_by_role("heading", name="broken").is_visible()
    assert details.get_by_text("out of memory", exact=True).first.is_visible()
    assert "f00d" in details.text_content()
    assert "training.epochs" in details.text_content()
    page.keyboard.press("Escape")
    assert not details.is_visible()
    assert watched.complaints == []


def test_the_whole_answer_is_printed(chromium, tmp_path):
    sentences = [f"Sentence {number}." for number in range(9)]
    page_of_all = render_study(report([run()], figures=[], conclusions={"cifar_resnet": sentences}))
    page = Watched(chromium(), written(page_of_all, tmp_path)).page
    last = page.get_by_text("Sentence 8.")
    assert not last.is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert last.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not last.is_visible()


@pytest.mark.slow
def test_a_figure_is_enlarged(study_page):
    page = study_page.page
    page.get_by_role("link", name="Residual networks").first.press("Enter")  # which unfolds what it leads to
    page.get_by_role("button", name="Enlarge: Confusion matrix").click()
    enlarged = page.locator("#enlarged img")
    assert enlarged.is_visible()
    assert enlarged.get_attribute("alt").startswith("Confusion matrix")
    page.get_by_role("button", name="Close").click()
    assert not enlarged.is_visible()
    assert study_page.complaints == []


@pytest.fixture(scope="module")
def gallery_page(tmp_path_factory):
    """Two classifiers of eight images: `a` has 4 to 7 wrong, `b` has 0 and 4 wrong."""
    labels = np.array([0, 1] * 4)
    shown = [
        Judged(
            name, np.arange(8), labels, np.where(np.isin(np.arange(8), wrong), 1 - labels, labels), sure(labels, wrong)
        )
        for name, wrong in (("a", [4, 5, 6, 7]), ("b", [0, 4]))
    ]
    content = gallery(shown, shown[0], np.zeros((8, 4, 4, 3), np.uint8), ["cat", EVIL])
    page = render_study(report([run()], figures=[], mistakes=as_json(content)))
    return written(page, tmp_path_factory.mktemp("gallery"))


def sure(labels, wrong):
    """Errors are the surer the later their image."""
    said = np.where(np.isin(np.arange(8), wrong), 1 - labels, labels)
    return np.where(
        np.eye(2, dtype=bool)[said], (0.6 + 0.04 * np.arange(8))[:, None], (0.4 - 0.04 * np.arange(8))[:, None]
    )


@pytest.mark.parametrize(("width", "dark"), list(zip(WIDTHS, (True, False), strict=True)))
def test_mistakes_are_listed_filtered_compared_and_opened_by_keyboard(chromium, gallery_page, width, dark):
    watched = Watched(chromium(width=width, dark=dark), gallery_page)
    page = watched.page
    assert [url for url in watched.requests if url.endswith(".js")] == []
    page.get_by_role("link", name="Mistakes").press("Enter")
    tiles, counted = page.locator("#gallery-images button"), page.locator("#gallery-count")
    tiles.first.wait_for()
    assert counted.text_content() == "4 of 8 test images are wrong by a; 4 are shown."
    assert tiles.all_text_contents() == [
        f"{EVIL}→ cat, 88 %",
        f"cat→ {EVIL}, 84 %",
        f"{EVIL}→ cat, 80 %",
        f"cat→ {EVIL}, 76 %",
    ]
    page.get_by_label("Class").select_option("cat")
    assert tiles.count() == 2
    page.get_by_label("Class").select_option("all")
    page.get_by_role("button", name=f"cat taken for {EVIL}: 2").press("Enter")
    assert tiles.count() == 2
    page.get_by_label("Show").select_option("right by the first, wrong by the second")
    assert counted.text_content() == "1 of 8 test images are right by a and wrong by b; 1 is shown."
    page.get_by_label("Show").select_option("wrong by the first, right by the second")
    assert counted.text_content() == "3 of 8 test images are right by b and wrong by a; 3 are shown."
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading").text_content() == "Image 6: labelled cat"
    assert dialog.get_by_role("row").all_text_contents()[1:] == [f"a{EVIL}84 %", "bcat (right)84 %"]
    page.keyboard.press("ArrowLeft")
    assert dialog.get_by_role("heading").text_content() == f"Image 7: labelled {EVIL}"
    page.keyboard.press("Escape")
    assert tiles.first.evaluate("tile => tile === document.activeElement")
    check_page(watched)


def test_a_table_is_sorted_filtered_cut_and_taken_along(chromium, tmp_path):
    rows = [
        run(
            f"variant_{number:02}",
            seed,
            0.5 + 0.01 * ((7 * number) % 10),
            parameters=10 ** (3 + number % 3),
            seconds=50.0 * number,
        )
        for number in range(10)
        for seed in range(2)
    ]
    watched = Watched(chromium(accept_downloads=True), written(render_study(report(rows, figures=[])), tmp_path))
    page = watched.page
    table, tools = (
        page.get_by_role("region", name="Variants"),
        page.get_by_role("group", name="Tools of the table Variants"),
    )
    names = table.locator("tbody tr:visible th")
    table.get_by_role("button", name="Parameters").press("Enter")
    parameters = table.locator("tbody td:nth-last-child(2)").all_text_contents()
    assert parameters == sorted(parameters, key=["1.00 k", "10.0 k", "100 k"].index)
    table.get_by_role("button", name="Time a run").press("Enter")
    table.get_by_role("button", name="Time a run").press("Enter")
    assert names.all_text_contents()[:2] == ["variant_09", "variant_08"]
    tools.get_by_label("Filter").fill("variant_03")
    assert names.all_text_contents() == ["variant_03"]
    assert tools.get_by_role("status").first.text_content() == "1 of 10"
    tools.get_by_text("Columns (").press("Enter")
    tools.get_by_label("Parameters").uncheck()
    assert not table.get_by_role("columnheader", name="Parameters").is_visible()
    with page.expect_download() as begun:
        tools.get_by_role("button", name="Download CSV").press("Enter")
    lines = begun.value.path().read_text(encoding="utf-8").splitlines()
    assert begun.value.suggested_filename == "variants.csv"
    assert len(lines) == 2
    assert "Parameters" not in lines[0]
    assert lines[1].startswith('"variant_03","2"')
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name, start in (("Markdown", "| Variant | n |"), ("LaTeX", "\\begin{tabular}{lr")):
        tools.get_by_role("button", name=f"Copy as {name}").press("Enter")
        tools.get_by_text("Copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").startswith(start)
    assert watched.complaints == []


def test_all_runs_that_a_search_finds_are_taken_along(chromium, tmp_path):
    rows = [run(f"variant_{number:02}", seed) for number in range(20) for seed in range(4)]
    watched = Watched(chromium(accept_downloads=True), written(render_study(report(rows, figures=[])), tmp_path))
    page = watched.page
    page.get_by_role("link", name="Runs").press("Enter")
    page.get_by_text("1 to 50 of 80").wait_for()
    page.get_by_label("Search").fill("variant_1")
    with page.expect_download() as begun:
        page.get_by_role("group", name="Tools of the table All runs").get_by_role("button", name="Download CSV").click()
    assert len(begun.value.path().read_text(encoding="utf-8").splitlines()) == 41
    assert watched.complaints == []
