"""Several sources as one image set, for studies that carry what was learnt on one source over to another."""

import numpy as np

from vision_studies.data.image_set import ImageSet
from vision_studies.data.sources.raw import RawImages
from vision_studies.errors import DataError


def join_sources(sources: list[ImageSet]) -> RawImages:
    """The images of all sources, one source after the other, with the classes of all of them.

    The list is emptied while images are copied: each source is let go of as soon as it stands in the joined array, so that
    the largest source alone is in memory twice.

    Args:
        sources: at least one, each checked on its own, of names that differ.

    Returns:
        uint8 [sum of N, H, W, C]; labels shifted by the number of classes that stand before; class names as
        `<source>/<class>`; test splits as they were.

    Raises:
        DataError: sources differ in size or channels, or some have a test split of their own and others have none.
    """
    _check_alike(sources)
    class_counts = [len(source.class_names) for source in sources]
    shifts = np.cumsum([0, *class_counts[:-1]])
    labels = np.concatenate([source.labels + shift for source, shift in zip(sources, shifts, strict=True)])
    class_names = tuple(f"{source.name}/{name}" for source in sources for name in source.class_names)
    is_test = np.concatenate([source.is_test for source in sources])
    images = np.empty((len(labels), *sources[0].images.shape[1:]), np.uint8)
    stop = len(images)
    while sources:
        start = stop - len(sources[-1].images)
        images[start:stop] = sources.pop().images
        stop = start
    return RawImages(images, labels, class_names, is_test)


def _check_alike(sources: list[ImageSet]) -> None:
    """Refuse what cannot be one array, or would leave a source without test images."""
    first, (height, width, channels) = sources[0], sources[0].images.shape[1:]
    for other in sources[1:]:
        other_height, other_width, other_channels = other.images.shape[1:]
        if channels != other_channels:
            raise DataError(
                f"'{first.name}' has {_colours(channels)} images of {height} x {width} pixels and '{other.name}' "
                f"{_colours(other_channels)} ones of {other_height} x {other_width}; grey and colour images cannot be "
                "joined, so name sources of one kind in data_prep.source."
            )
        if (height, width) != (other_height, other_width):
            raise DataError(
                f"'{first.name}' has images of {height} x {width} pixels and '{other.name}' of {other_height} x "
                f"{other_width}; set data_prep.image_size to bring them to one size, for example to {min(height, width)}."
            )
        if first.is_test.any() != other.is_test.any():
            divided, whole = (first, other) if first.is_test.any() else (other, first)
            raise DataError(
                f"'{divided.name}' has a test split of its own and '{whole.name}' has none, and one is carved only where no "
                "source has one; name sources in data_prep.source that all have one or that all have none."
            )


def _colours(channels: int) -> str:
    return "grey" if channels == 1 else "colour"
