"""One file a network: its options, and what the rest of the project must know of it. A new file is found by itself."""

FIRST = ("resnet", "resnet9", "speedrun", "vit", "convnet", "torchvision")
"""Files that come first in messages and in the reference."""
