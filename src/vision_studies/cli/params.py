"""Values of parameters on the command line: `--params=name=value,name=[a,b]`."""

import json
import re
from collections.abc import Iterator
from typing import Any

import click
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vision_studies.errors import first_line

_BRACKETS_AND_QUOTES = ("[", "{", '"', "'")
_TEXT = re.compile(r"^(?![\[{\"'])(?:(?:/|\.{1,2}/|~/|[#&*!|>%@`]).*|.*\s#.*)$", re.DOTALL)


def read_params(_context: click.Context, _option: click.Parameter, value: Any) -> dict[str, Any]:
    """Nested values of `--params`, in the place of Kedro's reading, which takes every comma within a list for the next name.

    Args:
        value: the text of the option; from a file of `--config` it may have been read already.

    Raises:
        click.ClickException: something in it is no name with a value, or a list or group in it cannot be read.
    """
    if isinstance(value, dict):
        return value
    parameters = OmegaConf.create()
    for name, text in _named_values(value):
        try:
            parameters.merge_with_dotlist([f"{name}={_in_quotes(text)}"])
        except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
            raise _unreadable(name, text, error) from error
    content: dict[str, Any] = OmegaConf.to_container(parameters)  # type: ignore[assignment]
    return content


def _named_values(text: str) -> Iterator[tuple[str, str]]:
    while text := text.lstrip(" \t\n,"):
        name, equals, rest = text.partition("=")
        if not equals or "," in name or not name.strip():
            raise click.ClickException(
                f"--params: '{text.partition(',')[0]}' must be name=value; a list of several values stands in brackets, as in "
                "name=[a,b], and a text with a comma in it in quotes, as in name='a,b'."
            )
        end = _end_of_value(name.strip(), rest)
        yield name.strip(), rest[:end].strip()
        text = rest[end:]


def _in_quotes(text: str) -> str:
    """A value as YAML that means it: paths, and what YAML would take for a comment or a mark of its own, are texts."""
    return json.dumps(text, ensure_ascii=False) if _TEXT.search(text) else text


def _end_of_value(name: str, text: str) -> int:
    """Where the value ends with which the text begins: at a comma that stands in no list, group or quotes."""
    comma = text.find(",")
    if not text.lstrip().startswith(_BRACKETS_AND_QUOTES):
        return comma if comma >= 0 else len(text)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0 and isinstance(event, (yaml.ScalarEvent, yaml.CollectionEndEvent)):
                end = int(event.end_mark.index)  # type: ignore[union-attr] # what is parsed from a text has marks
                if text[end:].lstrip()[:1] in ("", ","):
                    return end
                value, after = text[:end].strip(), text[end:].strip()
                raise click.ClickException(
                    f"--params: {name}={value} is followed by '{after}'; separate parameters by commas."
                )
    except yaml.YAMLError as error:
        raise _unreadable(name, text, error) from error
    return len(text)


def _unreadable(name: str, text: str, error: Exception) -> click.ClickException:
    problem = str(getattr(error, "problem", None) or first_line(error)).replace("'<stream end>'", "the end")
    return click.ClickException(
        f"--params: {name}={text.strip()} cannot be read ({problem}); a list is written as [a,b], a group as {{name: value}}, "
        "and a text that begins with a bracket in quotes."
    )
