import math

import pytest
import torch
from pydantic import TypeAdapter
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from vision_studies.config.training import ScheduleSettings
from vision_studies.training.schedules import Schedule

STEPS = 313
ONECYCLE = {"name": "onecycle", "pct_start": 0.1, "div_factor": 25, "final_div_factor": 1e4, "base_momentum": 0.85}


def build(optimizer, epochs, steps_per_epoch, **settings):
    return Schedule(TypeAdapter(ScheduleSettings).validate_python(settings), [optimizer], epochs, steps_per_epoch)


def sgd(rate=0.1, momentum=0.95):
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate, momentum=momentum)


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (1, 0.004591),
        (10, 0.052012),
        (20, 0.100000),
        (50, 0.093300),
        (100, 0.058680),
        (150, 0.017859),
        (175, 0.004684),
        (195, 0.000190),
    ],
)
def test_onecycle_gives_the_rates_of_the_published_log(epoch, expected):
    schedule = build(sgd(), 200, STEPS, **ONECYCLE)
    assert schedule.apply(epoch * STEPS) == pytest.approx(expected, abs=6e-7)


def test_onecycle_begins_and_ends_where_published():
    schedule = build(sgd(), 200, STEPS, **ONECYCLE)
    assert schedule.apply(0) == pytest.approx(0.004)
    assert schedule.apply(200 * STEPS) == pytest.approx(4e-7, rel=1e-6)


def test_onecycle_equals_torch_in_rate_and_momentum_at_every_step():
    ours, theirs = sgd(), sgd()
    schedule = build(ours, 5, 20, **ONECYCLE)
    reference = OneCycleLR(
        theirs,
        0.1,
        total_steps=100,
        pct_start=0.1,
        div_factor=25,
        final_div_factor=1e4,
        base_momentum=0.85,
        max_momentum=0.95,
    )
    for step in range(100):
        schedule.apply(step)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        assert ours.param_groups[0]["momentum"] == pytest.approx(theirs.param_groups[0]["momentum"], rel=1e-9)
        theirs.step()
        if step < 99:
            reference.step()


def test_momentum_stays_without_base_momentum():
    optimizer = sgd()
    build(optimizer, 2, 10, **ONECYCLE | {"base_momentum": None}).apply(1)
    assert optimizer.param_groups[0]["momentum"] == 0.95


def test_adamw_cycles_its_first_beta():
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.1, betas=(0.95, 0.99))
    build(optimizer, 1, 100, **ONECYCLE | {"pct_start": 0.5}).apply(49)
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.85, 0.99))


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_cosine_equals_torch(interval):
    ours, theirs = sgd(0.05), sgd(0.05)
    schedule = build(ours, 6, 7, name="cosine", eta_min=1e-6, interval=interval, warmup_epochs=0)
    reference = CosineAnnealingLR(theirs, T_max=6 if interval == "epoch" else 42, eta_min=1e-6)
    for step in range(42):
        assert schedule.apply(step) == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-6)
        theirs.step()
        if interval == "step" or step % 7 == 6:
            reference.step()
    assert schedule.apply(42) == pytest.approx(1e-6)


def test_warmup_rises_in_a_straight_line_and_the_cosine_starts_from_the_top():
    schedule = build(sgd(), 10, 10, name="cosine", eta_min=0.0, interval="step", warmup_epochs=2)
    rates = [schedule.apply(step) for step in range(100)]
    assert rates[:20] == pytest.approx([0.1 * (step + 1) / 20 for step in range(20)])
    assert rates[20] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(0.05)


def test_triangle_has_its_corners():
    schedule = build(sgd(), 1, 101, name="triangular", pct_start=0.5, initial_fraction=0.2, final_fraction=0.05)
    assert schedule.apply(0) == pytest.approx(0.02)
    assert max(schedule.apply(step) for step in range(101)) == pytest.approx(0.1, rel=0.01)
    assert schedule.apply(100) == pytest.approx(0.005)
    assert schedule.apply(75) == pytest.approx((schedule.apply(74) + schedule.apply(76)) / 2)


def test_triangle_equals_torch_onecycle_with_straight_lines():
    ours, theirs = sgd(0.5, 0.9), sgd(0.5, 0.9)
    schedule = build(ours, 24, 10, name="triangular", pct_start=0.2, initial_fraction=0.01, final_fraction=1e-6)
    reference = OneCycleLR(
        theirs,
        0.5,
        total_steps=240,
        pct_start=0.2,
        div_factor=100,
        final_div_factor=1e4,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    for step in range(240):
        assert schedule.apply(step) == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-6)
        theirs.step()
        if step < 239:
            reference.step()


def test_plateau_lowers_the_rate_after_its_patience_and_not_below_the_floor():
    settings = {
        "name": "plateau",
        "metric": "validation_loss",
        "factor": 0.1,
        "patience": 1,
        "min_delta": 0.0,
        "min_learning_rate": 0.005,
        "warmup_epochs": 0,
    }
    schedule = build(sgd(), 10, 1, **settings)
    rates = []
    for epoch, loss in enumerate([1.0, 1.0, 1.0, 1.0, 1.0], start=1):
        schedule.after_validation({"epoch": epoch, "validation_loss": loss})
        rates.append(schedule.apply(epoch))
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.005])


def test_plateau_goes_on_from_its_state():
    settings = {
        "name": "plateau",
        "metric": "validation_loss",
        "factor": 0.5,
        "patience": 0,
        "min_delta": 0.0,
        "min_learning_rate": 0.0,
        "warmup_epochs": 0,
    }
    first, second = build(sgd(), 10, 1, **settings), build(sgd(), 10, 1, **settings)
    for epoch, loss in ((1, 1.0), (2, 2.0)):
        first.after_validation({"epoch": epoch, "validation_loss": loss})
    second.load_state_dict(first.state_dict())
    assert second.apply(2) == first.apply(2) == pytest.approx(0.05)


def test_all_groups_move_in_proportion():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = SGD([{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:], "lr": 0.01}], momentum=0.9)
    build(optimizer, 3, 9, **ONECYCLE).apply(13)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(10 * optimizer.param_groups[1]["lr"])


@pytest.mark.parametrize("steps_per_epoch", [1, 2])
def test_a_cycle_of_very_few_steps_has_finite_rates(steps_per_epoch):
    schedule = build(sgd(), 1, steps_per_epoch, **ONECYCLE)
    assert all(math.isfinite(schedule.apply(step)) for step in range(steps_per_epoch + 1))
