"""Nested settings: laid over others, by one rule for environments, `--params` and variants, and named with dots."""

from collections.abc import Mapping
from typing import Any

_KINDS = ("choices", "options", "lowest", "low")
"""Keys that tell kinds of groups without a `name`: those in which a search looks for a value."""


def merge_settings(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested `overrides` over `base`. Lists are replaced, and so is a group that becomes one of another kind.

    A group such as `model` or `optimizer` has other options under another `name`, so the old ones must not linger; nor must the
    ends of a range in a search where a list of choices takes its place.

    Examples:
        >>> from vision_studies.config.merge import merge_settings
        >>> base = {"epochs": 9, "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}}
        >>> merge_settings(base, {"optimizer": {"learning_rate": 0.2}})
        {'epochs': 9, 'optimizer': {'name': 'sgd', 'learning_rate': 0.2, 'momentum': 0.9}}
        >>> merge_settings(base, {"optimizer": {"name": "adamw", "learning_rate": 0.2}})
        {'epochs': 9, 'optimizer': {'name': 'adamw', 'learning_rate': 0.2}}
    """
    merged = dict(base)
    for key, value in overrides.items():
        current = merged.get(key)
        if isinstance(value, Mapping) and isinstance(current, Mapping):
            merged[key] = merge_settings(current, value) if _is_alike(current, value) else dict(value)
        else:
            merged[key] = value
    return merged


def _is_alike(current: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether a group that is laid over another one is of its kind."""
    kind, before = (next((key for key in _KINDS if key in group), None) for group in (value, current))
    return value.get("name", current.get("name")) == current.get("name") and (kind is None or kind == before)


def nested(path: str, value: Any) -> dict[str, Any]:
    """A dotted path with a value as nested settings."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def flatten(configuration: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted keys, `{"model": {"name": "x"}}` -> `{"model.name": "x"}`."""
    flat: dict[str, Any] = {}
    for key, value in configuration.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{path}."))
        else:
            flat[path] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """What `flatten` made one level of, nested again."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *groups, last = path.split(".")
        level = nested
        for group in groups:
            level = level.setdefault(group, {})
        level[last] = value
    return nested


def has_path(settings: Any, path: str) -> bool:
    """Whether nested settings have a dotted path."""
    for key in path.split("."):
        if not isinstance(settings, Mapping) or key not in settings:
            return False
        settings = settings[key]
    return True
