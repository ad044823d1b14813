"""Fetching a published file: over the network only, no larger than it can be, and kept only with its published hash."""

import hashlib
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from vision_studies.files import atomic_file

_MOST_BYTES = 1 << 28  # CIFAR-10 has 170 MB
_MOST_SECONDS = 4 * 3600
_CHUNK = 1 << 18


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and not newurl.startswith("https:"):
            raise urllib.error.URLError(f"it leads from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def has_hash(file: Path, md5: str) -> bool:
    """Whether `file` is there and has the published hash."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, _md5).hexdigest() == md5


def fetch_file(address: str, file: Path, *, md5: str, timeout_seconds: float) -> None:
    """Put what is at `address` into `file`, which stands there only once it is whole.

    Args:
        address: of http or https; others are not opened, whatever a server says.
        file: where it is wanted; its folder is made.
        md5: the published hash.
        timeout_seconds: without an answer.

    Raises:
        OSError: the server does not answer, or refuses.
        ValueError: the file is larger than any that is published, takes longer than hours, or has another hash.
        StorageError: the disk is full.
    """
    request = urllib.request.Request(address)  # noqa: S310 - the opener knows http and https alone
    with (
        _opener().open(request, timeout=timeout_seconds) as answer,
        atomic_file(file) as temporary,
        temporary.open("wb") as written,
    ):
        _copy(answer, written, file.name)
        written.flush()
        if not has_hash(temporary, md5):
            raise ValueError("what came is corrupted: it does not have the published hash")


def _opener() -> urllib.request.OpenerDirector:
    """Without the handlers for files, FTP and data in addresses that urllib has, too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _copy(answer: Any, written: IO[bytes], name: str) -> None:
    columns = (f"fetching {name}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    started, size = time.monotonic(), 0
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(name, total=answer.length)
        while chunk := answer.read(_CHUNK):
            size += len(chunk)
            if size > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES:,} bytes")
            if time.monotonic() - started > _MOST_SECONDS:
                raise ValueError(f"it takes longer than {_MOST_SECONDS / 3600:g} hours")
            written.write(chunk)
            progress.update(task, completed=size)


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)
