"""A stack against the same networks trained one by one in plain torch."""

import math

import pytest
import torch
from tests.rounding import bfloat16_bound
from torch import nn
from torch.nn import functional as F

from vision_studies.config.training import AdamWSettings, EnsembleSettings, SgdSettings
from vision_studies.data.loaders import epoch_order
from vision_studies.errors import CheckpointError, DataError
from vision_studies.models.mlp import MLP
from vision_studies.training.checkpoints import load_state
from vision_studies.training.ensemble import (
    Member,
    TensorData,
    divide_into_stacks,
    fit_ensemble,
    initial_network,
    member_bytes,
)
from vision_studies.training.stack import EpochNoise

CPU = torch.device("cpu")
IMAGES, VALIDATION, CLASSES = 200, 60, 4


class SmallConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU()
        )
        self.head = nn.Linear(8 * 2 * 2, CLASSES)

    def forward(self, images):
        return self.head(self.features(images).flatten(1))


def settings(**changes):
    values = {
        "epochs": 10,
        "batch_size": 48,
        "validation_schedule": [{"until_epoch": None, "interval": 1}],
        "steps_per_epoch": None,
        "restore": "best",
        "selection": "validation_loss",
        "early_stopping": None,
        "precision": "fp32",
    }
    return EnsembleSettings.model_validate(values | changes)


def adamw(**changes):
    values = {"name": "adamw", "learning_rate": 1e-3, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 1e-2}
    return AdamWSettings.model_validate(values | changes)


def sgd(**changes):
    values = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    return SgdSettings.model_validate(values | changes)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (IMAGES + VALIDATION,), generator=generator)
    centres = torch.randn(CLASSES, 1, 8, 8, generator=generator)
    images = centres[labels] + torch.randn(IMAGES + VALIDATION, 1, 8, 8, generator=generator)
    places = torch.arange(IMAGES + VALIDATION)
    return TensorData(images, labels, places[:IMAGES], places[IMAGES:])


def mlp(seed, dropout=0.2, slope=0.05):
    return initial_network(lambda: MLP(64, (24, 16), CLASSES, dropout=dropout, slope=slope), seed)


def convnet(seed):
    return initial_network(SmallConvNet, seed)


def perceptrons():
    return [
        Member(mlp(0, 0.0, 0.01), adamw(learning_rate=1e-3, betas=(0.85, 0.9)), seed=5),
        Member(mlp(1, 0.3, 0.1), adamw(learning_rate=3e-3, betas=(0.95, 0.9999), eps=1e-6, weight_decay=0.1), seed=6),
        Member(mlp(2, 0.5, 0.05), adamw(learning_rate=1e-2, weight_decay=0.0), seed=5),
    ]


def convnets():
    return [
        Member(convnet(0), sgd(learning_rate=0.05), 1, torch.arange(0, 100)),
        Member(convnet(1), sgd(learning_rate=0.01, momentum=0.5, weight_decay=0.05), 2, torch.arange(50, 150)),
        Member(convnet(0), sgd(learning_rate=0.03), 1, torch.arange(0, 200, 2)),
    ]


def train(members, data, own, **options):
    results = {}
    fit_ensemble(members, data, own, device=CPU, on_end=results.__setitem__, **options)
    return results


def train_alone(member, data, own):
    """The plain loop: torch's own layers by `forward`, torch's own optimiser, one network. Returns history and weights."""
    network = member.network
    optimizer = (
        torch.optim.AdamW(
            network.parameters(),
            lr=member.optimizer.learning_rate,
            betas=member.optimizer.betas,
            eps=member.optimizer.eps,
            weight_decay=member.optimizer.weight_decay,
        )
        if isinstance(member.optimizer, AdamWSettings)
        else torch.optim.SGD(
            network.parameters(),
            lr=member.optimizer.learning_rate,
            momentum=member.optimizer.momentum,
            nesterov=member.optimizer.nesterov,
            weight_decay=member.optimizer.weight_decay,
        )
    )
    subset = data.train if member.subset is None else member.subset
    rows = []
    for epoch in range(own.epochs):
        noise = EpochNoise([member.seed], epoch, CPU)
        network.train()
        total = 0.0
        for positions in subset[epoch_order(len(subset), member.seed, epoch, shuffle=True)].split(own.batch_size):
            drawn = [noise.draw(len(positions), network.noise_units)[0]] if hasattr(network, "noise_units") else []
            loss = F.cross_entropy(network(data.images[positions], *drawn), data.labels[positions])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(positions)
        network.eval()
        with torch.inference_mode():
            validation = F.cross_entropy(network(data.images[data.validation]), data.labels[data.validation])
        rows.append((total / len(subset), float(validation)))
    return rows, {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("members", [perceptrons, convnets])
def test_members_of_a_stack_equal_single_runs_after_fifty_steps(members, data):
    own = settings(epochs=10 if members is perceptrons else 20)  # 5 or 3 batches an epoch
    results = train(members(), data, own)
    for place, member in enumerate(members()):
        rows, weights = train_alone(member, data, own)
        history = results[place].history
        assert history["train_loss"].tolist() == pytest.approx([row[0] for row in rows], rel=1e-5)
        assert history["validation_loss"].tolist() == pytest.approx([row[1] for row in rows], rel=1e-5)
        if results[place].best_epoch == own.epochs:
            for name, value in weights.items():
                torch.testing.assert_close(results[place].weights[name], value, rtol=1e-4, atol=1e-5)


def test_dropout_and_slope_of_each_member_are_its_own(data):
    alone = train([Member(mlp(3, 0.4, 0.1), adamw(), 7)], data, settings(epochs=3))[0]
    company = [Member(mlp(8, 0.0, 0.01), adamw(learning_rate=1e-2), 9), Member(mlp(3, 0.4, 0.1), adamw(), 7)]
    assert train(company, data, settings(epochs=3))[1].history["train_loss"].tolist() == pytest.approx(
        alone.history["train_loss"].tolist(), rel=1e-5
    )


def test_in_bfloat16_a_stack_stays_near_float32(data):
    exact = train(perceptrons(), data, settings(epochs=4))
    images = data.images.bfloat16()
    rough = train(
        perceptrons(),
        TensorData(images, data.labels, data.train, data.validation),
        settings(epochs=4, precision="bf16"),
    )
    for place, result in exact.items():
        losses, expected = (one.history["train_loss"].tolist() for one in (rough[place], result))
        assert losses[0] == pytest.approx(expected[0], rel=bfloat16_bound(3))
        assert losses == pytest.approx(expected, rel=0.05)  # what is rounded in a step is learnt from in the next
        assert losses != expected


def test_a_member_that_has_ended_leaves_and_its_weights_never_change_afterwards(data):
    early = {"metric": "validation_loss", "patience": 2, "min_delta": 0.0}
    hasty = adamw(learning_rate=0.3)
    members = [Member(mlp(0), hasty, 1), Member(mlp(1), adamw(), 2), Member(mlp(2), hasty, 3)]
    kept = {}
    ends = []

    def on_end(place, result):
        ends.append(place)
        kept[place] = (result, {name: value.clone() for name, value in result.weights.items()})

    active = []
    fit_ensemble(
        members,
        data,
        settings(epochs=25, early_stopping=early),
        device=CPU,
        on_end=on_end,
        on_epoch=lambda epoch, count: active.append(count),
    )
    assert sorted(ends) == [0, 1, 2]
    assert ends[-1] == 1
    assert active[0] == 3
    assert 1 in active
    for result, weights in kept.values():
        assert all(torch.equal(result.weights[name], value) for name, value in weights.items())
        assert result.history["epoch"].tolist() == list(range(1, len(result.history) + 1))
        values = result.history["validation_loss"]
        assert result.best_epoch == values.idxmin() + 1
        if result.ended == "stopped":
            assert len(values) == result.best_epoch + 2
    # Those that stay get the numbers that they get alone.
    alone = train([members[1]], data, settings(epochs=25, early_stopping=early))[0]
    assert kept[1][0].history["validation_loss"].tolist() == pytest.approx(
        alone.history["validation_loss"].tolist(), rel=1e-4
    )


def test_the_staged_schedule_decides_when_a_member_is_validated(data):
    staged = settings(
        epochs=14, validation_schedule=[{"until_epoch": 6, "interval": 3}, {"until_epoch": 10, "interval": 2}]
    )
    history = train([Member(mlp(0), adamw(), 1)], data, staged)[0].history
    assert history.loc[history["validation_loss"].notna(), "epoch"].tolist() == [3, 6, 8, 10, 12, 14]


def test_a_member_that_diverges_is_marked_and_leaves_without_touching_the_others(data):
    broken = mlp(4)
    with torch.no_grad():
        broken.layers[0].weight.mul_(1e30)
    own = settings(epochs=6)
    good = [Member(mlp(0), adamw(), 1), Member(mlp(1), adamw(), 1)]
    results = train([good[0], Member(broken, adamw(), 1), good[1]], data, own)
    assert (results[1].ended, results[1].reason) == ("diverged", "the loss was not finite")
    assert len(results[1].history) == 1
    assert results[1].best_epoch is None
    assert results[1].weights == {}
    expected = train(good, data, own)
    for place, other in ((0, 0), (2, 1)):
        assert results[place].ended == "complete"
        assert results[place].history["validation_loss"].tolist() == pytest.approx(
            expected[other].history["validation_loss"].tolist(), rel=1e-5
        )


@pytest.mark.parametrize("members", [perceptrons, convnets])
def test_an_interrupted_stack_ends_with_the_same_bits(members, data, tmp_path):
    own = settings(epochs=12, early_stopping={"metric": "validation_loss", "patience": 3, "min_delta": 0.0})
    whole = train(members(), data, own)

    class KilledError(Exception):
        pass

    def kill(epoch, active):
        if epoch == 5:
            raise KilledError

    first: dict = {}
    with pytest.raises(KilledError):
        fit_ensemble(
            members(),
            data,
            own,
            device=CPU,
            on_end=first.__setitem__,
            folder=tmp_path,
            checkpoint_seconds=0,
            on_epoch=kill,
        )
    assert load_state(tmp_path / "stack.safetensors")["epoch"] in (4, 5)
    rest: dict = {}
    fit_ensemble(members(), data, own, device=CPU, on_end=rest.__setitem__, folder=tmp_path, checkpoint_seconds=0)
    ended = first | rest
    assert sorted(ended) == sorted(whole)
    for place, result in whole.items():
        assert ended[place].best_value == result.best_value
        columns = ["epoch", "train_loss", "validation_loss", "validation_accuracy"]
        assert ended[place].history[columns].equals(result.history[columns])
        assert all(torch.equal(ended[place].weights[name], value) for name, value in result.weights.items())


def test_a_checkpoint_of_other_members_is_refused(data, tmp_path):
    own = settings(epochs=3)
    options = {"folder": tmp_path, "checkpoint_seconds": 0}
    train([Member(mlp(0), adamw(), 1)], data, own, **options)
    with pytest.raises(CheckpointError, match="other members"):
        train([Member(mlp(0), adamw(learning_rate=0.5), 1)], data, own, **options)


def test_a_pruned_member_leaves_and_sees_its_validations_in_order(data):
    asked = []

    def prune(member, epoch, value):
        assert math.isfinite(value)
        asked.append((epoch, member))
        return member == 1 and epoch == 2

    results = train([Member(mlp(seed), adamw(), seed) for seed in range(3)], data, settings(epochs=4), prune=prune)
    assert asked == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 2), (4, 0), (4, 2)]
    assert [results[place].ended for place in range(3)] == ["complete", "pruned", "complete"]


def test_subsets_of_different_size_and_empty_splits_are_refused(data):
    uneven = [Member(convnet(0), sgd(), 1, torch.arange(50)), Member(convnet(1), sgd(), 2, torch.arange(60))]
    with pytest.raises(DataError, match="one size"):
        train(uneven, data, settings())
    empty = TensorData(data.images, data.labels, data.train, data.validation[:0])
    with pytest.raises(DataError, match="validation image"):
        train(perceptrons(), empty, settings())


def test_networks_and_optimisers_of_different_kinds_are_refused(data):
    wider = initial_network(lambda: MLP(64, (25, 16), CLASSES, dropout=0.1, slope=0.1), 0)
    with pytest.raises(ValueError, match="one architecture"):
        train([Member(mlp(0), adamw(), 1), Member(wider, adamw(), 1)], data, settings())
    with pytest.raises(ValueError, match="one kind of optimiser"):
        train([Member(mlp(0), adamw(), 1), Member(mlp(1), sgd(), 1)], data, settings())


def test_frozen_parameters_stay(data):
    frozen = [convnet(seed) for seed in (0, 1)]
    for network in frozen:
        network.features.requires_grad_(False)
    results = train([Member(network, sgd(), 1) for network in frozen], data, settings(epochs=3))
    for place, network in enumerate(frozen):
        for name, value in network.state_dict().items():
            changed = not torch.equal(results[place].weights[name], value)
            assert changed == name.startswith("head"), name


@pytest.mark.parametrize(
    ("memory_mb", "sizes"), [(1000, [30]), (10, [10, 10, 10]), (8, [7, 8, 7, 8]), (1, [1] * 30), (0, [1] * 30)]
)
def test_stacks_stay_within_the_memory_and_are_of_nearly_equal_size(memory_mb, sizes):
    stacks = divide_into_stacks(list(range(30)), 1_000_000, memory_mb)
    assert [len(stack) for stack in stacks] == sizes
    assert [item for stack in stacks for item in stack] == list(range(30))


def test_a_wider_network_and_a_larger_batch_take_more_memory():
    image = torch.zeros(64)
    narrow, wide = mlp(0), initial_network(lambda: MLP(64, (240, 160), CLASSES, dropout=0.1, slope=0.1), 0)
    assert member_bytes(narrow, image, settings()) < member_bytes(wide, image, settings())
    assert member_bytes(narrow, image, settings()) < member_bytes(narrow, image, settings(batch_size=96))


def test_a_pruner_sees_what_an_interrupted_call_has_validated(data, tmp_path):
    members = [Member(mlp(seed), adamw(), seed) for seed in range(3)]
    own = settings(epochs=6)

    def pruner(asked):
        def prune(member, epoch, value):
            asked.append((epoch, member, value))
            return (epoch, member) in ((2, 1), (5, 0))

        return prune

    def stop(epoch, active):
        if epoch == 4:
            raise KeyboardInterrupt

    whole: list = []
    expected = train(members, data, own, prune=pruner(whole))
    options = {"folder": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        train(members, data, own, prune=pruner([]), on_epoch=stop, **options)
    continued: list = []
    results = train(members, data, own, prune=pruner(continued), **options)
    assert continued == whole
    assert results[0].ended == expected[0].ended == "pruned"
    assert results[0].reason == "worse than other trials at the same epoch"
    assert results[2].ended == "complete"


class WatchedData(TensorData):
    """Data that remember which images training and validation were given, in their order."""

    def take(self, positions):
        self.__dict__.setdefault("given", []).append((torch.is_inference_mode_enabled(), positions.clone()))
        return super().take(positions)

    def batches(self):
        """Positions [feeds, B] of every step."""
        return [positions for validation, positions in self.given if not validation]


def watched(data):
    return WatchedData(data.images, data.labels, data.train, data.validation)


def test_epochs_of_so_many_steps_go_through_the_images_pass_after_pass(data):
    own = watched(data)
    train([Member(mlp(0), adamw(), 4)], own, settings(epochs=5, steps_per_epoch=3, batch_size=48))
    batches = own.batches()
    assert [batch.shape for batch in batches] == [(1, 48)] * 15
    stream = torch.cat(batches, dim=1)[0]
    passes = stream.split(IMAGES)  # 3.6 of them
    for number, images in enumerate(passes[:3]):
        assert sorted(images.tolist()) == list(range(IMAGES))
        assert images.tolist() == epoch_order(IMAGES, 4, number, shuffle=True).tolist()
    assert len(set(passes[3].tolist())) == len(passes[3]) == 120
    assert passes[0].tolist() != passes[1].tolist()
    kinds = [validation for validation, _ in own.given]
    assert [kinds[:place].count(False) for place in range(len(kinds)) if kinds[place]][::2] == [3, 6, 9, 12, 15]


@pytest.mark.parametrize(("images", "batch"), [(20, 20), (48, 48), (49, 48)])
def test_a_batch_holds_all_images_where_there_are_fewer(data, images, batch):
    own = watched(data)
    members = [Member(mlp(0), adamw(), 4, torch.arange(100, 100 + images))]
    results = train(members, own, settings(epochs=2, steps_per_epoch=3, batch_size=48))
    assert [positions.shape for positions in own.batches()] == [(1, batch)] * 6
    if images == batch:
        assert all(sorted(positions[0].tolist()) == [*range(100, 100 + images)] for positions in own.batches())
    assert len(results[0].history) == 2


def test_with_an_epoch_of_one_pass_nothing_has_changed(data):
    own = watched(data)
    train([Member(mlp(0), adamw(), 4)], own, settings(epochs=2, steps_per_epoch=None, batch_size=64))
    assert [batch.shape[1] for batch in own.batches()] == [64, 64, 64, 8] * 2
    # Four whole batches of 50 are a pass either way.
    histories = [
        train([Member(mlp(0), adamw(), 4)], data, settings(epochs=3, steps_per_epoch=steps, batch_size=50))[0].history
        for steps in (None, 4)
    ]
    losses = [history["train_loss"].tolist() for history in histories]
    assert losses[0] == losses[1]


def train_steps(member, data, own):
    """The plain loop over a stream of passes: torch's own optimiser, one network. Returns losses and weights."""
    network = member.network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=1e-2)
    subset = data.train if member.subset is None else member.subset
    size = min(own.batch_size, len(subset))
    needed = own.epochs * own.steps_per_epoch * size
    stream = torch.cat([epoch_order(len(subset), member.seed, number, shuffle=True) for number in range(needed)])
    losses = []
    for batch in subset[stream[:needed]].split(size):
        loss = F.cross_entropy(network(data.images[batch]), data.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return torch.tensor(losses).view(own.epochs, -1).mean(1).tolist(), network.state_dict()


@pytest.mark.parametrize("images", [17, 70])
def test_members_with_steps_equal_single_runs_and_keep_their_last_weights(data, images):
    own = settings(epochs=6, steps_per_epoch=3, batch_size=32, restore="best_if_stopped")
    members = [Member(convnet(seed), adamw(), seed, torch.arange(seed, seed + 2 * images, 2)) for seed in range(3)]
    results = train(members, data, own)
    for place, member in enumerate(members):
        losses, weights = train_steps(member, data, own)
        assert results[place].history["train_loss"].tolist() == pytest.approx(losses, rel=1e-5)
        for name, value in weights.items():
            torch.testing.assert_close(results[place].weights[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_a_stack_interrupted_within_a_pass_ends_with_the_same_bits(data, tmp_path, epoch):
    own = settings(epochs=6, steps_per_epoch=3, batch_size=48, restore="best_if_stopped")
    whole = train(perceptrons(), data, own)

    def stop(number, active):
        if number == epoch:
            raise KeyboardInterrupt

    options = {"folder": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        train(perceptrons(), data, own, on_epoch=stop, **options)
    rest = train(perceptrons(), data, own, **options)
    for place, result in whole.items():
        columns = ["epoch", "train_loss", "validation_loss"]
        assert rest[place].history[columns].equals(result.history[columns])
        assert all(torch.equal(rest[place].weights[name], value) for name, value in result.weights.items())


def test_the_best_weights_come_back_only_after_an_early_stop_where_that_is_asked_for(data):
    labels = data.labels.clone()
    labels[::2] = labels[::2].roll(1)  # half of them are wrong: whoever learns them by heart gets worse
    data = TensorData(data.images, labels, data.train, data.validation)
    early = {"metric": "validation_loss", "patience": 3, "min_delta": 0.0}
    members = [Member(mlp(0, 0.0), adamw(learning_rate=0.02), 1), Member(mlp(1, 0.0), adamw(learning_rate=1e-5), 2)]
    own = {"epochs": 12, "early_stopping": early}
    best = train(members, data, settings(**own))
    last = train(members, data, settings(restore="best_if_stopped", **own))
    assert [best[place].ended for place in (0, 1)] == [last[place].ended for place in (0, 1)] == ["stopped", "complete"]
    assert len(best[0].history) == best[0].best_epoch + 3
    assert (last[0].best_epoch, last[0].best_value) == (best[0].best_epoch, best[0].best_value)
    assert all(torch.equal(last[0].weights[name], value) for name, value in best[0].weights.items())

    # Without an early stop the same member keeps what it had in the end.
    own = {"epochs": best[0].best_epoch + 2, "early_stopping": early}
    best, last = (train(members, data, settings(restore=kind, **own))[0] for kind in ("best", "best_if_stopped"))
    assert best.ended == last.ended == "complete"
    assert (best.best_epoch, last.best_epoch) == (own["epochs"] - 2, own["epochs"])
    assert last.best_value == last.history["validation_loss"].iloc[-1] > best.best_value
    assert not torch.equal(last.weights["layers.0.weight"], best.weights["layers.0.weight"])
    for result in (best, last):
        network = mlp(0, 0.0)
        network.load_state_dict(result.weights)
        with torch.inference_mode():
            loss = F.cross_entropy(network.eval()(data.images[data.validation]), data.labels[data.validation])
        assert float(loss) == pytest.approx(result.best_value, rel=1e-5)

    # Patience that ends with the last epoch is an early stop.
    own = {"epochs": best.best_epoch + 3, "early_stopping": early}
    ended = train(members, data, settings(restore="best_if_stopped", **own))[0]
    assert (ended.ended, ended.best_epoch) == ("stopped", best.best_epoch)


@pytest.mark.slow
@pytest.mark.parametrize("members", [perceptrons, convnets])
@pytest.mark.parametrize("images_at_once", [1, 20, 10_000])
def test_images_computed_a_part_at_a_time_give_the_same_numbers(members, images_at_once, data):
    own = settings(epochs=4)
    whole, parts = train(members(), data, own), train(members(), data, own, images_at_once=images_at_once)
    for place, result in whole.items():
        for column in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
            assert parts[place].history[column].tolist() == pytest.approx(result.history[column].tolist(), rel=1e-5)
        for name, value in result.weights.items():
            torch.testing.assert_close(parts[place].weights[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("images_at_once", "sizes"), [(None, {48, 8}), (30, {10, 8, 6}), (2, {1}), (150, {48, 8})])
def test_all_members_together_compute_so_many_images_at_a_time(data, images_at_once, sizes):
    own = watched(data)
    train(perceptrons(), own, settings(epochs=1), images_at_once=images_at_once)
    # 200 images: four batches of 48 and one of 8, for each of three members, in parts of 10 or as they are.
    found = {batch.shape[1] for batch in own.batches()}
    assert found == ({10, 8} if images_at_once == 30 else sizes)


def own_validation():
    places = torch.arange(IMAGES + VALIDATION)
    return [
        Member(convnet(0), sgd(), 1, places[:100], places[200:220]),
        Member(convnet(1), sgd(learning_rate=0.01), 2, places[50:150], places[220:240]),
        Member(convnet(0), sgd(), 1, places[:100], places[240:260]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("images_at_once", [None, 9])
def test_members_with_validation_images_of_their_own_equal_members_alone(data, images_at_once):
    own = settings(epochs=6)
    results = train(own_validation(), data, own, images_at_once=images_at_once)
    for place, member in enumerate(own_validation()):
        alone = train([member], data, own)[0]
        shared = TensorData(data.images, data.labels, data.train, member.validation)
        rows, _ = train_alone(member, shared, own)
        for column in ("train_loss", "validation_loss", "validation_accuracy"):
            found = results[place].history[column].tolist()
            assert found == pytest.approx(alone.history[column].tolist(), rel=1e-5)
        assert results[place].history["validation_loss"].tolist() == pytest.approx([row[1] for row in rows], rel=1e-5)
    # The same network on the same images, judged by others.
    assert results[0].history["train_loss"].tolist() == pytest.approx(
        results[2].history["train_loss"].tolist(), rel=1e-6
    )
    assert results[0].history["validation_loss"].tolist() != results[2].history["validation_loss"].tolist()


def test_members_with_validation_images_of_their_own_stop_by_themselves(data):
    early = {"metric": "validation_loss", "patience": 1, "min_delta": 0.0}
    own = settings(epochs=20, early_stopping=early)
    hasty = [
        Member(member.network, sgd(learning_rate=0.2), member.seed, member.subset, member.validation)
        for member in own_validation()
    ]
    results = train(hasty, data, own)
    assert len({len(result.history) for result in results.values()}) > 1
    for place, member in enumerate(hasty):
        alone = train([member], data, own)[0]
        assert len(results[place].history) == len(alone.history)
        assert results[place].best_value == pytest.approx(alone.best_value, rel=1e-4)


def test_validation_images_of_different_number_or_none_are_refused(data):
    first, second, _ = own_validation()
    places = torch.arange(IMAGES, IMAGES + VALIDATION)
    longer = Member(second.network, second.optimizer, 2, second.subset, places)
    with pytest.raises(DataError, match="one size"):
        train([first, longer], data, settings())
    none = Member(second.network, second.optimizer, 2, second.subset, places[:0])
    with pytest.raises(DataError, match="validation image"):
        train([none], data, settings())


def test_a_checkpoint_with_other_validation_images_or_steps_is_refused(data, tmp_path):
    first, _, third = own_validation()
    options = {"folder": tmp_path, "checkpoint_seconds": 0}
    train([first], data, settings(epochs=3), **options)
    moved = Member(first.network, first.optimizer, 1, first.subset, third.validation)
    with pytest.raises(CheckpointError, match="other members"):
        train([moved], data, settings(epochs=3), **options)
    with pytest.raises(CheckpointError, match="other members"):
        train([first], data, settings(epochs=3, steps_per_epoch=2), **options)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("last", [True, False])
def test_images_are_taken_in_the_memory_format_of_all(channels, last):
    images = torch.randn(10, channels, 4, 5)
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    data = TensorData(images, torch.zeros(10), torch.arange(8), torch.arange(8, 10))
    for positions in (torch.tensor([3, 3, 9]), torch.tensor([[1, 2, 0], [9, 9, 4]])):
        found = data.take(positions)
        assert torch.equal(found, images[positions])
        flat = found.reshape(-1, channels, 4, 5) if positions.ndim == 1 else found.flatten(0, 1)
        assert flat.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    vectors = TensorData(torch.randn(10, 6), torch.zeros(10), torch.arange(8), torch.arange(8, 10))
    assert torch.equal(vectors.take(torch.tensor([[4, 0]])), vectors.images[None, [4, 0]])
