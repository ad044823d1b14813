"""What every benchmark does with its table."""

from pathlib import Path


def publish(text: str, result: Path, *, write: bool) -> None:
    """Print `text` and, with `write`, keep it as `result`."""
    print(text)
    if write:
        result.parent.mkdir(parents=True, exist_ok=True)
        result.write_text(text, encoding="utf-8")
