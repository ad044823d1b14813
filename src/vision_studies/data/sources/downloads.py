"""Published data sets, downloaded once, checked by hash and kept; and digits, which scikit-learn carries.

CIFAR is taken in its binary version: the Python version is a pickle. Files are fetched over the network only, no larger than
they can be, and kept only with their published hash.
"""

import http.client
from pathlib import Path

import numpy as np

from vision_studies.data.sources.archives import read_cifar_archive, read_idx
from vision_studies.data.sources.raw import RawImages
from vision_studies.errors import DataError, one_line
from vision_studies.fetching import fetch_file, has_hash
from vision_studies.torchvision_compat import torchvision_module

_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/"
_TIMEOUT_SECONDS = 20
_MOST_BYTES = 1 << 28  # CIFAR-10 has 170 MB
_FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


_CIFAR = {
    "cifar10": ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    "cifar100": ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
}
"""File name and MD5 of an archive, as its page states them."""


def read_download(name: str, download_folder: Path) -> RawImages:
    """A published data set by name, from `download_folder/<name>`, where it is put first if it is not there.

    Raises:
        DataError: the network refuses, or what came does not have the published hash.
        StorageError: the disk is full.
    """
    folder = download_folder / name
    if name in _CIFAR:
        archive, md5 = _CIFAR[name]
        _fetch(name, [f"{_CIFAR_PAGE}{archive}"], folder, md5)
        return read_cifar_archive(folder / archive)
    if name == "fashion_mnist" and _DEBIAN_FASHION_MNIST.is_dir():
        return read_idx(_DEBIAN_FASHION_MNIST, _FASHION_CLASSES)
    datasets = torchvision_module("torchvision.datasets")
    source = datasets.MNIST if name == "mnist" else datasets.FashionMNIST
    for file, md5 in source.resources:
        _fetch(name, [f"{mirror}{file}" for mirror in source.mirrors], folder, md5)
    return read_idx(folder, _FASHION_CLASSES if name == "fashion_mnist" else None)


def _fetch(name: str, addresses: list[str], folder: Path, md5: str) -> None:
    """Try one mirror after the other, unless the file is there."""
    file = folder / addresses[0].rpartition("/")[2]
    if has_hash(file, md5, "md5"):
        return
    errors = []
    for address in addresses:
        try:
            fetch_file(address, file, md5, "md5", timeout_seconds=_TIMEOUT_SECONDS, most_bytes=_MOST_BYTES)
        except (http.client.HTTPException, OSError, ValueError) as error:  # an address without a host raises the last
            errors.append(f"{address}: {one_line(error)}")
        else:
            return
    debian = ", or install Debian's package dataset-fashion-mnist" if name == "fashion_mnist" else ""
    raise DataError(
        f"'{name}' could not be fetched ({'; '.join(errors)}); put the file into {folder} yourself, set data_prep.source "
        f"to a folder that holds its archives or parquet files{debian}, or use source=digits, which needs no network."
    )


def read_digits() -> RawImages:
    """All digits, scaled from 0..16 to 0..255; they have no test split of their own."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, :, :, None]
    names = tuple(str(name) for name in digits.target_names)
    return RawImages(images, digits.target.astype(np.int64), names, np.zeros(len(images), dtype=bool))
