"""Within an epoch no step makes the host wait for a GPU; what would is told by the operations themselves, on a CPU, too."""

import ast

import pytest
import torch
from tests.conftest import ROOT
from tests.training.conftest import ADAMW, COSINE, MUON, ONECYCLE, SGD, TensorLoader, plain_settings
from torch import nn

from benchmarks.host_waits import HostWaits
from vision_studies.augmentation.step import AugmentationStep, Occasion
from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.settings_base import read_kinds
from vision_studies.training import fit
from vision_studies.training.fit import LossWatch, _Training
from vision_studies.training.objectives import CLASSIFICATION

CPU = torch.device("cpu")
ERASING = {"probability": 0.5, "scale": (0.02, 0.3), "ratio": (0.3, 3.3)}
STEPS = {
    "random_crop": {"padding": 2, "mode": "reflect"},
    "random_flip": {"probability": 0.5},
    "alternating_flip": {},
    "random_rotation": {"degrees": 20, "interpolation": "bilinear"},
    "color_jitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "random_perspective": {"distortion_scale": 0.3, "probability": 0.5, "interpolation": "bilinear"},
    "rand_augment": {"num_ops": 2, "magnitude": 9, "num_magnitude_bins": 31},
    "random_erasing": ERASING,
    "cutout": {"size": 4},
}
RECIPES = {
    "plain": {},
    "muon": {"optimizer": MUON, "schedule": ONECYCLE},
    "adamw": {"optimizer": ADAMW, "schedule": COSINE, "gradient_clip": 1.0},
    "cutmix": {"mixing": {"name": "cutmix", "alpha": 1.0, "probability": 1.0}},
    "mixup": {"mixing": {"name": "mixup", "alpha": 1.0, "probability": 1.0}, "label_smoothing": 0.1},
    "average": {"ema_decay": 0.99, "image_scales": [0.5]},
    "lookahead": {"lookahead": {"steps": 2, "step_size": 0.5}, "optimizer": SGD | {"nesterov": True}},
}


def test_all_steps_of_augmentation_are_looked_at():
    kinds = read_kinds(AugmentationStep, "vision_studies.augmentation.steps")
    assert sorted(STEPS) == sorted(name for kind in kinds for name in kind.names())


@pytest.mark.parametrize("name", STEPS)
def test_augmentation_waits_for_nothing(name):
    settings = AugmentationSettings.model_validate({"steps": [{"name": name} | STEPS[name]]})
    augment = settings.build(fill=(1.0, 2.0, 3.0))
    images = torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    with HostWaits() as waits:
        augment(images, generator, Occasion(0, 0, torch.arange(24)))
    assert dict(waits.found) == {}


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_waits_for_nothing_within_an_epoch(recipe, monkeypatch):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    images, labels = torch.randn(64, 3, 12, 12), torch.arange(64) % 2
    network(images if recipe != "average" else images[..., ::2, ::2])
    loader = TensorLoader(images, labels, 16)
    settings = plain_settings(**RECIPES[recipe])
    training = _Training(network, loader, loader, settings, 0, CPU, CLASSIFICATION)
    training._train()  # what is made once, such as an optimiser's moments
    training.epoch = 1
    on_host = [state["step"] for own in training._optimizers for state in own.state.values() if "step" in state]
    monkeypatch.setattr(fit, "LossWatch", lambda at_once: LossWatch(at_once=False))
    with HostWaits(on_host) as waits:
        training._train()
    assert dict(waits.found) == {"reads a number": 2}  # when the epoch is over: loss and hits


def test_what_would_wait_is_found():
    values = torch.arange(8.0)
    with HostWaits() as waits:
        if values.sum() > 3:
            values[values > 2] = torch.arange(5.0)
        values.unique()
        values[values > 2] = 0.0
        values.bool().nonzero()
        torch.masked_select(values, values > 2)
    assert waits.found == {
        "reads a number": 1,
        "index by a mask": 1,
        "looks for different values": 1,
        "looks for what is not zero": 1,
        "selects by a mask": 1,
    }


def test_a_loss_is_looked_at_when_its_steps_are_done_and_a_bad_one_is_not_overlooked():
    losses = [torch.tensor(value) for value in (1.0, 2.0, float("nan"), 3.0)]
    for at_once, expected in ((True, [True, True, False, True]), (False, [True, True, True, False])):
        watch = LossWatch(at_once=at_once)
        assert [watch.is_finite(loss) for loss in losses] == expected


def test_no_constant_is_made_on_the_device():
    """Such a copy waits, and a CPU does not show it; `augmentation.draws.send` makes one that does not."""
    for file in sorted((ROOT / "src/vision_studies/augmentation").rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        made = [call for call in calls if ast.unparse(call.func) in ("torch.tensor", "torch.as_tensor")]
        assert [ast.unparse(call) for call in made if any(key.arg == "device" for key in call.keywords)] == [], file
