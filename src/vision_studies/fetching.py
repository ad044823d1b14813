"""Files that are fetched over the network, and kept only where they are what was published."""

import hashlib
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from vision_studies.files import atomic_file

_MOST_SECONDS = 4 * 3600
_CHUNK = 1 << 18


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and not newurl.startswith("https:"):
            raise urllib.error.URLError(f"it leads from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def has_hash(file: Path, digest: str, algorithm: str) -> bool:
    """Whether `file` is there and its hash by `algorithm` ("md5" or "sha256") begins with the published digits."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    return found.startswith(digest)


def fetch_file(
    address: str, file: Path, digest: str, algorithm: str, *, timeout_seconds: float, most_bytes: int
) -> None:
    """Put what is at `address` into `file`, which stands there only once it is whole and has the published hash.

    Addresses of other kinds than http and https are not opened, whatever a server says.

    Raises:
        OSError: the server does not answer, or refuses.
        ValueError: the file is larger than `most_bytes`, takes longer than hours, or has another hash.
        StorageError: the disk is full.
    """
    request = urllib.request.Request(address)  # noqa: S310 - the opener knows http and https alone
    with (
        _opener().open(request, timeout=timeout_seconds) as answer,
        atomic_file(file) as temporary,
        temporary.open("wb") as written,
    ):
        _copy(answer, written, file.name, most_bytes)
        written.flush()
        if not has_hash(temporary, digest, algorithm):
            raise ValueError("what came is corrupted: it does not have the published hash")


def _opener() -> urllib.request.OpenerDirector:
    """Without the handlers for files, FTP and data in addresses that urllib has, too."""
    opener = urllib.request.OpenerDirector()
    for name in ("Proxy", "Unknown", "HTTP", "HTTPS", "HTTPDefaultError"):
        opener.add_handler(getattr(urllib.request, f"{name}Handler")())
    opener.add_handler(_Redirects())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    return opener


def _copy(answer: Any, written: IO[bytes], name: str, most_bytes: int) -> None:
    columns = (f"fetching {name}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    started, size = time.monotonic(), 0
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(name, total=answer.length)
        while chunk := answer.read(_CHUNK):
            size += len(chunk)
            if size > most_bytes:
                raise ValueError(f"it is larger than {most_bytes:,} bytes")
            if time.monotonic() - started > _MOST_SECONDS:
                raise ValueError(f"it takes longer than {_MOST_SECONDS / 3600:g} hours")
            written.write(chunk)
            progress.update(task, completed=size)
