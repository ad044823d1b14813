"""Training a pretrained network on few images: the last layers first, then all of them, the first ones at the lowest rates.

Howard and Ruder 2018 (ULMFiT): gradual unfreezing and discriminative learning rates; Kumar et al. 2022: begin with the
classifier that fits the frozen features. Batch normalisation keeps the statistics
of its first training, for those of a few images of one's own are worse: it is folded into the convolutions, which also makes
a step cheaper.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_studies.augmentation.step import Occasion
from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.config.training import TrainingSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.loaders import DeviceLoader, Normalisation
from vision_studies.models.backbones import open_backbone
from vision_studies.models.fused import folded
from vision_studies.models.pretrained import OpenedBackbone
from vision_studies.training.evaluation import predict_outputs
from vision_studies.training.fit import fit
from vision_studies.training.frozen_features import CPU, resized_images

EpochReport = Callable[[dict[str, Any]], bool | None]
"""Called with the history row of every epoch; True ends the training."""


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        epochs: passes over the training images.
        share: of the network's layers, from the last one, that learn; 0 for the classifier alone.
        learning_rate: of the classifier, at its highest.
    """

    epochs: int
    share: float
    learning_rate: float


@dataclass(frozen=True)
class FineTuning:
    """How a pretrained network is trained.

    Attributes:
        pixels: height and width that images are brought to.
        phases: one after the other.
        batch_size: images a step.
        body_rate: learning rate of the layer before the classifier, as a part of the classifier's.
        decay: learning rate of the first layer as a part of that; those between fall from one to the other geometrically.
        weight_decay: of AdamW.
        label_smoothing: probability spread evenly over all classes in the training loss.
        balanced: show images of rare classes more often: in proportion to the square root of how rare they are
            (Mahajan et al. 2018), ten times at most.
    """

    pixels: int = 96
    phases: tuple[Phase, ...] = (Phase(2, 0.15, 1e-3), Phase(4, 1.0, 1e-3))
    batch_size: int = 32
    body_rate: float = 0.3
    decay: float = 0.1
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    balanced: bool = False


class FineTunedNetwork(nn.Module):
    """A backbone with a linear classifier, for images in the backbone's normalisation; it always computes as in evaluation.

    Args:
        body: gives features [N, D]; it is copied, and its batch normalisation folded.
        features: D.
        classes: number of logits.
    """

    def __init__(self, body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body = folded(body)
        self.classifier = nn.Linear(features, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self._rates = (1.0, 1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 3, H, W]."""
        return self.classifier(self.body(images))

    def train(self, mode: bool = True) -> "FineTunedNetwork":
        """Let the classifier train; layers of the body compute as in evaluation, as their statistics stay."""
        super().train(mode)
        self.body.eval()
        return self

    def unfreeze(self, share: float, body_rate: float, decay: float) -> None:
        """Let the last layers learn: a share of them, the first of all layers at `decay` times the rate of the last."""
        self._rates = (body_rate, decay)
        layers = _layers(self.body)
        frozen = len(layers) - round(share * len(layers))
        for index, values in enumerate(layers):
            for value in values:
                value.requires_grad_(index >= frozen)

    def learning_rates(self) -> list[tuple[float, list[nn.Parameter]]]:
        """As `optimizers.HasLearningRates` wants it: of the classifier first."""
        body_rate, decay = self._rates
        layers = _layers(self.body)
        last = max(1, len(layers) - 1)
        body = [
            (
                body_rate * decay ** ((len(layers) - 1 - index) / last),
                [value for value in values if value.requires_grad],
            )
            for index, values in enumerate(layers)
        ]
        return [(1.0, list(self.classifier.parameters())), *body]


def fine_tune(
    images: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    backbone: str | OpenedBackbone,
    settings: FineTuning,
    classes: int,
    predict: np.ndarray,
    *,
    seed: int = 0,
    device: torch.device = CPU,
    folder: Path | None = None,
    classifier: nn.Linear | None = None,
    on_epoch: EpochReport | None = None,
) -> tuple[np.ndarray, FineTunedNetwork]:
    """Train a pretrained network on images and let it predict others; images that are not named in it are not looked at.

    Args:
        images: uint8 [N, H, W, C] with C in {1, 3}.
        labels: int64 [N].
        train: int64, positions of the images to learn from.
        validation: int64, of those that choose the epoch of each phase.
        backbone: its name, or one that has been opened.
        settings: how.
        classes: number of classes.
        predict: int64 [M], positions of the images to predict.
        seed: of order and augmentation.
        device: where to train.
        folder: where checkpoints are kept, so that a call that was interrupted is continued; None: nowhere.
        classifier: first weights of the classifier, as of a logistic regression on the frozen features at the same size, by
            which much less has to be learnt here; None: zeros.
        on_epoch: called with the history row of every epoch; True ends the phase.

    Returns:
        Probabilities float32 [M, classes], the mean of each image's and its mirror image's; and the network.

    Raises:
        BackboneError: the backbone is unknown, or its weights are not here.
        DataError: there is no image to train on.
        CheckpointError: the folder holds checkpoints of another training.
    """
    opened = open_backbone(backbone) if isinstance(backbone, str) else backbone
    network = FineTunedNetwork(opened.network, opened.backbone.width, classes)
    if classifier is not None:
        network.classifier.load_state_dict(classifier.state_dict())
    shown = balanced_positions(labels, train) if settings.balanced else train
    normalisation = Normalisation(opened.backbone.mean, opened.backbone.std)
    parts = _Parts(images, labels, shown, validation, predict, settings.pixels, classes)
    for number, phase in enumerate(settings.phases):
        network.unfreeze(phase.share, settings.body_rate, settings.decay)
        fit_settings = _fit_settings(settings, phase)
        loaders = parts.loaders(fit_settings.batch_size, normalisation, seed, device)
        place = None if folder is None else folder / f"phase_{number}"
        result = fit(network, *loaders, fit_settings, seed=seed, device=device, folder=place, on_epoch=on_epoch)
        network.load_state_dict(result.weights or result.final_weights)
    return parts.probabilities(
        network.eval(), normalisation, _fit_settings(settings, settings.phases[-1]), device
    ), network


def train_network(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    settings: TrainingSettings,
    augmentation: AugmentationSettings,
    classes: int,
    predict: np.ndarray,
    *,
    pixels: int,
    seed: int = 0,
    device: torch.device = CPU,
    folder: Path | None = None,
    on_epoch: EpochReport | None = None,
) -> tuple[np.ndarray, Normalisation]:
    """Train any network from the weights that it has, and let it predict; arguments as of `fine_tune`.

    Args:
        network: trained in place; for images [N, C, pixels, pixels], of as many channels as `images` have.
        images: as there.
        labels: as there.
        train: as there.
        validation: as there.
        settings: how.
        augmentation: of the training images.
        classes: as there.
        predict: as there.
        pixels: height and width that images are brought to.
        seed: as there.
        device: as there.
        folder: as there.
        on_epoch: as there.

    Returns:
        Probabilities float32 [M, classes], the mean of each image's and its mirror image's; and the mean and deviation of the
        training pixels, by which images are normalised.
    """
    parts = _Parts(images, labels, train, validation, predict, pixels, classes, channels=images.shape[3])
    normalisation = parts.normalisation()
    loaders = parts.loaders(settings.batch_size, normalisation, seed, device, augmentation)
    result = fit(network, *loaders, settings, seed=seed, device=device, folder=folder, on_epoch=on_epoch)
    network.load_state_dict(result.weights or result.final_weights)
    return parts.probabilities(network.eval(), normalisation, settings, device), normalisation


def balanced_positions(labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Positions with those of rare classes repeated, in proportion to the square root of how rare they are, int64.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.training.fine_tuning import balanced_positions
        >>> labels = np.array([0] * 9 + [1])
        >>> balanced_positions(labels, np.arange(10)).tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9]
    """
    counts = np.bincount(labels[train])
    times = np.sqrt(counts.max() / np.maximum(counts, 1)).round().clip(1, _MOST_OFTEN).astype(np.int64)
    return np.repeat(train, times[labels[train]])


_MOST_OFTEN = 10
_AT_ONCE = 256


class _Parts:
    """The images that a training looks at, brought to one size: to learn from, to choose by, and to predict."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        train: np.ndarray,
        validation: np.ndarray,
        predict: np.ndarray,
        pixels: int,
        classes: int,
        channels: int = 3,
    ) -> None:
        used = np.unique(np.concatenate([train, validation, predict]))
        self._places = [np.searchsorted(used, part) for part in (train, validation, predict)]
        small = np.concatenate([_resized(images[part], pixels, channels) for part in _blocks(used)])
        names = tuple(map(str, range(classes)))
        nowhere = np.zeros(len(used), bool)
        self._image_set = ImageSet("images", small, labels[used].astype(np.int64), names, nowhere, {}, "")

    def loaders(
        self,
        batch_size: int,
        normalisation: Normalisation,
        seed: int,
        device: torch.device,
        augmentation: AugmentationSettings | None = None,
    ) -> tuple[DeviceLoader, DeviceLoader]:
        """Of the training images, and of those that choose."""
        train, validation, _ = self._places
        steps = augmentation or light_augmentation(self._image_set.images.shape[1])
        built = steps.build(normalisation.mean)
        learning = DeviceLoader(
            self._image_set,
            train,
            batch_size=min(batch_size, len(train)) or 1,
            seed=seed,
            shuffle=True,
            augmentation=built,
            normalisation=normalisation,
            device=device,
        )
        chosen_by = DeviceLoader(
            self._image_set, validation, batch_size=_AT_ONCE, normalisation=normalisation, device=device
        )
        return learning, chosen_by

    def normalisation(self) -> Normalisation:
        """Mean and deviation of each channel over the training pixels."""
        pixels = self._image_set.images[np.unique(self._places[0])].reshape(-1, self._image_set.images.shape[3])
        return Normalisation(
            tuple(pixels.mean(axis=0, dtype=np.float64)), tuple(pixels.std(axis=0, dtype=np.float64).clip(min=1))
        )

    def probabilities(
        self, network: nn.Module, normalisation: Normalisation, settings: TrainingSettings, device: torch.device
    ) -> np.ndarray:
        """Of the images to predict, float32 [M, classes]: the mean over each and its mirror image."""
        predict = self._places[2]
        sums = np.zeros((len(predict), len(self._image_set.class_names)), np.float32)
        for augmentation in (None, _mirrored):
            loader = DeviceLoader(
                self._image_set,
                predict,
                batch_size=_AT_ONCE,
                normalisation=normalisation,
                device=device,
                augmentation=augmentation,
            )
            outputs, _ = predict_outputs(network, loader, settings, device)
            sums += outputs.softmax(dim=1).float().numpy()
        return sums / 2


def _mirrored(images: Tensor, _generator: torch.Generator, _occasion: Occasion) -> Tensor:
    """Every image seen in a mirror."""
    return images.flip(3)


def light_augmentation(pixels: int) -> AugmentationSettings:
    """Moved by up to an eighth of their width, and mirrored half of the time."""
    crop = {"name": "random_crop", "padding": max(1, pixels // 8), "mode": "reflect"}
    return AugmentationSettings.model_validate({"steps": [crop, {"name": "random_flip", "probability": 0.5}]})


def _fit_settings(settings: FineTuning, phase: Phase) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {
            "epochs": phase.epochs,
            "batch_size": settings.batch_size,
            "optimizer": {
                "name": "adamw",
                "learning_rate": phase.learning_rate,
                "betas": (0.9, 0.999),
                "eps": 1e-8,
                "weight_decay": settings.weight_decay,
            },
            "schedule": {"name": "cosine", "eta_min": 0.0, "interval": "step", "warmup_epochs": 0},
            "label_smoothing": settings.label_smoothing,
            "gradient_clip": 1.0,
            "precision": "auto",
            "channels_last": True,
            "compile": False,
            "ema_decay": None,
            "lookahead": None,
            "image_scales": (1.0,),
            "mixing": None,
            "selection": "validation_loss",
            "early_stopping": None,
            "validate_every": 1,
            "checkpoint_every": 1,
            "keep_last": 1,
        }
    )


def _layers(body: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters of each layer, first to last."""
    layers = [list(module.parameters(recurse=False)) for module in body.modules()]
    return [values for values in layers if values]


def _resized(images: np.ndarray, pixels: int, channels: int) -> np.ndarray:
    """uint8 [N, H, W, C] -> uint8 [N, pixels, pixels, channels]."""
    resized = resized_images(torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2), pixels)
    return resized.expand(-1, channels, -1, -1).permute(0, 2, 3, 1).numpy()


def _blocks(positions: np.ndarray) -> Iterator[np.ndarray]:
    return (positions[start : start + _AT_ONCE] for start in range(0, len(positions), _AT_ONCE))
