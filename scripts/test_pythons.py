"""Sets the project up and tests it with each Python of requires-python, one after the other: `make test-pythons`.

Each gets a copy of the working tree in a temporary folder, which goes when its tests have ended.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from scripts.pytest_counts import Counts, run_pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Outcome:
    """What the set-up and the tests with one Python gave."""

    python: str
    ffcv: str = "-"
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    missing: bool = False


def supported() -> list[str]:
    """The Pythons that pyproject.toml admits."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    bounds = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', text, re.MULTILINE)
    if bounds is None:
        sys.exit("pyproject.toml names no requires-python of the form '>=3.11,<3.14'; mend it there.")
    return [f"3.{minor}" for minor in range(int(bounds[1]), int(bounds[2]))]


def found(version: str) -> Path | None:
    """An interpreter of this version that runs, from PATH, pyenv, uv or the usual folders."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for pyenv in {os.environ.get("PYENV_ROOT", ""), str(Path.home() / ".pyenv")} - {""}:
        folders += sorted(Path(pyenv, "versions").glob(f"{version}*/bin"), reverse=True)
    folders += sorted((Path.home() / ".local/share/uv/python").glob(f"cpython-{version}*/bin"), reverse=True)
    folders += [Path("/usr/local/bin"), Path("/usr/bin"), Path("/opt/python", version, "bin")]
    for python in [folder / f"python{version}" for folder in folders]:
        if os.access(python, os.X_OK):
            asked = [str(python), "-Ic", "import sys; print('%d.%d' % sys.version_info[:2], sys._base_executable)"]
            told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
            if told.startswith(f"{version} "):
                return Path(told.removeprefix(f"{version} "))
    return None


def copy_of_the_tree(folder: Path) -> None:
    """Copy what git tracks or would track."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def tested(version: str, python: Path, folder: Path, arguments: list[str]) -> Outcome:
    """Set the project up in a folder and run its tests there."""
    outcome = Outcome(version)
    copy_of_the_tree(folder)
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {"PYTHON": str(python)}
    installed = subprocess.run(
        ["./install.sh"], cwd=folder, env=environment, check=False, stderr=subprocess.PIPE, text=True
    )
    print(installed.stderr, end="", file=sys.stderr)
    if installed.returncode:
        outcome.counts = Counts(failure=installed.stderr.strip() or f"install.sh ended with {installed.returncode}")
        return outcome
    own = folder / ".venv/bin/python"
    has_ffcv = subprocess.run([own, "-c", "import ffcv"], cwd=folder, env=environment, capture_output=True, check=False)
    outcome.ffcv = "no" if has_ffcv.returncode else "yes"
    outcome.counts = run_pytest(own, arguments, folder, environment)
    return outcome


def table(outcomes: list[Outcome]) -> str:
    """The outcomes, a line for each Python."""
    rows = [f"{'Python':<8}{'FFCV':<6}{'passed':>8}{'failed':>8}{'seconds':>9}"]
    for one in outcomes:
        numbers = f"{one.counts.passed:>8}{one.counts.failed:>8}{one.seconds:>9.0f}"
        missing = "not on this machine: install it (pyenv install, apt), or put it on PATH" if one.missing else ""
        rows += [f"{one.python:<8}{one.ffcv:<6}{numbers}  {one.counts.failure}{missing}".rstrip()]
    return "\n".join(rows)


def main() -> int:
    """End with 1 if a Python cannot be set up or fails a test, if one that was named is missing, or if all are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", choices=supported(), help="only this one; may be repeated")
    parser.add_argument("pytest_arguments", nargs="*", help="after --: what pytest gets")
    options = parser.parse_args()
    outcomes = []
    for version in options.python or supported():
        print(f"\n== Python {version}", flush=True)
        python, began = found(version), time.monotonic()
        if python is None:
            outcomes.append(Outcome(version, missing=True))
            continue
        with tempfile.TemporaryDirectory(prefix=f"python{version}_") as folder:
            outcome = tested(version, python, Path(folder), options.pytest_arguments)
        outcome.seconds = time.monotonic() - began
        outcomes.append(outcome)
    print("\n" + table(outcomes))
    bad = [one for one in outcomes if one.counts.failed or one.counts.failure or (one.missing and options.python)]
    return 1 if bad or all(one.missing for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
