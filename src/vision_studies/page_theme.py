"""Colours of all pages that the project makes, light and dark, as variables of a style sheet."""

from functools import cache
from importlib.resources import files


@cache
def page_theme() -> str:
    """CSS."""
    return files("vision_studies").joinpath("page_theme.css").read_text(encoding="utf-8")
