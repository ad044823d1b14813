"""Batched augmentation: every image its own random values, no loop over images."""
