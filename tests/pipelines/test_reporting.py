import html
import io
import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.study import ReportingSettings, StudySettings
from vision_studies.data.checks.findings import Finding
from vision_studies.errors import DataError
from vision_studies.pipelines.reporting.nodes import compare_studies, report_studies
from vision_studies.pipelines.reporting.study import (
    StudyFolders,
    describe_setting,
    differences_from_base,
    find_studies,
    image_source,
    network_name,
)
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.question import earlier_questions
from vision_studies.studies.results import SCHEMA, validate_results, write_results
from vision_studies.versions import Versions

SETTINGS = ReportingSettings(confidence=0.95, interval="t", test="t", margin=0.01, calibration=("temperature",))


def named(name, **changes):
    return StudySettings(**({"name": name, "title": "A study", "question": "Why?"} | changes))


def rows(study="demo", pipeline="cifar_resnet", variants=("plain", "wide"), **columns):
    return [
        {
            "pipeline": pipeline,
            "study": study,
            "variant": variant,
            "trial": 0,
            "seed": seed,
            "configuration": json.dumps({"model.name": variant}),
            "validation_accuracy": 0.8 + 0.1 * number,
            "test_accuracy": 0.7 + 0.1 * number + 0.01 * seed,
            "parameters": 1000 * (number + 1),
            "seconds": 2.0,
            "status": "complete",
            "run_fingerprint": f"f{number}{seed}",
            "configuration_hash": f"c{number}",
            "data_fingerprint": "d1d1d1d1",
            "finished_at": "2026-01-02T10:00:00+00:00",
        }
        | columns
        for number, variant in enumerate(variants)
        for seed in range(3)
    ]


def png():
    file = io.BytesIO()
    Image.new("RGB", (40, 20), "white").save(file, "png")
    return file.getvalue()


@pytest.fixture
def house(tmp_path):
    """Folders of outputs and of reports, and a function that stores a study in them."""

    class House:
        outputs, reports = tmp_path / "outputs", tmp_path / "reports"

        def study(self, name):
            return StudyFolders(name, self.outputs / name, self.reports / name)

        def store(self, name="demo", pipeline="cifar_resnet", **columns):
            folder = self.outputs / name / pipeline
            folder.mkdir(parents=True, exist_ok=True)
            study = columns.pop("study", name)
            write_results(validate_results(pd.DataFrame(rows(study, pipeline, **columns))), folder / "results.parquet")
            return folder / "results.parquet"

        def record(self, name="demo", number=0, **parts):
            folder = self.reports / name / "run_records"
            folder.mkdir(parents=True, exist_ok=True)
            study = {"name": name, "title": f"Title of {name}", "question": "Why?"}
            record = {"parameters": {"study": study, "data_prep": {"source": "digits"}}} | parts
            (folder / f"{number}.json").write_text(json.dumps(record))

        def report(self, name="demo", **changes):
            return report_studies(named(name, **changes), SETTINGS, self.outputs, self.reports)

        def write_pages(self, pages):
            for name, page in pages.items():
                (self.reports / name).mkdir(parents=True, exist_ok=True)
                (self.reports / name / "report.html").write_text(page, encoding="utf-8")

    (tmp_path / "outputs").mkdir()
    (tmp_path / "reports").mkdir()
    return House()


def test_results_of_all_pipelines_are_collected(house):
    house.store()
    house.store(pipeline="stacking")
    assert house.study("demo").results()["pipeline"].unique().tolist() == ["cifar_resnet", "stacking"]


def test_no_results_say_what_to_run(house):
    with pytest.raises(DataError, match=r"no results in .*demo yet; run a pipeline of this study first.*--env=demo"):
        house.study("demo").results()


def test_a_truncated_table_is_named(house):
    file = house.store()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"results.parquet cannot be read .*run its pipeline again"):
        house.study("demo").results()


def test_results_of_an_older_schema_are_named_with_both_versions(house):
    file = house.store()
    older = pa.Table.from_pandas(pd.read_parquet(file), schema=SCHEMA.with_metadata({"schema_version": "0"}))
    pq.write_table(older, file)
    with pytest.raises(
        DataError, match=r"results.parquet has version 0 of the schema and this project reads version 1"
    ):
        house.study("demo").results()
    table = pd.read_parquet(file).rename(columns={"macs": "flops"})
    table.to_parquet(file)
    with pytest.raises(DataError, match=r"results.parquet: .*unknown columns \['flops'\]"):
        house.study("demo").results()


def test_a_study_in_the_folder_of_another_is_refused(house):
    house.store("copy", study="demo")
    with pytest.raises(
        DataError, match=r"holds runs of the study 'demo' but lies in the folder of 'copy'.*move the folder"
    ):
        house.study("copy").results()


def test_the_newest_version_of_every_figure_is_taken_and_a_missing_one_is_named(house):
    for name in ("cifar_resnet/comparison.png", "stacking/parts.png"):
        for version in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
            with Versions.of_file(house.reports / "demo" / name).save(version) as folder:
                (folder / Path(name).name).write_bytes(png())
    (house.reports / "demo/stacking/parts.png").unlink()
    earlier_release = house.reports / "demo/cifar_resnet/learning_curves.png"
    for version in ("2025-01-01T00.00.00.000Z", "2025-01-02T00.00.00.000Z"):
        (earlier_release / version).mkdir(parents=True)
        (earlier_release / version / "learning_curves.png").write_bytes(png())
    figures, missing = house.study("demo").figures()
    addresses = {figure.address for figure in figures}
    of_earlier = "cifar_resnet/learning_curves.png/2025-01-02T00.00.00.000Z/learning_curves.png"
    assert addresses == {"cifar_resnet/comparison.png", of_earlier}
    assert {(figure.width, figure.height) for figure in figures} == {(26, 13)}  # 150 dots an inch
    assert {figure.pipeline for figure in figures} == {"cifar_resnet"}
    assert len(missing) == 1
    assert "'Stacks and their parts' is missing, " in missing[0]
    assert "run `stacking` again" in missing[0]


def test_a_figure_that_is_no_picture_is_named_with_its_file(house):
    house.store()
    (house.reports / "demo/cifar_resnet").mkdir(parents=True)
    (house.reports / "demo/cifar_resnet/comparison.png").write_bytes(b"GIF89a")
    with pytest.raises(
        DataError, match=r"is not a PNG file: .*demo/cifar_resnet/comparison.png; delete the file and run"
    ):
        house.report()


def test_answers_are_collected_by_pipeline_and_a_damaged_file_is_named(house):
    (house.reports / "demo/mlp_transfer").mkdir(parents=True)
    file = house.reports / "demo/mlp_transfer/conclusions.json"
    file.write_text('["It does.", "It costs."]')
    assert house.study("demo").conclusions() == {"mlp_transfer": ["It does.", "It costs."]}
    file.write_text("[")
    with pytest.raises(DataError, match=r"conclusions.json cannot be read"):
        house.study("demo").conclusions()


def test_damaged_records_stop_nothing(house):
    house.record(number=1, started_at="later")
    house.record(number=0, started_at="earlier")
    (house.reports / "demo/run_records/2.json").write_text("{")
    assert [record["started_at"] for record in house.study("demo").records] == ["earlier", "later"]


def test_the_setting_says_what_the_study_was_run_on(house):
    house.record(processor="A processor (2 cores)", gpus=["A GPU"])
    results = validate_results(pd.DataFrame(rows(device="cuda", versions=json.dumps({"torch": "2.13.0"}))))
    setting = dict(describe_setting(results, house.study("demo").records))
    assert setting["Images"] == "digits"
    assert setting["Device"] == "cuda, A GPU"
    assert setting["Processor"] == "A processor (2 cores)"
    assert setting["Training time"] == "12.0 s over 6 runs"
    assert setting["Versions"] == "torch 2.13.0"


def test_classes_are_named_from_the_newest_data_card(house):
    versions = (f"2026-01-0{day}T10.00.00.000Z" for day in (1, 2))
    for version, names in zip(versions, (["old"], [f"class {number}" for number in range(40)]), strict=True):
        folder = house.reports / "demo/data_prep/data_card.json" / version
        folder.mkdir(parents=True)
        card = {"class_names": names, "fingerprint": "f", "splits_fingerprint": "s"}
        (folder / "data_card.json").write_text(json.dumps(card))
    house.store()
    page = house.report()[1]["demo"]
    assert "40: class 0, class 1" in page
    assert "class 29 and 10 more" in page
    (folder / "data_card.json").write_text("{}")
    with pytest.raises(DataError, match=r"data_card.json cannot be read .*run data_prep again"):
        house.report()


def test_what_is_doubtful_of_the_images_stands_beside_every_result(house):
    shown = [
        Finding("few_images", "1 class of few images: 'cat' has 2 to test."),
        Finding("copies_with_two_labels", "2 pictures stand in two classes.", ("cat/1.png", "dog/1.png")),
    ]
    findings = [*shown, Finding("turned", "7 photographs are turned upright.")]
    card = house.reports / "demo/data_prep/data_card.json"
    card.parent.mkdir(parents=True)
    content = {"class_names": ["cat", "dog"], "fingerprint": "f", "splits_fingerprint": "s"}
    card.write_text(json.dumps(content | {"findings": [finding.to_json() for finding in findings]}))
    house.store("demo")
    _, pages, *_, summary = house.report("demo")
    page = html.unescape(pages["demo"])
    answer, results = page.split('<h3 id="doubts">')[1].split("Doubtful of the images behind these results", maxsplit=1)
    assert '<a href="#doubts">2 findings</a>' in results
    for finding in shown:  # what was accepted although it is wrong, too
        assert finding.message in answer
        assert f"Doubtful of the images: {finding.message}" in summary
    assert "turned upright" not in page + summary
    _, index, *_ = compare_studies(named("demo"), SETTINGS, house.outputs, house.reports, {})
    assert "2 doubtful of its images" in index


@pytest.mark.parametrize(("folds", "told"), [({}, False), ({"folds": 5}, True)])
def test_a_pipeline_that_keeps_one_split_of_images_in_folds_is_told(house, folds, told):
    card = house.reports / "demo/data_prep/data_card.json"
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"class_names": ["cat", "dog"], "fingerprint": "f", "splits_fingerprint": "s"} | folds))
    demo = StudyConfigLoader(ROOT / "conf", "demo", {}, **CONFIG_LOADER_ARGS)["parameters"]
    house.store("demo")
    house.record("demo", parameters=demo, namespaces=["cifar_resnet", "alphanet"], status="complete")
    reason = "alphanet is not cross-validated, for it takes features and classifiers from one division of the images."
    assert house.study("demo").not_in_folds == ([reason] if told else [])


@pytest.mark.parametrize(
    ("own", "of_classes", "told"),
    [(True, [150, 149], True), (True, [300, 9], True), (True, [150, 150], False), (False, [10, 10], False)],
)
def test_a_small_test_split_of_the_source_s_own_is_told(house, own, of_classes, told):
    card = house.reports / "demo/data_prep/data_card.json"
    card.parent.mkdir(parents=True)
    content = {"class_names": ["cat", "dog"], "fingerprint": "f", "splits_fingerprint": "s"}
    card.write_text(json.dumps(content | {"own_test_split": own, "counts": {"test": of_classes}}))
    said = house.study("demo").small_test_split
    assert said == house.study("demo").left_out
    assert bool(said) == told
    assert all(f"{sum(of_classes)} images, {min(of_classes)} of the smallest class" in one for one in said)


def test_image_sources_have_short_names():
    def record(source):
        return {"parameters": {"data_prep": {"source": source}}}

    assert image_source([record("digits"), record("/home/me/photos/")]) == "photos"
    assert image_source([record(["mnist", "/data/fashion_mnist"])]) == "mnist + fashion_mnist"
    assert image_source([]) == ""


@pytest.mark.parametrize(
    ("pipeline", "configuration", "name"),
    [
        ("cifar_resnet", {"model.name": "resnet_small", "training.epochs": 5}, "resnet_small"),
        ("clustering", {"network.name": "convnet", "network.channels": [4]}, "convnet"),
        ("mlp_transfer", {"widths": [24, 24]}, "perceptron 24x24"),
        (
            "stacking",
            {"method": "network", "learner.model.name": "torchvision", "learner.model.network": "resnet18"},
            "resnet18",
        ),
        (
            "stacking",
            {"method": "joint", "base_learners": [{"model": {"name": n}} for n in "aba"]},
            "stack of 2 × a + b",
        ),
        (
            "stacking",
            {"method": "combination", "rule": "average", "members": [{"learner": {"model": {"name": "a"}}}] * 2},
            "2 × a together",
        ),
        ("alphanet", {"classifier.name": "crt"}, "classifier trained anew on balanced images (cRT)"),
    ],
)
def test_networks_are_called_as_the_list_of_models_calls_them(pipeline, configuration, name):
    assert network_name(pipeline, json.dumps(configuration)) == name


def test_differences_from_base_are_those_of_the_newest_run():
    records = [{"differences_from_base": {"a": [1, 2]}}, {"differences_from_base": {"b.c": ["x", None]}}, {}]
    assert differences_from_base(records) == [("b.c", '"x"', "null")]
    assert differences_from_base([{}]) == []


def command(epochs=4, status="complete", namespaces=("cifar_resnet", "reporting"), number=0, **parts):
    """Record of a command."""
    day = f"2026-01-0{number + 1}T"
    record = {"parameters": {"cifar_resnet": {"epochs": epochs}, "data_prep": {"source": "digits"}}, "selection": {}}
    record |= {"status": status, "namespaces": [*namespaces], "started_at": f"{day}10:00:00+00:00"}
    return record | {"finished_at": f"{day}11:00:00+00:00"} | parts


REPORT = {"namespaces": ["reporting"]}
OTHER = "of other parameters (cifar_resnet.epochs)"
CASES = {
    "one command": ([{}], None),
    "the same again": ([{}, {}], None),
    "only the report, as before": ([{}, REPORT], None),
    "only the report, with other parameters": ([{}, {"epochs": 12} | REPORT], OTHER),
    "another pipeline's parameters": (
        [
            {},
            REPORT
            | {"parameters": {"cifar_resnet": {"epochs": 4}, "data_prep": {"source": "digits"}, "stacking": {"a": 1}}},
        ],
        None,
    ),
    "done anew": ([{}, {"epochs": 12}], None),
    "done anew and asked for as before": ([{}, {"epochs": 12}, REPORT], OTHER),
    "stopped while it was done anew": ([{}, {"epochs": 12, "status": "interrupted"}, {"epochs": 12} | REPORT], OTHER),
    "killed while it was done anew": ([{}, {"epochs": 12, "status": "running"}, {"epochs": 12} | REPORT], OTHER),
    "stopped in the same": ([{}, {"status": "failed"}, REPORT], None),
    "stopped the first time": ([{"status": "failed"}, REPORT], None),
    "a part was done anew": ([{}, {"epochs": 12, "selection": {"tags": ["report"]}}, {"epochs": 12} | REPORT], OTHER),
    "a part was done, then all": ([{"epochs": 12, "selection": {"tags": ["report"]}}, {}, REPORT], None),
    "all that an environment names": (
        [{}, {"epochs": 12, "namespaces": ["cifar_resnet", "data_prep", "stacking"]}],
        None,
    ),
    "other images by parameters": (
        [{}, REPORT | {"parameters": {"cifar_resnet": {"epochs": 4}, "data_prep": {"source": "mnist"}}}],
        "of other parameters (data_prep)",
    ),
    "records of an earlier version": (
        [{"pipelines": ["__default__"]}, {"epochs": 12, "pipelines": ["reporting"]}],
        OTHER,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_results_belong_to_the_question_of_the_newest_command_or_are_told_not_to(case):
    commands, reason = CASES[case]
    records = [command(**{"number": number} | parts) for number, parts in enumerate(commands)]
    for record in records:
        if "pipelines" in record:
            del record["namespaces"]
    assert earlier_questions(records).get("cifar_resnet") == reason
    assert set(earlier_questions(records)) <= {"cifar_resnet"}


def test_a_parameter_that_an_earlier_version_did_not_know_changes_no_question():
    base = yaml.safe_load((ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8"))["cifar_resnet"]
    records = [command(number=number) for number in range(2)]
    for record in records:
        record["parameters"]["cifar_resnet"] = deepcopy(base)
    del records[0]["parameters"]["cifar_resnet"]["run"]["randomness"]
    records[1]["namespaces"] = ["reporting"]
    assert earlier_questions(records) == {}
    records[1]["parameters"]["cifar_resnet"]["run"]["randomness"]["order"] = 0
    assert "cifar_resnet.run.randomness.order" in earlier_questions(records)["cifar_resnet"]


def test_a_command_that_reports_in_the_end_has_done_its_pipelines():
    records = [command(), command(12, "running", number=1)]
    assert earlier_questions(records) == {"cifar_resnet": OTHER}
    assert earlier_questions(records, running=True) == {}


def test_images_that_were_prepared_after_a_pipeline_are_told():
    before, between, after = (datetime(2026, 1, day, 10, 30, tzinfo=UTC) for day in (1, 2, 3))
    records = [command(), command(namespaces=["data_prep", "reporting"], number=2)]
    assert earlier_questions(records, [(before, "photos")]) == {}
    assert earlier_questions(records, [(before, "photos"), (after, "photos")]) == {}
    assert earlier_questions(records, [(before, "photos"), (between, "more")]) == {"cifar_resnet": "of other images"}
    assert earlier_questions(records, [(after, "photos")]) == {}  # earlier cards were deleted


def test_what_answers_an_earlier_question_is_in_no_table_figure_or_sentence_and_named(house):
    house.store()
    house.store(pipeline="mlp_transfer", variants=("stack",), configuration=json.dumps({"widths": [8]}))
    for pipeline in ("cifar_resnet", "mlp_transfer"):
        folder = house.reports / f"demo/{pipeline}"
        for name in ("comparison", "slices"):
            (folder / f"{name}.png/v1").mkdir(parents=True)
            (folder / f"{name}.png/v1/{name}.png").write_bytes(png())
        (folder / "conclusions.json").write_text(json.dumps([f"The answer of {pipeline}."]))
        history = {"epoch": [1, 2], "run": "r", "variant": "v", "seed": 0, "validation_accuracy": [0.5, 0.8]}
        pd.DataFrame(history).to_parquet(house.outputs / f"demo/{pipeline}/histories.parquet")
    house.record(**command(namespaces=["cifar_resnet", "mlp_transfer"]))
    house.record(number=1, **command(12, **REPORT, number=1))
    study = house.study("demo")
    assert study.results()["pipeline"].unique().tolist() == ["mlp_transfer"]
    assert list(study.conclusions()) == list(study.charts()) == ["mlp_transfer"]
    assert [figure.pipeline for figure in study.figures()[0]] == ["mlp_transfer"]
    _, pages, markdown, *_, summary = house.report()
    told = f"The results of cifar_resnet in the study 'demo' are {OTHER} than its newest command has"
    assert told in html.unescape(pages["demo"])
    assert told in summary
    assert "The answer of cifar_resnet." not in pages["demo"] + summary
    assert "plain" not in summary + markdown["configuration_comparison"]
    _, index, table, _, _ = compare_studies(named("demo"), SETTINGS, house.outputs, house.reports, {})
    assert told in html.unescape(index)
    assert set(table["pipeline"]) == {"mlp_transfer"}


def test_a_study_of_which_nothing_answers_the_question_is_not_reported(house):
    house.store()
    house.record(**command())
    house.record(number=1, **command(12, **REPORT, number=1))
    with pytest.raises(
        DataError, match=r"Nothing in .* answers the present question: .*--env=demo --pipeline=cifar_resnet"
    ):
        house.report()


def test_the_page_of_the_study_holds_what_its_folders_hold(house):
    house.store()
    house.record(differences_from_base={"cifar_resnet.epochs": [100, 5]})
    (house.reports / "demo/cifar_resnet").mkdir(parents=True)
    (house.reports / "demo/cifar_resnet/comparison.png").write_bytes(png())
    history = pd.DataFrame(
        {"epoch": [1, 2], "run": "r", "variant": "plain", "seed": 0, "validation_accuracy": [0.5, 0.8]}
    )
    history.to_parquet(house.outputs / "demo/cifar_resnet/histories.parquet")
    scripts, pages, markdown, latex, csv, verdict, card, summary = house.report()
    assert list(pages) == ["demo"]
    page = pages["demo"]
    assert "<h1>A study</h1>" in page
    assert page.count("<figure") == 3  # the verdict, a chart and a picture
    assert 'src="cifar_resnet/comparison.png"' in page
    assert sorted(scripts) == ["demo/scripts/chart-1", "demo/scripts/runs", "scripts/plotly"]
    assert scripts["demo/scripts/chart-1"].startswith('visionStudies("chart-1", "{')
    assert "Learning curves, run by run" in page
    assert '"validation_accuracy"' not in page
    assert "What this study changes in the base configuration (1)" in page
    assert "Take 'wide': it names" in summary
    assert verdict["answers"][0]["take"] == "wide"
    assert verdict["sources"] == house.study("demo").fingerprint()
    assert card.startswith("# A study\n")
    for shown in (html.unescape(page), card, verdict["sentences"][1]):  # the first says that the demo is a rehearsal
        assert verdict["headline"].removeprefix("Rehearsal: ") in shown
    assert set(markdown) == set(latex) == set(csv)
    assert "configuration_comparison" in csv


def test_pages_of_other_studies_are_made_when_their_results_are_newer(house):
    house.store("demo")
    house.store("other")
    house.record("other")
    pages = house.report()[1]
    assert sorted(pages) == ["demo", "other"]
    assert "Title of other" in pages["other"]
    house.write_pages(pages)
    assert list(house.report()[1]) == ["demo"]
    house.store("other", seconds=3.0)
    assert sorted(house.report()[1]) == ["demo", "other"]


def test_what_the_report_has_written_itself_makes_no_page_anew(house):
    house.store("demo")
    before = house.study("demo").fingerprint()
    with Versions.of_file(house.reports / "demo/verdict.json").save("2026-01-01T00.00.00.000Z") as folder:
        (folder / "verdict.json").write_text("{}")
    assert house.study("demo").fingerprint() == before


def test_another_study_that_cannot_be_read_stops_no_report_and_is_named(house, caplog):
    house.store("demo")
    file = house.store("broken")
    file.write_bytes(b"PAR1")
    assert list(house.report()[1]) == ["demo"]
    assert "broken has no page: " in caplog.text
    _, index, table, _, _ = compare_studies(named("demo"), SETTINGS, house.outputs, house.reports, {})
    assert "What is not shown" in index
    assert "broken/cifar_resnet/results.parquet cannot be read" in index
    assert set(table["study"]) == {"demo"}


def test_a_damaged_card_of_another_study_stops_no_report_and_is_named(house, caplog):
    house.store("demo")
    house.store("broken")
    house.record("broken")
    card = house.reports / "broken/data_prep/data_card.json"
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    assert list(house.report()[1]) == ["demo"]
    assert "broken has no page: " in caplog.text
    assert "data_card.json cannot be read" in caplog.text


def test_without_results_of_its_own_the_base_configuration_still_reports_on_the_others(house):
    house.store("other")
    _, pages, *tables, verdict, card, summary = house.report("base")
    assert list(pages) == ["other"]
    assert tables == [{}, {}, {}]
    assert verdict["answers"] == []
    assert "Nothing stood beside each other" in card
    assert summary == "The study 'base' has no results of its own."


def test_a_study_asked_for_by_name_must_have_results(house):
    house.store("other")
    with pytest.raises(DataError, match="There are no results in"):
        house.report("missing")


def test_without_any_results_there_is_no_report(house):
    with pytest.raises(DataError, match="There are no results in"):
        house.report("base")


def test_the_page_of_all_studies_compares_what_has_one_set_of_images(house):
    house.store("demo")
    house.store("a+b", variants=("huge",), parameters=10**6, validation_accuracy=0.99)
    for name in ("demo", "a+b"):
        house.record(name)
    _, index, table, markdown, latex = compare_studies(named("demo"), SETTINGS, house.outputs, house.reports, {})
    assert table[["study", "variant", "data", "n"]].values.tolist() == [
        ["demo", "wide", "digits (d1d1d1)", 3],
        ["a+b", "huge", "digits (d1d1d1)", 3],
        ["demo", "plain", "digits (d1d1d1)", 3],
    ]
    assert 'href="a%2Bb/report.html"' in index
    assert "Title of a+b" in index
    assert "Accuracy and cost" in index
    best = markdown.splitlines()[-1]
    assert "huge" in best  # validation chose it, though it is worse on test
    assert "71.00 ± 1.00" in best
    assert r"\toprule" in latex


def test_runs_that_know_only_some_classes_stand_apart(house):
    house.store("demo", configuration=json.dumps({"classes": ["0", "1"]}))
    table = compare_studies(named("demo"), SETTINGS, house.outputs, house.reports, {})[2]
    assert set(table["data"]) == {"images, 2 classes (d1d1d1)"}


def test_a_damaged_table_of_a_chart_is_named(house):
    folder = house.outputs / "demo/cifar_resnet"
    folder.mkdir(parents=True)
    (folder / "histories.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"histories.parquet cannot be read .*delete it and run its pipeline again"):
        house.study("demo").charts()


def test_studies_are_found_by_their_results(house):
    house.store("b")
    house.store("a")
    (house.outputs / "empty").mkdir()
    assert [study.name for study in find_studies(house.outputs, house.reports)] == ["a", "b"]
