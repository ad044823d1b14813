"""A study whose images are in folds: its runs are done once for each, and put together."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.data.conftest import make_image_set
from tests.pipelines.test_forecasts import network_settings
from tests.studies.contexts import context_of

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.model_choice import why_unusable
from vision_studies.config.data_prep import FOLDS, SplitSettings
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.data.folds import make_folds, to_table
from vision_studies.data.splits import make_splits
from vision_studies.outcomes import COMPLETE, DIVERGED, FAILED, Outcome
from vision_studies.pipelines.cifar_resnet import nodes
from vision_studies.pipelines.cifar_resnet.stages import TRAINING, study_runs
from vision_studies.pipelines.reporting.candidates import candidates
from vision_studies.reports.verdict import answer_sentences
from vision_studies.run_folders import folds_of, network_folder, read_description, read_stage
from vision_studies.serving.opened_models import open_run
from vision_studies.serving.run_scores import score_model
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.statistics.verdict import answer
from vision_studies.stored_predictions import read_predictions
from vision_studies.studies.folds import join_runs
from vision_studies.studies.forecast import JOIN, LATER, REUSE, TRAIN, forecast
from vision_studies.studies.method import load_method, run_stages
from vision_studies.studies.published import StoredStudy
from vision_studies.studies.results import write_results
from vision_studies.studies.stored_runs import read_run

NETWORK = {"stem_width": 4, "widths": [4], "blocks": [1], "strides": [1], "squeeze_reduction": None}
RUN = {
    "model": NETWORK,
    "training": {"epochs": 1, "batch_size": 16, "mixing": None},
    "augmentation": {"steps": []},
    "evaluation": {"views": [1]},
}
VARIANTS = [{"name": "short", "changes": {}}, {"name": "long", "changes": {"training": {"epochs": 2}}}]


@pytest.fixture(scope="module")
def few():
    """Forty images in three folds, and the table that says so."""
    image_set = make_image_set(count=40, size=8, channels=1, classes=2)
    shared = {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0, "copies": "together", "long_tail": None}
    settings = SplitSettings(**shared, folds=FOLDS.model_copy(update={"number": 3}))
    splits = make_splits(image_set, settings)
    return image_set, to_table(splits, make_folds(image_set, splits, settings))


def settings_of(**changes):
    return network_settings(run=RUN, variants=VARIANTS, seeds=[0], **changes)


def context_in(folder, few):
    return context_of("cifar_resnet", settings_of(), (*few, {}), folder)


@pytest.fixture(scope="module")
def done(few, tmp_path_factory):
    """What was planned, and what a study of two variants has left."""
    project = tmp_path_factory.mktemp("project")
    models, prepared = project / "data/06_models/tried", project / "data/03_primary/few"
    runs = models / "cifar_resnet/runs"
    few[0].save(prepared / "image_set")
    few[1].to_parquet(prepared / "splits.parquet")
    context = context_in(runs, few)
    planned = forecast(context)
    training, histories = nodes.train_runs(context)
    results = nodes.evaluate_runs(context, training)
    return SimpleNamespace(
        project=project,
        models=models,
        runs=runs,
        context=context,
        planned=planned,
        histories=histories,
        results=results,
    )


def test_each_fold_is_planned_and_no_more_is_done_than_was_planned(done):
    training, joined = done.planned[:2]
    assert (training.stage, training.verb, joined.verb) == ("training", "train", JOIN)
    assert {own.action for own in training.decisions} == {TRAIN}
    assert {own.action for own in joined.decisions} == {LATER}
    assert [own.name for own in training.decisions] == [
        f"{variant}, seed 0, fold {fold}" for variant in ("short", "long") for fold in (1, 2, 3)
    ]
    planned = {own.fingerprint for stage in done.planned for own in stage.decisions}
    assert {folder.name for folder in done.runs.iterdir() if not folder.name.startswith(".")} == planned
    assert {own.action for stage in forecast(done.context) for own in stage.decisions} == {REUSE}


def test_every_image_is_predicted_once_by_a_network_that_has_not_seen_it(done, few):
    image_set, _ = few
    for row in done.results.to_dict("records"):
        whole = read_predictions(done.runs / row["run_fingerprint"])
        np.testing.assert_array_equal(whole.indices, np.arange(40))
        np.testing.assert_array_equal(whole.labels, image_set.labels)
        for fold, folder in enumerate(folds_of(done.runs / row["run_fingerprint"]), start=1):
            own, data = (
                read_predictions(folder),
                done.context.images.divisions[read_description(folder)["data_fingerprint"]],
            )
            held_out = whole.folds == fold
            np.testing.assert_array_equal(whole.indices[held_out], own.indices)
            np.testing.assert_array_equal(whole.probabilities[held_out], own.probabilities)
            np.testing.assert_array_equal(own.indices, data.splits.test)
            assert not set(own.indices) & {*data.splits.train, *data.splits.validation}


def test_a_row_is_of_all_folds(done):
    assert done.results[["variant", "seed", "status"]].to_numpy().tolist() == [
        ["short", 0, COMPLETE],
        ["long", 0, COMPLETE],
    ]
    for row in done.results.to_dict("records"):
        folder = done.runs / row["run_fingerprint"]
        assert row["test_accuracy"] == pytest.approx(read_predictions(folder).accuracy, abs=1e-12)
        stages = [read_stage(fold / "training.json")["metrics"] for fold in folds_of(folder)]
        assert row["validation_accuracy"] == pytest.approx(np.mean([own["validation_accuracy"] for own in stages]))
        assert row["seconds"] == pytest.approx(sum(own["seconds"] for own in stages))
    assert set(done.results["data_fingerprint"]) == {done.context.images.fingerprint}
    assert done.histories["epoch"].tolist() == [1, 1, 2]


def test_a_verdict_knows_that_it_is_of_folds(done):
    found = candidates(done.results, ["few"] * 2, done.models)
    assert [(one.folds, one.test_images) for one in found] == [(3, 40), (3, 40)]
    said = " ".join(answer_sentences(answer(found), 0.95, 0.01))
    assert "1 seed, 40 images, cross-validated in 3 folds" in said
    assert "Cross-validated: every image was predicted once, by a network that had not seen it (3 folds)." in said


def test_the_network_of_the_best_fold_by_validation_is_the_one_that_is_used(done, few):
    image_set, table = few
    model = nodes.select_model(done.results, done.runs, image_set, table)
    row = done.results.loc[done.results["validation_accuracy"].idxmax()]
    folder = network_folder(done.runs / row["run_fingerprint"])
    assert model["run_fingerprint"] == folder.name
    of_folds = {fold: read_stage(fold / "training.json") for fold in folds_of(done.runs / row["run_fingerprint"])}
    best = max(own["metrics"]["validation_accuracy"] for own in of_folds.values())
    assert of_folds[folder]["metrics"]["validation_accuracy"] == best
    assert model["test_accuracy"] == row["test_accuracy"]


def test_a_model_of_folds_is_used_as_the_best_of_them_is(done):
    folder = done.runs / done.results["run_fingerprint"][0]
    best = network_folder(folder)
    assert open_run(folder).path == open_run(best).path == best
    scores, own = score_model(folder, "test", torch.device("cpu")), read_predictions(best)
    assert scores == score_model(best, "test", torch.device("cpu"))
    assert scores["test_accuracy"] == own.accuracy
    assert why_unusable(read_run(folder)) is None
    assert [read_run(each).fold for each in (folder, *folds_of(folder))] == ["all 3", "1", "2", "3"]
    assert read_run(folds_of(folder)[1]).name == "short, seed 0, fold 2"


def test_published_files_are_of_the_runs_of_the_folds(done):
    results = done.project / "data/07_model_output/tried/cifar_resnet/results.parquet"
    results.parent.mkdir(parents=True, exist_ok=True)
    write_results(done.results, results)
    found = StoredStudy(done.project, "tried", "cifar_resnet", "cifar_resnet").complete_runs()
    assert [run.name for _, run in found] == [
        f"{variant}, seed 0, fold {fold}" for variant in ("short", "long") for fold in (1, 2, 3)
    ]
    assert [row["test_accuracy"] for row, _ in found] == [read_predictions(run.folder).accuracy for _, run in found]


def test_a_fold_that_had_diverged_and_is_done_again_mends_the_whole(few, tmp_path):
    context = context_in(tmp_path, few)
    runs = [run for fold in context.each_fold for run in study_runs(fold)]
    for number, run in enumerate(runs):
        context.runs.begin(run)
        gone = Outcome({}, DIVERGED, "loss is NaN in epoch 1")
        context.runs.record(run, TRAINING, gone if number == 0 else Outcome({"validation_accuracy": 0.5}))
    whole = run_stages(context, TRAINING)[TRAINING][0]
    assert context.runs.result(whole, TRAINING)["reason"] == "fold 1: loss is NaN in epoch 1"
    context.runs.forget(runs[0])
    run_stages(context, TRAINING)
    assert context.runs.status(whole, TRAINING) == COMPLETE


def test_a_stopped_study_goes_on_with_the_folds_that_are_missing(few, tmp_path):
    context = context_in(tmp_path, few)
    first = context.each_fold[0]
    runs = study_runs(first)
    for run in runs:
        context.runs.begin(run)
        context.runs.record(run, TRAINING, Outcome({"validation_accuracy": 0.5, "seconds": 1.0}))
    actions = [own.action for own in forecast(context)[0].decisions]
    assert actions == [REUSE, TRAIN, TRAIN] * 2
    done = run_stages(context, TRAINING)[TRAINING]
    assert [run.name for run in done] == ["short, seed 0", "long, seed 0"]
    assert all(context.runs.is_complete(run, TRAINING) for run in done)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Outcome({}, DIVERGED, "loss is NaN in epoch 1"), (DIVERGED, "fold 2: loss is NaN in epoch 1")),
        (Outcome({}, FAILED, "training: OSError: gone"), None),
    ],
)
def test_what_has_become_of_a_fold_has_become_of_the_whole(few, tmp_path, ended, said):
    context = context_in(tmp_path, few)
    runs = [study_runs(fold)[0] for fold in context.each_fold]
    for number, run in enumerate(runs):
        context.runs.begin(run)
        context.runs.record(run, TRAINING, ended if number == 1 else Outcome({"validation_accuracy": 0.5}))
    if said is None:
        with pytest.raises(RuntimeError, match="fold 2: training: OSError: gone"):
            join_runs(runs, TRAINING, context.runs, tmp_path)
    else:
        found = join_runs(runs, TRAINING, context.runs, tmp_path)
        assert (found.status, found.reason) == said


@pytest.mark.parametrize("name", METHODS)
def test_every_method_does_its_runs_in_folds_or_says_why_not(name):
    method, demo = load_method(name), StudyConfigLoader(ROOT / "conf", "demo", {}, **CONFIG_LOADER_ARGS)["parameters"]
    models = [settings_model(key).model_validate(demo[key]) for key in method.parameter_names]
    reason = method.folds(method.settings(*models))
    assert not reason or (reason[0].islower() and not reason.endswith("."))
    assert (reason is None) == (name in ("cifar_resnet", "stacking"))
