"""Checking parameters before anything runs, with errors that say where, what is wrong and what is allowed."""

import difflib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from vision_studies.config.merge import merge_settings
from vision_studies.config.registry import MODELS, SCALARS, SUPPLIED, settings_model
from vision_studies.errors import ParameterError

M = TypeVar("M", bound=BaseModel)
KeyPath = tuple[str | int, ...]
Origin = Callable[[KeyPath], str]


def validate_parameters(parameters: Mapping[str, Any], origin: Origin) -> None:
    """Check every top-level parameter against its settings model.

    Args:
        parameters: merged parameters.
        origin: key path -> the file (or option) that sets it.

    Raises:
        ParameterError: one line for each thing that is wrong.
    """
    problems = []
    names = [*MODELS, *SCALARS]
    for key, value in parameters.items():
        if key in SCALARS:
            if not isinstance(value, SCALARS[key]):
                problems.append(f"{origin((key,))}: {key}={value!r} must be {_TYPE_NAMES[SCALARS[key]]}.")
        elif key not in MODELS:
            allowed = [name for name in names if name not in SUPPLIED]
            problems.append(f"{origin((key,))}: '{key}' is not a parameter{_nearest(str(key), allowed)}")
        else:
            try:
                settings_model(key).model_validate(value)
            except ValidationError as error:
                problems += [_sentence(key, detail, value, origin) for detail in _without_echoes(error)]
    problems += [f"conf/base: the parameter '{key}' is missing." for key in names if key not in parameters]
    if problems:
        raise ParameterError("\n".join(problems))


def describe_errors(error: ValidationError, model: type[BaseModel], value: Any) -> str:
    """What is wrong with a variant's merged settings, without naming a file."""
    return " ".join(_problem(detail["loc"], detail, model, value)[1] for detail in _without_echoes(error))


def with_changes(base: M, *changes: Mapping[str, Any], title: str) -> M:
    """Settings with nested changes laid over them, one after the other.

    Raises:
        ValueError: they do not fit; it begins with `title`.
    """
    merged = base.model_dump(mode="json")
    for change in changes:
        merged = merge_settings(merged, change)
    try:
        return type(base).model_validate(merged)
    except ValidationError as error:
        raise ValueError(f"{title}: {describe_errors(error, type(base), merged)}") from error


def _sentence(key: str, detail: Any, value: Any, origin: Origin) -> str:
    path, text = _problem(detail["loc"], detail, settings_model(key), value)
    return f"{origin((key, *path))}: {'.'.join(map(str, (key, *path)))}: {text}"


def _problem(location: Sequence[str | int], detail: Any, model: type[BaseModel], value: Any) -> tuple[KeyPath, str]:
    path = _without_tags(location, value)
    given = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            allowed = _fields_at(model, location[:-1])
            text = f"there is no such parameter{_nearest(str(path[-1]), allowed)}"
        case "missing":
            text = "is missing; give it a value."
        case "literal_error" | "union_tag_invalid":
            allowed_text = context.get("expected") or context.get("expected_tags")
            if detail["type"] == "union_tag_invalid":
                given = given.get("name") if isinstance(given, Mapping) else given
                path = (*path, "name")
            choices = [choice.strip(" '") for choice in str(allowed_text).replace(" or ", ", ").split(",")]
            text = f"{given!r} is not one of {', '.join(choices)}{_nearest(str(given), choices, listed=False)}"
        case "union_tag_not_found":
            text = "needs a 'name' that says which kind it is."
        case "boolean_for_a_number":
            path = (*path, *context["path"])
            text = f"{context['word']} is not allowed; it must be a number (YAML reads yes, on, no and off as true and false)."
        case "value_error":
            text = f"{context['error']}."
        case "string_too_short":
            text = f"{given!r} is too short; it must have at least {context['min_length']} character(s)."
        case "too_short":
            entries = "entry" if context["min_length"] == 1 else "entries"
            text = f"{given!r} has too few entries; give it at least {context['min_length']} {entries}."
        case _:
            message = detail["msg"].removeprefix("Input should be ").split(", unable to")[0]
            text = f"{given!r} is not allowed; it must be {message}."
    return path, text


def _without_echoes(error: ValidationError) -> list[Any]:
    """Errors, once each: a union reports one value once for every member, a list with a wrong entry is also too short."""
    details: dict[tuple[Any, str], Any] = {}
    for detail in error.errors(include_url=False):
        counted = detail["type"] == "too_short" and isinstance(detail["input"], Sequence)
        if counted and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue
        details.setdefault((detail["loc"], detail["msg"]), detail)
    return list(details.values())


def _without_tags(location: Sequence[str | int], value: Any) -> KeyPath:
    """Pydantic puts the chosen kind of a union into the path of an error; the user's files do not have it."""
    path: list[str | int] = []
    current = value
    for index, part in enumerate(location):
        inside = (isinstance(current, Mapping) and part in current) or (
            isinstance(current, Sequence)
            and not isinstance(current, str)
            and isinstance(part, int)
            and part < len(current)
        )
        if not inside and (index < len(location) - 1 or not isinstance(current, Mapping)):
            continue
        path.append(part)
        current = current[part] if inside else None
    return tuple(path)


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Names of the fields that the group at `location` may have."""
    annotation: Any = model
    for part in location:
        annotation = _step(annotation, part)
    return sorted({field for group in filter(_is_group, _members(annotation)) for field in group.model_fields})


def _step(annotation: Any, part: str | int) -> Any:
    for candidate in _members(annotation):
        if _is_group(candidate):
            if part in candidate.model_fields:
                return candidate.model_fields[part].annotation
            tag = candidate.model_fields.get("name")
            if tag is not None and part in typing.get_args(tag.annotation):
                return candidate
        elif isinstance(part, int) and typing.get_args(candidate):
            return typing.get_args(candidate)[0]
    return annotation


def _members(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(annotation) for member in _members(part)]
    return [annotation]


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _nearest(word: str, allowed: Sequence[str], *, listed: bool = True) -> str:
    close = difflib.get_close_matches(word, allowed, n=1)
    question = f"; did you mean '{close[0]}'?" if close else "."
    return f"{question} Allowed: {', '.join(allowed)}." if listed and allowed else question


_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
