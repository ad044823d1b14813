"""Long-tailed data: of some classes many images are kept, of others few."""

import numpy as np

from vision_studies.config.data_prep import LongTailSettings
from vision_studies.errors import DataError

_ROUNDING = 1e-9  # 49 * (1 / 49) is to be 1


def long_tail_counts(available: np.ndarray, settings: LongTailSettings) -> np.ndarray:
    """How many images of each class are kept; a class with fewer than its share keeps all it has.

    The profiles are those of LDAM-DRW (Cao et al. 2019), from which CIFAR-10-LT and CIFAR-100-LT come. The largest class
    has n images. `exponential`: class i of C keeps n * factor ** (-i / (C - 1)), rounded down. `step`: the first C // 2
    classes keep n, the others n / factor, rounded down. In reverse the last class is the largest.

    Args:
        available: int64 [classes], images of each class in the order of the labels.
        settings: profile and factor.

    Returns:
        int64 [classes].

    Raises:
        DataError: a class would keep no image.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.config.data_prep import LongTailSettings
        >>> from vision_studies.data.long_tail import long_tail_counts
        >>> settings = LongTailSettings(profile="exponential", factor=100, seed=0, reverse=False)
        >>> long_tail_counts(np.full(5, 1000), settings).tolist()
        [1000, 316, 100, 31, 10]
    """
    classes, largest = len(available), int(available.max())
    places = np.arange(classes)
    if settings.profile == "exponential":
        exponents = places / max(classes - 1, 1)
    else:
        exponents = (places >= classes // 2).astype(np.float64)
    shares = np.floor(largest / settings.factor**exponents + _ROUNDING).astype(np.int64)
    if settings.reverse:
        shares = shares[::-1]
    if shares.min() < 1:
        raise DataError(
            f"data_prep.splits.long_tail.factor={settings.factor:g} leaves class {int(shares.argmin())} without an image, as "
            f"the largest class has {largest}; lower it to {largest} at most."
        )
    return np.minimum(shares, available)


def long_tail(labels: np.ndarray, settings: LongTailSettings) -> np.ndarray:
    """Draw the images that a long-tailed set keeps.

    The draw is that of LDAM-DRW (Cao et al. 2019): one generator for all classes, which in the order of the labels shuffles
    the images of each and keeps the first. The training images of CIFAR in their published order therefore give the
    published CIFAR-10-LT and CIFAR-100-LT.

    Args:
        labels: int64 [N], from 0 to the number of classes less one.
        settings: profile, factor and seed.

    Returns:
        Places in `labels`, int64, sorted.

    Raises:
        DataError: a class would keep no image.
    """
    # The published images can only be drawn by the generator that they were drawn with, although it is a legacy one.
    generator = np.random.RandomState(settings.seed)
    kept = []
    for label, count in enumerate(long_tail_counts(np.bincount(labels), settings)):
        own = np.flatnonzero(labels == label)
        generator.shuffle(own)
        kept.append(own[:count])
    return np.sort(np.concatenate(kept))
