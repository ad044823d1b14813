"""Every method tells the cost of all that it does, before any of it is done; what is measured is the work itself, in small."""

import math

import pytest
from tests.pipelines.test_forecasts import alphanet, cuts, data, network_settings, perceptrons  # noqa: F401
from tests.studies.contexts import context_of

from vision_studies.config.merge import merge_settings
from vision_studies.studies.forecast import forecast
from vision_studies.training import timing

NETWORK = {"stem_width": 4, "widths": [4, 8], "blocks": [1, 1], "strides": [1, 2], "squeeze_reduction": None}
SMALL = {"model": NETWORK, "training": {"epochs": 6, "batch_size": 32}}


def small_networks():
    return network_settings(run=SMALL, seeds=[0])


def small_alphanet():
    backbone = alphanet().backbone.model_dump()
    return alphanet(backbone=merge_settings(backbone, {"run": SMALL}))


METHODS = {
    "cifar_resnet": (small_networks, {"train", "predict"}),
    "transfer_cuts": (cuts, {"train as one", "validate as one", "predict"}),
    "mlp_transfer": (perceptrons, {"train as one", "validate as one", "predict"}),
    "alphanet": (small_alphanet, {"train", "predict", "learn combinations"}),
}


@pytest.mark.parametrize("name", METHODS)
def test_all_that_a_method_does_has_a_cost_that_can_be_measured(name, data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(timing, "_ENOUGH", 0.0)
    make, kinds = METHODS[name]
    before = sorted(tmp_path.rglob("*"))
    stages = forecast(context_of(name, make(), data, tmp_path))
    costs = {}
    for stage in stages:
        assert stage.work, stage.stage
        for work in stage.work:
            for cost in work():
                assert cost.units > 0
                assert cost.least is None or 0 < cost.least <= cost.units
                assert cost.operations() > 0
                costs.setdefault(cost.kind, cost)
    assert costs.keys() >= kinds
    for kind in kinds:
        measured = costs[kind].measure()
        assert all(0 < seconds < 10 and math.isfinite(seconds) for seconds in measured.seconds), kind
    assert sorted(tmp_path.rglob("*")) == before  # nothing is left of what was tried
