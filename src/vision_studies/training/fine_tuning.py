"""Training networks on few images: pretrained ones, of which the last layers or all learn, and such from random weights.

Discriminative learning rates: Howard and Ruder 2018 (ULMFiT). Batch normalisation keeps the statistics of its first training,
for those of a few images of one's own are worse: it is folded into the convolutions, and a step is cheaper. What layers that
do not learn give for an image is computed once. The classifier begins with zeros: one that fits the frozen features (Kumar et
al. 2022) leaves nothing to learn where there are fewer images than features, and ended 3 points lower on 300 of CIFAR-10.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from vision_studies.augmentation.step import Occasion
from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.config.fine_tuning import FineTuning, FromNothing
from vision_studies.config.training import TrainingSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.loaders import Batch, DeviceLoader, Loader, Normalisation
from vision_studies.models.architectures.resnet import ResNetSettings
from vision_studies.models.cut_network import cut_network
from vision_studies.models.pretrained import OpenedBackbone
from vision_studies.training.evaluation import predict_outputs
from vision_studies.training.fit import fit
from vision_studies.training.frozen_features import CPU, prepared_images, resized_images
from vision_studies.training.precision import autocast, place_model
from vision_studies.training.runtime import derived_seed, tune_process

MOST_BYTES = 4e9
"""Memory for what layers before a cut give; where it would take more, they are computed in every step."""

EpochReport = Callable[[dict[str, Any]], bool | None]
"""Called with the history row of every epoch; True ends the training."""


class FineTunedNetwork(nn.Module):
    """Layers that learn, with a linear classifier on the features that they give; they compute as in evaluation.

    Args:
        body: gives features [N, D]; its parameters are made to learn.
        before: computed before it, where what comes in are images; it does not learn, and is no part of the network's state.
        layers_before: layers before the body, which have parameters and do not learn.
        features: D.
        classes: number of logits.
        body_rate: learning rate of the last layer, as a part of the classifier's.
        decay: that of the first of all layers, as a part of that.
    """

    def __init__(
        self,
        body: nn.Module,
        features: int,
        classes: int,
        *,
        before: nn.Module | None = None,
        layers_before: int = 0,
        body_rate: float = 1.0,
        decay: float = 1.0,
    ) -> None:
        super().__init__()
        self.body = body.requires_grad_(True)
        self.classifier = nn.Linear(features, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self._before = [] if before is None else [before]  # a list, which torch does not look into
        self._layers_before, self._rates = layers_before, (body_rate, decay)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images, or of what the layers before the body give for them."""
        for before in self._before:
            with torch.no_grad():
                images = before(images)
        return self.classifier(self.body(images))

    def train(self, mode: bool = True) -> "FineTunedNetwork":
        """Let the classifier train; layers of the body compute as in evaluation, as their statistics stay."""
        super().train(mode)
        self.body.eval()
        return self

    def learning_rates(self) -> list[tuple[float, list[nn.Parameter]]]:
        """As `optimizers.HasLearningRates` wants it: of the classifier first."""
        body_rate, decay = self._rates
        layers = _layers(self.body)
        last = max(1, self._layers_before + len(layers) - 1)
        body = [
            (body_rate * decay ** ((len(layers) - 1 - index) / last), values) for index, values in enumerate(layers)
        ]
        return [(1.0, list(self.classifier.parameters())), *body]


class FineTuner:
    """A pretrained network and images, made ready once for any number of trainings on parts of them.

    Where not all layers learn, what those before the cut give for an image and for its mirror image is computed once; the
    training sees the one and the other by turns. Where all do, or where that would take more than `MOST_BYTES`, images are
    moved a little and mirrored at random.

    Args:
        images: uint8 [N, H, W, C] with C in {1, 3}.
        labels: int64 [N].
        opened: the backbone.
        pixels: height and width that images are brought to.
        classes: number of classes.
        settings: how.
        mirror: what is said of an image is the mean of it and its mirror image; and the training sees both.
        device: where to train.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.models.backbones import open_backbone
        >>> from vision_studies.training.fine_tuning import FineTuner, FineTuning
        >>> images, labels = np.zeros((8, 16, 16, 1), np.uint8), np.arange(8) % 2
        >>> opened = open_backbone("efficientnet_lite0")
        >>> tuner = FineTuner(images, labels, opened, 32, classes=2, settings=FineTuning(epochs=1))
        >>> logits, network = tuner.train(np.arange(6), predict=np.arange(6, 8))
        >>> logits.shape
        (2, 2)
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        opened: OpenedBackbone,
        pixels: int,
        classes: int,
        settings: FineTuning,
        *,
        mirror: bool = True,
        device: torch.device = CPU,
    ) -> None:
        tune_process()
        self._mirror = mirror
        self._labels, self._opened, self._classes = labels, opened, classes
        self._settings, self._device = settings, device
        self._cut = cut_network(opened.network, settings.share)
        self._normalisation = Normalisation(opened.backbone.mean, opened.backbone.std)
        self._images: ImageSet | None = None
        self._views: list[Tensor] = []
        before = self._cut.before
        if before is not None:
            place_model(before, _fit_settings(settings), device)
        if before is None or self._bytes(before, images, pixels) > MOST_BYTES:
            self._images = _resized_set(images, labels, pixels, channels=3)
        else:
            self._views = self._activations(before, images, pixels)

    def network(self) -> FineTunedNetwork:
        """The layers that learn, with the weights of their first training and an empty classifier."""
        settings, cut = self._settings, cut_network(self._opened.network, self._settings.share)
        return FineTunedNetwork(
            cut.behind,
            self._opened.backbone.width,
            self._classes,
            before=None if self._images is None else self._cut.before,
            layers_before=cut.layers - cut.layers_behind,
            body_rate=settings.body_rate,
            decay=settings.decay,
        )

    def train(
        self,
        train: np.ndarray,
        predict: np.ndarray,
        *,
        seed: int = 0,
        folder: Path | None = None,
        on_epoch: EpochReport | None = None,
    ) -> tuple[np.ndarray, FineTunedNetwork]:
        """Train the network on some images and let it predict others.

        Args:
            train: int64, positions of the images to learn from.
            predict: int64 [M], of those to predict; whose labels are not looked at.
            seed: of order and augmentation.
            folder: where checkpoints are kept, so that a call that was interrupted is continued; None: nowhere.
            on_epoch: called with the history row of every epoch; True ends the training.

        Returns:
            Logits float32 [M, classes], the mean of each image's and its mirror image's; and the network.

        Raises:
            DataError: there is no image to train on.
            CheckpointError: the folder holds checkpoints of another training.
        """
        network = self.network()
        fit_settings = _fit_settings(self._settings)
        loaders = self._loader(train, seed, learns=True), self._loader(train[:1], seed)
        options: dict[str, Any] = {"seed": seed, "device": self._device, "folder": folder, "on_epoch": on_epoch}
        result = fit(network, *loaders, fit_settings, **options)
        network.load_state_dict(result.final_weights)
        views = [self._loader(predict, seed, mirrored=mirrored) for mirrored in (False, True)[: 1 + self._mirror]]
        return mean_logits(network.eval(), views, fit_settings, self._device), network

    def _bytes(self, before: nn.Module, images: np.ndarray, pixels: int) -> float:
        """Memory for what layers give for all images."""
        own = self._activations(before, images[:1], pixels)
        return len(images) * sum(view.nbytes for view in own)

    def _activations(self, before: nn.Module, images: np.ndarray, pixels: int) -> list[Tensor]:
        """What layers give for images and, with `mirror`, for their mirror images, [N, ...] each, on the CPU."""
        training = _fit_settings(self._settings)
        parts: list[list[Tensor]] = [[] for _ in range(1 + self._mirror)]
        with torch.no_grad(), autocast(training, self._device):
            for block in _blocks(np.arange(len(images)), _FEW):
                plain = prepared_images(images[block], self._opened.backbone, pixels).to(self._device)
                for own, views in zip(parts, (plain, plain.flip(3)), strict=False):
                    own.append(before(views.contiguous(memory_format=torch.channels_last)).cpu())
        return [torch.cat(own) for own in parts]

    def _loader(self, positions: np.ndarray, seed: int, *, learns: bool = False, mirrored: bool = False) -> Loader:
        batch_size = min(self._settings.batch_size, len(positions)) or 1 if learns else _AT_ONCE
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "seed": seed,
            "shuffle": learns,
            "normalisation": self._normalisation,
            "device": self._device,
        }
        if self._images is None:
            views = self._views if learns else [self._views[mirrored]]
            return _ActivationLoader(views, torch.from_numpy(self._labels), positions, **options)
        moved = light_augmentation(self._images.images.shape[1]).build(self._normalisation.mean)
        options["augmentation"] = moved if learns else _mirrored if mirrored else None
        return DeviceLoader(self._images, positions, **options)


class _ActivationLoader(Loader):
    """What layers give for images, of each image another view every epoch."""

    def __init__(self, views: list[Tensor], labels: Tensor, positions: np.ndarray, **options: Any) -> None:
        super().__init__(len(positions), **options)
        self._views, self._positions = views, torch.from_numpy(np.asarray(positions, dtype=np.int64))
        self._of_image, self._device = labels, options["device"]

    @override
    def epoch(self, epoch: int) -> Iterator[Batch]:
        for places in self._order(epoch).split(self.batch_size):
            positions = self._positions[places]
            chosen = (positions + epoch) % len(self._views)
            activations = torch.stack(
                [self._views[int(view)][position] for view, position in zip(chosen, positions, strict=True)]
            )
            labels = self._of_image[positions].to(self._device)
            yield Batch(activations.to(self._device).float(), labels, positions)


def mean_logits(
    network: nn.Module, views: Sequence[Loader], settings: TrainingSettings, device: torch.device
) -> np.ndarray:
    """Mean logits float32 [N, classes] over several views of the same images."""
    logits = [predict_outputs(network, loader, settings, device)[0] for loader in views]
    return torch.stack(logits).mean(dim=0).float().numpy()


def small_network(channels: int, pixels: int) -> nn.Module:
    """Features [N, 128] of images [N, channels, pixels, pixels]: a small residual network (He et al. 2016), random weights."""
    settings = ResNetSettings.model_validate({"name": "resnet_small", **_SMALL})
    network = settings.build(in_channels=channels, num_classes=1, image_size=pixels)
    network.classifier = nn.Identity()
    return network


class NetworkFromNothing(nn.Module):
    """A small network, and a linear classifier.

    Args:
        channels: of the images, 1 or 3.
        classes: number of logits.
        pixels: height and width of the images.
    """

    def __init__(self, channels: int, classes: int, pixels: int) -> None:
        super().__init__()
        self.body = small_network(channels, pixels)
        self.classifier = nn.Linear(_SMALL["widths"][-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, channels, H, W]."""
        return self.classifier(self.body(images))


class TrainerFromNothing:
    """Images, made ready once for any number of trainings from random weights on parts of them.

    Args:
        images: uint8 [N, H, W, C] with C in {1, 3}.
        labels: int64 [N].
        classes: number of classes.
        settings: how.
        mirror: what is said of an image is the mean of it and its mirror image.
        device: where to train.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        classes: int,
        settings: FromNothing,
        *,
        mirror: bool = True,
        device: torch.device = CPU,
    ) -> None:
        tune_process()
        self._mirror = mirror
        self._images = _resized_set(images, labels, settings.pixels, images.shape[3])
        self._classes, self._settings, self._device = classes, settings, device

    def train(
        self,
        train: np.ndarray,
        predict: np.ndarray,
        *,
        seed: int = 0,
        folder: Path | None = None,
        on_epoch: EpochReport | None = None,
    ) -> tuple[np.ndarray, NetworkFromNothing, Normalisation]:
        """Train a network on some images and let it predict others.

        Arguments and errors are those of `FineTuner.train`. Logits come with the network and with mean and deviation of the
        training pixels, by which its images are normalised.
        """
        settings, channels = self._settings, self._images.images.shape[3]
        torch.manual_seed(derived_seed(seed))
        network = NetworkFromNothing(channels, self._classes, settings.pixels)
        pixels = self._images.images[train].reshape(-1, channels)
        mean, std = pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64).clip(min=1)
        normalisation = Normalisation(tuple(mean.tolist()), tuple(std.tolist()))
        augmentation = _AUGMENTATIONS[settings.heavy](settings.pixels).build(normalisation.mean)
        options: dict[str, Any] = {"normalisation": normalisation, "device": self._device}
        batch_size = min(settings.batch_size, len(train)) or 1
        learning = DeviceLoader(
            self._images, train, batch_size=batch_size, seed=seed, shuffle=True, augmentation=augmentation, **options
        )
        fit_settings = _fit_settings(settings)
        first = DeviceLoader(self._images, train[:1], batch_size=1, **options)
        result = fit(
            network, learning, first, fit_settings, seed=seed, device=self._device, folder=folder, on_epoch=on_epoch
        )
        network.load_state_dict(result.final_weights)
        views = [
            DeviceLoader(self._images, predict, batch_size=_AT_ONCE, augmentation=changed, **options)
            for changed in (None, _mirrored)[: 1 + self._mirror]
        ]
        return mean_logits(network.eval(), views, fit_settings, self._device), network, normalisation


_SMALL: dict[str, Any] = {
    **{"stem_width": 32, "widths": (32, 64, 128), "blocks": (1, 1, 1), "strides": (2, 2, 2)},
    **{"squeeze_reduction": None, "zero_init_residual": True, "dropout": 0.1},
}
_AT_ONCE, _FEW = 256, 32


def _resized_set(images: np.ndarray, labels: np.ndarray, pixels: int, channels: int) -> ImageSet:
    """Images at one size, of as many channels."""
    small = np.concatenate(
        [_resized(images[part], pixels, channels) for part in _blocks(np.arange(len(images)), _AT_ONCE)]
    )
    names = tuple(map(str, range(int(labels.max(initial=0)) + 1)))
    return ImageSet("images", small, labels.astype(np.int64), names, np.zeros(len(labels), bool), {}, "")


def _mirrored(images: Tensor, _generator: torch.Generator, _occasion: Occasion) -> Tensor:
    """Every image seen in a mirror."""
    return images.flip(3)


def light_augmentation(pixels: int) -> AugmentationSettings:
    """Moved by up to an eighth of their width, and mirrored half of the time."""
    crop = {"name": "random_crop", "padding": max(1, pixels // 8), "mode": "reflect"}
    return AugmentationSettings.model_validate({"steps": [crop, {"name": "random_flip", "probability": 0.5}]})


def heavy_augmentation(pixels: int) -> AugmentationSettings:
    """The same, then two changes of RandAugment (Cubuk et al. 2020) and a blank square."""
    steps = [step.model_dump(mode="json") for step in light_augmentation(pixels).steps]
    changed = {"name": "rand_augment", "num_ops": 2, "magnitude": 9, "num_magnitude_bins": 31}
    blank = {"name": "cutout", "size": max(1, pixels // 4)}
    return AugmentationSettings.model_validate({"steps": [*steps, changed, blank]})


_AUGMENTATIONS = {False: light_augmentation, True: heavy_augmentation}


def _fit_settings(settings: FineTuning | FromNothing) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "optimizer": {
                "name": "adamw",
                "learning_rate": settings.learning_rate,
                "betas": (0.9, 0.999),
                "eps": 1e-8,
                "weight_decay": settings.weight_decay,
            },
            "schedule": {
                "name": "cosine",
                "eta_min": 0.0,
                "interval": "step",
                "warmup_epochs": min(1.0, settings.epochs / 4),
            },
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
            "validate_every": settings.epochs,
            "checkpoint_every": max(1, settings.epochs // 4),
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


def _blocks(positions: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (positions[start : start + size] for start in range(0, len(positions), size))
