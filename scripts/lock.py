"""Makes requirements.txt and requirements-ffcv.txt from the dependencies of pyproject.toml: `make lock`.

One resolution for every Python of requires-python, with the hash of each file of each library. Versions of the present files
are kept where pyproject.toml admits them. torch and what only its CUDA build needs are left out: install.sh lets pip choose
the build that suits the machine, so that its bytes differ from one machine to another.
"""

import re
import subprocess
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOT_SET_UP = ("heic", "timm")
"""Extras that everyone decides on alone: the licences of what heic's wheels bring are not those of the rest, and timm serves
nobody who has no weights for it."""
CHOSEN_BY_THE_MACHINE = re.compile(r"(torch|triton|nvidia-.+|cuda-.+)==")
HEADER = """\
# {content}
# Made by `make lock` from pyproject.toml, for every Python that it names. To renew a library, delete its lines and
# repeat `make lock`; to renew all, delete both files.
"""


def compiled(uv: Path, project: dict[str, Any], extras: list[str], output: Path, *options: str | Path) -> list[str]:
    """The libraries that the project and some of its extras need, each as the lines of a requirement file.

    uv keeps the versions that it finds in the file that it is to write.
    """
    oldest = project["requires-python"].removeprefix(">=").split(",")[0]
    command = [uv, "pip", "compile", "pyproject.toml", "--universal", "--python-version", oldest, "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet", "--output-file", output]
    command += [f"--extra={extra}" for extra in extras]
    subprocess.run([*command, *options], cwd=ROOT, check=True)
    blocks = re.split(r"\n(?=\S)", output.read_text(encoding="utf-8").strip())
    return [block for block in blocks if not CHOSEN_BY_THE_MACHINE.match(block)]


def written(file: Path, content: str, blocks: list[str]) -> None:
    """Write a requirement file."""
    file.write_text(HEADER.format(content=content) + "\n".join(blocks) + "\n", encoding="utf-8")
    print(f"{file.name}: {len(blocks)} libraries")


def main() -> None:
    """Make both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [extra for extra in project["optional-dependencies"] if extra not in NOT_SET_UP]
    files = [ROOT / "requirements.txt", ROOT / "requirements-ffcv.txt"]
    (uv_requirement,) = [name for name in project["optional-dependencies"]["dev"] if name.startswith("uv==")]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder, "venv"), with_pip=True)
        subprocess.run([Path(folder, "venv/bin/python"), "-m", "pip", "install", "--quiet", uv_requirement], check=True)
        uv, versions = Path(folder, "venv/bin/uv"), Path(folder, "versions.txt")
        versions.write_text(
            "".join(file.read_text(encoding="utf-8") for file in files if file.is_file()), encoding="utf-8"
        )
        everything = compiled(uv, project, extras, versions)
        without_ffcv = [extra for extra in extras if extra != "ffcv"]
        blocks = compiled(uv, project, without_ffcv, Path(folder, "without.txt"), "--constraint", versions)
    written(files[0], "Every library but torch, at the version that the tests ran with.", blocks)
    more = [block for block in everything if block not in blocks]
    written(files[1], "FFCV and what it brings beside requirements.txt; compiled at installation.", more)


if __name__ == "__main__":
    main()
