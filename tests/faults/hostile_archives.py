"""Archives that somebody made to do harm: members that leave their folder, sizes that are lies, and bombs."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data.test_sources import write_cifar_binary, write_idx

Write = Callable[[Path, Path], Any]
"""Writes a hostile file into an empty folder; the second path is the canary."""


def _member(name: str, **kind: Any) -> Callable[[tarfile.TarFile, Path], None]:
    def add(archive: tarfile.TarFile, outside: Path) -> None:
        member = tarfile.TarInfo(name.replace("OUTSIDE", str(outside)))
        for key, value in kind.items():
            setattr(member, key, value.replace("OUTSIDE", str(outside)) if isinstance(value, str) else value)
        content = b"escaped" if member.isfile() else b""
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

    return add


ARCHIVES: dict[str, Callable[[tarfile.TarFile, Path], None]] = {
    "a path out of its folder": _member("../../escaped"),
    "a long path out of its folder": _member("a/b/../../../../escaped"),
    "an absolute path": _member("OUTSIDE/escaped"),
    "a link out of its folder": _member("data_batch_9.bin", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link out of its folder": _member("data_batch_9.bin", type=tarfile.LNKTYPE, linkname="../../../etc/passwd"),
    "a link in place of a batch": _member("batches.meta.txt", type=tarfile.SYMTYPE, linkname="/etc/hostname"),
    "a device": _member("data_batch_9.bin", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a pipe": _member("data_batch_9.bin", type=tarfile.FIFOTYPE),
    "a folder called as a batch": _member("test_batch.bin", type=tarfile.DIRTYPE),
    "a program that belongs to root": _member("escaped_program", mode=0o4777, uid=0, gid=0),
    "a name of 5,000 characters": _member("x" * 5000),
    "a name with a line break": _member("a\nb"),
    "a negative time": _member("early", mtime=-1),
}


def archive(change: Callable[[tarfile.TarFile, Path], None]) -> Write:
    """An archive of CIFAR with one member that should not be there."""

    def write(folder: Path, _: Path) -> None:
        write_cifar_binary(folder / "unpacked")
        (folder / "source").mkdir()
        with tarfile.open(folder / "source/cifar-10-binary.tar.gz", "w:gz") as archive:
            archive.add(folder / "unpacked", "cifar-10-batches-bin")
            change(archive, folder.parent.parent)

    return write


def _bomb(folder: Path, _: Path) -> None:
    """A batch of 2 GiB of zeros, packed into 2 MB."""
    (folder / "source").mkdir()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with (folder / "source/cifar-10-binary.tar.gz").open("wb") as file:
        member = tarfile.TarInfo("data_batch_1.bin")
        member.size = 2 << 30
        file.write(packer.compress(member.tobuf()))
        zeros = bytes(1 << 24)
        for _part in range(128):
            file.write(packer.compress(zeros))
        file.write(packer.compress(bytes(1024)) + packer.flush())


def _declared(folder: Path, _: Path) -> None:
    (folder / "source").mkdir()
    member = tarfile.TarInfo("data_batch_1.bin")
    member.size = 1 << 60
    (folder / "source/cifar-10-binary.tar.gz").write_bytes(
        gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    )


def _idx_declares(folder: Path, _: Path) -> None:
    (folder / "source").mkdir()
    write_idx(folder / "source")
    file = folder / "source/train-images-idx3-ubyte"
    file.write_bytes(struct.pack(">HBBIII", 0, 8, 3, 0xFFFFFFFF, 0xFFFF, 0xFFFF) + file.read_bytes()[16:])


def _idx_bomb(folder: Path, _: Path) -> None:
    (folder / "source").mkdir()
    write_idx(folder / "source", packed=True)
    content = struct.pack(">HBBIII", 0, 8, 3, 5, 6, 6) + bytes(1 << 30)
    (folder / "source/train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))


def _zip_instead(folder: Path, _: Path) -> None:
    (folder / "source").mkdir()
    with zipfile.ZipFile(folder / "source/cifar-10-binary.tar.gz", "w") as archive:
        archive.writestr("../../escaped", "escaped")


PACKED: dict[str, Write] = {
    "2 GiB of zeros in 2 MB (tar)": _bomb,
    "a size of 2^60 bytes declared (tar)": _declared,
    "10^19 pixels declared (idx)": _idx_declares,
    "1 GiB of zeros in 1 MB (idx)": _idx_bomb,
    "a zip that calls itself tar.gz": _zip_instead,
}
