"""Pictures that look like photographs to whoever compares them: smooth, with edges, all different."""

import io

import numpy as np
from PIL import Image, ImageDraw


def photograph(seed, size=96):
    """A picture of soft colours with a few shapes in it."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    image = coarse.resize((size, size), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        left, top = random.integers(0, size - 8, 2)
        width, height = random.integers(size // 8, size // 2, 2)
        draw.ellipse((left, top, left + width, top + height), fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


def encoded(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def write_classes(root, count=30, classes=("cat", "dog"), size=96):
    """`<root>/<class>/<n>.png`, all different."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            photograph(1000 * label + index, size).save(root / name / f"{index:02d}.png")
