"""Stacks, learners and combinations that see test images in several views."""

import numpy as np
import pytest
import torch
from tests.pipelines.stacking.conftest import make_run, stacking_settings
from tests.studies.contexts import context_of

from vision_studies.augmentation.views import views_of
from vision_studies.data.loaders import augmentation_generator
from vision_studies.models.stacked import StackedClassifier
from vision_studies.pipelines.stacking import cross_validation, stages
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.outputs import SplitOutputs, load_outputs
from vision_studies.pipelines.stacking.settings import ViewSettings
from vision_studies.pipelines.stacking.views import ViewLoader, view_metrics
from vision_studies.pipelines.stacking.work import Job
from vision_studies.studies.method import run_stages

CPU = torch.device("cpu")
VIEWS = {"numbers": [2, 4], "padding": 1, "seed": 3}


def test_a_loader_gives_one_view_after_the_other_and_every_network_the_same(counting_data):
    plain = counting_data.loader("test", kind="device", batch_size=16, device=CPU)
    settings = ViewSettings(**VIEWS)
    for number, batch in enumerate(plain.epoch(0)):
        expected = [*views_of(batch.images, 4, 1, augmentation_generator(3, 0, number))]
        for view, images in enumerate(expected):
            for _ in range(2):
                batches = [*ViewLoader(plain, view, settings).epoch(0)]
                assert torch.equal(batches[number].images, images)
                assert torch.equal(batches[number].indices, batch.indices)
        assert torch.equal(expected[1], batch.images.flip(3))
        assert not torch.equal(expected[2], batch.images)


def test_probabilities_are_averaged_not_losses():
    labels = np.array([0, 1])
    # The plain image is taken for class 1 by a little, its mirror image for class 0 by a lot.
    plain = np.log([[[0.4, 0.6]], [[0.1, 0.9]]])
    mirrored = np.log([[[0.9, 0.1]], [[0.2, 0.8]]])
    views = [SplitOutputs(labels, labels, logits) for logits in (plain, mirrored)]
    assert view_metrics(views[:1], [1]) == {"test_accuracy_views_1": 0.5}
    assert view_metrics(views, [2]) == {"test_accuracy_views_2": 1.0}


def test_a_joint_stack_decides_by_the_mean_over_views_of_all_that_it_sees(tmp_path, counting_data):
    run = make_run(mode="joint", evaluation={"views": VIEWS})
    stacking.train(Job(run, 0, counting_data, tmp_path, CPU))
    views = [stacking.outputs_on_test(Job(run, 0, counting_data, tmp_path, CPU), view) for view in range(4)]
    model = stacking.build(run, 0, counting_data)
    assert isinstance(model, StackedClassifier)
    stacking.load_weights(model, tmp_path / stacking.WEIGHTS_FILE)
    [batch] = counting_data.loader("test", kind="device", batch_size=64, device=CPU).epoch(0)
    images = [*views_of(batch.images, 4, 1, augmentation_generator(3, 0, 0))]
    with torch.inference_mode():
        logits = [stacking.CLASSIFICATION.outputs(model.eval(), view, batch.indices) for view in images]
    metrics = view_metrics(views, run.evaluation.views.numbers)
    for number in (2, 4):
        mean = torch.stack(logits[:number]).softmax(3).mean(0)
        right = (mean.argmax(2) == batch.labels[:, None]).float().mean(0)
        assert metrics[f"test_accuracy_views_{number}"] == pytest.approx(float(right[-1]))
        for learner in (1, 2, 3):
            assert metrics[f"test_accuracy_base_{learner}_views_{number}"] == pytest.approx(float(right[learner - 1]))


def test_the_meta_learner_of_a_stack_by_folds_is_told_what_its_learners_say_of_the_view(tmp_path, counting_data):
    run = make_run(
        mode="cross_validated",
        base_learners=["small", "wide"],
        evaluation={"views": VIEWS},
        training={"epochs": 1},
        folds={"number": 2, "meta_training": {"epochs": 1}},
    )
    cross_validation.train(Job(run, 0, counting_data, tmp_path, CPU))
    plain, mirrored = (
        cross_validation.outputs_on_test(Job(run, 0, counting_data, tmp_path, CPU), view) for view in (0, 1)
    )
    model = cross_validation.build_learner(run.base_learners[1], counting_data, seed=0, member=1).eval()
    [batch] = counting_data.loader("test", kind="device", batch_size=64, device=CPU).epoch(0)
    logits = []
    for fold in range(2):
        cross_validation.load_weights(model, tmp_path / f"fold_{fold}_learner_1" / cross_validation.WEIGHTS_FILE)
        with torch.inference_mode():
            logits.append(model(batch.images.flip(3)).numpy())
    np.testing.assert_allclose(mirrored.logits[:, 1], np.mean(logits, axis=0), atol=1e-4)
    assert np.abs(plain.logits[:, -1] - mirrored.logits[:, -1]).max() > 1e-4


@pytest.mark.slow
def test_a_study_tells_of_every_stack_and_opponent_with_views(tmp_path, counting_data):
    changes = {"evaluation": {"views": VIEWS}, "base_learners": ["small", "small"]}
    settings = stacking_settings(seeds=[0], opponents=["alone", "average", "best_learner", "soup"], run=changes)
    data = counting_data.image_set, counting_data.splits.to_table()
    context = context_of("stacking", settings, data, tmp_path)
    done = run_stages(context, stages.TRAINING, stages.COMBINATIONS, stages.EVALUATION)
    for run in done[stages.EVALUATION]:
        other = context.runs.metrics(run, stages.EVALUATION)["other_metrics"]
        assert {"test_accuracy_views_2", "test_accuracy_views_4"} <= other.keys(), run.name
    average = next(run for run in done[stages.EVALUATION] if run.configuration.get("rule") == "average")
    members = stages.members_of(context, average, stages.read_combination(average))
    files = [load_outputs(context.runs.path(member), "test_view_3") for member in members]
    expected = np.mean([outputs.probabilities for outputs in files], axis=0)
    found = load_outputs(context.runs.path(average), "test_view_3").probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_runs_without_views_say_nothing_of_them_and_so_keep_their_fingerprints():
    dumped = make_run(mode="joint").model_dump(mode="json")
    assert dumped["evaluation"] == {"batch_size": 64}
    viewed = make_run(mode="joint", evaluation={"views": VIEWS})
    assert viewed.model_dump(mode="json") == {**dumped, "evaluation": {"batch_size": 64, "views": VIEWS}}
    assert type(viewed).model_validate(viewed.model_dump(mode="json")) == viewed
    # A variant may have views where its base run has none.
    settings = stacking_settings(
        variants=[{"name": "viewed", "changes": {"evaluation": {"views": VIEWS}}, "space": None}]
    )
    assert settings.configured(settings.variants[0]).evaluation.views == ViewSettings(**VIEWS)
