"""Where data and results are kept besides the project's own folder."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from vision_studies.settings_base import Settings

_SECRET = re.compile(
    r"(^|_)(key|keys|sas|pass|passwd)$|secret|token|password|passphrase|credential|connection_string|key_id"
)
_NO_SECRETS = ("anon", "google_default", "cloud", "browser", "cache")  # what gcsfs takes as `token`: ways, not tokens


class StorageSettings(Settings):
    """A store that keeps data and results beyond this machine; credentials come from the environment, never from here."""

    url: str | None = Field(
        min_length=1,
        description="address that fsspec understands, such as s3://bucket/folder, gs://bucket/folder or file:///mnt/studies; "
        "null: only the project's data folder",
    )
    options: dict[str, Any] = Field(
        description="of fsspec's file system, such as {endpoint_url: https://minio.example.org} or {anon: true}; no secrets",
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if not parts.scheme or "::" in url:
            raise ValueError("it must begin with a protocol, such as s3:// or file:///")
        if parts.password is not None or parts.query:
            raise ValueError(
                "it holds a password or a signature, and parameters are recorded beside results; take it out and use the "
                "environment or fsspec's own configuration file"
            )
        return url.rstrip("/")

    @field_validator("options")
    @classmethod
    def _holds_no_secret(cls, options: dict[str, Any]) -> dict[str, Any]:
        for path, value in _leaves(options):
            secret = _SECRET.search(path[-1].lower()) and value not in (None, *_NO_SECRETS)
            address = urlsplit(value) if isinstance(value, str) and "@" in value else None
            if secret or (address is not None and address.password is not None):
                raise ValueError(
                    f"{'.'.join(path)} looks like a secret, and parameters are recorded beside results; take it out and set "
                    "it in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or in fsspec's own configuration file"
                )
        return options


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        for inner in value:
            yield from _leaves(inner, path)
    elif path:
        yield path, value
