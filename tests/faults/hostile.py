"""Files that somebody made to do harm: each must be refused in a sentence, or read as nothing but data."""

import os
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.data.test_sources import (
    png,
    settings,
    write_cifar_python,
    write_parquet,
)
from tests.faults.damage import judged
from tests.faults.hostile_archives import ARCHIVES, PACKED, Write, archive
from tests.faults.hostile_pictures import PICTURES, picture
from tests.faults.places import PLACES
from tests.faults.tally import Trial
from tests.pipelines.alphanet.test_alphanet_original_features import FEATURES, LABELS, hostile_calls

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.data.image_source import open_images
from vision_studies.data.sources.decoding import Decoding
from vision_studies.data.sources.read import read_source
from vision_studies.pipelines.alphanet.work.original_format import LINEAR, load_features_pickle, read_classifier

KIND = "hostile file"
REFUSED, HARMLESS = True, False


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
    for fault, change in ARCHIVES.items():
        yield "packed archive", fault, archive(change), _read_source, HARMLESS
    for fault, write_file in PACKED.items():
        yield "packed file", fault, write_file, _read_source, REFUSED
    for fault, content in PICTURES.items():
        yield "picture", fault, picture(content), _read_source, REFUSED
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
    from vision_studies.pipelines.data_prep.plots import data_card_figure

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
    return [batch.images for batch in open_images(folder / "images.npy").batches(4, decoding=Decoding(8), channels=3)]


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
