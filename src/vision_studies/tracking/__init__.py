"""Results and histories of a study as MLflow and Weights & Biases take them."""
