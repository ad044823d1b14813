"""Keeping data and results in a store beyond this machine: any file system that fsspec knows."""
