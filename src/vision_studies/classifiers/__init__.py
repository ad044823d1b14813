"""Families of classifiers on fixed features, fitted with all hyperparameters and folds at once; they know arrays only."""
