"""Pages of reference made from the docstrings of the library: one a package, with every public module in it."""

from collections.abc import Mapping
from pathlib import Path

FOLDER = "reference/api"
PACKAGES = ("data", "models", "training", "methods", "studies", "analysis", "plots", "reports", "storage", "tracking")
"""What can be used without Kedro, for example from a notebook."""


def api_pages(source: Path) -> dict[str, str]:
    """Path below the documentation's folder -> Markdown, for mkdocstrings.

    Args:
        source: the folder `src/vision_studies`.
    """
    return {f"{FOLDER}/{package}.md": _page(source / package) for package in PACKAGES}


def _page(folder: Path) -> str:
    package = f"vision_studies.{folder.name}"
    blocks = [f"# `{package}`", _block(package, {"members": "false", "show_root_heading": "false"})]
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        if not parts[-1].startswith("_"):
            path = ".".join(parts)
            # One page has several modules of the same last name: each is called by its whole path within the package.
            blocks.append(_block(f"{package}.{path}", {"heading": f"{folder.name}.{path}", "toc_label": path}))
    return "\n\n".join(blocks) + "\n"


def _block(name: str, options: Mapping[str, str]) -> str:
    lines = "".join(f"\n      {key}: {value}" for key, value in options.items())
    return f"::: {name}\n    options:{lines}"
