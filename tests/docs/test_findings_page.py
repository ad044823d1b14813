"""Results that are kept beside the documentation, and the pages that are made of them."""

import json
import shutil
from dataclasses import asdict, replace

import pytest
from scripts.docs_tools.findings import PAGE, STUDIES, all_results, findings_page, studies_page
from scripts.docs_tools.record_result import (
    LARGEST_FIGURE,
    RESULTS,
    Answer,
    Result,
    Standing,
    main,
    read_result,
    result_of,
    write_result,
)

from vision_studies.errors import DataError

STUDY = "resnet_se+hour"


def standing(name, value, difference=None, says=None) -> dict:
    estimate = {"value": value, "low": value - 0.01, "high": value + 0.01, "seeds": 3, "images": 10_000}
    between = (
        {"value": difference, "low": difference - 0.002, "high": difference + 0.002, "says": says} if says else None
    )
    return {"candidate": {"name": name, "pipeline": "cifar_resnet"}, "estimate": estimate, "difference": between}


@pytest.fixture
def project(tmp_path):
    """A project in which a study has ended, as far as a result is made of it."""
    import pandas as pd

    reports, outputs = (tmp_path / f"data/{layer}/{STUDY}" for layer in ("08_reporting", "07_model_output"))
    (reports / "run_records").mkdir(parents=True)
    (reports / "cifar_resnet").mkdir()
    (outputs / "cifar_resnet").mkdir(parents=True)
    best, other = standing("squeeze", 0.87), standing("plain", 0.86, -0.01, "worse")
    answer = {
        "images": "cifar10 (12ab)",
        "condition": "",
        "measure": "accuracy",
        "best": best,
        "standings": [best, other],
    }
    verdict = {
        "title": "Squeeze",
        "question": "Does it help?",
        "sentences": ["Take 'squeeze'."],
        "answers": [answer],
        "missing": [],
        "rehearsal": False,
        "confidence": 0.95,
    }
    record = {
        "status": "complete",
        "started_at": "2026-01-01T10:00:00+00:00",
        "finished_at": "2026-01-01T10:30:00+00:00",
        "versions": {"vision-studies": "0.1.0", "torch": "2.13", "numpy": "2.4"},
        "processor": "a processor",
        "git_commit": "0123456789",
        "command_line_parameters": {"data_prep": {"source": "/somewhere"}, "cifar_resnet": {"seeds": [0, 1, 2]}},
    }
    later = {**record, "versions": {**record["versions"], "vision-studies": "9.2.0"}}
    for name, content in (("verdict", verdict), ("run_records/1", record), ("run_records/2", later)):
        (reports / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    said = ["Cannot tell 'a' from 'b'.", "'squeeze' is better than 'plain' by 1 point."]
    (reports / "cifar_resnet/conclusions.json").write_text(json.dumps(said), encoding="utf-8")
    (reports / "cifar_resnet/comparison.svg").write_text("<svg/>", encoding="utf-8")
    pd.DataFrame({"seconds": [60.0, 120.0]}).to_parquet(outputs / "cifar_resnet/results.parquet")
    return tmp_path


def test_a_result_has_what_the_study_said_and_how_it_was_found(project):
    result = result_of(project, STUDY)
    assert result.sentences[result.lead] == "'squeeze' is better than 'plain' by 1 point."
    assert result.is_told
    assert (result.wall_minutes, result.run_minutes) == (60.0, 3.0)
    assert result.versions["vision-studies"] == "0.1.0, 9.2.0"  # both are named
    assert result.changed == {"cifar_resnet.seeds": [0, 1, 2]}  # and nothing of where files lie
    (answer,) = result.answers
    assert [(each.name, each.value, each.difference, each.seeds, each.images) for each in answer.standings] == [
        ("squeeze", 0.87, None, 3, 10_000),
        ("plain", 0.86, -0.01, 3, 10_000),
    ]
    assert not result_of(project, STUDY, lead=0).is_told


def test_of_a_command_that_was_killed_nobody_knows_how_long_it_took(project):
    killed = project / f"data/08_reporting/{STUDY}/run_records/2.json"
    record = json.loads(killed.read_text(encoding="utf-8"))
    del record["finished_at"]
    killed.write_text(json.dumps(record | {"status": "running"}), encoding="utf-8")
    result = result_of(project, STUDY)
    assert (result.killed, result.minutes) == (1, "at least 30")


def test_a_result_is_read_as_it_was_kept_with_its_figures(project, tmp_path):
    result, folder = result_of(project, STUDY), tmp_path / "results"
    file = write_result(project, result, None, folder)
    assert read_result(file) == replace(result, figures=(f"{STUDY}.cifar_resnet.comparison.svg",))
    assert (folder / f"{STUDY}.cifar_resnet.comparison.svg").read_text(encoding="utf-8") == "<svg/>"
    write_result(project, result, [], folder)
    assert [each.name for each in folder.iterdir()] == [f"{STUDY}.json"]


def test_what_cannot_be_kept_is_told(project, tmp_path, capsys):
    with pytest.raises(DataError, match=r"'other' has no verdict"):
        result_of(project, "other")
    with pytest.raises(DataError, match=r"--lead=7 is none of them"):
        result_of(project, STUDY, lead=7)
    large = project / f"data/08_reporting/{STUDY}/cifar_resnet/large.svg"
    large.write_text(" " * (LARGEST_FIGURE + 1), encoding="utf-8")
    for figures in (["cifar_resnet/large"], ["cifar_resnet/none"], ["cifar_resnet/comparison"] * 3):
        with pytest.raises(DataError, match=r"--figures"):
            write_result(project, result_of(project, STUDY), figures, tmp_path / "results")
    verdict = project / f"data/08_reporting/{STUDY}/verdict.json"
    verdict.write_text(
        verdict.read_text(encoding="utf-8").replace('"rehearsal": false', '"rehearsal": true'), encoding="utf-8"
    )
    with pytest.raises(SystemExit):
        main([STUDY, f"--project={project}"])
    assert "is a rehearsal" in capsys.readouterr().err
    broken = tmp_path / "broken.json"
    shutil.copyfile(large, broken)
    with pytest.raises(DataError, match=r"broken\.json is no result"):
        read_result(broken)


def of(study, sentence, difference=0.01, version="9.2.0") -> Result:
    chosen = Standing("a", "p", 0.9, 0.89, 0.91, None, None, None, None, 3, 10_000)
    other = Standing(
        "b", "p", 0.9, 0.88, 0.9, -difference, -difference - 0.001, -difference + 0.001, "worse", 3, 10_000
    )
    answer = Answer("cifar10 (12ab)", "", "accuracy", "a", (chosen, other))
    versions = {"vision-studies": version, "torch": "2.13", "numpy": "2.4"}
    return Result(
        study, study, "?", (sentence,), 0, (answer,), (), False, 0.95, {}, "cpu", versions, None, 59.6, 50.0, ()
    )


def test_the_page_begins_with_what_is_surest_and_ends_with_all():
    results = [of("resnet_se+hour", "Little."), of("speedrun", "Much.", 0.1, "0.1.0"), of("seed_study", "Cannot tell.")]
    page = findings_page(results)
    useful, untold = page.split("## What we could not find")
    assert useful.index("Much.") < useful.index("Little.")
    assert "Cannot tell." not in useful
    assert "Cannot tell." in untold
    assert "`+hour`; 10,000 test images, 3 seeds; 60 min; version 9.2.0" in useful
    assert "full size; 10,000 test images, 3 seeds; 60 min; version 0.1.0" in useful
    assert page.count("| 90.0 % | 89.0 to 91.0 % |") == 6  # in the table of all, and in each study's own
    assert "-10.0 (-10.1 to -9.9) | worse" in page


def test_at_most_ten_sentences_come_first():
    results = [of(f"study_{place}", f"Sentence {place}.", 0.01 * place) for place in range(1, 13)]
    useful = findings_page(results).split("## What we could not find")[0]
    assert useful.count("- **") == 10
    assert "Sentence 1." not in useful


def test_a_row_of_the_studies_ends_with_its_results_and_others_stay():
    rows = [
        "| `kedro run --env=resnet_se` | it? | 28 h | no result yet |",
        "| `kedro run --env=speedrun` | and it? | 1 h | 88 % |",
    ]
    text = "\n".join(rows)
    once = studies_page([of("resnet_se", "A|B."), of("resnet_se+hour", "C.")], text)
    first, second = once.splitlines()
    assert second == text.splitlines()[1]
    assert first.startswith("| `kedro run --env=resnet_se` | it? | 28 h | A\\|B. [full size; ")
    assert "C. [`+hour`; " in first
    assert studies_page([of("resnet_se", "A|B."), of("resnet_se+hour", "C.")], once) == once


def test_the_pages_are_those_of_the_files():
    results = all_results()
    assert PAGE.read_text(encoding="utf-8") == findings_page(results)
    page = STUDIES.read_text(encoding="utf-8")
    assert studies_page(results, page) == page
    for result in results:
        assert (
            json.loads((RESULTS / f"{result.study}.json").read_text(encoding="utf-8"))["study"]
            == asdict(result)["study"]
        )
        assert not result.rehearsal
        assert len(result.figures) <= 2
        assert all((RESULTS / name).stat().st_size <= LARGEST_FIGURE for name in result.figures)
    kept = {file.name for file in RESULTS.glob("*.svg")}
    assert kept == {name for result in results for name in result.figures}
