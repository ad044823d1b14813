"""Handwritten digits that scikit-learn carries (Alpaydin and Kaynak 1998): 1,797 grey images of 8 x 8 pixels."""

import numpy as np

from vision_studies.data.sources.raw import RawImages, resize_all


def read_digits(image_size: int | None) -> RawImages:
    """All digits, scaled from 0..16 to 0..255; they have no test split of their own."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, :, :, None]
    names = tuple(str(name) for name in digits.target_names)
    return RawImages(
        resize_all(images, image_size), digits.target.astype(np.int64), names, np.zeros(len(images), dtype=bool)
    )
