"""What every settings model shares, and groups of settings that come in kinds of which each is one file."""

import pkgutil
from collections.abc import Mapping, Sequence
from functools import reduce
from importlib import import_module
from itertools import repeat
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class Settings(BaseModel):
    """Typed, immutable parameters. Values live in `conf/`; a key that no field names is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _booleans_are_no_numbers(cls, given: Any) -> Any:
        """YAML reads `no` as false, which would count as 0."""
        for name, value in given.items() if isinstance(given, Mapping) else ():
            field = cls.model_fields.get(name)
            path = None if field is None else _boolean_for_a_number(field.annotation, value)
            if path is not None:
                word = str(reduce(lambda part, key: part[key], path, value)).lower()
                context = {"path": (name, *path), "where": ".".join(map(str, (name, *path))), "word": word}
                raise PydanticCustomError("boolean_for_a_number", "{where}: {word} is no number", context)
        return given


def _boolean_for_a_number(annotation: Any, value: Any) -> tuple[Any, ...] | None:
    """The path to a boolean in a value where its type has a number and no boolean; None where there is none."""
    members = _members(annotation)
    if isinstance(value, bool):
        takes_both = any(member in (bool, Any) or isinstance(member, bool) for member in members)
        return (
            None if takes_both or not {int, float} & {member for member in members if isinstance(member, type)} else ()
        )
    if not isinstance(value, Mapping | list | tuple):
        return None
    entries: list[tuple[Any, Any, Any]] = []
    for member in members:
        kinds = get_args(member)
        if isinstance(value, Mapping) and len(kinds) == 2:
            entries += [(key, kinds[1], entry) for key, entry in value.items()]
        elif not isinstance(value, Mapping) and kinds:
            each = kinds if Ellipsis not in kinds and len(kinds) == len(value) else repeat(kinds[0])
            entries += zip(range(len(value)), each, value, strict=False)
    found = ((key, _boolean_for_a_number(kind, entry)) for key, kind, entry in entries)
    return next(((key, *path) for key, path in found if path is not None), None)


def _members(annotation: Any) -> list[Any]:
    """Types, and values of literals, that a type is made of one of."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin is Literal:
        return list(get_args(annotation))
    if origin in (Union, UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def without_defaults(settings: Settings, written: dict[str, Any], *names: str) -> dict[str, Any]:
    """Settings as they are written out, without those of these names that have their default.

    For what a run may be told since later than its first release: runs that do without it keep their fingerprints.
    """
    fields = type(settings).model_fields
    return {
        name: value
        for name, value in written.items()
        if name not in names or getattr(settings, name) != fields[name].default
    }


def refuse_repeated(lists: Mapping[str, Sequence[Any]]) -> None:
    """A ValueError where a list has an entry twice; `lists` has the entries by the name of the parameter."""
    for name, values in lists.items():
        repeated = next((value for value in values if values.count(value) > 1), None)
        if repeated is not None:
            raise ValueError(f"{name} has {repeated} twice; every entry counts once")


class Kind(Settings):
    """A group of parameters of which there are several kinds; `name` says which.

    What stands directly below is a family: its abstract methods, and its class variables without a value, are the answers
    that each of its kinds must give. One that leaves out an answer is a TypeError that names it, when its file is imported.
    """

    name: str

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        if Kind in cls.__bases__:
            return
        missing = [answer for answer in sorted(cls.__class_vars__) if not hasattr(cls, answer)]
        missing += sorted(cls.__abstractmethods__)
        missing += [] if cls.names() else ["name (a Literal of what it is called)"]
        missing += [] if cls.__dict__.get("__doc__") else ["a docstring (it stands in the reference)"]
        if missing:
            family = next(base for base in cls.__mro__ if Kind in base.__bases__)
            raise TypeError(
                f"{cls.__module__}.{cls.__name__} leaves out {', '.join(missing)}; every kind of {family.__name__} must "
                f"say so: see {family.__module__}."
            )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What `name` may be."""
        return get_args(cls.model_fields["name"].annotation)


Family = TypeVar("Family", bound=Kind)


def read_kinds(family: type[Family], package: str, first: Sequence[str] = ()) -> tuple[type[Family], ...]:
    """All kinds of a family: those in the files of a package, of which no list is kept anywhere.

    Args:
        family: what they are kinds of.
        package: its name; all of its files are imported.
        first: files that come first in messages and in the reference; the others follow by name.
    """
    files = sorted(module.name for module in pkgutil.iter_modules(import_module(package).__path__))
    files.sort(key=lambda file: first.index(file) if file in first else len(first))
    return tuple(
        member
        for module in (import_module(f"{package}.{file}") for file in files)
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, family) and member.__module__ == module.__name__
    )


def one_of(kinds: Sequence[type[Kind]]) -> Any:
    """The type of a field that takes any of these kinds."""
    return Annotated[reduce(or_, kinds), Field(discriminator="name")]
