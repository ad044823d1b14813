import pytest
import torch
from torch import nn

from vision_studies.config.training import LookaheadSettings
from vision_studies.training.averaging import ExponentialMovingAverage, Lookahead, averaged_weights


def model_at(value):
    model = nn.Linear(2, 1, bias=False)
    move(model, value)
    return model


def move(model, value):
    with torch.no_grad():
        model.weight.fill_(value)


def test_ema_is_its_recurrence_with_a_warm_start():
    model = model_at(0.0)
    average = ExponentialMovingAverage(model, 0.9)
    expected = 0.0
    for step in range(1, 200):
        move(model, float(step))
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.weights[0][0, 0]) == pytest.approx(expected, rel=1e-5)


def test_lookahead_moves_slowly_and_calls_the_model_back():
    model = model_at(0.0)
    lookahead = Lookahead(model, LookaheadSettings(steps=2, step_size=0.5))
    move(model, 1.0)
    lookahead.update()
    assert float(lookahead.weights[0][0, 0]) == 0.0
    move(model, 4.0)
    lookahead.update()
    assert float(lookahead.weights[0][0, 0]) == 2.0
    assert model.weight[0, 0].item() == 2.0


def test_the_model_has_its_own_weights_back_even_after_an_error():
    model = model_at(0.0)
    average = ExponentialMovingAverage(model, 0.9)
    move(model, 1.0)
    with pytest.raises(RuntimeError, match="validation"), averaged_weights(model, average):
        assert model.weight[0, 0].item() == 0.0
        raise RuntimeError("validation")
    assert model.weight[0, 0].item() == 1.0


def test_an_average_goes_on_from_its_state():
    model = model_at(0.0)
    first = ExponentialMovingAverage(model, 0.99)
    move(model, 1.0)
    first.update()
    second = ExponentialMovingAverage(model, 0.99)
    second.load_state_dict(first.state_dict())
    for average in (first, second):
        average.update()
    assert torch.equal(first.weights[0], second.weights[0])
