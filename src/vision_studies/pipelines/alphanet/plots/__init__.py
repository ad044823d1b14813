"""The figures of AlphaNet."""
