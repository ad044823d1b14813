"""Trainings that one process does alone or several do together: what the started processes import.

All are in double precision but `in_bfloat16`: what processes share is then the same to many digits on every processor, whatever
order it adds numbers up in. No layer before a batch norm has a bias: the norm takes it away, so that its gradients are rounding
errors, by which AdamW would walk.
"""

import os
import signal
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from tests.data.conftest import make_image_set
from tests.training.conftest import plain_settings
from torch import nn

from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.data.data_card import channel_statistics
from vision_studies.data.ffcv import FfcvLoader, write_beton
from vision_studies.data.loaders import WHOLE, DeviceLoader
from vision_studies.training import optimizers
from vision_studies.training.collectives import assemble, synchronise_batch_norms
from vision_studies.training.fit import fit
from vision_studies.training.objectives import CLASSIFICATION, JointStacking

CPU = torch.device("cpu")
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.95, "nesterov": False, "weight_decay": 1e-4}
ADAMW = {"name": "adamw", "learning_rate": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
MUON = {
    "name": "muon",
    "learning_rate": 0.005,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.0,
    "unit_weights": False,
    "iterations": 5,
    "rest": SGD,
}
CUTMIX = {"name": "cutmix", "alpha": 1.0, "probability": 0.7}
CROP = {"name": "random_crop", "padding": 1, "mode": "reflect"}
FLIP = {"name": "alternating_flip"}
CUTOUT = {"name": "cutout", "size": 3}

RECIPES = {
    # 45 images in batches of 16: of the last 13, the second process has 5
    "momentum": {
        "images": 45,
        "steps": [CROP, FLIP],
        "training": {
            "optimizer": SGD,
            "schedule": {
                "name": "onecycle",
                "pct_start": 0.3,
                "div_factor": 25,
                "final_div_factor": 1e4,
                "base_momentum": 0.85,
            },
            "mixing": CUTMIX,
            "ema_decay": 0.9,
            "label_smoothing": 0.1,
            "gradient_clip": 1.0,
        },
    },
    # 36 images: the second process has none of the last 4
    "muon": {
        "images": 36,
        "steps": [CUTOUT],
        "training": {
            "optimizer": MUON,
            "mixing": {**CUTMIX, "name": "mixup"},
            "lookahead": {"steps": 2, "step_size": 0.5},
            "image_scales": [0.5, 1],
            "channels_last": True,
        },
    },
    "adamw": {"images": 40, "steps": [], "training": {"optimizer": ADAMW}, "joint": True},
}
RECIPES["in_bfloat16"] = RECIPES["muon"] | {"dtype": torch.float32}
RECIPES["in_bfloat16"]["training"] = RECIPES["muon"]["training"] | {"precision": "bf16"}


class Network(nn.Module):
    """Two-dimensional and one-dimensional batch norms, and two heads where they are trained jointly."""

    def __init__(self, joint: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, padding=1, bias=False),
        )
        self.norm = nn.BatchNorm1d(8)
        self.heads = nn.ModuleList([nn.Linear(8, 3) for _ in range(3 if joint else 1)])

    def forward(self, images):
        images = images.to(self.features[0].weight.dtype)
        pooled = self.norm(self.features(images).amax(dim=(2, 3)))
        outputs = torch.stack([head(pooled) for head in self.heads], dim=1)
        return outputs if len(self.heads) > 1 else outputs[:, 0]


def first_network(name):
    torch.manual_seed(7)
    return Network(RECIPES[name].get("joint", False)).to(RECIPES[name].get("dtype", torch.float64))


def first_weights(name):
    return {key: value.detach() for key, value in first_network(name).named_parameters()}


def train_recipe(name, loader, folder, share, device, on_epoch, epochs=4):
    # Whether the processor at hand is fast at bfloat16 or not, Muon computes float32 in it.
    with mock.patch.object(optimizers, "has_fast_bfloat16", return_value=True):
        return _train_recipe(name, loader, folder, share, device, on_epoch, epochs)


def _train_recipe(name, loader, folder, share, device, on_epoch, epochs):
    recipe = RECIPES[name]
    image_set = make_image_set(count=recipe["images"] + 21, size=6)
    chosen = [np.arange(recipe["images"]), np.arange(recipe["images"], recipe["images"] + 21)]
    statistics = channel_statistics(image_set, chosen[0])
    augmentation = AugmentationSettings.model_validate({"steps": recipe["steps"]}).build(statistics.mean)
    common = {"normalisation": statistics, "device": device, "share": share}
    training = {"batch_size": 16, "seed": 3, "shuffle": True, "augmentation": augmentation}
    if loader == "ffcv":
        files = [folder / f"{name}_{part}.beton" for part in ("train", "validation")]
        train_loader = FfcvLoader(files[0], **training, **common)
        validation_loader = FfcvLoader(files[1], batch_size=8, **common)
    else:
        train_loader = DeviceLoader(image_set, chosen[0], **training, **common)
        validation_loader = DeviceLoader(image_set, chosen[1], batch_size=8, **common)
    result = fit(
        first_network(name),
        train_loader,
        validation_loader,
        plain_settings(epochs=epochs, **recipe["training"]),
        seed=5,
        device=device,
        folder=folder / f"{name}_{loader}_{share.processes}",
        on_epoch=on_epoch,
        objective=JointStacking("mean", 0.5) if recipe.get("joint") else CLASSIFICATION,
    )
    if share.processes > 1:
        same_everywhere(result.final_weights, share)
    return result


def write_files(name, folder):
    images = RECIPES[name]["images"]
    image_set = make_image_set(count=images + 21, size=6)
    write_beton(image_set, np.arange(images), folder / f"{name}_train.beton")
    write_beton(image_set, np.arange(images, images + 21), folder / f"{name}_validation.beton")


def same_everywhere(weights, share):
    for name, value in weights.items():
        copies = assemble(value[None], slice(share.rank, share.rank + 1), share.processes, share)
        assert torch.equal(copies[0], copies[1]), name


def train_all(jobs, share, device, on_epoch):
    """The results of several trainings, one after the other, and what batch norms of both kinds gave."""
    results = [train_recipe(*job, share, device, on_epoch) for job in jobs]
    return results, [batch_norm(shape, share) for shape in ((7, 4, 3, 3), (9, 4), (2, 4, 3, 3))]


def batch_norm(shape, share):
    """Outputs, gradients and buffers of a batch norm whose second process has the fewer images, or none."""
    generator = torch.Generator().manual_seed(0)
    features = 100 + torch.randn(shape, generator=generator)  # a mean that is large beside the spread
    wanted = torch.randn(shape, generator=generator)
    norm = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(shape[1], momentum=0.3)
    nn.init.normal_(norm.weight, generator=generator)
    model = nn.Sequential(norm)
    places = slice(0, shape[0]) if share == WHOLE else share.places(max(shape[0], 8) if shape[0] > 2 else 4, shape[0])
    if share != WHOLE:
        synchronise_batch_norms(model, CPU)
    own = features[places].clone().requires_grad_()
    outputs = model(own)
    (outputs * wanted[places]).sum().backward()
    whole = [assemble(value, places, shape[0], share) for value in (outputs.detach(), own.grad)]
    parameters = []
    for parameter in model.parameters():
        gradient = parameter.grad.clone()
        if share != WHOLE:
            torch.distributed.all_reduce(gradient)
        parameters.append(gradient)
    model.eval()
    scored = model(features).detach()
    return [*whole, *parameters, scored, *model.buffers()]


def killed_after(epochs, rank, folder, share, device, on_epoch):
    """A training whose process `rank` is killed when an epoch has ended; its checkpoint is written."""

    def kill(row):
        if row["epoch"] == epochs:
            os.kill(os.getpid(), signal.SIGKILL)

    own = kill if share.rank == rank else None
    return train_recipe("momentum", "device", folder, share, device, own)


def report_processes(file: Path, folder, share, device, on_epoch):
    """A training that writes down its processes, for a test that kills the one that started them."""
    with file.open("a") as opened:
        opened.write(f"{os.getpid()}\n")
    return train_recipe("momentum", "device", folder, share, device, on_epoch)


def outlive(file: Path, folder: Path) -> None:
    """Start a training and be killed in the middle of it."""
    from vision_studies.training.distributed import train_together

    def kill(row):
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    train_together(partial(report_processes, file, folder), 2, CPU, kill)
