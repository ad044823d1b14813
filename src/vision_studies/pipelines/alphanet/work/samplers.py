"""Which training images an epoch is made of: the samplers of the project "alphanet".

Its names in this project's words: AllFewSampler is `all_few`, UniformBaseImageSampler `uniform_base_image`,
ClassBalancedBaseSampler `class_balanced_base`, UniformBaseClassSampler `uniform_base_class`, and so on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.settings import SamplerSettings


@dataclass(frozen=True)
class ClassIndex:
    """Where the images of each class are.

    Attributes:
        labels: int64 [N].
        splits: few, medium and many.
    """

    labels: np.ndarray
    splits: ClassSplits

    @cached_property
    def order(self) -> np.ndarray:
        """Positions of all images, class by class, int64 [N]."""
        return np.argsort(self.labels, kind="stable")

    @cached_property
    def sizes(self) -> np.ndarray:
        """Images of each class, int64 [classes]."""
        return np.bincount(self.labels, minlength=self.splits.num_classes)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where the images of each class begin in `order`, int64 [classes]."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    def classes(self, split: str) -> np.ndarray:
        """Labels of a split: few, medium, many or base.

        Raises:
            DataError: the split has no class.
        """
        labels: np.ndarray = getattr(self.splits, split)
        if not len(labels):
            raise DataError(
                f"A sampler draws from the {split} classes, of which there is none; choose another or change the splits."
            )
        return labels

    def images(self, label: int) -> np.ndarray:
        """Positions of the images of a class."""
        start = self.starts[label]
        return self.order[start : start + self.sizes[label]]


def draw_epoch(samplers: Sequence[SamplerSettings], index: ClassIndex, generator: np.random.Generator) -> np.ndarray:
    """Positions of the images of one epoch, sampler after sampler, int64 [N].

    Args:
        samplers: what the epoch is made of; ratios are numbers.
        index: images by class.
        generator: where chance comes from.

    Raises:
        ParameterError: a sampler wants more classes than there are.
        DataError: a sampler's split has no class.
    """
    return np.concatenate([_draw(sampler, index, generator) for sampler in samplers])


def epoch_length(samplers: Sequence[SamplerSettings], index: ClassIndex) -> int | None:
    """Images of every epoch; None where they vary with the draw."""
    parts = [(sampler, *_parts(sampler.name)) for sampler in samplers]
    if any(unit == "class" for *_, unit in parts):
        return None
    return sum(
        int(index.sizes[index.classes(split)].sum()) if kind == "all" else _images_drawn(sampler, index)
        for sampler, kind, split, _ in parts
    )


def _draw(sampler: SamplerSettings, index: ClassIndex, generator: np.random.Generator) -> np.ndarray:
    kind, split, unit = _parts(sampler.name)
    if unit == "class":
        return _uniform_classes(split, _ratio(sampler), index, generator)
    if kind == "class_balanced":  # with replacement, every class as likely as any other
        classes = index.classes(split)
        labels = classes[generator.integers(len(classes), size=_images_drawn(sampler, index))]
        return index.order[index.starts[labels] + generator.integers(index.sizes[labels])]
    images = np.concatenate([index.images(label) for label in index.classes(split)])
    if kind == "all":
        return images
    # With replacement, each as likely as any other.
    return images[generator.integers(len(images), size=_images_drawn(sampler, index))]


def _uniform_classes(split: str, ratio: float, index: ClassIndex, generator: np.random.Generator) -> np.ndarray:
    """Classes of the split without replacement; of each as many images, without replacement, as a few class has."""
    classes, few = index.classes(split), index.splits.few
    wanted = int(ratio * len(few))
    if wanted > len(classes):
        raise ParameterError(
            f"alphanet.training.samplers: {wanted} classes are drawn from the {len(classes)} {split} classes; lower the "
            f"ratio of uniform_{split}_class ({ratio:g})."
        )
    labels = generator.choice(classes, size=wanted, replace=False)
    sizes = generator.choice(index.sizes[few], size=wanted, replace=False)
    parts = [
        generator.choice(index.images(label), size=min(size, index.sizes[label]), replace=False)
        for label, size in zip(labels, sizes, strict=True)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _parts(name: str) -> tuple[str, str, str]:
    """A sampler's name in parts: kind, split and unit."""
    kind = next(kind for kind in ("all", "uniform", "class_balanced") if name.startswith(f"{kind}_"))
    split, _, unit = name.removeprefix(f"{kind}_").partition("_")
    return kind, split, unit


def _images_drawn(sampler: SamplerSettings, index: ClassIndex) -> int:
    return int(_ratio(sampler) * index.sizes[index.splits.few].sum())


def _ratio(sampler: SamplerSettings) -> float:
    assert isinstance(sampler.ratio, float)  # noqa: S101 - settings of a run have numbers
    return sampler.ratio
