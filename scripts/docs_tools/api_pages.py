"""Pages of reference made from the docstrings of the library: one a package, with every public module in it."""

from collections.abc import Mapping
from pathlib import Path

from vision_studies.config.registry import METHODS

FOLDER = "reference/api"
PACKAGES = (
    *(
        "data",
        "augmentation",
        "models",
        "classifiers",
        "training",
        "studies",
        "serving",
        "statistics",
        "figures",
        "reports",
        "storage",
    ),
    *("tracking", *(f"pipelines/{name}" for name in METHODS)),
)
"""What can be used without Kedro, for example from a notebook."""


def api_pages(source: Path) -> dict[str, str]:
    """Path below the documentation's folder -> Markdown, for mkdocstrings.

    Args:
        source: the folder `src/vision_studies`.
    """
    return {f"{FOLDER}/{package}.md": _page(source, package) for package in PACKAGES}


def _page(source: Path, package: str) -> str:
    name = ".".join(("vision_studies", *package.split("/")))
    short = name.split(".")[-1]
    blocks = [f"# `{name}`", _block(name, {"members": "false", "show_root_heading": "false"})]
    for file in sorted((source / package).rglob("*.py")):
        parts = file.relative_to(source / package).with_suffix("").parts
        if not parts[-1].startswith("_"):
            path = ".".join(parts)
            # One page has several modules of the same last name: each is called by its whole path within the package.
            blocks.append(_block(f"{name}.{path}", {"heading": f"{short}.{path}", "toc_label": path}))
    return "\n\n".join(blocks) + "\n"


def _block(name: str, options: Mapping[str, str]) -> str:
    lines = "".join(f"\n      {key}: {value}" for key, value in options.items())
    return f"::: {name}\n    options:{lines}"
