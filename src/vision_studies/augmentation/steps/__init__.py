"""One file a step of augmentation: its parameters and what it does. A new file is found by itself."""

FIRST = (
    *("random_crop", "random_flip", "alternating_flip", "random_rotation", "color_jitter", "random_perspective"),
    *("rand_augment", "random_erasing", "cutout"),
)
"""Files that come first in messages and in the reference."""
