"""Published data sets, downloaded once, checked by hash and kept.

CIFAR is taken in its binary version: the Python version is a pickle.
"""

import http.client
from dataclasses import dataclass
from pathlib import Path

from vision_studies.data.sources.archives import read_cifar_archive, read_idx
from vision_studies.data.sources.fetching import fetch_file, has_hash
from vision_studies.data.sources.raw import RawImages, one_line
from vision_studies.errors import DataError
from vision_studies.torchvision_compat import torchvision_module

_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/"
_TIMEOUT_SECONDS = 20
_FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class _Archive:
    """A CIFAR archive: file name and MD5, as its page states them."""

    file: str
    md5: str


_CIFAR = {
    "cifar10": _Archive("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    "cifar100": _Archive("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
}


def read_download(name: str, download_folder: Path, image_size: int | None) -> RawImages:
    """A published data set by name, from `download_folder/<name>`, where it is put first if it is not there.

    Raises:
        DataError: the network refuses, or what came does not have the published hash.
        StorageError: the disk is full.
    """
    folder = download_folder / name
    if name in _CIFAR:
        archive = _CIFAR[name]
        _fetch(name, [f"{_CIFAR_PAGE}{archive.file}"], folder, archive.md5)
        return read_cifar_archive(folder / archive.file, image_size)
    if name == "fashion_mnist" and _DEBIAN_FASHION_MNIST.is_dir():
        return read_idx(_DEBIAN_FASHION_MNIST, image_size, _FASHION_CLASSES)
    datasets = torchvision_module("torchvision.datasets")
    source = datasets.MNIST if name == "mnist" else datasets.FashionMNIST
    for file, md5 in source.resources:
        _fetch(name, [f"{mirror}{file}" for mirror in source.mirrors], folder, md5)
    return read_idx(folder, image_size, _FASHION_CLASSES if name == "fashion_mnist" else None)


def _fetch(name: str, addresses: list[str], folder: Path, md5: str) -> None:
    """Try one mirror after the other, unless the file is there."""
    file = folder / addresses[0].rpartition("/")[2]
    if has_hash(file, md5):
        return
    errors = []
    for address in addresses:
        try:
            fetch_file(address, file, md5=md5, timeout_seconds=_TIMEOUT_SECONDS)
        except (http.client.HTTPException, OSError, ValueError) as error:  # an address without a host raises the last
            errors.append(f"{address}: {one_line(error)}")
        else:
            return
    debian = ", or install Debian's package dataset-fashion-mnist" if name == "fashion_mnist" else ""
    raise DataError(
        f"'{name}' could not be fetched ({'; '.join(errors)}); put the file into {folder} yourself, set data_prep.source "
        f"to a folder that holds its archives or parquet files{debian}, or use source=digits, which needs no network."
    )
