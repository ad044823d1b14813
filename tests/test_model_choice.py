"""Which model a study stands for: what its verdict takes, else the best by validation accuracy; and what is said of it."""

import json
from types import SimpleNamespace

import pytest
from tests.statistics.test_verdict import candidate

from vision_studies.cli import model_choice
from vision_studies.cli.model_choice import Wanted, choose_model
from vision_studies.errors import DataError, ParameterError
from vision_studies.reports.verdict import to_json
from vision_studies.statistics.verdict import verdict

RUNS = [("cifar_resnet", "plain", 0, 0.7), ("cifar_resnet", "plain", 1, 0.9)]
RUNS += [("alphanet", "cRT", seed, 0.5 + seed / 10) for seed in range(3)] + [("alphanet", "own", 0, 0.8)]
BEST = "the best by validation accuracy"
OF_PLAIN = f"Model: 'plain' of cifar_resnet, seed 1: {BEST}"
OF_OWN = f"Model: 'own' of alphanet, seed 0: {BEST}"
OF_CRT = "Model: 'cRT' of alphanet"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose study has these runs; `monkeypatch` puts them in the place of folders."""
    runs = [
        SimpleNamespace(
            fingerprint=str(number),
            folder=tmp_path / str(number),
            value=value,
            description={"study": "s", "pipeline": pipeline, "variant": variant, "seed": seed},
        )
        for number, (pipeline, variant, seed, value) in enumerate(RUNS)
    ]

    def best(project, chosen):
        found = {}
        for run in sorted(chosen, key=lambda run: run.value):
            found["s", run.description["pipeline"]] = run
        return found

    monkeypatch.setattr(model_choice, "find_runs", lambda *_: runs)
    monkeypatch.setattr(
        model_choice, "variants_of", lambda *_: {r.fingerprint: [r.description["variant"]] for r in runs}
    )
    monkeypatch.setattr(model_choice, "best_runs", best)
    monkeypatch.setattr(model_choice, "_why_none", lambda *_: "There is none.")
    monkeypatch.setattr(model_choice, "newest_selected", lambda *_: None)
    told = {run.folder: run for run in runs}
    monkeypatch.setattr(model_choice.ChosenModel, "run", property(lambda chosen: told.get(chosen.path)))
    return tmp_path


def write_verdict(project, *candidates):
    """By the verdict's own words, so that what is read is what is written."""
    file = project / "data/08_reporting/s/verdict.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(to_json(verdict(candidates, study="s"))))
    return file


CRT = candidate("cRT", 0.9, 0.8, pipeline="alphanet")
PLAIN = candidate("plain", 0.7, 0.7, pipeline="cifar_resnet")
OTHER = candidate("own", 0.8, 0.9, pipeline="alphanet", images="other cells")
GONE = candidate("gone", 0.9, 0.99, pipeline="alphanet")
NO_CHOICE = candidate("cRT", 0.9, float("nan"), pipeline="alphanet")


@pytest.mark.parametrize(
    ("candidates", "wanted", "said"),
    [
        ([PLAIN, CRT], {}, f"{OF_CRT}, seed 2: what the verdict of 's' takes; of its seeds {BEST}."),
        ([PLAIN, CRT], {"seed": 1}, f"{OF_CRT}, seed 1: what the verdict of 's' takes."),
        ([PLAIN, CRT], {"pipeline": "cifar_resnet"}, f"{OF_PLAIN}; the verdict of 's' takes nothing of cifar_resnet."),
        ([NO_CHOICE], {"pipeline": "cifar_resnet"}, f"{OF_PLAIN}; the verdict of 's' takes nothing."),
        ([CRT, OTHER], {"pipeline": "cifar_resnet"}, f"{OF_PLAIN}; the verdict of 's' takes nothing of cifar_resnet."),
        (
            [CRT, OTHER],
            {"pipeline": "alphanet"},
            f"{OF_OWN}; the verdict of 's' has 2 answers, and --variant takes one of them.",
        ),
        (
            [PLAIN, GONE],
            {"pipeline": "alphanet"},
            f"{OF_OWN}; what the verdict takes, 'gone' of alphanet, has no such model.",
        ),
        ([PLAIN, CRT], {"pipeline": "alphanet", "variant": "OWN"}, ""),
        (None, {"pipeline": "cifar_resnet"}, f"{OF_PLAIN}; the study has no verdict."),
    ],
)
def test_the_verdict_chooses_where_there_is_one_and_it_is_said(project, candidates, wanted, said):
    if candidates is not None:
        write_verdict(project, *candidates)
    assert choose_model(project, Wanted(study="s", **wanted)).chosen_text == said


def test_several_pipelines_without_a_verdict_have_to_be_told_apart(project):
    with pytest.raises(ParameterError, match="has models of alphanet, cifar_resnet; name one of these with --pipeline"):
        choose_model(project, Wanted(study="s"))


@pytest.mark.parametrize("content", ["", "{}", '{"answers": [{}]}', "[]"])
def test_a_file_that_is_no_verdict_is_named(project, content):
    write_verdict(project, CRT).write_text(content)
    with pytest.raises(DataError, match=r"verdict\.json is no verdict .*--pipelines=reporting` writes it again"):
        choose_model(project, Wanted(study="s"))
