"""Variants, seeds, runs and their results; knows no method."""
