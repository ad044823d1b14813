import numpy as np
import pytest
import torch
from tests.pipelines.stacking.conftest import make_run, stacking_settings

from vision_studies.outcomes import COMPLETE, DIVERGED, PRUNED
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.fair_opponents import independent_members, stack_cost
from vision_studies.pipelines.stacking.outputs import load_outputs, metrics_on_test
from vision_studies.pipelines.stacking.settings import NetworkRun, NetworkSettings, stack_run
from vision_studies.pipelines.stacking.stacked_networks import build_stack, order_seed
from vision_studies.pipelines.stacking.work import Job
from vision_studies.training.objectives import CLASSIFICATION, JointStacking

CPU = torch.device("cpu")


def joint(**changes):
    return make_run(mode="joint", **changes)


def test_a_detached_stack_with_alpha_1_trains_its_learners_as_if_each_were_alone(tmp_path, counting_data):
    run = joint(meta_learner={"detach": True}, training={"epochs": 3})
    stack, job = build_stack(run, counting_data, seed=5), Job(run, 5, counting_data, tmp_path, CPU)
    together = stacking.fit_split(
        stack,
        job,
        run.training,
        seed=order_seed(5),
        folder=tmp_path / "stack",
        objective=JointStacking("sum", 1.0),
    )
    for number, member in enumerate(independent_members(run)):
        alone = stacking.build(member, 5, counting_data)
        result = stacking.fit_split(alone, job, run.training, seed=order_seed(5), folder=tmp_path / f"alone_{number}")
        for name, value in result.final_weights.items():
            torch.testing.assert_close(
                together.final_weights[f"base_learners.{number}.{name}"], value, rtol=1e-5, atol=1e-6
            )
        losses = together.history[f"validation_loss_base_{number + 1}"]
        np.testing.assert_allclose(losses, result.history["validation_loss"], rtol=1e-5)


def test_a_network_that_wants_to_see_images_first_sees_them_in_a_stack_and_alone(tmp_path, counting_data):
    widths = {"name": "speedrun_net", "widths": [4, 4, 4]}
    settings = stacking_settings(networks={"small": {"model": widths}}, run={"base_learners": ["small", "wide"]})
    run = stack_run(settings.configured(settings.variants[0]), settings.networks)
    assert [learner.first_layer for learner in run.base_learners] == ["images", None]
    written = [learner.model_dump() for learner in run.base_learners]
    assert ["first_layer" in each for each in written] == [True, False]  # others keep their fingerprints
    alone = independent_members(run)[0]
    expected = alone.learner.model.build(**counting_data.sizes)
    images = next(iter(counting_data.loader("train", kind="device", batch_size=5000, device=CPU).epoch(0))).images
    expected.initialise_from_data(images)
    stack = build_stack(run, counting_data, seed=0)
    for network in (stack.base_learners[0], stacking.build(alone, 0, counting_data)):
        assert torch.equal(network.whitening.weight, expected.whitening.weight)
    outcome = stacking.train(Job(alone, 0, counting_data, tmp_path, CPU))
    assert outcome.status == COMPLETE


def test_an_attached_meta_learner_changes_its_learners(tmp_path, counting_data):
    weights = []
    for detach in (True, False):
        trained = stacking.train(
            Job(joint(meta_learner={"detach": detach}), 0, counting_data, tmp_path / str(detach), CPU)
        )
        weights.append(trained.history["validation_loss_base_1"].to_numpy())
    assert not np.allclose(*weights)


def test_training_never_asks_for_test_and_scoring_asks_once(tmp_path, counting_data):
    for run in (joint(), independent_members(joint())[1]):
        counting_data.asked.clear()
        folder = tmp_path / run.method
        stacking.train(Job(run, 0, counting_data, folder, CPU))
        assert [split for split, _, _ in counting_data.asked] == ["train", "validation", "validation"]
        seen = np.concatenate([indices for _, _, indices in counting_data.asked])
        assert not set(seen) & set(counting_data.splits.test)
        counting_data.asked.clear()
        outputs = stacking.outputs_on_test(Job(run, 0, counting_data, folder, CPU))
        assert [split for split, _, _ in counting_data.asked] == ["test"]
        np.testing.assert_array_equal(outputs.indices, counting_data.splits.test)
        again = stacking.outputs_on_test(Job(run, 0, counting_data, folder, CPU))
        np.testing.assert_array_equal(outputs.logits, again.logits)


def test_what_is_stored_of_validation_is_what_the_history_says_of_the_best_epoch(tmp_path, counting_data):
    trained = stacking.train(Job(joint(), 3, counting_data, tmp_path, CPU))
    stored = load_outputs(tmp_path, "validation")
    right = stored.logits.argmax(axis=2) == stored.labels[:, None]
    best = trained.history.set_index("epoch").loc[trained.metrics["best_epoch"]]
    assert right[:, -1].mean() == pytest.approx(trained.metrics["validation_accuracy"])
    assert right[:, 0].mean() == pytest.approx(best["validation_accuracy_base_1"])
    assert trained.metrics["other_metrics"]["validation_accuracy_base_1"] == best["validation_accuracy_base_1"]
    metrics = metrics_on_test(stored)
    assert metrics["other_metrics"]["test_accuracy_base_3"] == pytest.approx(right[:, 2].mean())
    mean = torch.from_numpy(stored.logits[:, :3]).softmax(2).mean(1).argmax(1).numpy()
    assert metrics["other_metrics"]["test_accuracy_base_average"] == pytest.approx((mean == stored.labels).mean())


def test_a_stack_of_networks_of_convolutions_alone_learns(tmp_path, counting_data):
    model = {"name": "convnet", "channels": [4, 4, 8, 8], "every": 2, "head": "global_average"}
    plain = {"model": {**model, "downsampling": "strided_convolution"}, "weights_file": None, "frozen_blocks": 0}
    settings = stacking_settings(networks={"plain": plain}, run={"mode": "joint", "base_learners": ["plain", "plain"]})
    run = stack_run(settings.configured(settings.variants[0]), settings.networks)
    trained = stacking.train(Job(run, 0, counting_data, tmp_path, CPU))
    assert trained.status == COMPLETE
    assert trained.history["train_loss"].iloc[-1] < trained.history["train_loss"].iloc[0]
    network = stacking.build(run, 0, counting_data).base_learners[0]
    layers = {type(layer).__name__ for layer in network.modules()}
    assert not {name for name in layers if "Pool" in name}
    assert network.fc.in_features == 8  # a mean for each of the last maps


@pytest.mark.slow
def test_seed_and_member_decide_everything(tmp_path, counting_data):
    def losses(run, seed, name):
        return stacking.train(Job(run, seed, counting_data, tmp_path / name, CPU)).history["train_loss"].tolist()

    assert losses(joint(), 0, "a") == losses(joint(), 0, "b")
    assert losses(joint(), 0, "a") != losses(joint(), 1, "c")
    first, second, _ = independent_members(joint())
    assert losses(first, 0, "d") != losses(second, 0, "e")


@pytest.mark.slow
def test_a_caller_prunes_a_stack_and_an_interrupted_one_goes_on_to_the_same_numbers(tmp_path, counting_data):
    run = joint(training={"epochs": 4})
    pruned = stacking.train(Job(run, 0, counting_data, tmp_path / "pruned", CPU), lambda row: row["epoch"] == 2)
    assert (pruned.status, pruned.reason, len(pruned.history)) == (PRUNED, "the search ended it", 2)

    class StoppedError(Exception):
        pass

    def stop(row):
        if row["epoch"] == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        stacking.train(Job(run, 0, counting_data, tmp_path / "resumed", CPU), stop)
    columns = ["train_loss", "validation_loss", "validation_disagreement"]
    resumed = stacking.train(Job(run, 0, counting_data, tmp_path / "resumed", CPU)).history[columns]
    whole = stacking.train(Job(run, 0, counting_data, tmp_path / "whole", CPU)).history[columns]
    assert resumed.equals(whole)


def test_a_loss_that_is_not_finite_is_recorded_as_divergence(tmp_path, counting_data):
    run = joint(training={"optimizer": {"learning_rate": 1e30}, "schedule": {"name": "constant", "warmup_epochs": 0}})
    trained = stacking.train(Job(run, 0, counting_data, tmp_path, CPU))
    assert (trained.status, trained.reason) == (DIVERGED, "the training loss was not finite")


def test_label_smoothing_changes_a_joint_training(tmp_path, counting_data):
    losses = [
        stacking.train(
            Job(joint(training={"label_smoothing": own}), 0, counting_data, tmp_path / str(own), CPU)
        ).history
        for own in (0.0, 0.2)
    ]
    assert not np.allclose(losses[0]["validation_loss"], losses[1]["validation_loss"])


@pytest.mark.parametrize("inputs", ["probabilities", "features", "none"])
def test_a_stack_learns_from_any_input(tmp_path, counting_data, inputs):
    trained = stacking.train(Job(joint(meta_learner={"inputs": inputs}), 0, counting_data, tmp_path, CPU))
    assert np.isfinite(trained.history["train_loss"]).all()


def published_cost(counting_data, networks, learners, hidden):
    """Parameters for colour images of 32 pixels and ten classes."""
    from dataclasses import replace

    from tests.data.conftest import make_image_set

    run = joint(base_learners=["small"] * learners)
    models = [NetworkSettings(model=networks, weights_file=None, frozen_blocks=0).model]
    own = tuple(learner.model_copy(update={"model": models[0]}) for learner in run.base_learners)
    base = joint(
        meta_learner={"hidden": hidden, "image_features": {"dimension": 128, "widths": [64, 128, 256]}}
    ).meta_learner
    data = replace(counting_data, image_set=make_image_set(count=20, size=32, classes=10))
    return stack_cost(run.model_copy(update={"base_learners": own, "meta_learner": base}), data)["parameters"]


IMAGENET = {"name": "torchvision", "stem": "imagenet", "resize": None}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "learners", "hidden", "millions"),
    [
        ({"name": "resnet9"}, 1, [512, 256], 2.886),
        ({"name": "resnet9"}, 3, [512, 256], 7.446),
        ({"name": "resnet9"}, 9, [512, 256], 21.126),
        ({"name": "resnet9"}, 1, [512, 256, 128], 2.918),
        ({"name": "resnet9"}, 3, [512, 256, 128], 7.478),
        ({"name": "resnet9"}, 9, [512, 256, 128], 21.158),
        ({"name": "resnet9"}, 3, [512], 7.32),
        ({**IMAGENET, "network": "resnet18"}, 2, [512, 256], 22.980),
        ({**IMAGENET, "network": "resnet34"}, 1, [512, 256], 21.901),
        ({**IMAGENET, "network": "resnet18"}, 1, [512, 256, 128], 11.825),
        ({**IMAGENET, "network": "resnet18"}, 3, [512, 256, 128], 34.199),
        ({**IMAGENET, "network": "resnet18"}, 9, [512, 256, 128], 101.319),
    ],
)
def test_stacks_have_the_published_numbers_of_parameters(counting_data, network, learners, hidden, millions):
    digits = len(str(millions).partition(".")[2])
    assert round(published_cost(counting_data, network, learners, hidden) / 1e6, digits) == millions


@pytest.mark.slow
def test_the_ffcv_loader_gives_a_stack_the_same_training(tmp_path, counting_data):
    pytest.importorskip("ffcv", reason="FFCV is not installed")
    from dataclasses import replace

    from vision_studies.data.ffcv import write_beton

    files = {}
    for split in ("train", "validation", "test"):
        files[split] = tmp_path / f"{split}.beton"
        write_beton(counting_data.image_set, getattr(counting_data.splits, split), files[split])
    data = replace(counting_data, ffcv_files=files)
    histories = [
        stacking.train(Job(joint(loader=kind), 0, data, tmp_path / kind, CPU)).history["train_loss"].tolist()
        for kind in ("device", "ffcv")
    ]
    assert histories[0] == histories[1]


def test_a_network_alone_is_a_plain_classifier():
    assert stacking.objective_of(independent_members(joint())[0]) is CLASSIFICATION
    assert isinstance(independent_members(joint())[0], NetworkRun)
