"""Trained networks in use: opening, predicting, scoring, exporting and describing them."""
