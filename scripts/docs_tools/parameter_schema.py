"""The settings models as lists of parameters: what the reference is written from.

The models say what there is, of what type, within which limits and what it means (through Pydantic's JSON schema); the
validated values of `conf/base` say what holds where a study says nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vision_studies.config.models import PRESETS
from vision_studies.config.registry import settings_model

Schema = Mapping[str, Any]

MISSING: Any = object()
"""In place of a value: there is none until somebody sets the group that the parameter belongs to."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: its dotted path, its schema and its value in `conf/base`."""

    path: str
    schema: Schema
    value: Any = MISSING
    kinds: tuple[str, ...] = ()  # definitions of the groups that may stand in it
    presets: Mapping[str, Any] = field(default_factory=dict)  # name of a preset -> its value

    @property
    def meaning(self) -> str:
        """The description of the field."""
        return str(self.schema.get("description", ""))


@dataclass(frozen=True)
class Group:
    """Parameters that stand side by side; where kinds may be chosen from, those of the kind chosen in `conf/base`."""

    path: str
    meaning: str
    parameters: Sequence[Parameter]
    kinds: tuple[str, ...] = ()
    given: bool = True  # False: null in conf/base


@dataclass(frozen=True)
class Kind:
    """One of the groups that may stand at a place; its parameter `name` says which."""

    names: tuple[str, ...]
    meaning: str
    parameters: Sequence[Parameter]


class PipelineSchema:
    """What there is to set of one top-level parameter.

    Attributes:
        meaning: docstring of the model.
        groups: in the order of the models.
        kinds: name of a definition -> the kind.
        choices: definitions that may stand at one place -> paths of these places.
    """

    def __init__(self, key: str, base: Any) -> None:
        model = settings_model(key)
        self._root: Schema = model.model_json_schema()
        self.meaning = str(self._root["description"])
        self.kinds: dict[str, Kind] = {}
        self.choices: dict[tuple[str, ...], list[str]] = {}
        self._base = {key: base}
        value = model.model_validate(base).model_dump(mode="json")
        self.groups = [*self._groups(key, self._root, value, self.meaning)]

    def _groups(self, path: str, schema: Schema, value: Any, meaning: str, **options: Any) -> Iterator[Group]:
        """The group at `path`, and then those within it."""
        parameters, within = [], []
        for name, given in schema["properties"].items():
            place = f"{path}.{name}"
            # What has its default, and came later, is not written out.
            own = value.get(name, given.get("default", MISSING)) if isinstance(value, Mapping) else MISSING
            nested = [*self._nested(place, given, own)]
            within += nested
            # A group that conf/base gives is shown under a heading of its own, and nowhere else.
            if not (nested and nested[0].path == place and isinstance(own, Mapping)):
                parameters.append(Parameter(place, given, self._as_written(place, own), self._kinds_in(place, given)))
        yield Group(path, meaning, parameters, **options)
        yield from within

    def _as_written(self, path: str, validated: Any) -> Any:
        """The value as conf/base has it, as validation fills in what is a preset's."""
        value: Any = self._base
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return validated
            value = value[part]
        return value

    def _nested(self, path: str, schema: Schema, value: Any) -> Iterator[Group]:
        """The groups that a parameter holds: itself, its entries, or what its names stand for."""
        meaning = str(schema.get("description", ""))
        kinds = self._kinds_in(path, schema)
        for member in members(schema):
            if "items" in member:
                yield from self._nested(f"{path}[]", {**member["items"], "description": meaning}, MISSING)
            elif isinstance(member.get("additionalProperties"), Mapping):
                within = {**member["additionalProperties"], "description": meaning}
                yield from self._nested(f"{path}.<name>", within, MISSING)
            elif "$ref" in member and not kinds:
                given = isinstance(value, Mapping) or path.endswith(("[]", ">"))
                yield from self._groups(path, self._definition(member), value, meaning, given=given)
            elif "$ref" in member and isinstance(value, Mapping):
                kind = definition(member)
                if value.get("name") in self.kinds[kind].names:
                    yield from self._groups(path, self._definition(member), value, meaning, kinds=kinds)

    def _kinds_in(self, path: str, schema: Schema) -> tuple[str, ...]:
        """Definitions of the groups, if there are several to choose from, that may stand in a parameter."""
        alternatives = members(schema)
        for member in alternatives:
            inner = member.get("items") or member.get("additionalProperties")
            found = self._kinds_in(path, inner) if isinstance(inner, Mapping) else ()
            if found:
                return found
        kinds = tuple(definition(member) for member in alternatives if "$ref" in member)
        if len(kinds) < 2:
            return ()
        places = self.choices.setdefault(kinds, [])
        if path and path not in places:
            places.append(path)
        for member in alternatives:
            self._add_kind(member)
        return kinds

    def _add_kind(self, reference: Schema) -> None:
        name = definition(reference)
        if name in self.kinds:
            return
        schema = self._definition(reference)
        fallback = (name.removesuffix("Settings").lower(),)
        names = tuple(choices(schema["properties"].get("name", {}))) or fallback
        self.kinds[name] = Kind(names, str(schema["description"]), ())
        parameters = [
            Parameter(
                option,
                given,
                kinds=self._kinds_in("", given),
                presets={own: PRESETS[own][option] for own in names if option in PRESETS.get(own, {})},
            )
            for option, given in schema["properties"].items()
        ]
        self.kinds[name] = Kind(names, str(schema["description"]), parameters)

    def _definition(self, reference: Schema) -> Schema:
        found: Schema = self._root["$defs"][definition(reference)]
        return found


def members(schema: Schema) -> list[Schema]:
    """What a value may be, besides null."""
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives is None:
        return [] if schema.get("type") == "null" else [schema]
    return [member for alternative in alternatives for member in members(alternative)]


def definition(reference: Schema) -> str:
    """Name of the definition that a schema refers to."""
    return str(reference["$ref"]).rpartition("/")[2]


def choices(schema: Schema) -> list[Any]:
    """The values that a schema lists; none where it gives a type."""
    return [schema["const"]] if "const" in schema else list(schema.get("enum", []))
