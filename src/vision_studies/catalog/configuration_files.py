"""Configuration files: what they hold, or what is wrong with them, in a sentence that names the file and the line."""

import math
from collections.abc import Collection, Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from vision_studies.errors import ParameterError, first_line, one_line

SUFFIXES = (".yml", ".yaml", ".json")
"""Endings of the files that Kedro reads."""

_MOST_VALUES = 1_000_000
_FEW_NAMES = 20  # which cannot stand for many values, however they are nested


def named_values(text: str) -> dict[str, Any] | None:
    """What a file's text holds, as `OmegaConf.load` reads it before it looks for `${...}`, in a fraction of the time: libyaml
    reads it, and once.

    None where it is wrong, or holds something else than named values: OmegaConf tells then what it is.
    """
    try:
        content = _parsed(text)
        return _own(content) if isinstance(content, dict) else None
    except (YAMLError, RecursionError, _NotPlainError):
        return None


def united(contents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Values of several files, as `OmegaConf.unsafe_merge` joins them: groups within groups, of the rest the last."""
    whole: dict[str, Any] = {}
    for content in contents:
        for name, value in content.items():
            both = isinstance(value, dict) and isinstance(whole.get(name), dict)
            whole[name] = united([whole[name], value]) if both else value
    return whole


class _NotPlainError(Exception):
    """A value or a name is of a type that YAML has and settings have not."""


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """Given out to nobody: see `_own`."""
    loader = _loader()(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@cache
def _loader() -> Any:
    """OmegaConf's own loader, with its rules for numbers and for names that occur twice, over libyaml where that is there."""
    rules: Any = get_yaml_loader()
    if not issubclass(rules, yaml.constructor.SafeConstructor):
        raise TypeError("OmegaConf's loader of YAML makes more than plain values")
    if not yaml.__with_libyaml__:
        return rules
    parser, *_ = yaml.CSafeLoader.__bases__  # the part that reads
    return type("Loader", (parser, rules), {"__init__": yaml.CSafeLoader.__init__})


def _own(value: Any) -> Any:
    """A copy without anything in common with the value, or within itself."""
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise _NotPlainError
        return {name: _own(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_own(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise _NotPlainError


def read_mapping(file: Path, project: Path) -> dict[str, Any]:
    """Read one YAML file, leaving `${...}` as it stands. An empty file is an empty mapping.

    Args:
        file: the file.
        project: messages name the file as seen from here.

    Raises:
        ParameterError: the file is not YAML, not UTF-8, or holds something else than named values.
    """
    shown = _shown(file, project)
    try:
        config = OmegaConf.load(file)
    except UnicodeDecodeError as error:
        raise ParameterError(f"{shown} is not UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except YAMLError as error:
        raise ParameterError(f"{shown}{_yaml_problem(error)}; mend the file's YAML.") from error
    except RecursionError as error:
        raise ParameterError(
            f"{shown} holds values too deep within others, or a name that stands for itself; mend the file's YAML."
        ) from error
    except OmegaConfBaseException as error:
        raise ParameterError(f"{shown} holds a ${{...}} that cannot be read: {first_line(error)}.") from error
    if not isinstance(config, DictConfig):
        raise ParameterError(f"{shown} holds a list; it must hold named values, such as `fresh: true`.")
    content: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    unnamed = next((key for key in content if not isinstance(key, str)), None)
    if unnamed is not None:
        raise ParameterError(f"{shown}: the name {unnamed!r} is not text; write it in quotes, or another name.")
    return content


def refuse_endless(folders: Iterable[Path], patterns: Collection[str], project: Path) -> None:
    """Refuse YAML whose names stand for more and more values: a few lines of it would fill the memory. Raises ParameterError
    where names such as `*a`, each put in place, would make a file of too many values.
    """
    for file in _files(folders, patterns):
        if _spelt_out(file) > _MOST_VALUES:
            raise ParameterError(
                f"{_shown(file, project)} names values by `*` that stand for more than {_MOST_VALUES:,} in all; write it with "
                "fewer names."
            )


def _spelt_out(file: Path) -> float:
    """How many values a YAML file has when every name is put in its place; 0 where that cannot be many, or is no YAML."""
    content = file.read_bytes()
    if content.count(b"*") < _FEW_NAMES:
        return 0
    try:
        root = yaml.compose(content, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    except (YAMLError, UnicodeDecodeError):
        return 0  # told by whoever reads it
    counts: dict[int, float] = {}

    def count(node: Any) -> float:
        if id(node) not in counts:
            counts[id(node)] = math.inf  # a name of itself
            inner = node.value if isinstance(node, yaml.CollectionNode) else []
            parts = [part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,))]
            counts[id(node)] = 1 + sum(map(count, parts))
        return counts[id(node)]

    return count(root)


def explain_unreadable(folders: Iterable[Path], patterns: Collection[str], project: Path) -> ParameterError | None:
    """What is wrong with the first file, of those that Kedro reads, that cannot be read; None where all of them can."""
    for file in _files(folders, patterns):
        try:
            read_mapping(file, project)
        except ParameterError as error:
            return error
    return None


def _files(folders: Iterable[Path], patterns: Collection[str]) -> Iterator[Path]:
    """The files that Kedro reads, folder by folder."""
    for folder in folders:
        files = sorted({match for pattern in patterns for match in folder.glob(pattern)})
        yield from (file for file in files if file.suffix in SUFFIXES and file.is_file())


def explain_duplicates(error: Exception, project: Path) -> ParameterError:
    """Two files of one environment that set the same parameter, which Kedro has found."""
    message = str(error).replace(f"{project}/", "")
    lines = [line.replace("Duplicate keys found in", "The same is set twice, in") for line in message.splitlines()]
    return ParameterError("\n".join(f"{line}; keep it in one of the two files." for line in lines))


def explain_reference(
    error: OmegaConfBaseException, contents: Iterable[tuple[Path, dict[str, Any]]], project: Path
) -> ParameterError:
    """Which file holds the `${...}` that cannot be resolved."""
    key = error.full_key or ""
    files = [file for file, content in contents if any(f"{key}.".startswith((f"{k}.", f"{k}[")) for k in content)]
    where = f"{_shown(files[-1], project)}: {key}" if files else key
    return ParameterError(
        f"{where}: {first_line(error.msg or error)}; ${{...}} can name values of the same environment, or of globals.yml as "
        "${globals:name}."
    )


def _yaml_problem(error: YAMLError) -> str:
    """Kedro counts lines from 0, editors from 1."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f", line {error.problem_mark.line + 1}: {error.problem or 'it cannot be read'}"
    return f" is not valid YAML ({one_line(error)})"


def _shown(file: Path, project: Path) -> str:
    return str(file.relative_to(project)) if file.is_relative_to(project) else str(file)
