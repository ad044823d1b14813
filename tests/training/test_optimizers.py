import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from vision_studies.config.training import OptimizerSettings
from vision_studies.training import optimizers
from vision_studies.training.optimizers import Muon, build_optimizers, hidden_weights, orthogonalise

SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
ADAMW = {"name": "adamw", "learning_rate": 0.01, "betas": [0.8, 0.99], "eps": 1e-6, "weight_decay": 0.1}
MUON = {
    "name": "muon",
    "learning_rate": 0.02,
    "momentum": 0.6,
    "nesterov": True,
    "weight_decay": 0.1,
    "unit_weights": False,
    "iterations": 5,
    "rest": ADAMW,
}


def build(model, settings):
    return build_optimizers(model, TypeAdapter(OptimizerSettings).validate_python(settings))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 12, 3), nn.Flatten(), nn.Linear(12, 6), nn.Linear(6, 4)
    )


def test_every_setting_of_sgd_and_adamw_arrives():
    (sgd,) = build(network(), SGD)
    assert {key: sgd.defaults[key] for key in ("lr", "momentum", "nesterov", "weight_decay")} == {
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
    }
    (adamw,) = build(network(), ADAMW)
    assert {key: adamw.defaults[key] for key in ("lr", "betas", "eps", "weight_decay")} == {
        "lr": 0.01,
        "betas": (0.8, 0.99),
        "eps": 1e-6,
        "weight_decay": 0.1,
    }


def test_muon_takes_the_weights_between_the_first_and_the_last_layer():
    model = network()
    assert [tuple(weight.shape) for weight in hidden_weights(model)] == [(12, 8, 3, 3), (6, 12)]
    held = [
        parameter
        for optimizer in build(model, MUON)
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))


def test_frozen_parameters_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    held = [p for optimizer in build(model, SGD) for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len(list(model.parameters())) - 2


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one_and_the_same_directions(shape):
    matrix = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrix, 5).float()
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.35
    assert values.median() > 0.6
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    cosine = nn.functional.cosine_similarity(result.flatten(1), (u @ vh).flatten(1))
    assert cosine.min() > 0.9


def by_singular_values(matrices, iterations):
    """Newton-Schulz in other words: its polynomial, with coefficients written out, on every singular value."""
    u, values, vh = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / (values.square().sum(dim=1, keepdim=True).sqrt() + 1e-7)
    for _ in range(iterations):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return u @ torch.diag_embed(values) @ vh


@pytest.mark.parametrize("iterations", range(6))
@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 16)])
def test_in_double_precision_newton_schulz_is_a_polynomial_of_the_singular_values(shape, iterations):
    matrices = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = orthogonalise(matrices, iterations)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, by_singular_values(matrices, iterations), atol=1e-10, rtol=0)


@pytest.mark.parametrize(("fast", "rounding"), [(True, 2.0**-8), (False, 2.0**-24)], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 16)])
def test_an_iteration_is_off_by_no_more_than_its_roundings(shape, fast, rounding, monkeypatch):
    """In either number format and on every processor, whichever format it is fast at.

    Every result of a product, sum or scaling is rounded once, and by `rounding` of its size at most; products add up in
    float32 at least. The three terms a x, b x^3 and c x^5 pass through 3, 8 and 12 roundings, those of their factors among
    them, so that to first order the error is below `rounding` times the terms' norms, counted so often. float32 may round
    each of the up to 30 sums of a product, too.
    """
    monkeypatch.setattr(optimizers, "has_fast_bfloat16", lambda _: fast)
    matrices = torch.randn(2, *shape, generator=torch.Generator().manual_seed(2))
    found = orthogonalise(matrices, 1)
    assert found.dtype == (torch.bfloat16 if fast else torch.float32)
    _, values, _ = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / values.norm(dim=1, keepdim=True)
    terms = [3 * 3.4445 * values, 8 * 4.7750 * values**3, 12 * 2.0315 * values**5]
    bound = rounding * sum(term.norm(dim=1) for term in terms) * (1 if fast else 30)
    error = (found.double() - by_singular_values(matrices, 1)).flatten(1).norm(dim=1)
    assert (error <= bound).all()
    assert (error > 0).all()  # it was rounded


def test_a_step_of_muon_is_the_formula_written_out():
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 2, 1, 2, generator=generator, dtype=torch.float64))
    optimizer = Muon([weight], lr=0.1, momentum=0.6, nesterov=True, weight_decay=0.5, unit_weights=False, iterations=5)
    before = weight.detach().clone()
    buffer = torch.zeros_like(before)
    for _ in range(2):
        gradient = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        weight.grad = gradient
        optimizer.step()
        buffer = 0.6 * buffer + 0.4 * gradient
        update = (0.4 * gradient + 0.6 * buffer).reshape(1, 6, 4)
        before = before * (1 - 0.1 * 0.5) - 0.1 * (6 / 4) ** 0.5 * by_singular_values(update, 5).reshape(weight.shape)
    torch.testing.assert_close(weight.detach(), before, atol=1e-10, rtol=0)


def test_unit_weights_are_scaled_before_the_step_and_keep_their_direction():
    weight = nn.Parameter(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)) * 9)
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1, momentum=0.6, nesterov=True, weight_decay=0.0, unit_weights=True, iterations=5).step()
    torch.testing.assert_close(weight.norm(), torch.tensor(2.0))
    torch.testing.assert_close(weight / weight.norm(), before / before.norm())


def test_weights_of_one_shape_are_updated_as_if_alone():
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(3)]
    gradients = [torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(3)]
    options = {
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
        "unit_weights": False,
        "iterations": 5,
    }

    def stepped(group):
        parameters = [nn.Parameter(values[index].clone()) for index in group]
        for parameter, index in zip(parameters, group, strict=True):
            parameter.grad = gradients[index]
        Muon(parameters, **options).step()
        return [parameter.detach() for parameter in parameters]

    for together, index in zip(stepped([0, 1, 2]), range(3), strict=True):
        torch.testing.assert_close(together, stepped([index])[0], atol=1e-10, rtol=0)
