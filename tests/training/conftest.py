import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from vision_studies.config.training import TrainingSettings
from vision_studies.data.loaders import WHOLE, Batch, Share


@dataclass
class TensorLoader:
    """The loader protocol over tensors, as small as it can be."""

    images: torch.Tensor
    labels: torch.Tensor
    batch_size: int
    seed: int | None = None  # None keeps the order
    share: Share = WHOLE

    @property
    def num_samples(self) -> int:
        return len(self.labels)

    def __len__(self) -> int:
        return math.ceil(self.num_samples / self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        order = torch.arange(self.num_samples)
        if self.seed is not None:
            order = torch.randperm(self.num_samples, generator=torch.Generator().manual_seed(1000 * self.seed + epoch))
        for whole in order.split(self.batch_size):
            indices = whole[self.share.places(self.batch_size, len(whole))]
            yield Batch(self.images[indices], self.labels[indices], indices)


SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4}
ADAMW = {"name": "adamw", "learning_rate": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
MUON = {
    "name": "muon",
    "learning_rate": 0.05,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.0,
    "unit_weights": False,
    "iterations": 5,
    "rest": SGD,
}
ONECYCLE = {"name": "onecycle", "pct_start": 0.3, "div_factor": 25, "final_div_factor": 1e4, "base_momentum": 0.85}
COSINE = {"name": "cosine", "eta_min": 1e-6, "interval": "step", "warmup_epochs": 0}
CONSTANT = {"name": "constant", "warmup_epochs": 0}


def plain_settings(**changes: Any) -> TrainingSettings:
    plain = {
        "epochs": 4,
        "batch_size": 16,
        "optimizer": SGD,
        "schedule": CONSTANT,
        "label_smoothing": 0.0,
        "gradient_clip": None,
        "precision": "fp32",
        "channels_last": False,
        "compile": False,
        "ema_decay": None,
        "lookahead": None,
        "image_scales": [1],
        "mixing": None,
        "selection": "validation_accuracy",
        "early_stopping": None,
        "validate_every": 1,
        "checkpoint_every": 1,
        "keep_last": 2,
    }
    return TrainingSettings.model_validate(plain | changes)


@pytest.fixture
def make_settings() -> Callable[..., TrainingSettings]:
    return plain_settings


@pytest.fixture
def loaders() -> tuple[TensorLoader, TensorLoader]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.randn(60, 1, 8, 8, generator=generator)
    images[:, 0, 0, :3] += 3 * torch.eye(3)[labels]
    train = TensorLoader(images[:42], labels[:42], 16, seed=1)  # the last batch is short
    return train, TensorLoader(images[42:], labels[42:], 10)


@pytest.fixture
def make_network() -> Callable[..., nn.Module]:
    def make(dropout: float = 0.0) -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(384, 3),
        )

    return make
