"""Every method keeps what its scored runs say of images, and it is what their rows were measured on."""

import pytest

from vision_studies.config.registry import METHODS
from vision_studies.outcomes import COMPLETE
from vision_studies.predictions import Predictions
from vision_studies.stored_predictions import Unavailable, read_predictions
from vision_studies.studies.method import load_method
from vision_studies.studies.predictions import Kept, Never
from vision_studies.studies.stored_runs import find_runs

STUDY = "demo+quick"
MARKED = {"alphanet": {"among_top"}}
"""Pipeline -> what is marked of every image besides."""


def scored_runs(project, pipeline):
    runs = find_runs(project.folder / "data/06_models", STUDY)
    scored = [run for run in runs if run.status == COMPLETE and run.metric("test_accuracy") is not None]
    return [run for run in scored if run.description["pipeline"] == pipeline]


@pytest.mark.parametrize("name", METHODS)
def test_every_scored_run_keeps_predictions_with_the_accuracy_of_its_row(demo_project, name):
    runs, answer = scored_runs(demo_project, name), load_method(name).predictions
    assert bool(runs) == isinstance(answer, Kept)
    for run in runs:
        said = read_predictions(run.folder)
        assert isinstance(said, Predictions), said
        assert said.accuracy == pytest.approx(run.metric("test_accuracy"), abs=1e-12), run.folder
        assert set(said.marks) == MARKED.get(name, set())
        distances = name == "alphanet" and run.description["configuration"].get("classifier", {}).get("name") == "ncm"
        assert said.detail == ("correct" if distances else answer.detail)
        validated = read_predictions(run.folder, "validation")
        if isinstance(validated, Predictions):
            # AlphaNets are validated on logits that are kept: an image between two classes may fall to either.
            within = 0.01 if name == "alphanet" else 1e-12
            assert validated.accuracy == pytest.approx(run.metric("validation_accuracy"), abs=within), run.folder


def test_methods_keep_validation_predictions(demo_project):
    for name in ("cifar_resnet", "stacking", "alphanet"):
        for run in scored_runs(demo_project, name):
            assert isinstance(read_predictions(run.folder, "validation"), Predictions), run.folder


@pytest.mark.parametrize("name", METHODS)
def test_a_method_whose_runs_keep_nothing_says_why(name):
    answer = load_method(name).predictions
    if isinstance(answer, Never):
        assert answer.reason.endswith(".")
    assert isinstance(answer, Never) == (name == "clustering")


def test_runs_that_were_not_scored_say_so(demo_project):
    runs = find_runs(demo_project.folder / "data/06_models", STUDY)
    without = [run for run in runs if run.metric("test_accuracy") is None]
    assert without  # trials of a search, networks that give features
    for run in without:
        assert isinstance(read_predictions(run.folder), Unavailable)
