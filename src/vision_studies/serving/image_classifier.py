"""A trained classifier in use: class probabilities of images, here or in one network for other programs."""

import numpy as np
import torch
from torch import Tensor, nn

from vision_studies.augmentation.views import average_probabilities, views_of
from vision_studies.data.loaders import Finisher, augmentation_generator
from vision_studies.errors import ParameterError
from vision_studies.training.classifier import ImageClassifier
from vision_studies.training.precision import autocast, place_images, place_model
from vision_studies.training.runtime import tune_process

_CROP = 8  # where a run's settings do not say: test-time crops are shifted by this part of the image's side


class Predictor:
    """Class probabilities of images, batch by batch, exactly as a study's evaluation computes them.

    Args:
        classifier: its network is moved to `device`.
        device: where to compute.
        views: test-time views whose probabilities are averaged; 1 for the plain image.

    Examples:
        >>> from pathlib import Path
        >>> import numpy as np, torch, yaml
        >>> from vision_studies.config.training import TrainingSettings
        >>> from vision_studies.data.loaders import Normalisation
        >>> from vision_studies.serving.image_classifier import Predictor
        >>> from vision_studies.training.classifier import ImageClassifier, ImageFormat
        >>> base = yaml.safe_load(Path("conf/base/parameters_cifar_resnet.yml").read_text())["cifar_resnet"]["run"]
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> images = ImageFormat(("cat", "dog"), image_size=4, in_channels=1, normalisation=Normalisation((128.0,), (64.0,)))
        >>> training = TrainingSettings(**base["training"])
        >>> classifier = ImageClassifier(Path("none"), network, images, training, batch_size=8, padding=1, seed=0)
        >>> probabilities = Predictor(classifier, torch.device("cpu"))(np.zeros((5, 4, 4, 1), np.uint8))
        >>> probabilities.shape, probabilities.sum(axis=1).round(3).tolist()
        ((5, 2), [1.0, 1.0, 1.0, 1.0, 1.0])
    """

    def __init__(self, classifier: ImageClassifier, device: torch.device, views: int = 1) -> None:
        tune_process()
        self.classifier, self._device, self._views = classifier, device, views
        self._network = place_model(classifier.network, classifier.training, device).eval()
        shift = max(1, classifier.images.image_size // _CROP)
        self._padding = shift if classifier.padding is None else classifier.padding
        self._finish = Finisher(None, classifier.images.normalisation, 0, device, torch.float32)

    def __call__(self, images: np.ndarray, number: int = 0) -> np.ndarray:
        """Probabilities, float32 [N, classes], of uint8 images [N, H, W, C]; see `logits`."""
        return average_probabilities(torch.from_numpy(self.logits(images, number))).numpy()

    def features(self, images: np.ndarray, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Logits as `logits` gives them, and features [N, d]: what the layers that decide for classes are given for the image
        as it is, side by side; its logits where the network has no such layer.
        """
        taken: list[Tensor] = []

        def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            taken.append(inputs[0].float().flatten(1))

        classes = len(self.classifier.images.class_names)
        hooks = [layer.register_forward_pre_hook(take) for layer in class_layers(self._network, classes)]
        try:
            logits = self.logits(images, number)
        finally:
            for hook in hooks:
                hook.remove()
        plain = taken[: len(taken) // self._views]
        return logits, torch.cat(plain, dim=1).cpu().numpy() if plain else logits[0]

    @torch.inference_mode()
    def logits(self, images: np.ndarray, number: int = 0) -> np.ndarray:
        """Logits, float32 [views, N, classes], of uint8 images [N, H, W, C].

        The `number` of the batch decides the crops of test-time views.

        Raises:
            ParameterError: they have not the size and the channels that the network was trained on.
        """
        size, channels = self.classifier.images.image_size, self.classifier.images.in_channels
        if images.shape[1:] != (size, size, channels):
            raise ParameterError(
                f"{self.classifier.path} wants images of {size} x {size} pixels with {channels} channels, not "
                f"{list(images.shape[1:])}; resize them first."
            )
        raw = torch.from_numpy(np.ascontiguousarray(images)).to(self._device).permute(0, 3, 1, 2)
        finished = self._finish(raw, torch.arange(len(images), device=self._device), 0, number)
        generator = augmentation_generator(self.classifier.seed, 0, number)
        logits, training = [], self.classifier.training
        for view in views_of(finished, self._views, self._padding, generator):
            with autocast(training, self._device):
                logits.append(self._network(place_images(view, training, self._device)).float())
        return torch.stack(logits).cpu().numpy()


def class_layers(network: nn.Module, num_classes: int) -> list[nn.Module]:
    """The layers of a network that decide for classes: linear ones that give as many numbers as there are classes.

    A network that joins several has several of them, and one that ends in means over maps has none.
    """
    weights = ((module, getattr(module, "weight", None)) for module in network.modules())
    return [
        module
        for module, weight in weights
        if isinstance(weight, Tensor) and weight.ndim == 2 and len(weight) == num_classes
    ]


class PixelsToProbabilities(nn.Module):
    """A classifier as one network that needs nothing beside it: normalisation comes first, softmax last."""

    def __init__(self, classifier: ImageClassifier) -> None:
        super().__init__()
        self.network = classifier.network
        statistics = classifier.images.normalisation
        for name, values in (("mean", statistics.mean), ("std", statistics.std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1) / 255)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities [N, classes] of images, float [N, C, H, W], pixels from 0 to 1."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return self.network((images - mean) / std).softmax(dim=1)
