"""A small part of what `make faults` tries, and that the harness itself notices a loss."""

import random
import shutil
import signal
import time

import pytest
from tests.conftest import without_figures
from tests.faults import kills, odd_sets, page
from tests.faults.comparison import contents, differences, finished_stages
from tests.faults.damage import damaged, judged
from tests.faults.hostile import hostile
from tests.faults.places import PLACES
from tests.faults.projects import STUDY, arguments_of, kill_group, own_folders
from tests.faults.tally import LOST, SKIPPED, SURVIVED, Journal, Trial

from vision_studies.errors import DataError
from vision_studies.studies.stored_runs import find_runs


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_damaged_files_are_read_rightly_or_refused_in_a_sentence(place, tmp_path):
    lost = [trial for trial in damaged(place, tmp_path / "place", tmp_path / "canary") if trial.outcome == LOST]
    assert lost == []


@pytest.mark.slow
def test_hostile_files_are_not_run(tmp_path):
    trials = list(hostile(tmp_path / "hostile", tmp_path / "canary", only=7))
    assert len(trials) > 30
    assert [trial for trial in trials if trial.outcome != SURVIVED] == []


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["cifar_resnet", "stacking", "transfer_cuts", "alphanet"])
def test_a_pipeline_killed_twice_ends_as_if_nothing_had_happened(demo_project, tmp_path, pipeline):
    project = kills.Project(tmp_path / "project")
    shutil.copytree(demo_project.folder, project.folder)
    own = [project.folder / f"data/{layer}/demo+quick/{pipeline}" for layer in ("06_models", "07_model_output")]
    expected = without_clusterings(contents(own, project.folder))
    for folder in own:
        shutil.rmtree(folder)
    arguments = ("run", "--env=demo+quick", f"--pipeline={pipeline}")
    finished = {}
    for seconds, change in ((0.3, 0), (0.0, 60)):  # soon after the first weights, and between two changes on disk
        process = project.start(*arguments, variables=kills.hooked(project, change))
        deadline = time.monotonic() + 200
        while not list(own[0].glob("runs/**/*.safetensors")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if seconds:
            time.sleep(seconds)
            kill_group(process)
        assert process.wait(300) == -signal.SIGKILL, project.output()
        find_runs(project.folder / "data/06_models")
        now = finished_stages(own)
        assert all(now[file] == content for file, content in finished.items())
        finished |= now
    ended = project.run(*arguments, without_figures(pipeline))
    assert ended.code == 0, ended.output
    assert differences(expected, without_clusterings(contents(own, project.folder))) == []
    now = finished_stages(own)
    assert all(now[file] == content for file, content in finished.items())


@pytest.mark.slow
def test_choose_killed_at_ten_random_moments_ends_as_if_nothing_had_happened(tmp_path):
    project = kills.Project.create(tmp_path / "project")
    assert project.run("run", f"--env={STUDY}", "--pipeline=data_prep").code == 0, project.output()
    arguments, own = arguments_of("choose"), own_folders(project.folder, "choose")[:2]
    assert project.run(*arguments).code == 0, project.output()
    expected = contents(own, project.folder)
    moments = random.Random(0)  # noqa: S311 - drawn anew alike, not secret
    killed, has_ended = 0, True
    while killed < 10 or not has_ended:
        if has_ended:  # it begins anew
            for folder in own:
                shutil.rmtree(folder)
            finished = {}
        change = moments.randint(1, 40) if killed < 10 else 0
        code = project.run(*arguments, variables=kills.hooked(project, change)).code
        now = finished_stages(own)
        assert all(now[file] == content for file, content in finished.items())
        finished |= now
        has_ended = code == 0
        killed += not has_ended
        assert code in (0, -signal.SIGKILL), project.output()
        assert not has_ended or differences(expected, contents(own, project.folder)) == []


def without_clusterings(found):
    """`clustering` keeps its own work beside the networks of `transfer_cuts`."""
    return {place: own for place, own in found.items() if "/clusters-" not in place}


@pytest.mark.slow
def test_no_image_is_lost_without_a_word_where_many_things_are_wrong(tmp_path):
    trials = list(odd_sets.odd_sets(tmp_path / "sets", tmp_path / "canary", range(10)))
    assert [trial for trial in trials if trial.outcome != SURVIVED] == []
    assert {trial.subject for trial in trials} == set(odd_sets.FORMS)
    assert sum(trial.told == "read rightly" for trial in trials) > 5


@pytest.mark.slow
def test_an_image_that_no_finding_names_is_noticed(tmp_path, monkeypatch):
    told = odd_sets.findings_of
    monkeypatch.setattr(odd_sets, "findings_of", lambda chosen: [one for one in told(chosen) if not one.files])
    trials = odd_sets.odd_sets(tmp_path / "sets", tmp_path / "canary", range(0, 30, 3))
    lost = [trial for trial in trials if trial.outcome == LOST]
    assert lost
    assert all(trial.told.startswith("lost without a word: [") for trial in lost)


def refuses(message):
    raise DataError(message)


def test_the_harness_tells_what_is_lost(tmp_path):
    canary = tmp_path / "canary"

    def outcome(read, **options):
        return judged("kind", "subject", "fault", read, canary=canary, **options).outcome

    assert outcome(lambda: refuses("a.json is damaged; delete it.")) == SURVIVED
    assert outcome(lambda: refuses("a.json is damaged:\nTraceback")) == LOST
    assert outcome(lambda: {}["key"]) == LOST
    assert outcome(lambda: 1, expected=1, guarded=True) == SURVIVED
    assert outcome(lambda: 2, expected=1, guarded=True) == LOST
    assert outcome(lambda: 1, must_refuse=True) == LOST
    assert outcome(canary.touch, expected=None) == LOST


def test_the_comparison_sees_a_changed_digit_and_not_a_changed_time(tmp_path):
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for folder, accuracy, seconds in zip(folders, (0.5, 0.5, 0.5000000001), (1, 2, 1), strict=True):
        folder.mkdir()
        text = (
            f'{{"rows": [{{"accuracy": {accuracy}, "other": "{{\\"seconds\\": {seconds}}}", "seconds": {seconds}}}]}}'
        )
        (folder / "results.json").write_text(text)
        (folder / ".results.json.half.json").write_text('{"rows"')
    first, second, third = (contents([folder], folder) for folder in folders)
    assert differences(first, second) == []
    assert differences(first, third) == ["results.json differs"]
    assert differences(first, {}) == ["results.json is missing"]


def test_a_stopped_harness_goes_on_where_it_was(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for fault, outcome in (("a", SURVIVED), ("b", LOST), ("b", SURVIVED), ("c", LOST)):
        journal.add(Trial("kill -9", "stacking", fault, outcome, "told"))
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"kind": "kill -9", "sub')
    assert journal.done("kill -9", "stacking") == {"a", "b"}
    journal.add(Trial("full disk", "stacking", "d", SKIPPED, "there is no root"))
    table = page.table(journal.trials(), "1 May 2030")
    assert "| kill -9 | stacking | 3 | 2 | 1 | 1 May 2030 |" in table
    assert "Not tried: full disk, for there is no root." in table


def test_the_page_keeps_what_stands_around_the_table_and_rows_of_what_was_not_tried(tmp_path):
    copy = tmp_path / "faults.md"
    shutil.copy(page.PAGE, copy)
    page.write([Trial("kill -9", "stacking", "a", SURVIVED, ""), Trial("new", "x", "a", LOST, "")], "1 May 2030", copy)
    written = copy.read_text()
    rows = {row[:2]: row[2:] for row in page._ROW.findall(written)}
    before = {row[:2]: row[2:] for row in page._ROW.findall(page.PAGE.read_text())}
    assert [*rows][-1] == ("new", "x")
    assert {key: row for key, row in rows.items() if key[0] not in ("kill -9", "new")} == {
        key: row for key, row in before.items() if key[0] != "kill -9"
    }
    assert {key: row for key, row in rows.items() if key[0] == "kill -9"} == {
        ("kill -9", "stacking"): ("1", "1", "0", "1 May 2030")
    }
    tried = sum(int(row[0]) for row in rows.values())
    assert f"| **all** | | **{tried}** | **{tried - 1}** | **1** | |" in written
    assert page._number(written, page._UNNOTICED) == page._number(page.PAGE.read_text(), page._UNNOTICED)
    assert written.split(page.BEGIN)[0] == page.PAGE.read_text().split(page.BEGIN)[0]
    assert written.split(page.END)[1] == page.PAGE.read_text().split(page.END)[1]
