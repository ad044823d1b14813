import pytest
import torch
from tests.rounding import bfloat16_bound, layers_of
from torch.nn import functional as F

from vision_studies.training.evaluation import evaluate, predict_outputs

CPU = torch.device("cpu")


def test_logits_come_in_the_order_of_the_loader_with_dropout_off(make_settings, make_network, loaders):
    model = make_network(0.5).train()
    logits, labels = predict_outputs(model, loaders[1], make_settings(), CPU)
    assert model.training
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(logits, model(loaders[1].images))
    assert logits.dtype == torch.float32
    assert torch.equal(labels, loaders[1].labels)


def test_loss_and_accuracy_are_means_over_images_not_over_batches(make_settings, make_network, loaders):
    model = make_network()
    validation = loaders[1]  # 18 images in batches of 10: the second is short
    loss, accuracy = evaluate(model, validation, make_settings(label_smoothing=0.3), CPU)
    logits, labels = predict_outputs(model, validation, make_settings(), CPU)
    assert loss == pytest.approx(float(F.cross_entropy(logits, labels)))
    assert accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_bfloat16_logits_are_close_and_float32(make_settings, make_network, loaders):
    model = make_network()
    plain, _ = predict_outputs(model, loaders[1], make_settings(), CPU)
    fast, _ = predict_outputs(model, loaders[1], make_settings(precision="bf16"), CPU)
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, plain, atol=bfloat16_bound(layers_of(model)) * plain.abs().max().item(), rtol=0)
