"""What a run of pytest gave, in numbers: for the scripts that run the tests several times."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True)
class Counts:
    """How many tests passed and failed; `failure` says why there are no numbers."""

    passed: int = 0
    failed: int = 0
    failure: str = ""


def run_pytest(python: Path, arguments: list[str], folder: Path, environment: dict[str, str]) -> Counts:
    """Run the tests of `folder` and count; what pytest prints goes where this process prints.

    Args:
        python: the interpreter, with pytest.
        arguments: what pytest gets.
        folder: the project.
        environment: all variables of the process.
    """
    report = folder / ".tests.xml"
    try:
        command = [str(python), "-m", "pytest", *arguments, f"--junitxml={report}"]
        ended = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
        if ended not in (0, 1):  # 1: some tests have failed
            return Counts(failure=f"pytest ended with {ended}")
        passed = failed = 0
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - pytest has just written it
            counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
            failed += counts["failures"] + counts["errors"]
            passed += counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
        return Counts(passed, failed)
    finally:
        report.unlink(missing_ok=True)
