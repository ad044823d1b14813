"""The files of a folder or of a packed archive in one shape: their names and first bytes at once, their content later."""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vision_studies.data.sources.formats import HEAD_BYTES
from vision_studies.data.sources.raw import folders_below

Parts = tuple[str, ...]
"""A path below the source, folder by folder."""

_LITTER_FOLDERS = {"__macosx", ".ipynb_checkpoints", "@eadir", "$recycle.bin", "system volume information"}
_UNBLOCKED = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # what is no plain file, such as a pipe, is not waited for
_LITTER_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", "icon\r"}


class TreeFile(NamedTuple):
    """A file: where it lies, and its first bytes (none of what is no plain file, or cannot be read)."""

    parts: Parts
    head: bytes


@dataclass(frozen=True)
class Tree:
    """What lies in a source.

    Attributes:
        source: as it is named in messages.
        files: sorted by their paths.
        hidden: names of what programs have left, and of hidden files and folders; none of them is read.
        contents: gives the files of some paths, each once: in the order of the paths, or in that of the archive.
    """

    source: str
    files: tuple[TreeFile, ...]
    hidden: tuple[str, ...]
    contents: Callable[[Collection[Parts]], Iterator[tuple[Parts, bytes | Path]]]

    @property
    def title(self) -> str:
        """The last part of the source's name."""
        return Path(self.source).name


def folder_tree(folder: Path) -> Tree:
    """All files below a folder, links followed.

    Raises:
        PermissionError: a folder cannot be read; leaving it out would leave out a class without a word.
    """
    files: list[TreeFile] = []
    hidden: list[str] = []
    for directory, folders, names in folders_below(folder):
        parts = directory.relative_to(folder).parts
        hidden += ["/".join((*parts, name, "")) for name in folders if is_hidden((name,))]
        folders[:] = [name for name in folders if not is_hidden((name,))]
        for name in names:
            if is_hidden((name,)):
                hidden.append("/".join((*parts, name)))
            else:
                files.append(TreeFile((*parts, name), first_bytes(f"{directory}/{name}")))
    files.sort()

    def contents(wanted: Collection[Parts]) -> Iterator[tuple[Parts, bytes | Path]]:
        return ((parts, folder.joinpath(*parts)) for parts in wanted)

    return Tree(str(folder), tuple(files), tuple(sorted(hidden)), contents)


def is_hidden(parts: Parts) -> bool:
    """Whether a path is what a program has left there, or hidden, or below such a folder."""
    lowered = [part.lower() for part in parts]
    below = any(part in _LITTER_FOLDERS for part in lowered)
    return below or lowered[-1] in _LITTER_FILES or any(part.startswith(".") for part in lowered)


def first_bytes(file: Path | str) -> bytes:
    """The first bytes of a file; none where it is no plain file (a pipe would be waited for), or cannot be read."""
    try:
        opened = os.open(file, _UNBLOCKED)  # Python's own `open` takes several times as long for a small file
    except OSError:
        return b""
    try:
        return os.read(opened, HEAD_BYTES) if stat.S_ISREG(os.fstat(opened).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(opened)
