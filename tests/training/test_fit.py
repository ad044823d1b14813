import math

import pandas as pd
import pytest
import torch
from tests.rounding import bfloat16_bound, layers_of
from torch import nn
from torch.nn import functional as F

from vision_studies.errors import CheckpointError, DataError
from vision_studies.run_folders import numbered_checkpoints
from vision_studies.training.checkpoints import load_state
from vision_studies.training.evaluation import evaluate
from vision_studies.training.fit import fit
from vision_studies.training.mixing import mix_batch

CPU = torch.device("cpu")
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.95, "nesterov": False, "weight_decay": 1e-4}
ADAMW = {"name": "adamw", "learning_rate": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
MUON = {
    "name": "muon",
    "learning_rate": 0.05,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.0,
    "unit_weights": False,
    "iterations": 5,
    "rest": SGD,
}
ONECYCLE = {"name": "onecycle", "pct_start": 0.3, "div_factor": 25, "final_div_factor": 1e4, "base_momentum": 0.85}
CUTMIX = {"name": "cutmix", "alpha": 1.0, "probability": 0.7}
PLATEAU = {
    "name": "plateau",
    "metric": "validation_loss",
    "factor": 0.5,
    "patience": 0,
    "min_delta": 0.0,
    "min_learning_rate": 0.0,
    "warmup_epochs": 0,
}


class KilledError(Exception):
    """The process is killed here."""


def stop_after(epochs):
    def on_epoch(row):
        if row["epoch"] == epochs:
            raise KilledError

    return on_epoch


def run(network, loaders, settings, folder=None, on_epoch=None, seed=5, keep_every=None):
    options = {"folder": folder, "on_epoch": on_epoch, "keep_every": keep_every}
    return fit(network, *loaders, settings, seed=seed, device=CPU, **options)


RECIPES = {
    "sgd_onecycle_cutmix_dropout_ema_stopping": {
        "optimizer": SGD,
        "schedule": ONECYCLE,
        "mixing": CUTMIX,
        "ema_decay": 0.9,
        "early_stopping": {"metric": "validation_loss", "patience": 3, "min_delta": 0.0},
        "label_smoothing": 0.1,
        "gradient_clip": 1.0,
    },
    "adamw_lookahead_cosine": {
        "optimizer": ADAMW,
        "schedule": {"name": "cosine", "eta_min": 1e-5, "interval": "epoch", "warmup_epochs": 1},
        "lookahead": {"steps": 2, "step_size": 0.5},
        "selection": "validation_loss",
    },
    "muon_mixup_plateau": {"optimizer": MUON, "mixing": {**CUTMIX, "name": "mixup"}, "schedule": PLATEAU},
    "bfloat16_channels_last": {"optimizer": SGD, "precision": "bf16", "channels_last": True, "ema_decay": 0.9},
}


@pytest.mark.parametrize("checkpoint_every", [1, 2])
@pytest.mark.parametrize("recipe", RECIPES)
def test_an_interrupted_training_ends_bit_identical(
    recipe, checkpoint_every, make_settings, make_network, loaders, tmp_path
):
    settings = make_settings(epochs=6, checkpoint_every=checkpoint_every, **RECIPES[recipe])
    torch.manual_seed(11)
    whole = run(make_network(0.3), loaders, settings, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(make_network(0.3), loaders, settings, tmp_path / "cut", on_epoch=stop_after(3))
    torch.manual_seed(99)  # a new process has drawn other numbers by now
    torch.rand(7)
    model = make_network(0.3)
    continued = run(model, loaders, settings, tmp_path / "cut")

    timing = ["seconds", "images_per_second", "peak_memory_mb"]
    pd.testing.assert_frame_equal(
        whole.history.drop(columns=timing), continued.history.drop(columns=timing), check_exact=True
    )
    for kind in ("weights", "final_weights"):
        ours, theirs = getattr(whole, kind), getattr(continued, kind)
        assert ours.keys() == theirs.keys() != set()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), kind
    assert (whole.best_epoch, whole.best_value) == (continued.best_epoch, continued.best_value)
    assert whole.ended == continued.ended
    assert all(torch.equal(value, continued.final_weights[name]) for name, value in model.state_dict().items())
    assert continued.history["seconds"].is_monotonic_increasing


def test_a_training_killed_before_its_final_checkpoint_writes_it_and_trains_no_more(
    make_settings, make_network, loaders, tmp_path
):
    settings = make_settings(epochs=2, checkpoint_every=1)
    whole = run(make_network(), loaders, settings, tmp_path)
    (tmp_path / "final.safetensors").unlink()
    again = run(make_network(), loaders, settings, tmp_path)
    pd.testing.assert_frame_equal(whole.history, again.history)
    assert load_state(tmp_path / "final.safetensors")["ended"]


def test_a_step_is_the_plain_loop_written_out(make_settings, make_network, loaders):
    settings = make_settings(
        epochs=1, label_smoothing=0.1, gradient_clip=0.5, schedule=ONECYCLE, mixing=CUTMIX, optimizer=SGD
    )
    model, reference = make_network(), make_network()
    result = run(model, loaders, settings)

    optimizer = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.95, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        0.05,
        total_steps=3,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=1e4,
        base_momentum=0.85,
        max_momentum=0.95,
    )
    total = 0.0
    for index, batch in enumerate(loaders[0].epoch(0)):
        mixed = mix_batch(batch.images, batch.labels, settings.mixing, seed=5, epoch=0, batch=index)
        other = mixed.labels if mixed.other_labels is None else mixed.other_labels
        logits = reference(mixed.images)
        loss = mixed.weight * F.cross_entropy(logits, mixed.labels, label_smoothing=0.1) + (
            1 - mixed.weight
        ) * F.cross_entropy(logits, other, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        optimizer.step()
        if index < 2:
            schedule.step()
        total += loss.item() * len(batch.labels)
    assert result.history["train_loss"][0] == pytest.approx(total / 42, rel=1e-5)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_weights_are_those_of_the_best_epoch(make_settings, make_network, loaders):
    settings = make_settings(epochs=6, selection="validation_loss", optimizer={**SGD, "learning_rate": 0.3})
    model = make_network()
    result = run(model, loaders, settings)
    assert result.best_epoch == result.history["validation_loss"].idxmin() + 1
    model.load_state_dict(result.weights)
    loss, _ = evaluate(model, loaders[1], settings, CPU)
    assert loss == result.best_value == result.history["validation_loss"].min()


def test_averaged_weights_are_validated_and_kept(make_settings, make_network, loaders):
    settings = make_settings(epochs=2, ema_decay=0.99)
    model = make_network()
    result = run(model, loaders, settings)
    final = result.final_weights["8.weight"]
    assert not torch.equal(result.weights["8.weight"], final)
    model.load_state_dict(result.weights)
    assert evaluate(model, loaders[1], settings, CPU)[1] == result.best_value


def test_training_learns(make_settings, make_network, loaders):
    result = run(make_network(), loaders, make_settings(epochs=15))
    assert result.history["train_loss"].iloc[-1] < 0.5 * result.history["train_loss"].iloc[0]
    assert result.best_value > 0.6  # chance is 1/3
    assert list(result.history.columns) == [
        "epoch",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "learning_rate",
        "seconds",
        "images_per_second",
        "peak_memory_mb",
    ]


def test_early_stopping_waits_for_its_patience(make_settings, make_network, loaders):
    stopping = {"metric": "validation_accuracy", "patience": 2, "min_delta": 1.0}  # nothing can gain so much
    result = run(make_network(), loaders, make_settings(epochs=10, early_stopping=stopping))
    assert (result.ended, result.reason) == ("stopped", None)
    assert len(result.history) == 3


def test_validation_happens_when_due_and_in_the_last_epoch(make_settings, make_network, loaders):
    result = run(make_network(), loaders, make_settings(epochs=5, validate_every=2))
    assert list(result.history["validation_loss"].notna()) == [False, True, False, True, True]


def test_a_loss_that_is_not_finite_ends_the_training(make_settings, make_network, loaders):
    train, validation = loaders
    train.images[0] = math.nan
    result = run(make_network(), (train, validation), make_settings(epochs=4))
    assert (result.ended, result.reason) == ("diverged", "the training loss was not finite")
    assert len(result.history) == 1
    assert result.best_epoch is None
    assert not result.weights  # never the untrained ones


def test_a_finished_training_is_not_repeated(make_settings, make_network, loaders, tmp_path):
    settings = make_settings(epochs=2)
    first = run(make_network(), loaders, settings, tmp_path)
    called = []
    second = run(make_network(), loaders, settings, tmp_path, on_epoch=called.append)
    assert not called
    pd.testing.assert_frame_equal(first.history, second.history)
    assert torch.equal(first.weights["8.weight"], second.weights["8.weight"])


@pytest.mark.parametrize("change", ["settings", "seed", "network", "data"])
def test_checkpoints_of_another_training_are_refused(change, make_settings, make_network, loaders, tmp_path):
    run(make_network(), loaders, make_settings(epochs=2), tmp_path)
    train, validation = loaders
    model = make_network()
    if change == "network":
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    if change == "data":
        train.images, train.labels = train.images[:40], train.labels[:40]
    settings = make_settings(epochs=3 if change == "settings" else 2)
    with pytest.raises(CheckpointError, match="delete the folder") as error:
        run(model, (train, validation), settings, tmp_path, seed=6 if change == "seed" else 5)
    assert str(tmp_path) in str(error.value)


def test_only_the_last_numbered_checkpoints_are_kept(make_settings, make_network, loaders, tmp_path):
    run(make_network(), loaders, make_settings(epochs=7, checkpoint_every=2, keep_last=2), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("epoch_*")) == [
        "epoch_0004.safetensors",
        "epoch_0006.safetensors",
    ]


def test_checkpoints_of_every_so_many_epochs_stay_and_change_no_number(make_settings, make_network, loaders, tmp_path):
    settings = make_settings(epochs=7, checkpoint_every=1, keep_last=1)
    plain = run(make_network(), loaders, settings)
    with pytest.raises(KilledError):
        run(make_network(), loaders, settings, tmp_path, on_epoch=stop_after(4), keep_every=3)
    resumed = run(make_network(), loaders, settings, tmp_path, keep_every=3)
    assert list(numbered_checkpoints(tmp_path).values()) == [3, 6, 7]
    assert all(torch.equal(value, resumed.final_weights[name]) for name, value in plain.final_weights.items())


def test_a_damaged_checkpoint_gives_way_to_the_one_before(make_settings, make_network, loaders, tmp_path):
    settings = make_settings(epochs=4, keep_last=3)
    whole = run(make_network(), loaders, settings)
    with pytest.raises(KilledError):
        run(make_network(), loaders, settings, tmp_path, on_epoch=stop_after(3))
    newest = tmp_path / "epoch_0003.safetensors"
    newest.write_bytes(newest.read_bytes()[:500])
    continued = run(make_network(), loaders, settings, tmp_path)
    assert all(torch.equal(value, continued.final_weights[name]) for name, value in whole.final_weights.items())


def test_bfloat16_and_channels_last_stay_close_to_float32(make_settings, make_network, loaders):
    plain = run(make_network(), loaders, make_settings(epochs=1))
    fast = run(make_network(), loaders, make_settings(epochs=1, precision="bf16", channels_last=True))
    model = make_network()
    bound = bfloat16_bound(layers_of(model))
    assert fast.history["train_loss"][0] == pytest.approx(plain.history["train_loss"][0], rel=bound)
    # Steps point in the same direction, but for what is rounded on the way forward and on the way back, at each of three.
    updates = [
        torch.cat([(result.final_weights[name] - value).flatten() for name, value in model.named_parameters()])
        for result in (fast, plain)
    ]
    assert F.cosine_similarity(*updates, dim=0) > math.cos(3 * 2 * bound)
    assert all(fast.final_weights[name].dtype == value.dtype for name, value in plain.final_weights.items())


def test_nothing_is_printed_where_the_output_is_no_terminal(make_settings, make_network, loaders, capfd):
    run(make_network(), loaders, make_settings(epochs=1))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_images_grow_with_the_epochs(make_settings, make_network, loaders):
    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.sizes = []

        def forward(self, images):
            self.sizes.append((self.training, *images.shape[2:]))
            return images.mean(dim=(1, 2, 3))[:, None] * self.scale

    model = Watching()
    run(model, loaders, make_settings(epochs=4, image_scales=[0.5, 1]))
    assert [size for size in model.sizes if size[0]] == [(True, 4, 4)] * 6 + [(True, 8, 8)] * 6
    assert {size for size in model.sizes if not size[0]} == {(False, 8, 8)}


def test_dropout_depends_on_the_seed_alone(make_settings, make_network, loaders):
    losses = []
    for state in (1, 2):
        model = make_network(0.5)
        torch.manual_seed(state)
        losses.append(run(model, loaders, make_settings(epochs=2)).history["train_loss"].tolist())
    assert losses[0] == losses[1]
    assert run(make_network(0.5), loaders, make_settings(epochs=2), seed=6).history["train_loss"].tolist() != losses[0]


def test_how_often_checkpoints_are_written_may_change_in_the_middle(make_settings, make_network, loaders, tmp_path):
    with pytest.raises(KilledError):
        run(make_network(), loaders, make_settings(epochs=4), tmp_path, on_epoch=stop_after(2))
    rows = []
    changed = make_settings(epochs=4, checkpoint_every=2, keep_last=1)
    run(make_network(), loaders, changed, tmp_path, on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == [3, 4]


def test_no_batches_are_told(make_settings, make_network, loaders):
    empty = type(loaders[0])(loaders[0].images[:0], loaders[0].labels[:0], 16)
    with pytest.raises(DataError, match="0 training images give no batch of 16"):
        run(make_network(), (empty, loaders[1]), make_settings())
