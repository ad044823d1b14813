"""Pages of reference with every parameter: Markdown with a list of definitions a group."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from scripts.docs_tools.parameter_schema import MISSING, Group, Kind, Parameter, PipelineSchema, members
from scripts.docs_tools.parameter_types import type_in_words, value_in_yaml

from vision_studies.config.registry import MODELS, SCALARS, SUPPLIED

FOLDER = "reference/parameters"
KINDS_PAGE = "kinds"
SHARED_KEY = "execution"  # its page also has the single values, which stand in the same file
_SCALAR_MEANINGS = {"fresh": "train again what is already trained"}


class ParameterPages:
    """The pages of all top-level parameters.

    Attributes:
        schemas: top-level parameter -> what there is to set of it.
    """

    def __init__(self, conf: Path) -> None:
        self._base, self._files = _read_base(conf / "base")
        self.schemas = {key: PipelineSchema(key, self._base[key]) for key in MODELS if key not in SUPPLIED}
        self._kinds: dict[str, Kind] = {}
        self._choices: dict[tuple[str, ...], list[str]] = {}
        for schema in self.schemas.values():
            self._collect(schema)

    def pages(self) -> dict[str, str]:
        """Path below the documentation's folder -> Markdown."""
        written = {f"{FOLDER}/{key}.md": self._page(key, schema) for key, schema in self.schemas.items()}
        return written | {f"{FOLDER}/{KINDS_PAGE}.md": self._kinds_page()}

    def _collect(self, schema: PipelineSchema) -> None:
        for name, kind in schema.kinds.items():
            if self._kinds.setdefault(name, kind) != kind:
                raise ValueError(f"Two different settings models are called {name}; rename one of them.")
        for kinds, places in schema.choices.items():
            self._choices.setdefault(kinds, []).extend(places)

    def _page(self, key: str, schema: PipelineSchema) -> str:
        shared = key == SHARED_KEY
        title = "Parameters of every pipeline" if shared else f"Parameters of `{key}`"
        lines = [
            f"# {title}",
            "" if shared else schema.meaning.removeprefix(f"Parameters of the `{key}` pipeline: ").capitalize(),
            f"Their values stand in `{self._files[key]}`. [How to change one](../index.md#how-a-parameter-is-set).",
        ]
        if shared:
            scalars = [
                Parameter(name, {"type": "boolean", "description": _SCALAR_MEANINGS[name]}, self._base[name])
                for name in SCALARS
            ]
            lines.append(self._definitions(scalars, key))
        for group in schema.groups:
            lines += self._group(key, group)
        return "\n\n".join(line for line in [*lines, *self._kind_sections(key)] if line) + "\n"

    def _group(self, key: str, group: Group) -> Iterator[str]:
        if group.path != key:
            address = anchor(group.path) if group.given else _absent(group.path)
            yield f"## `{group.path.removeprefix(f'{key}.')}` {{ #{address} }}"
            yield _heading_meaning(group)
            if not group.given:
                yield "Not set in `conf/base`: these are what it holds where it is set."
            if group.kinds:
                others = ", ".join(self._link(kind, key) for kind in group.kinds)
                yield f"Other kinds have other parameters; there are {others}."
        yield self._definitions(group.parameters, key)

    def _definitions(self, parameters: Sequence[Parameter], page: str, prefix: str = "") -> str:
        entries = [self._entry(own, page, prefix) for own in parameters]
        return '<dl class="parameters">\n' + "\n".join(entries) + "\n</dl>" if entries else ""

    def _entry(self, own: Parameter, page: str, prefix: str) -> str:
        facts = [type_in_words(own, lambda name: self._link(name, page))]
        inside = "" if prefix else _inside(own)
        if inside:
            facts.append(f'<a href="#{inside}">what it holds</a>')
        block = ""
        if own.value is not MISSING:
            value = html.escape(value_in_yaml(own.value))
            if "\n" in value:
                block = f'<pre class="value"><code>{value}</code></pre>'
            facts.append("in <code>conf/base</code>:" + ("" if block else f' <code class="value">{value}</code>'))
        elif own.presets:
            facts.append(_presets(own.presets))
        name = html.escape(own.path).replace(".", ".<wbr>").replace("_", "_<wbr>")
        return (
            f'<dt id="{anchor(prefix + own.path)}"><code>{name}</code></dt>\n'
            f'<dd><p>{_inline(_sentence(own.meaning))}</p><p class="facts">{" · ".join(facts)}</p>{block}</dd>'
        )

    def _homes(self) -> dict[tuple[str, ...], list[str]]:
        """The choices that have a section of their own, those that are no part of another, and their places."""
        return {
            kinds: places
            for kinds, places in self._choices.items()
            if not any(set(kinds) < set(other) for other in self._choices)
        }

    def _home(self, definition: str) -> tuple[str, ...]:
        """The choice in whose section a kind is described."""
        return max((kinds for kinds in self._homes() if definition in kinds), key=len)

    def _page_of(self, choice: tuple[str, ...]) -> str:
        """The page that has a choice: that of its pipeline, where no other has one of its kinds."""
        related = (places for kinds, places in self._choices.items() if set(kinds) & set(choice))
        keys = {place.partition(".")[0] for places in related for place in places}
        return keys.pop() if len(keys) == 1 else KINDS_PAGE

    def _link(self, definition: str, page: str) -> str:
        """A link, as HTML, from a page to the section of a kind."""
        target = self._page_of(self._home(definition))
        names = ", ".join(f"<code>{name}</code>" for name in self._kinds[definition].names)
        return f'<a href="{"" if target == page else f"{target}.html"}#{self._kind_anchor(definition)}">{names}</a>'

    def _kind_anchor(self, definition: str) -> str:
        place = self._homes()[self._home(definition)][0]
        return f"{_last_name(place)}-{self._kinds[definition].names[0]}"

    def _kinds_page(self) -> str:
        lines = [
            "# Kinds that pipelines share",
            "Networks, optimisers, schedules, augmentations and what else a `name` chooses, where several pipelines have it. "
            "Whoever chooses a kind gives all its parameters; only networks have presets.",
        ]
        return "\n\n".join([*lines, *self._kind_sections(KINDS_PAGE)]) + "\n"

    def _kind_sections(self, page: str) -> Iterator[str]:
        """The sections of all kinds that are described on a page."""
        for kinds, places in self._homes().items():
            if self._page_of(kinds) != page:
                continue
            named = ", ".join(f"`{name}`" for name in dict.fromkeys(map(_last_name, places)))
            yield f"## Kinds of {named} {{ #kinds-of-{_last_name(places[0])} }}"
            yield f"They may stand in {', '.join(f'`{place}`' for place in places)}."
            for definition in kinds:
                if self._home(definition) != kinds:
                    continue
                kind = self._kinds[definition]
                heading = self._kind_anchor(definition)
                yield f"### {', '.join(f'`{name}`' for name in kind.names)} {{ #{heading} }}"
                yield kind.meaning
                yield self._definitions(kind.parameters, page, prefix=f"{heading}.")


def anchor(path: str) -> str:
    """The id of a parameter on its page."""
    return path.replace("[]", "-entry").replace(".<name>", "-named")


def _absent(path: str) -> str:
    """The id of a group that is null in conf/base, and stands among the parameters as such."""
    return f"{anchor(path)}-group"


def _inside(own: Parameter) -> str:
    """The id of the group that a parameter, or an entry of it, holds; empty where it holds none, or one of several kinds."""
    if own.kinds:
        return ""
    for member in members(own.schema):
        if "$ref" in member:
            return _absent(own.path)
        if "$ref" in member.get("items", {}):
            return anchor(f"{own.path}[]")
        inner = member.get("additionalProperties")
        if isinstance(inner, Mapping) and "$ref" in inner:
            return anchor(f"{own.path}.<name>")
    return ""


def _read_base(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Values of conf/base, and the file of each of its top-level parameters."""
    values: dict[str, Any] = {}
    files = {}
    for file in sorted(folder.glob("parameters*.yml")):
        for key, value in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            values[key] = value
            files[key] = f"conf/base/{file.name}"
    return values, files


def _last_name(place: str) -> str:
    return place.replace("[]", "").replace(".<name>", "").rpartition(".")[2]


def _heading_meaning(group: Group) -> str:
    if group.path.endswith("[]"):
        return f"What an entry of the list `{group.path.removesuffix('[]')}` holds."
    if group.path.endswith(".<name>"):
        return f"What a name in `{group.path.removesuffix('.<name>')}` stands for."
    return _sentence(group.meaning)


def _sentence(text: str) -> str:
    if not re.match(r"\w+:", text):  # a value, which is written as it is
        text = text[:1].upper() + text[1:]
    return text + ("" if text.endswith((".", "?")) else ".") if text else ""


def _inline(text: str) -> str:
    """Plain text with `code` as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _presets(presets: Mapping[str, Any]) -> str:
    values = {value_in_yaml(_plain(value)) for value in presets.values()}
    if len(values) == 1:
        return f"preset: <code>{values.pop()}</code>"
    shown = (f"<code>{name}</code> <code>{value_in_yaml(_plain(value))}</code>" for name, value in presets.items())
    return f"presets: {', '.join(shown)}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
