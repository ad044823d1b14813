"""Studies that add seeds until enough is known, from runs to the verdict."""

import json
from types import SimpleNamespace

import pytest
from tests.data.conftest import make_image_set
from tests.pipelines.stacking.conftest import stacking_settings
from tests.pipelines.test_cross_validated_studies import RUN, VARIANTS, few  # noqa: F401 - a fixture
from tests.pipelines.test_forecasts import network_settings
from tests.studies.contexts import context_of

from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.study import ReportingSettings
from vision_studies.data.splits import make_splits
from vision_studies.pipelines.cifar_resnet import nodes as of_networks
from vision_studies.pipelines.reporting.study import StudyFolders, study_verdict
from vision_studies.pipelines.stacking import nodes as of_stacks
from vision_studies.reports.verdict import sentences
from vision_studies.studies.forecast import REUSE, forecast
from vision_studies.studies.results import write_results

REPORTING = ReportingSettings(confidence=0.95, interval="t", test="t", margin=0.01, calibration=("temperature",))
STACKS = [
    {"name": "two", "changes": {"base_learners": ["small", "small"]}, "space": None},
    {"name": "three", "changes": {}, "space": None},
]


@pytest.fixture(scope="module")
def data():
    image_set = make_image_set(count=150, size=8, channels=1, classes=2)
    splits = SplitSettings(validation_fraction=0.4, test_fraction=0.25, seed=0, copies="together", long_tail=None)
    return image_set, make_splits(image_set, splits).to_table(), {}


def networks(**until):
    until = {"half_width": 0.5, "of": "difference", "at_most": 3, "margin": 0.5} | until
    return network_settings(run=RUN, variants=VARIANTS, seeds=[0, 1], until=until)


def stacks(**until):
    until = {"half_width": 0.5, "of": "difference", "at_most": 4} | until
    run = {"trainer": "mock", "training": {"epochs": 2}}
    return stacking_settings(run=run, variants=STACKS, opponents=["average"], seeds=[0, 1], until=until)


def verdict_of(project, pipeline, settings, results):
    """What the report says of results of a study."""
    outputs, reports = project / "data/07_model_output/tried", project / "data/08_reporting/tried"
    (outputs / pipeline).mkdir(parents=True, exist_ok=True)
    (reports / "run_records").mkdir(parents=True, exist_ok=True)
    write_results(results, outputs / pipeline / "results.parquet")
    record = {"parameters": {pipeline: settings.model_dump(mode="json")}, "pipelines": [pipeline], "status": "complete"}
    (reports / "run_records/1.json").write_text(json.dumps(record), encoding="utf-8")
    folders = StudyFolders("tried", outputs, reports, running=True)
    return study_verdict(folders, results, REPORTING)


def done_with_networks(data, project, settings):
    context = context_of("cifar_resnet", settings, data, project / "data/06_models/tried/cifar_resnet/runs")
    training, _ = of_networks.train_runs(context)
    return SimpleNamespace(context=context, results=of_networks.evaluate_runs(context, training))


def test_networks_are_looked_at_before_their_test_images_and_the_verdict_says_what_was_seen(data, tmp_path):
    settings = networks(half_width=99)
    context = context_of("cifar_resnet", settings, data, tmp_path / "data/06_models/tried/cifar_resnet/runs")
    of_networks.train_runs(context)
    left = {file.name for file in context.runs.folder.glob("*/*")}
    assert {"validation.json", "predictions_validation.parquet"} <= left
    assert not {"evaluation.json", "predictions_test.parquet"} & left
    own = done_with_networks(data, tmp_path, settings)
    assert sorted(set(own.results["seed"])) == [0, 1]
    assert own.results["test_accuracy"].notna().all()
    found = verdict_of(tmp_path, "cifar_resnet", settings, own.results)
    [look] = found.answers[0].looks
    assert (look.reason, look.seeds, look.looks.number) == ("precise", 2, 2)
    said = sentences(found)
    assert any("2 of at most 3, and each difference from 'short' is known well enough" in one for one in said)
    assert any("after up to 2 looks at validation images" in one for one in said)
    stages = forecast(own.context)
    assert {stage.stage for stage in stages} == {"training", "validation", "evaluation"}
    assert all(decision.action == REUSE for stage in stages for decision in stage.decisions)
    plain = verdict_of(
        tmp_path, "cifar_resnet", network_settings(run=RUN, variants=VARIANTS, seeds=[0, 1]), own.results
    )
    assert plain.answers[0].looks == ()
    wide, narrow = (one.answers[0].best.estimate for one in (found, plain))
    assert wide.value == narrow.value
    assert wide.low < narrow.low
    assert wide.high > narrow.high


def test_runs_that_were_scored_before_are_looked_at_without_their_networks(data, tmp_path):
    plain = network_settings(run=RUN, variants=VARIANTS, seeds=[0, 1])
    before = done_with_networks(data, tmp_path, plain)
    for file in before.context.runs.folder.glob("*/weights.safetensors"):
        file.unlink()
    after = done_with_networks(data, tmp_path, networks(half_width=99))
    assert set(after.results["run_fingerprint"]) == set(before.results["run_fingerprint"])


def test_stacks_and_what_opposes_them_get_as_many_seeds_as_the_stacks_need(data, tmp_path):
    settings = stacks()
    context = context_of("stacking", settings, data, tmp_path / "data/06_models/tried/stacking/runs")
    planned = {stage.stage: stage for stage in forecast(context)}
    assert planned["training"].unknown[0].count == 2 * (2 + 2)  # further seeds of two stacks and their averages
    of_stacks.train_runs(context, {})
    results = of_stacks.evaluate_runs(context, {}, None)
    found = verdict_of(tmp_path, "stacking", settings, results)
    [look] = found.answers[0].looks
    assert look.reason in ("at most", "images", "precise", "as good as")
    numbers = results.groupby("variant")["seed"].nunique()
    assert set(numbers) == {look.seeds}
    assert {"two", "three"} < set(numbers.index)


@pytest.mark.parametrize(("name", "settings"), [("cifar_resnet", networks()), ("stacking", stacks())])
def test_images_in_folds_have_no_one_set_of_validation_images(few, tmp_path, name, settings):  # noqa: F811
    context = context_of(name, settings, (*few, {}), tmp_path)
    reason = context.method.fits(context)
    assert reason.startswith(f"{name}.until looks at one set of validation images")
    assert f"set {name}.until to null" in reason
