import base64
import gzip
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from vision_studies.reports.page import ReportFigure
from vision_studies.reports.study_pages import StudyReport, render_study
from vision_studies.reports.tables import same_runs, summary_text
from vision_studies.statistics.comparisons import compare_metrics, compare_variants

VOID = {"meta", "br", "img", "wbr", "link", "input", "hr"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Tags with their attributes, and the text within each kind of tag; open tags must be closed in order."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and not {"script", "style"} & set(self.open):
            self.texts.append(" ".join(data.split()))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(self.texts)


def figure(title="Curves", caption="Loss by epoch.", pipeline="cifar_resnet", words="Two falling lines", width=40):
    return ReportFigure(title, caption, f"{pipeline}/curves.png", width, 20, pipeline, words)


def run(variant="plain", seed=0, accuracy=0.95, **columns):
    return {
        "pipeline": "cifar_resnet",
        "study": "demo",
        "variant": variant,
        "trial": 0,
        "seed": seed,
        "configuration": json.dumps({"model.name": variant, "training.epochs": 5}),
        "validation_accuracy": 0.96,
        "validation_loss": 0.2,
        "test_accuracy": accuracy,
        "test_loss": 0.25,
        "test_calibration_error": 0.012,
        "test_brier": 0.08,
        "parameters": 2_819_370,
        "macs": 417_000_000,
        "seconds": 3173.4,
        "images_per_second": 1234.5,
        "peak_memory_mb": None,
        "status": "complete",
        "reason": None,
    } | columns


def failed(variant="plain", seed=1, reason="training: RuntimeError: out of memory"):
    nothing = dict.fromkeys(
        ("validation_accuracy", "validation_loss", "test_loss", "test_calibration_error", "seconds")
    )
    return run(variant, seed, None, status="failed", reason=reason, **nothing)


def report(rows, **changes):
    results = pd.DataFrame(rows, columns=list(run()) if not rows else None)
    scored = results.dropna(subset=["test_accuracy"])
    baseline = str(scored["variant"].iloc[0]) if len(scored) else ""
    values = {
        "title": "A study",
        "question": "Does it help?",
        "study": "demo",
        "command": "kedro run --env=demo",
        "settings": [("Device", "cpu")],
        "results": results,
        "comparison": compare_variants(scored.assign(value=scored["test_accuracy"].astype(float)), baseline=baseline),
        "figures": [figure()],
        "confidence": 0.95,
    } | changes
    return StudyReport(**values)


def page(rows, **changes):
    return Page(render_study(report(rows, **changes)).html)


THREE_SEEDS = [run("plain", s, 0.950 + 0.001 * s) for s in range(3)] + [
    run("se", s, 0.960 + 0.0011 * s + 0.0002 * s * s) for s in range(3)
]


def test_what_is_seen_first_is_in_the_page_and_all_else_lies_beside_it():
    html, scripts = render_study(report(THREE_SEEDS))
    parsed = Page(html)
    assert [image["src"] for image in parsed.all("img")] == ["cifar_resnet/curves.png", "data:,"]
    assert parsed.all("img")[0]["loading"] == "lazy"
    assert not re.search(r"(https?:)?//[a-z]", html.replace("// ", ""))
    assert not parsed.all("link")
    assert all("src" not in script for script in parsed.all("script"))
    assert [link["href"] for link in parsed.all("a") if not link["href"].startswith("#")] == []
    assert list(scripts) == ["runs"]
    assert len(html) < 60_000


def test_links_within_the_page_resolve():
    parsed = page(THREE_SEEDS)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in parsed.all("a")} <= set(ids)
    labelled = {attributes["aria-labelledby"] for _, attributes in parsed.tags if "aria-labelledby" in attributes}
    assert labelled <= set(ids)


def test_the_page_is_fit_for_screen_readers_and_keyboards():
    parsed = page(THREE_SEEDS)
    assert parsed.all("html")[0]["lang"] == "en"
    assert len(parsed.all("main")) == len(parsed.all("h1")) == len(parsed.all("nav")) == 1
    assert all(header.get("scope") in ("col", "row") for header in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    boxes = [attributes for attributes in parsed.all("div") if attributes.get("class") == "scroll"]
    assert len(boxes) == len(parsed.all("table"))
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)


def test_every_figure_has_alternative_text_its_size_and_a_caption():
    parsed = page(
        [run()],
        figures=[
            figure("A", "Says a.", words="Shows a", width=30),
            figure("B", "b.", "data_prep", words=""),
        ],
    )
    first, second, in_dialog = parsed.all("img")
    assert first["alt"] == "Shows a"
    assert (first["width"], first["height"]) == ("30", "20")
    assert second["alt"] == "B: b."
    assert in_dialog["alt"] == ""
    assert "Says a." in parsed.text


def test_nothing_is_taken_for_markup():
    rows = [
        run(EVIL, 0, configuration=json.dumps({EVIL: EVIL, "protocol": EVIL})),
        failed(EVIL, 1, reason=EVIL),
    ]
    html, scripts = render_study(
        report(
            rows,
            title=EVIL,
            question=EVIL,
            study=EVIL,
            command=EVIL,
            settings=[(EVIL, EVIL)],
            notes=[EVIL],
            figures=[figure(EVIL, EVIL, EVIL, f'"{EVIL}')],
        )
    )
    parsed = Page(html)
    assert [script.get("type") for script in parsed.all("script")] == [None, None]
    assert "alert(1)</script>" not in html
    assert all("alert(1)" not in script for script in scripts.values())  # packed
    assert parsed.text.count("alert(1)") > 8


def test_only_the_page_s_own_style_and_script_may_act():
    policy = next(meta["content"] for meta in page([run()]).all("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 3


def test_variants_have_n_mean_spread_and_interval():
    text = page(THREE_SEEDS).text
    assert "95.10 ± 0.10" in text
    assert "94.85 to 95.35" in text  # 95.1 +- 4.3027 * 0.1 / sqrt(3)
    assert "'se' is 1.04 points above 'plain'" in text
    assert "significant" in text
    assert "Student's paired t test" in text


def test_every_metric_that_was_compared_has_its_interval():
    compared = compare_metrics(pd.DataFrame(THREE_SEEDS), confidence=0.9)
    text = page(THREE_SEEDS, comparison=compared, confidence=0.9).text
    assert "0.2500 ± 0.0000 0.2500 to 0.2500" in text
    assert "1.20 ± 0.00 1.20 to 1.20" in text
    assert text.count("'se' is 1.04 points above 'plain'") == 1


def test_one_run_has_no_interval():
    parsed = page([run()])
    assert "n = 1: no interval" in parsed.text
    assert "plain reaches 95.00 % on the test images in one run" in parsed.text


def test_runs_without_a_result_are_named_with_their_reason():
    rows = [*THREE_SEEDS[:3], run("se", 0, 0.96), failed("se", 1), run("se", 4, None)]
    text = page(rows).text
    assert "se, seed 1: failed (training: RuntimeError: out of memory)" in text
    assert "se, seed 4: trained, not scored on test" in text
    assert "se, seed 2: not run" in text
    assert "plain, seed 4: not run" in text


def test_a_complete_study_has_no_list_of_gaps():
    assert "Runs without a result" not in page(THREE_SEEDS).text


def test_missing_values_print_as_a_dash():
    text = page([failed()]).text
    assert "–" in text
    assert not re.search(r"\b(nan|None|NaT|NA)\b", text)
    assert "No run has been scored on the test images yet." in text


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_every_kind_of_missing_value_is_known(missing):
    text = page([run(peak_memory_mb=missing, images_per_second=missing, reason=missing)]).text
    assert not re.search(r"\b(nan|None|NA)\b|<NA>", text)


def test_absent_columns_are_missing_values():
    assert page([run()]).text == page([run(macs=None, peak_memory_mb=None) | {"macs": 417_000_000}]).text
    narrow = report([run()])
    without = pd.DataFrame([run()]).drop(columns=["macs", "test_brier", "reason", "peak_memory_mb"])
    assert "plain" in Page(render_study(report([run()], results=without, comparison=narrow.comparison)).html).text


def test_a_study_without_runs_is_a_page():
    parsed = page([], figures=[])
    assert "No run has been scored on the test images yet." in parsed.text
    assert "No figures have been drawn." in page([run()], figures=[]).text


def test_protocols_and_mocks_are_labelled_in_tables_figures_and_text():
    rows = [run(), run("old", configuration=json.dumps({"run.protocol": "published", "data.mock": True}))]
    parsed = page(rows)
    assert parsed.texts.count("protocol: published") == 4  # heading, variants, figure, runs
    assert len([span for span in parsed.all("span") if span.get("class") == "label"]) == 8  # and as often `mock`
    assert "old [protocol: published] [mock]" in summary_text(pd.DataFrame(rows))


def test_what_variants_differ_in_is_shown_apart():
    parsed = page(THREE_SEEDS)
    differing, common = parsed.text.split("All other settings (1)")
    assert '"plain" "se"' in differing.split("What the variants differ in (1)")[1]
    assert "epochs" in common


def test_pipelines_and_trials_are_told_apart_where_there_are_several():
    rows = [run(), run(pipeline="stacking"), run(seed=1, trial=7)]
    text = page(rows, comparison=report([run()]).comparison).text
    assert "Pipeline" in text
    assert "Trial" in text
    assert "Pipeline" not in page([run()]).text


def test_views_of_are_listed():
    text = page([run(other_metrics=json.dumps({"test_accuracy_views_16": 0.953, "test_accuracy_views_8": 0.952}))]).text
    assert "8: 95.20 %; 16: 95.30 %" in text


def test_the_summary_is_a_plain_table_with_what_follows():
    study = report([*THREE_SEEDS, failed("se", 3)])
    lines = summary_text(study.results, study.comparison).splitlines()
    assert "95 % interval" in lines[0]
    assert lines[2].split()[:3] == ["plain", "3", "95.10"]
    assert "94.85 to 95.35 %" in lines[2]
    text = "\n".join(lines)
    assert "'se' is 1.04 points above 'plain'" in text
    assert "Missing: se, seed 3: failed (training: RuntimeError: out of memory)." in text
    assert "Missing: plain, seed 3: not run." in text


def test_answers_of_a_pipeline_take_the_place_of_its_comparisons():
    answers = {"cifar_resnet": ["It helps <b>much</b>."]}
    study = report(THREE_SEEDS)
    by_pipeline = study.comparison.assign(pipeline="cifar_resnet")
    parsed = page(THREE_SEEDS, conclusions=answers, comparison=by_pipeline)
    assert "It helps <b>much</b>." in parsed.texts
    assert "points above" not in parsed.text
    text = summary_text(study.results, by_pipeline, answers)
    assert "It helps <b>much</b>." in text
    assert "points above" not in text
    assert "'se' is" in summary_text(study.results, by_pipeline, {"mlp_transfer": ["Another answer."]})


def test_the_summary_takes_results_alone_and_says_when_there_are_none():
    assert "95.00 %" in summary_text(pd.DataFrame([run()]))
    assert summary_text(pd.DataFrame(columns=list(run()))) == "There are no runs yet."


def unpacked(rows):
    script = render_study(report(rows)).scripts["runs"]
    name, data = json.loads(f"[{script.strip().removeprefix('visionStudies(').removesuffix(');')}]")
    assert name == "runs"
    return json.loads(gzip.decompress(base64.b64decode(data)))


def test_the_first_runs_stand_in_the_page_and_a_script_knows_all_of_them():
    few = page(THREE_SEEDS)
    assert "Every run of the study." in few.text
    rows = [run(f"cut {number}", seed, 0.5 + number / 100) for number in range(15) for seed in range(7)]
    many = page(rows)
    assert "The first 50 of 105 runs" in many.text
    headings = [attributes for attributes in many.all("th") if attributes.get("scope") == "row"]
    # A row for each variant and its difference to the first, for each run shown, for what each differs in, one in common.
    assert len(headings) == 15 + 14 + 50 + 15 + 1
    data = unpacked(rows)
    assert len(data["runs"]) == 105
    assert len(data["configurations"]) == 15
    last = data["runs"][-1]
    assert (last["name"], last["sort"][1]) == ("cut 14", 6)
    assert dict(data["configurations"][last["configuration"]]) == {"model.name": "cut 14", "training.epochs": "5"}
    assert len(last["cells"]) == len(data["columns"]) == len(last["sort"]) - 1


def test_all_that_is_known_of_a_run_is_kept_for_its_dialog():
    rows = [run(other_metrics=json.dumps({"test_few": 0.25}), run_fingerprint="f00", test_brier=0.125)]
    more = dict(unpacked(rows)["runs"][0]["more"])
    assert more == {"Brier score": "0.125", "Fingerprint": "f00", "Validation loss": "0.2", "test_few": "0.25"}


def test_each_pipeline_has_its_own_section_with_its_answer():
    rows = [*THREE_SEEDS, run("stack", pipeline="stacking")]
    compared = compare_metrics(pd.DataFrame(rows))
    parsed = page(
        rows, comparison=compared, pipelines={"stacking": "Stacked networks", "cifar_resnet": "Residual networks"}
    )
    titles = [link for link in parsed.texts if link in ("Stacked networks", "Residual networks")]
    assert titles == ["Stacked networks", "Residual networks"] * 3  # navigation, answers, sections
    alone = page(THREE_SEEDS, pipelines={"cifar_resnet": "Residual networks"})
    assert "Residual networks" not in alone.text


def test_how_far_probabilities_can_be_trusted_stands_in_a_table_of_its_pipeline():
    rows = [
        {"Variant": "plain", "Probabilities": name, "AURC": "0.0100 (0.0080 to 0.0120)"}
        for name in ("as it says", "vector")
    ]
    parsed = page([run()], reliability={"cifar_resnet": rows, "stacking": rows})
    assert parsed.text.count("0.0100 (0.0080 to 0.0120)") == 2
    assert "Variant Probabilities AURC" in parsed.text
    assert "How far probabilities can be trusted" not in page([run()]).text


def test_long_answers_are_folded_but_all_there():
    sentences = [f"Sentence {number}." for number in range(9)]
    parsed = page([run()], conclusions={"cifar_resnet": sentences})
    assert "5 more" in parsed.texts
    assert set(sentences) <= set(parsed.texts)


def test_what_a_study_changes_in_the_base_configuration_is_listed():
    parsed = page([run()], differences=[("data_prep.source", '"cifar10"', '"digits"')])
    assert 'source "cifar10" "digits"' in parsed.text


def test_what_has_the_same_runs_under_two_names_is_shown_once():
    rows = [run("baseline", seed, 0.9, run_fingerprint=f"{seed}") for seed in range(2)]
    rows += [run("FR, cut 0", seed, 0.9, run_fingerprint=f"{seed}") for seed in range(2)]
    rows += [run("FR, cut 1", seed, 0.91, run_fingerprint=f"b{seed}") for seed in range(2)]
    parsed = page(rows)
    assert parsed.text.count("the same runs as FR, cut 0") == 1
    assert "'FR, cut 0' is" not in parsed.text
    assert same_runs(pd.DataFrame(rows).to_dict("records")) == {"FR, cut 0": "baseline"}
