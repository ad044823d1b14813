"""The published form of learning new classes behind a cut: one network after the other, as `transfer_cuts` measures it.

Every image is made a PIL image, a tensor and normalised at every access, and its label is encoded alone; the labels of a
run's subset are found by running over the training images twice; layers before the cut are computed at every step; the
training images are scored every epoch. All is done in float32.

Source: the project "mp-tl-study" (which layers transfer to classes never seen, and with how many images).
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.preprocessing import LabelEncoder
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset, random_split

from vision_studies.data.prepared import PreparedData
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, TransferCutsSettings
from vision_studies.pipelines.transfer_cuts.stages import Cell
from vision_studies.pipelines.transfer_cuts.work import subset
from vision_studies.torchvision_compat import torchvision_module
from vision_studies.training.checkpoints import load_state
from vision_studies.training.ensemble import weights_seed
from vision_studies.training.runtime import peak_memory_mb


@dataclass(frozen=True)
class Round:
    """What one round of one form gave.

    Attributes:
        drawing: seconds for finding the subsets; ours draws within training.
        training: seconds.
        testing: seconds.
        peak_mb: most memory of the process so far, in millions of bytes.
        epochs: of all networks that were trained.
        accuracies: test accuracy at every place, in the order of `study_cells`.
    """

    drawing: float
    training: float
    testing: float
    peak_mb: float
    epochs: float
    accuracies: tuple[float, ...]

    @classmethod
    def read(cls, numbers: Sequence[float]) -> "Round":
        drawing, training, testing, peak_mb, epochs, *accuracies = numbers
        return cls(drawing, training, testing, peak_mb, epochs, tuple(accuracies))

    def numbers(self) -> list[float]:
        return [self.drawing, self.training, self.testing, self.peak_mb, self.epochs, *self.accuracies]

    @property
    def seconds(self) -> float:
        return self.drawing + self.training + self.testing


class _Images(Dataset[tuple[Tensor, int]]):
    """Images as a torchvision data set gives them, and labels encoded one at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        transforms = torchvision_module("torchvision.transforms")
        self._images, self._labels = images, labels
        self._encoder = LabelEncoder().fit(np.unique(labels))
        self._transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._transform(Image.fromarray(self._images[index]))
        return image, int(self._encoder.transform([self._labels[index]])[0])


class _PlainNetwork(nn.Module):
    """Six convolutions of 64 channels with pooling after every second, and a dense layer."""

    def __init__(self, classes: int, depth: int, channels: int, features: int) -> None:
        super().__init__()
        self.depth = depth
        for layer in range(depth):
            self.add_module(f"conv{layer}", nn.Conv2d(channels if layer else 1, channels, 3, padding=1))
        self.fc = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        for layer in range(self.depth):
            images = F.relu(self.get_submodule(f"conv{layer}")(images))
            if layer % 2:
                images = F.avg_pool2d(images, 2)
        return F.log_softmax(self.fc(images.flatten(1)), dim=1)


def reduced(
    part: Dataset[tuple[Tensor, int]], fraction: float, classes: int, seed: int, batch_size: int
) -> Subset[tuple[Tensor, int]]:
    """As many images of each class, by labels that are read twice."""
    for _ in range(2):
        labels = [label for _, own in DataLoader(part, batch_size) for label in own]
    torch.manual_seed(seed)
    each = int(len(labels) * fraction / classes)
    chosen: list[int] = []
    for wanted in range(classes):
        own = [place for place, label in enumerate(labels) if label == wanted]
        chosen += [own[place] for place in torch.randperm(len(own))[:each]]
    return Subset(part, chosen)


def cut_plain(pretrained: _PlainNetwork, cut: int, classes: int, seed: int) -> _PlainNetwork:
    """The first layers frozen, all others new."""
    network = copy.deepcopy(pretrained)
    torch.manual_seed(seed)
    for layer in range(network.depth):
        convolution = network.get_submodule(f"conv{layer}")
        if layer < cut:
            convolution.requires_grad_(False)
        else:
            convolution.reset_parameters()  # type: ignore[operator]
    network.fc = nn.Linear(network.fc.in_features, classes)
    return network


@torch.no_grad()
def accuracy(network: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> float:
    network.eval()
    found: list[int] = []
    wanted: list[int] = []
    for images, labels in loader:
        found += network(images).argmax(dim=1).tolist()
        wanted += labels.tolist()
    return sum(one == other for one, other in zip(found, wanted, strict=True)) / len(wanted)


def train_plain(
    network: nn.Module,
    learns: DataLoader[tuple[Tensor, int]],
    validates: DataLoader[tuple[Tensor, int]],
    epochs: int,
    patience: int,
) -> int:
    """Train until validation accuracy has not risen for a while; the best weights come back after an early stop alone.

    Returns:
        Epochs that were trained.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    best, waited, weights = 0.0, 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, epochs + 1):
        network.train()
        for images, labels in learns:
            optimizer.zero_grad()
            F.nll_loss(network(images), labels).backward()
            optimizer.step()
        accuracy(network, learns)
        reached = accuracy(network, validates)
        if reached > best:
            best, waited, weights = reached, 0, copy.deepcopy(network.state_dict())
            continue
        waited += 1
        if waited >= patience:
            network.load_state_dict(weights)
            return epoch
    return epochs


def published_round(
    settings: TransferCutsSettings, data: PreparedData, cells: Sequence[Cell], pretrained_file: Path
) -> Round:
    """All places one after the other.

    Args:
        settings: length of training, batches and early stopping; classes by name, without patterns.
        data: images and their labels; the split is the published one.
        cells: the places.
        pretrained_file: weights of the network that all of them start from.

    Raises:
        RuntimeError: the subset of a place is not the one that ours draws.
    """
    images, labels = data.image_set.images, data.image_set.labels
    new = [data.image_set.class_names.index(name) for name in settings.classes.fine_tuning]
    pool = np.flatnonzero(~data.image_set.is_test & np.isin(labels, new))
    everything = _Images(np.ascontiguousarray(images[pool, ..., 0]), labels[pool])
    held_out = int(0.1 * len(pool))
    generator = torch.Generator().manual_seed(42)
    part, validation = random_split(everything, [len(pool) - held_out, held_out], generator=generator)
    weights = load_state(pretrained_file)
    pretrained = _PlainNetwork(
        len(settings.classes.pretraining),
        settings.network.depth,
        len(weights["conv0.weight"]),
        weights["fc.weight"].shape[1],
    )
    pretrained.load_state_dict(weights)
    training = settings.fine_tuning.training
    assert training.early_stopping is not None
    size, patience = training.batch_size, training.early_stopping.patience
    drawing = trained = tested = 0.0
    epochs, accuracies = 0, []
    for cell in cells:
        started = time.perf_counter()
        own = reduced(part, cell.fraction, len(new), cell.run.seed, size)
        drawn = time.perf_counter()
        network = cut_plain(pretrained, max(cell.cut, 0), len(new), weights_seed(cell.run.seed))
        learns = DataLoader(own, size, shuffle=True)
        epochs += train_plain(network, learns, DataLoader(validation, size), training.epochs, patience)
        accuracy(network, learns)
        learnt = time.perf_counter()
        accuracies.append(accuracy(network, DataLoader(everything, size)))
        ended = time.perf_counter()
        drawing, trained, tested = drawing + drawn - started, trained + learnt - drawn, tested + ended - learnt
        positions = pool[[part.indices[place] for place in own.indices]]
        _check_subset(cell, positions, data)
    return Round(drawing, trained, tested, peak_memory_mb(torch.device("cpu")), epochs, tuple(accuracies))


def _check_subset(cell: Cell, positions: np.ndarray, data: PreparedData) -> None:
    ours, _ = subset(CutRunSettings.model_validate(cell.run.configuration), cell.run.seed, data)
    if sorted(ours) != sorted(positions):
        raise RuntimeError(f"the two sides have drawn different images for '{cell.run.variant}'")
