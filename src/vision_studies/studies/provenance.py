"""What a result was made with: commit, library versions, device."""

import platform
import subprocess
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vision_studies.config.merge import flatten
from vision_studies.processors import processors

LIBRARIES = ("vision-studies", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "kornia", "ffcv", "kedro")


@cache
def git_commit() -> str | None:
    """Commit of the checkout this package runs from, with `-dirty` when files differ; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.check_output(
            command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL, text=True, timeout=10
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that can change a number, and of Python."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return versions


def parameter_differences(base: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    """Dotted name of every parameter that is not as in the base configuration -> both values; None where there is none.

    What the study calls itself is no difference.
    """
    before, after = (
        flatten({name: value for name, value in parameters.items() if name != "study"}) for parameters in (base, other)
    )
    both = {key: [before.get(key), after.get(key)] for key in sorted(before.keys() | after.keys())}
    return {key: [old, new] for key, (old, new) in both.items() if old != new}


@cache
def processor_name() -> str:
    """Model name of the processor, with the number of logical cores."""
    import psutil

    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    name = next(names, None) or platform.processor() or platform.machine()
    cores, usable = psutil.cpu_count(), processors()
    return f"{name} ({cores if cores in (None, usable) else f'{usable} of {cores}'} cores)"
