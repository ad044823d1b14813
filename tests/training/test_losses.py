"""Losses for classes of uneven size against their formulas, written out in float64 for one image after the other."""

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from tests.test_base_parameters import base_run

from vision_studies.config.losses import LOSSES, LossSettings, class_shares
from vision_studies.training.losses import LossTensors, logit_gradients_, losses
from vision_studies.training.mixing import MixedBatch
from vision_studies.training.objectives import CLASSIFICATION, UnevenClassification
from vision_studies.training.samplers import EpochDraw, drawn_images

COUNTS = np.array([120, 40, 9, 1])
K = len(COUNTS)


def loss_of(name, **options):
    return TypeAdapter(LossSettings).validate_python({"name": name, **options})


def entropy(logits, y):
    return math.log(sum(math.exp(value) for value in logits)) - logits[y]


def cross_entropy(z, y):
    return entropy(z, y)


def weighted(z, y, power):
    weights = [n**-power for n in COUNTS]
    return K * weights[y] / sum(weights) * entropy(z, y)


def effective_weights(beta):
    weights = [(1 - beta) / (1 - beta**n) for n in COUNTS.tolist()]
    return [K * weight / sum(weights) for weight in weights]


def class_balanced(z, y, beta):
    return effective_weights(beta)[y] * entropy(z, y)


def focal(z, y, gamma):
    chance = math.exp(-entropy(z, y))
    return -((1 - chance) ** gamma) * math.log(chance)


def ldam(z, y, margin, scale, beta, weights_from):
    lowered = [
        scale * (value - (margin * (COUNTS.min() / COUNTS[y]) ** 0.25 if c == y else 0)) for c, value in enumerate(z)
    ]
    return effective_weights(beta)[y] * entropy(lowered, y)


def balanced_softmax(z, y):
    shares = [n * math.exp(value) for n, value in zip(COUNTS, z, strict=True)]
    return -math.log(shares[y] / sum(shares))


def logit_adjusted(z, y, tau):
    return entropy([value + tau * math.log(n / COUNTS.sum()) for n, value in zip(COUNTS, z, strict=True)], y)


def vector_scaling(z, y, gamma, tau):
    pairs = zip(COUNTS, z, strict=True)
    return entropy([value * (n / 120) ** gamma + tau * math.log(n / COUNTS.sum()) for n, value in pairs], y)


def over_smoothed(z, y, smoothing):
    labels = [smoothing / K + (1 - smoothing if c == y else 0) for c in range(K)]
    return sum(label * entropy(z, c) for c, label in enumerate(labels))


CASES = [
    (cross_entropy, {}),
    (weighted, {"power": 0.7}),
    (class_balanced, {"beta": 0.99}),
    (focal, {"gamma": 2.0}),
    (ldam, {"margin": 0.5, "scale": 3.0, "beta": 0.999, "weights_from": 0.8}),
    (balanced_softmax, {}),
    (logit_adjusted, {"tau": 1.3}),
    (vector_scaling, {"gamma": 0.2, "tau": 0.9}),
    (over_smoothed, {"smoothing": 0.98}),
]
NAMES = [formula.__name__ for formula, _ in CASES]


def test_every_loss_has_its_formula_here():
    assert sorted(NAMES) == sorted(name for loss in LOSSES for name in loss.names())
    assert all(loss.knob is None or loss.knob in loss.model_fields for loss in LOSSES)


@pytest.mark.parametrize(("formula", "options"), CASES, ids=NAMES)
def test_a_loss_is_its_formula(formula, options):
    generator = np.random.default_rng(0)
    logits, labels = 2 * generator.normal(size=(30, K)), generator.integers(K, size=30)
    forms = LossTensors.of([loss_of(formula.__name__, **options).form(COUNTS)], dtype=torch.float64)
    found = losses(torch.from_numpy(logits)[None], torch.from_numpy(labels), forms)[0]
    expected = [formula(z.tolist(), int(y), **options) for z, y in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("formula", "options"), CASES, ids=NAMES)
def test_gradients_are_those_of_autograd_for_all_members_at_once(formula, options):
    form = loss_of(formula.__name__, **options).form(COUNTS)
    forms = LossTensors.of([form, loss_of("cross_entropy").form(COUNTS), form], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 20, K, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(K, (20,), generator=generator)
    losses(logits, labels, forms).mean(dim=1).sum().backward()
    found = logit_gradients_(logits.detach().transpose(0, 1).contiguous(), labels, forms)
    torch.testing.assert_close(found.transpose(0, 1), logits.grad, rtol=1e-10, atol=1e-14)


def test_equal_losses_are_equal():
    """Balanced softmax is logit adjustment with tau 1, and that is vector scaling with gamma 0."""
    logits, labels = torch.randn(1, 9, K, generator=torch.Generator().manual_seed(1)), torch.arange(9) % K
    one, other, third = (
        losses(logits, labels, LossTensors.of([loss.form(COUNTS)]))
        for loss in (
            loss_of("balanced_softmax"),
            loss_of("logit_adjusted", tau=1.0),
            loss_of("vector_scaling", gamma=0.0, tau=1.0),
        )
    )
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one, third)


def test_late_weights_wait():
    form = loss_of("ldam", margin=0.5, scale=1.0, beta=0.999, weights_from=0.8).form(COUNTS)
    assert LossTensors.of([form], 0.79).weight.eq(1).all()
    assert LossTensors.of([form], 0.8).weight[0, 3] > 2


@pytest.mark.parametrize(("formula", "options"), CASES, ids=NAMES)
@pytest.mark.parametrize("counts", [[50, 0, 3], [20, 1, 1], [0, 7, 0]], ids=["absent", "one image", "all one class"])
def test_odd_counts_have_a_defined_loss(formula, options, counts):
    """A class without an image is one of a single image where a prior or margin is asked for, and has no weight."""
    counts = np.array(counts)
    form = loss_of(formula.__name__, **options).form(counts)
    labels = torch.from_numpy(np.flatnonzero(counts))
    found = losses(torch.zeros(1, len(labels), len(counts)), labels, LossTensors.of([form]))
    assert found.isfinite().all()
    assert (found >= 0).all()
    if form.weight_from == 0 and formula in (weighted, class_balanced):
        assert form.weight[counts == 0].sum() == 0
        assert form.weight[counts > 0].mean() == pytest.approx(1)


def test_no_image_at_all_is_refused():
    with pytest.raises(ValueError, match="no class has a training image"):
        loss_of("cross_entropy").form(np.zeros(3, np.int64))


def test_the_objective_is_the_mean_loss_and_plain_without_one():
    logits, labels = torch.randn(8, K, generator=torch.Generator().manual_seed(2)), torch.arange(8) % K
    batch = MixedBatch(torch.zeros(8, 1, 1, 1), labels, labels.flip(0), 0.7)
    plain = UnevenClassification(loss_of("cross_entropy").form(COUNTS))
    for smoothing in (0.0, 0.1):
        torch.testing.assert_close(plain.loss(logits, batch, smoothing), CLASSIFICATION.loss(logits, batch, smoothing))
    late = UnevenClassification(loss_of("ldam", margin=0.5, scale=1.0, beta=0.99, weights_from=0.5).form(COUNTS))
    before = float(late.loss(logits, batch, 0.0))
    late.begin_epoch(0.5)
    assert float(late.loss(logits, batch, 0.0)) != before


@pytest.mark.parametrize(
    ("sampler", "progress", "expected"),
    [
        ("instance", 0.3, [0.9, 0.1, 0]),
        ("square_root", 0.3, [0.75, 0.25, 0]),
        ("class_aware", 0.3, [0.5, 0.5, 0]),
        ("progressive", 0.0, [0.9, 0.1, 0]),
        ("progressive", 0.25, [0.8, 0.2, 0]),
        ("progressive", 1.0, [0.5, 0.5, 0]),
    ],
)
def test_shares_of_classes(sampler, progress, expected):
    np.testing.assert_allclose(class_shares(np.array([9, 1, 0]), sampler, progress), expected)


def test_draws_follow_the_shares_and_are_those_of_seed_and_epoch():
    labels = np.array([0] * 90 + [2] * 10)
    shares = np.array([0.3, 0, 0.7])
    drawn = drawn_images(labels, shares, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(labels[drawn], minlength=3) / len(drawn), shares, atol=0.01)
    np.testing.assert_allclose(np.bincount(drawn[drawn < 90]) / (drawn < 90).sum(), 1 / 90, atol=0.005)
    draw = EpochDraw(labels, 3, "progressive", 5, seed=3)
    assert draw(1).equal(draw(1))
    assert not draw(1).equal(draw(2))
    first, last = (float((torch.from_numpy(labels)[draw(epoch)] == 2).float().mean()) for epoch in (0, 4))
    assert first < 0.25
    assert last > 0.35


def test_runs_without_a_loss_are_written_as_before():
    assert {"loss", "sampler"}.isdisjoint(base_run({}).model_dump())
    own = base_run({"loss": {"name": "logit_adjusted", "tau": 1.0}, "sampler": "square_root"}).model_dump(mode="json")
    assert own["loss"] == {"name": "logit_adjusted", "tau": 1.0}
    assert own["sampler"] == "square_root"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": "class_aware", "loader": "ffcv"}, "set loader: device, or sampler: instance"),
        ({"loss": {"name": "focal", "gamma": 2.0}}, "set training.label_smoothing: 0"),
        ({"loss": {"name": "focal", "gamma": -1.0}}, "greater than or equal to 0"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        base_run(changes)
