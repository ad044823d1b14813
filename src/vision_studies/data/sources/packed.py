"""Packed archives (zip, tar) as the folder that they pack: nothing is written to disk, under whatever name."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from vision_studies.data.sources.formats import HEAD_BYTES
from vision_studies.data.sources.tree import Parts, Tree, TreeFile, is_hidden
from vision_studies.errors import DataError, one_line

_MOST_MEMBERS = 5_000_000
_MOST_MEMBER_BYTES = 1 << 28  # a larger member is no picture that would be read
_MOST_UNPACKED_BYTES = 1 << 30  # of any archive; a larger one may unpack to so many times its own size
_MOST_UNPACKED_TIMES = 100  # pictures are packed already
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # a password
    NotImplementedError,  # another kind of packing
    UnicodeError,
)
_MEND = "fetch it again or pack its folder anew"


def packed_tree(file: Path) -> Tree | None:
    """What a zip or tar archive packs, whatever it is called; None of any other file.

    Raises:
        DataError: it is damaged, needs a password, unpacks to far more than it is, or names places outside.
        PermissionError: it must not be read.
    """
    with file.open("rb") as opened:
        head = opened.read(512)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return _tree(file, _zip_members)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or head[257:262] == b"ustar" or file.suffix == ".tar":
        return _tree(file, _tar_members)
    return None


def _tree(file: Path, members: Any) -> Tree:
    names: dict[Parts, bytes] = {}
    for name, head in members(file, None, HEAD_BYTES):
        names.setdefault(_parts(name, file), head)
    files = sorted(TreeFile(parts, head) for parts, head in names.items() if not is_hidden(parts))
    hidden = sorted("/".join(parts) for parts in names if is_hidden(parts))

    def contents(wanted: Collection[Parts]) -> Iterator[tuple[Parts, bytes]]:
        places = {"/".join(parts): parts for parts in wanted}
        for name, content in members(file, places, _MOST_MEMBER_BYTES):
            yield places["/".join(_parts(name, file))], content

    return Tree(str(file), tuple(files), tuple(hidden), contents)


def _parts(name: str, file: Path) -> Parts:
    """A member's path, folder by folder."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or not parts:
        raise DataError(f"{file} holds '{name}', which leads out of it; pack its folder anew.")
    return parts


def _zip_members(file: Path, wanted: Collection[str] | None, size: int) -> Iterator[tuple[str, bytes]]:
    """Name and the first `size` bytes of each file, or of those wanted, in their order."""
    with _damage(file), zipfile.ZipFile(file) as archive:
        infos = {_zip_name(info): info for info in reversed(archive.infolist()) if not info.is_dir()}
        check_size(file, len(infos), sum(info.file_size for info in infos.values()))
        for name in infos if wanted is None else wanted:
            yield name, _zip_content(archive, infos[name], size)


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> bytes:
    """None of a link, of a member that is no picture for its size, and of one that is damaged."""
    if stat.S_ISLNK(info.external_attr >> 16) or info.file_size > _MOST_MEMBER_BYTES:
        return b""
    try:
        with archive.open(info) as opened:
            return opened.read(size)
    except (zipfile.BadZipFile, zlib.error, EOFError):  # this member alone
        return b""


def _zip_name(info: zipfile.ZipInfo) -> str:
    name = info.filename
    if not info.flag_bits & 0x800:  # it says to be of an old code page, which many programs write UTF-8 all the same
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = info.filename
    name = name if "/" in name else name.replace("\\", "/")
    return name.removeprefix("./")


def _tar_members(file: Path, wanted: Collection[str] | None, size: int) -> Iterator[tuple[str, bytes]]:
    """Name and the first `size` bytes of each file, or of those wanted, as they come."""
    with (
        _damage(file),
        _unpacked(file) as stream,
        tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as archive,
    ):
        left = None if wanted is None else {*wanted}
        for number, member in enumerate(archive):
            if number >= _MOST_MEMBERS:
                check_size(file, number + 1, 0)
            archive.members = []  # type: ignore[attr-defined]  # of millions, none is looked up again
            name = member.name.removeprefix("./")
            if member.isdir() or (left is not None and name not in left):
                continue
            # A sparse member is as long as it says, whatever the archive holds of it; a link may lead anywhere.
            plain = member.isfile() and not member.issparse() and member.size <= _MOST_MEMBER_BYTES
            content = archive.extractfile(member) if plain else None
            yield name, content.read(size) if content is not None else b""
            if left is not None:
                left.discard(name)
        if not stream.last:
            raise ValueError("it lacks its end")
        if stream.last.strip(b"\0"):
            raise ValueError(f"what follows byte {stream.tell() - len(stream.last):,} is no header of a file")
        while stream.read(1 << 20):  # to the end, where a packed one compares its checksum
            pass


class _Watched(io.RawIOBase):
    """What an archive unpacks to: ends with an error where it is too much, and remembers what was read last."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._limit, self.last = stream, limit, b""

    def read(self, size: int = -1) -> bytes:
        self.last = self._stream.read(size)
        self._check()
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        while whence == io.SEEK_SET and offset - self._stream.tell() > 1 << 20:
            if not self._stream.read(1 << 20):
                break
            self._check()
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def _check(self) -> None:
        if self._stream.tell() > self._limit:
            raise _TooLargeError(f"it unpacks to more than {self._limit:,} bytes")


class _TooLargeError(ValueError):
    """An archive unpacks to more than anything that is read here."""


@contextmanager
def _unpacked(file: Path) -> Iterator[_Watched]:
    with file.open("rb") as opened:
        head = opened.read(6)
        opened.seek(0)
        if head.startswith(b"\x1f\x8b"):
            stream: Any = gzip.GzipFile(fileobj=opened)
        elif head.startswith(b"BZh"):
            stream = bz2.BZ2File(opened)
        elif head.startswith(b"\xfd7zXZ"):
            stream = lzma.LZMAFile(opened)  # noqa: SIM115 - closed with the file
        else:
            stream = opened
        yield _Watched(stream, _most_bytes(file))


def _most_bytes(file: Path) -> int:
    return max(_MOST_UNPACKED_BYTES, _MOST_UNPACKED_TIMES * file.stat().st_size)


def check_size(file: Path, members: int, size: int) -> None:
    """Refuse what unpacks to far more than it is: a ValueError."""
    if members > _MOST_MEMBERS:
        raise _TooLargeError(f"it has more than {_MOST_MEMBERS:,} members")
    if size > _most_bytes(file):
        raise _TooLargeError(f"it unpacks to more than {_most_bytes(file):,} bytes")


@contextmanager
def _damage(file: Path) -> Iterator[None]:
    """Tell of a broken archive in one sentence; what is raised by those who take its files goes on as it is."""
    try:
        yield
    except PermissionError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{file} is damaged or no archive that can be read ({one_line(error)}); {_MEND}.") from error
