"""Files that somebody made to do harm: each must be refused in a sentence, or read as nothing but data."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests.data.test_sources import (
    png,
    settings,
    write_cifar_binary,
    write_cifar_python,
    write_folder,
    write_idx,
    write_parquet,
)
from tests.faults.damage import judged
from tests.faults.places import PLACES
from tests.faults.tally import Trial
from tests.methods.test_alphanet_restricted_pickle import FEATURES, LABELS, hostile_calls

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.data.sources.read import read_source
from vision_studies.data.unlabelled import open_images
from vision_studies.methods.alphanet.original_classifier import LINEAR, read_classifier
from vision_studies.methods.alphanet.restricted_pickle import load_features_pickle

KIND = "hostile file"
REFUSED, HARMLESS = True, False

Write = Callable[[Path, Path], Any]
"""Writes a hostile file into an empty folder; the second path is the canary."""


def hostile(folder: Path, canary: Path, only: int | None = None) -> Iterator[Trial]:
    """Read every hostile file as the project does.

    Args:
        folder: an empty one to work in.
        canary: a path where nothing is.
        only: every n-th of them alone.
    """
    for number, (subject, fault, write, read, must_refuse) in enumerate(_cases()):
        if only and number % only:
            continue
        own = folder / str(number)
        own.mkdir(parents=True)
        write(own, canary)
        yield judged(
            KIND, subject, fault, lambda own=own, read=read: read(own), canary=canary, must_refuse=must_refuse
        )  # fmt: skip
        outside = [path for path in folder.parent.iterdir() if path.name.startswith("escaped")]
        if outside:
            raise AssertionError(f"{subject}, {fault}: wrote {outside} outside its folder")


def _cases() -> Iterator[tuple[str, str, Write, Callable[[Path], Any], bool]]:
    for name in hostile_calls(Path("x")):
        for protocol in (0, 2, 4):
            for member in ("feats", "labels", "whole"):
                yield (
                    "pickled features", f"{name}, protocol {protocol}, as {member}",
                    _pickled_features(name, protocol, member), _read_features_pickle, REFUSED,
                )  # fmt: skip
        for place, read in (("classifier (.pth)", _read_classifier), ("weights from elsewhere (.pth)", _read_transfer)):
            for zipped in (True, False):
                yield (
                    place,
                    f"{name}, {'zip' if zipped else 'old'} format",
                    _saved_by_torch(name, zipped),
                    read,
                    REFUSED,
                )
        yield "CIFAR's Python files", name, _python_batch(name), _read_source, REFUSED
        yield "packed archive", f"{name}, in a batch", _packed_batch(name), _read_source, REFUSED
        yield "array of images (.npy)", f"{name}, as an array of objects", _npy_of(name), _read_npy, REFUSED
    for fault, change in _ARCHIVES.items():
        yield "packed archive", fault, _archive(change), _read_source, HARMLESS
    for fault, write_file in _PACKED.items():
        yield "packed file", fault, write_file, _read_source, REFUSED
    for fault, content in _PICTURES.items():
        yield "picture", fault, _picture(content), _read_source, REFUSED
    for fault, text in _YAML.items():
        yield "configuration (YAML)", fault, _yaml(text), _read_configuration, REFUSED
    for fault, text in _CODE.items():
        yield "value of a parameter", fault, _value(text), _read_value, HARMLESS
    for name in _NAMES:
        yield "name of a class", name.splitlines()[0][:40], _class_name(name), _read_names, HARMLESS
    for fault, header in _NPY_HEADERS.items():
        yield "array of images (.npy)", fault, _npy_header(header), _read_npy, REFUSED


def _place(name: str) -> Callable[[Path], Any]:
    return next(place.read for place in PLACES if place.name == name)


def _read_source(folder: Path) -> Any:
    return read_source(settings(folder / "source", image_size=8)).fingerprint


def _read_names(folder: Path) -> Any:
    from vision_studies.data.data_card import data_card
    from vision_studies.data.splits import make_splits
    from vision_studies.plots.data_prep import data_card_figure

    image_set = read_source(settings(folder / "source"))
    splits = make_splits(image_set, settings("digits").splits)
    image_set.save(folder / "saved")
    figure = data_card_figure(
        data_card(image_set, splits), image_set.images[:4], image_set.labels[:4], image_set.class_names
    )
    figure.savefig(folder / "card.png")
    return None


def _read_features_pickle(folder: Path) -> Any:
    return load_features_pickle(folder / "train.pkl")


def _read_classifier(folder: Path) -> Any:
    return read_classifier(folder / "weights.pth", LINEAR)


def _read_transfer(folder: Path) -> Any:
    return _place("weights from elsewhere")(folder)


def _read_npy(folder: Path) -> Any:
    return [batch.images for batch in open_images(folder / "images.npy").batches(4, image_size=8, channels=3)]


def _loader(folder: Path) -> StudyConfigLoader:
    return StudyConfigLoader(folder / "conf", env="mine", base_env="base", config_patterns={"globals": ["globals*"]})


def _read_configuration(folder: Path) -> Any:
    return _loader(folder)["globals"]


def _read_value(folder: Path) -> Any:
    found = _loader(folder)["globals"]["value"]
    secret = os.environ.get("HOME", "/")
    if secret in str(found):
        raise AssertionError("a parameter has read the environment")
    return found


def _pickled_features(name: str, protocol: int, member: str) -> Write:
    def write(folder: Path, canary: Path) -> None:
        call = hostile_calls(canary)[name]
        content = {
            "feats": {"feats": call, "labels": LABELS},
            "labels": {"feats": FEATURES, "labels": [call]},
            "whole": call,
        }[member]
        (folder / "train.pkl").write_bytes(pickle.dumps(content, protocol))

    return write


def _saved_by_torch(name: str, zipped: bool) -> Write:
    def write(folder: Path, canary: Path) -> None:
        content = {"weight": torch.ones(4, 3), "bias": hostile_calls(canary)[name]}
        torch.save(content, folder / "weights.pth", _use_new_zipfile_serialization=zipped)

    return write


def _python_batch(name: str) -> Write:
    def write(folder: Path, canary: Path) -> None:
        (folder / "source").mkdir()
        write_cifar_python(folder / "source", hostile=hostile_calls(canary)[name])

    return write


def _packed_batch(name: str) -> Write:
    def write(folder: Path, canary: Path) -> None:
        (folder / "unpacked").mkdir()
        write_cifar_python(folder / "unpacked", hostile=hostile_calls(canary)[name])
        (folder / "source").mkdir()
        with tarfile.open(folder / "source/cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(folder / "unpacked", "cifar-10-batches-py")

    return write


def _npy_of(name: str) -> Write:
    def write(folder: Path, canary: Path) -> None:
        array = np.empty(1, dtype=object)
        array[0] = hostile_calls(canary)[name]
        np.save(folder / "images.npy", array, allow_pickle=True)

    return write


def _member(name: str, **kind: Any) -> Callable[[tarfile.TarFile, Path], None]:
    def add(archive: tarfile.TarFile, outside: Path) -> None:
        member = tarfile.TarInfo(name.replace("OUTSIDE", str(outside)))
        for key, value in kind.items():
            setattr(member, key, value.replace("OUTSIDE", str(outside)) if isinstance(value, str) else value)
        content = b"escaped" if member.isfile() else b""
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

    return add


_ARCHIVES: dict[str, Callable[[tarfile.TarFile, Path], None]] = {
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


def _archive(change: Callable[[tarfile.TarFile, Path], None]) -> Write:
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


_PACKED: dict[str, Write] = {
    "2 GiB of zeros in 2 MB (tar)": _bomb,
    "a size of 2^60 bytes declared (tar)": _declared,
    "10^19 pixels declared (idx)": _idx_declares,
    "1 GiB of zeros in 1 MB (idx)": _idx_bomb,
    "a zip that calls itself tar.gz": _zip_instead,
}


def _png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(bytes(1000))
    return start + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def _whole(mode: str, size: tuple[int, int], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format=kind)
    return buffer.getvalue()


_PICTURES: dict[str, Callable[[], bytes]] = {
    "400 million pixels of one bit": lambda: _whole("1", (20000, 20000), "PNG"),
    "10^9 pixels declared (GIF)": lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + bytes(6) + b",",
    "10^18 pixels declared (PNG)": lambda: _png_of_size(2**30, 2**30),
    "no pixels declared (PNG)": lambda: _png_of_size(0, 0),
    "half a PNG": lambda: png(1)[: len(png(1)) // 2],
    "half a JPEG": lambda: _whole("RGB", (64, 64), "JPEG")[:300],
    "the head of a JPEG alone": lambda: _whole("RGB", (64, 64), "JPEG")[:20],
    "a text": lambda: b"this is no picture",
    "SVG with a script": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n",
    "PDF": lambda: b"%PDF-1.7\n1 0 obj <</Type/Catalog>> endobj",
    "a program": lambda: b"\x7fELF" + bytes(200),
    "a pickle": lambda: pickle.dumps([1]),
    "XBM with another program's code": lambda: b"#define x_width 8\n#define x_height 99999999\nstatic char x[] = {",
    "FLI": lambda: struct.pack("<IHHHHHHI", 128, 0xAF12, 9999, 65535, 65535, 8, 3, 0) + bytes(108),
}


def _picture(content: Callable[[], bytes]) -> Write:
    def write(folder: Path, _: Path) -> None:
        write_folder(folder / "source")
        (folder / "source/cat/1.png").write_bytes(content())

    return write


def _yaml_bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)]
    return "\n".join(lines)


_YAML: dict[str, str] = {
    "python/object/apply": "value: !!python/object/apply:os.system ['touch CANARY']",
    "python/object/new": "value: !!python/object/new:subprocess.Popen [['touch', 'CANARY']]",
    "python/name": "value: !!python/name:os.system",
    "python/module": "value: !!python/module:os",
    "python/tuple": "value: !!python/tuple [1, 2]",
    "a tag of its own": "value: !run [touch, CANARY]",
    "names for 10^10 values": _yaml_bomb(),
    "100,000 brackets": "value: " + "[" * 100_000,
    "a name of itself": "value: &a [*a]",
    "a null byte": "value: \0",
    "a missing resolver": "value: ${python:__import__('os').system('touch CANARY')}",
    "the environment": "value: ${oc.env:HOME}",
    "a circle": "value: ${value}",
}
_CODE: dict[str, str] = {
    "__import__": "value: \"__import__('os').system('touch CANARY')\"",
    "a template": "value: '{{ config.__class__.__init__.__globals__ }}'",
    "a format string": "value: '{0.__class__.__mro__}%s%n'",
    "a shell": "value: '$(touch CANARY); `touch CANARY`'",
    "a script": "value: '<script>fetch(1)</script>'",
    "lambda": 'value: "lambda: exec(open(0).read())"',
    "a path": "value: '../../../../etc/passwd'",
}


def _yaml(text: str) -> Write:
    def write(folder: Path, canary: Path) -> None:
        (folder / "conf/base").mkdir(parents=True)
        (folder / "conf/mine").mkdir()
        (folder / "conf/base/globals.yml").write_text("other: 1\n", encoding="utf-8")
        (folder / "conf/mine/globals.yml").write_text(text.replace("CANARY", str(canary)) + "\n", encoding="utf-8")

    return write


_value = _yaml

_NAMES = (
    "<script>alert(1)</script>",
    "../../escaped",
    "/etc/passwd",
    "$(touch escaped)",
    "'; DROP TABLE runs; --",
    "{{7*7}}",
    "${oc.env:HOME}",
    "$\\frac{",
    "=cmd|' /C calc'!A0",
    "\u202egnp.exe",
    "con",
    "a\nb",
    "x" * 3000,
    "%s%n",
    " ",
    "été 猫 🐈",
)


def _class_name(name: str) -> Write:
    def write(folder: Path, _: Path) -> None:
        rows = [(png(seed), seed % 2) for seed in range(40)]
        write_parquet(folder / "source/train.parquet", rows, names=(name, "dog"))

    return write


_NPY_HEADERS: dict[str, str] = {
    "10^18 images declared": "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1000, 1000, 3), }",
    "a call in its head": "{'descr': __import__('os').system('touch CANARY'), 'fortran_order': False, 'shape': (1,), }",
    "a negative shape": "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8, 3), }",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1, 8, 8, 3), }",
    "fields": "{'descr': [('a', '|u1'), ('b', '|O')], 'fortran_order': False, 'shape': (1, 8, 8, 3), }",
    "no end of its head": "{'descr': '|u1', 'fortran_order': False, 'shape': (1,",
    "10,000 brackets": "{'descr': " + "(" * 9_000 + ", }",
}


def _npy_header(header: str) -> Write:
    def write(folder: Path, canary: Path) -> None:
        text = header.replace("CANARY", str(canary)).encode("latin1") + b"\n"
        (folder / "images.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(2000))

    return write
