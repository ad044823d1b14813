import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from vision_studies.config.training import OptimizerSettings
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
    optimizers = build(model, MUON)
    held = [parameter for optimizer in optimizers for group in optimizer.param_groups for parameter in group["params"]]
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


def test_a_step_of_muon_is_the_formula_written_out():
    weight = nn.Parameter(torch.randn(6, 2, 1, 2, generator=torch.Generator().manual_seed(0)))
    optimizer = Muon([weight], lr=0.1, momentum=0.6, nesterov=True, weight_decay=0.5, unit_weights=False, iterations=5)
    before = weight.detach().clone()
    buffer = torch.zeros_like(before)
    for seed in (1, 2):
        gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        weight.grad = gradient
        optimizer.step()
        buffer = 0.6 * buffer + 0.4 * gradient
        update = (0.4 * gradient + 0.6 * buffer).reshape(1, 6, 4)
        orthogonal = orthogonalise(update, 5).float().reshape(weight.shape)
        before = before * (1 - 0.1 * 0.5) - 0.1 * (6 / 4) ** 0.5 * orthogonal
    torch.testing.assert_close(weight.detach(), before, atol=2e-3, rtol=0)


def test_unit_weights_are_scaled_before_the_step_and_keep_their_direction():
    weight = nn.Parameter(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)) * 9)
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1, momentum=0.6, nesterov=True, weight_decay=0.0, unit_weights=True, iterations=5).step()
    torch.testing.assert_close(weight.norm(), torch.tensor(2.0))
    torch.testing.assert_close(weight / weight.norm(), before / before.norm())


def test_weights_of_one_shape_are_updated_as_if_alone():
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(5, 7, generator=generator) for _ in range(3)]
    gradients = [torch.randn(5, 7, generator=generator) for _ in range(3)]
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
        torch.testing.assert_close(together, stepped([index])[0], atol=2e-3, rtol=0)
