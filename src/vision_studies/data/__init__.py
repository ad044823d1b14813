"""Sources, image sets, splits, augmentation and loaders."""
