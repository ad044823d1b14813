"""What stands inside a page instead of beside it: compressed text, and the names of scripts and styles in its policy."""

import base64
import gzip
import hashlib


def packed(text: str) -> str:
    """Text for a script of the page to unpack: base64 of gzip, without a time in it, so that equal pages are equal files."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


def digest(source: str) -> str:
    """What a content security policy calls a script or a style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode('ascii')}'"
