"""Steps of augmentation: their parameters and what they do. A new file is found by itself."""
