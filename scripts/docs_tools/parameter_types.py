"""What a parameter may be, in words: made from its JSON schema."""

import html
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from scripts.docs_tools.parameter_schema import Parameter, Schema, choices, members

_SINGULAR = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
_PLURAL = _SINGULAR | {"integer": "whole numbers", "number": "numbers", "string": "texts"}
_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def type_in_words(parameter: Parameter, link: Callable[[str], str]) -> str:
    """Type and limits as HTML.

    Args:
        parameter: what is described.
        link: name of a definition -> a link to the kind that it defines.
    """
    kinds = ", ".join(map(link, parameter.kinds))
    words = [_words(member, kinds, _SINGULAR) for member in members(parameter.schema)]
    if kinds and len(words) == len(parameter.kinds):
        words = [f"one of the kinds {kinds}"]
    nullable = {"type": "null"} in parameter.schema.get("anyOf", [])
    return " or ".join([*dict.fromkeys(words), *(["<code>null</code>"] if nullable else [])])


def value_in_yaml(value: Any) -> str:
    """A value as it is written into a file of parameters, on one line where it fits, else its entries one below the other."""
    flow = _on_one_line(value)
    if len(flow) <= 60 or not isinstance(value, list | Mapping):
        return flow
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_on_one_line(own)}" for name, own in value.items())
    return "\n".join(f"- {_on_one_line(own)}" for own in value)


def _on_one_line(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip().removesuffix("\n...")


def _words(schema: Schema, kinds: str, names: Mapping[str, str]) -> str:
    if listed := choices(schema):
        return " or ".join(f"<code>{html.escape(_on_one_line(own))}</code>" for own in listed)
    if "$ref" in schema:
        return "group" if names is _SINGULAR else "groups"
    match schema.get("type"):
        case "array":
            return _list_in_words(schema, kinds)
        case "object":
            inside = schema["additionalProperties"]
            return f"names with {_entries(inside, kinds) if isinstance(inside, Mapping) else 'values'}"
        case None:
            return "anything"
        case kind:
            limits = [f"{sign} {_on_one_line(schema[limit])}" for limit, sign in _LIMITS.items() if limit in schema]
            pattern = f" that matches <code>{html.escape(schema['pattern'])}</code>" if "pattern" in schema else ""
            name = "path" if schema.get("format") == "path" else names[kind]
            return f"{name}{' ' if limits else ''}{' and '.join(limits)}{pattern}"


def _list_in_words(schema: Schema, kinds: str) -> str:
    if "prefixItems" in schema:
        each = [_words(own, kinds, _SINGULAR) for own in schema["prefixItems"]]
        return f"list of {len(each)}: {', '.join(each)}"
    fewest = schema.get("minItems")
    least = f", at least {fewest} {'entry' if fewest == 1 else 'entries'}" if fewest else ""
    return f"list of {_entries(schema['items'], kinds)}{least}"


def _entries(schema: Schema, kinds: str) -> str:
    if kinds:
        return f"the kinds {kinds}"
    return " or ".join(dict.fromkeys(_words(own, kinds, _PLURAL) for own in members(schema)))
