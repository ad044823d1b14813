"""Takes back what pip had begun to install into this Python's environment when it was killed, so that pip installs it again.

pip takes a library for installed as soon as its description lies there, whatever became of its files.
"""

import csv
import shutil
import sys
import sysconfig
from pathlib import Path


def is_whole(description: Path) -> bool:
    """Whether every file that pip has recorded for a library lies there in its length.

    Args:
        description: the library's folder `*.dist-info`.
    """
    record = description / "RECORD"
    if not record.is_file() or not (description / "INSTALLER").is_file():  # pip writes them last
        return False
    with record.open(encoding="utf-8", newline="") as lines:
        lengths = [(description.parent / name, int(length)) for name, _, length in csv.reader(lines) if length]
    return all(file.is_file() and file.stat().st_size == length for file, length in lengths)


def main() -> int:
    """End with 1 if pip itself is not whole: then the environment has to be made anew."""
    libraries = Path(sysconfig.get_path("purelib"))
    for leftover in libraries.glob("~*"):  # what pip was about to remove
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    descriptions = list(libraries.glob("*.dist-info"))
    unfinished = [description for description in descriptions if not is_whole(description)]
    if len(list(libraries.glob("pip-*.dist-info"))) != 1 or any(item.name.startswith("pip-") for item in unfinished):
        return 1
    for description in unfinished:
        print(f"Installing {description.name.split('-')[0]} again, which was not finished ...")
        shutil.rmtree(description)
    return 0


if __name__ == "__main__":
    sys.exit(main())
