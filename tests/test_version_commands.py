"""Earlier results are listed, read, restored and tidied by commands, in a study whose results were saved three times."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.io import Version
from tests.studies.test_results import row
from tests.test_hooks import Run

from vision_studies.catalog import ResultsTableDataset
from vision_studies.cli import cli

STUDY = "demo"
VERSIONS = [f"2026-01-0{day}T00.00.00.000Z" for day in (1, 2, 3)]
RESULTS = "cifar_resnet.results"


@pytest.fixture
def study(project, monkeypatch):
    """A project in whose study the mean accuracy was 0.1, then 0.2, then 0.3."""
    monkeypatch.chdir(project.folder)
    project.results = project.folder / f"data/07_model_output/{STUDY}/cifar_resnet/results.parquet"
    project.comparison = project.folder / f"data/08_reporting/{STUDY}/cifar_resnet/comparison.json"
    for number, version in enumerate(VERSIONS, start=1):
        rows = [
            row(
                study=STUDY,
                variant=name,
                seed=seed,
                validation_accuracy=number / 10,
                test_accuracy=number / 10 + seed / 100,
            )
            for name in ("plain", "wide")
            for seed in (0, 1)
        ]
        ResultsTableDataset(filepath=str(project.results), version=Version(None, version)).save(pd.DataFrame(rows))
    return project


def versions(*arguments, fails=False):
    done = CliRunner().invoke(cli, ["versions", *arguments, f"--env={STUDY}"], catch_exceptions=False)
    assert bool(done.exit_code) == fails, done.output
    return done.output


def accuracy(project):
    rows = json.loads(project.results.with_suffix(".json").read_text())
    assert pd.read_parquet(project.results)["validation_accuracy"].tolist() == [
        row["validation_accuracy"] for row in rows
    ]
    return rows[0]["validation_accuracy"]


def test_versions_are_listed_with_the_newest_marked(study):
    lines = versions("list").splitlines()
    listed = [line.split() for line in lines if RESULTS in line]
    assert [words[1] for words in listed] == VERSIONS[::-1]
    assert [words[2] == "*" for words in listed] == [True, False, False]
    assert all(words[-1] in ("kB", "bytes") for words in listed)
    assert "The study 'demo' has no versions of stacking.results yet" in versions(
        "list", "stacking.results", fails=True
    )


def test_an_earlier_version_becomes_the_newest_and_none_is_lost(study):
    said = versions("restore", RESULTS, VERSIONS[0])
    assert said == f"{study.results} is that of {VERSIONS[0]} again\n"
    assert accuracy(study) == 0.1
    listed = [line.split() for line in versions("list", RESULTS).splitlines() if RESULTS in line]
    assert [words[1] for words in listed[1:]] == VERSIONS[::-1]
    assert listed[0][1] > VERSIONS[2]
    assert ["*" in words for words in listed] == [True, False, False, False]


def test_the_oldest_are_named_and_deleted_when_that_is_asked_for(study):
    said = versions("clean", "--keep=1")
    assert said.splitlines()[:2] == [f"{RESULTS} {version}" for version in VERSIONS[1::-1]]
    assert "2 versions, 0.0 MB: could be deleted; add --delete to do it" in said
    assert "2 versions, 0.0 MB: deleted" in versions("clean", "--keep=1", "--delete")
    assert len(list(study.results.parent.glob(".versions/results.parquet/[!.]*/"))) == 1
    assert accuracy(study) == 0.3


def test_what_is_not_there_is_told_in_a_sentence_and_changes_nothing(study):
    none = "There is no data set '{}' with versions."
    for arguments, told in (
        (
            ["restore", RESULTS, "2020"],
            f"There is no version '2020' of {study.results}; there are {', '.join(VERSIONS[::-1])} (",
        ),
        (
            ["restore", "cifar_resnet.result", "2020"],
            f"{none.format('cifar_resnet.result')} Did you mean 'cifar_resnet.results'?",
        ),
        (["list", "cifar_resnet.histories"], none.format("cifar_resnet.histories")),
    ):
        said = versions(*arguments, fails=True)
        assert said.startswith(f"Error: {told}"), said
        assert len(said.splitlines()) == 1
    assert accuracy(study) == 0.3


def test_a_study_that_is_worked_on_is_left_alone(study):
    at_work = Run(study.folder, STUDY, "1").start()
    for arguments in (["restore", RESULTS, VERSIONS[0]], ["clean", "--keep=1", "--delete"]):
        assert "The study 'demo' is being worked on by process" in versions(*arguments, fails=True)
    assert accuracy(study) == 0.3
    at_work.end()
    versions("restore", RESULTS, VERSIONS[0])


def test_kedros_own_option_reads_an_earlier_version(study):
    def compared(*options, succeeds=True):
        done = study.run("run", "--nodes=cifar_resnet.compare_runs", f"--env={STUDY}", *options, succeeds=succeeds)
        return done.stderr if not succeeds else json.loads(study.comparison.read_text())

    earlier = compared(f"--load-versions={RESULTS}:{VERSIONS[0]}")
    assert accuracy(study) == 0.3
    newest = compared()
    assert newest != earlier
    assert json.dumps(newest).count("0.3") > json.dumps(earlier).count("0.3")
    kept = study.comparison.parent / ".versions/comparison.json"
    assert len(list(kept.glob("[!.]*/"))) == 2
    said = compared(f"--load-versions=no_such:{VERSIONS[0]}", succeeds=False)
    assert said.startswith("Error: --load-versions: there is no data set 'no_such'"), said
    assert json.loads(study.comparison.read_text()) == newest
