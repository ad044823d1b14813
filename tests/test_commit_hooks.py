"""The pre-commit hooks, run in a small repository of its own: they pass what is clean and stop what is not."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.conftest import ROOT

HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
CLEAN = '"""A module."""\n\nONE = 1\n'
UNFORMATTED = CLEAN.replace("ONE = 1", "ONE=1")
UNUSED_IMPORT = CLEAN.replace("ONE", "import os\n\nONE")

# Checking the whole project's types takes a minute; what is asked here is whether the hook asks mypy and heeds its answer.
STAND_IN_FOR_MYPY = "#!/bin/sh\n! grep -rn 'one: str = 1' src\n"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pre_commit") is None, reason="pre-commit is not installed")


class Repository:
    """A git repository with the project's hooks and linters, and one module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.module = self.folder / "src/module.py"
        self.module.parent.mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", ".gitignore", ".pre-commit-config.yaml"):
            shutil.copy(ROOT / name, self.folder / name)
        self.program("install.sh", "#!/bin/sh\n")  # what the hooks need is there
        (self.folder / "requirements.txt").touch()
        self.program(".venv/bin/mypy", STAND_IN_FOR_MYPY)
        (self.folder / ".venv/bin/ruff").symlink_to(Path(sys.executable).parent / "ruff")
        identity = {
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "A",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        own = {"HOME": str(folder), "PRE_COMMIT_HOME": str(folder / "hooks"), "GIT_CONFIG_NOSYSTEM": "1", **identity}
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE", "MFLAGS"))
        }
        self.environment = inherited | own
        self.run("git", "init", "--quiet", "--initial-branch=main", ".")

    def program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )

    def hook(self, name: str, module: str) -> subprocess.CompletedProcess[str]:
        self.module.write_text(module, encoding="utf-8")
        assert self.run("git", "add", "--all").returncode == 0
        return self.run(sys.executable, "-m", "pre_commit", "run", name, "--all-files", "--color=never")


@pytest.fixture
def repository(tmp_path) -> Repository:
    return Repository(tmp_path)


def test_the_hooks_are_the_linters_of_the_makefile():
    (lint,) = [
        line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if line.startswith("lint:")
    ]
    targets = lint.removeprefix("lint:").partition("##")[0].split()
    assert [hook["entry"] for hook in HOOKS] == [f"make {target}" for target in targets]


@pytest.mark.parametrize(
    ("name", "fault", "told"),
    [
        ("style", UNFORMATTED, "1 file would be reformatted"),
        ("style", UNUSED_IMPORT, "F401"),
        ("types", CLEAN.replace("ONE", "one: str"), "one: str = 1"),
    ],
    ids=["format", "lint", "types"],
)
def test_a_hook_passes_what_is_clean_and_stops_what_is_not(name, fault, told, repository):
    clean = repository.hook(name, CLEAN)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "Passed" in clean.stdout
    faulty = repository.hook(name, fault)
    assert faulty.returncode == 1, faulty.stdout + faulty.stderr
    assert told in faulty.stdout


def test_a_commit_of_a_faulty_file_does_not_come_about(repository):
    assert repository.run(sys.executable, "-m", "pre_commit", "install").returncode == 0
    repository.module.write_text(UNFORMATTED, encoding="utf-8")
    repository.run("git", "add", "--all")
    refused = repository.run("git", "commit", "--message=A module")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "1 file would be reformatted" in refused.stdout + refused.stderr
    repository.module.write_text(CLEAN, encoding="utf-8")
    repository.run("git", "add", "--all")
    made = repository.run("git", "commit", "--message=A module")
    assert made.returncode == 0, made.stdout + made.stderr
