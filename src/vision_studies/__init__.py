"""Vision Studies: how image classifiers generalise, as eight Kedro pipelines over one training engine."""

__version__ = "0.1.0"
