"""A study of one's own images: environments that ask a question which another study asks, written to be read and changed."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vision_studies.catalog.config_loader import ENVIRONMENT_FILE, StudyConfigLoader
from vision_studies.catalog.configuration_files import read_mapping
from vision_studies.cli.choose import LARGEST as PRETRAINED_PIXELS
from vision_studies.cli.choose import METHOD as CHOOSE
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.errors import DataError, ParameterError, guess
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.method import load_method

if TYPE_CHECKING:
    from vision_studies.config.data_prep import DataPrepSettings

PARAMETERS_FILE = "parameters.yml"
NETWORK_PIXELS = 32
QUICK = "_quick"
SMALL_BUDGET = "middle"
"""The environment whose networks and epochs the quick form of a study takes."""

_NAME = re.compile(r"[A-Za-z]\w*")
_BLOCK = re.compile(r"^(?=[^\s#])", re.MULTILINE)
_MOST_COUNTS = 12


@dataclass(frozen=True)
class Template:
    """What a new study is made from.

    Attributes:
        name: of the study or pipeline.
        title: of the study, likewise `question`.
        pipelines: that it works with.
        extends: environments that it stands on.
        blocks: top-level parameter -> its lines as they stand in the study's file.
    """

    name: str
    title: str
    question: str
    pipelines: tuple[str, ...]
    extends: tuple[str, ...]
    blocks: Mapping[str, str]


@dataclass(frozen=True)
class Classes:
    """The classes of the images, with one number for each.

    Attributes:
        names: of the classes.
        images: of each class.
        trained: of these, about how many are to learn from.
    """

    names: tuple[str, ...]
    images: tuple[int, ...]
    trained: tuple[int, ...]


def write_study(conf: Path, name: str, template: str, source: str, image_size: int | None) -> list[Path]:
    """Write the environment `name`, which asks of other images what `template` asks, and a quick form of it.

    Args:
        conf: folder of the environments.
        name: of the new one.
        template: a study with pipelines of its own, or a pipeline.
        source: of the images, as `data_prep.source` takes it.
        image_size: height and width that they are brought to, in pixels; None for what the template's networks take.

    Returns:
        Files that were written.

    Raises:
        ParameterError: the name is taken or none, the template is no study, or these images do not fit its settings.
        DataError: the source cannot be read, or has too few classes for the question.
        StorageError: the files cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"'{name}' cannot be the name of a study; take letters, digits and _, a letter first, such as {_suggested(name)}."
        )
    for taken in (name, name + QUICK):
        if (conf / taken).exists():
            raise ParameterError(f"conf/{taken} exists already; choose another name, or change its files.")
    chosen = read_template(conf, template)
    image_size = image_size or (PRETRAINED_PIXELS if CHOOSE in chosen.pipelines else NETWORK_PIXELS)
    base = StudyConfigLoader(conf, None, {}, **CONFIG_LOADER_ARGS).base_parameters()
    if Path(source).is_relative_to(conf.parent):
        source = Path(source).relative_to(conf.parent).as_posix()  # so that the project can be moved
    settings: DataPrepSettings = settings_model("data_prep").model_validate(  # type: ignore[assignment]
        base["data_prep"] | {"source": source}
    )
    classes = read_classes(source, settings)
    files = {
        f"{name}/{ENVIRONMENT_FILE}": _environment(chosen, name),
        f"{name}/{PARAMETERS_FILE}": _parameters(chosen, name, source, image_size, classes, base),
    }
    if (conf / SMALL_BUDGET).is_dir():
        files |= {
            f"{name}{QUICK}/{ENVIRONMENT_FILE}": f"extends: [{name}, {SMALL_BUDGET}]\n",
            f"{name}{QUICK}/{PARAMETERS_FILE}": _quick_parameters(conf, name, template, image_size),
        }
    with _removed_unless_whole(conf, name):
        for file, text in files.items():
            _write(conf / file, text)
        for study in sorted({file.split("/")[0] for file in files}):
            StudyConfigLoader(conf, study, {}, **CONFIG_LOADER_ARGS)["parameters"]  # refuses what does not fit
    return [conf / file for file in files]


def read_template(conf: Path, name: str) -> Template:
    """A study of `conf`, or a pipeline with its parameters as they are. Raises ParameterError where there is neither."""
    described = conf / name / ENVIRONMENT_FILE
    content = read_mapping(described, conf.parent) if _NAME.fullmatch(name) and described.is_file() else {}
    if "pipelines" in content:
        file, extends = conf / name / PARAMETERS_FILE, content.get("extends") or ()
        return Template(
            name,
            content.get("title", name),
            content.get("question", ""),
            tuple(content["pipelines"]),
            (extends,) if isinstance(extends, str) else tuple(extends),
            _blocks(file.read_text(encoding="utf-8")) if file.is_file() else {},
        )
    if name in METHODS:
        method = load_method(name)
        pipelines = (method.runs_of, name) if method.runs_of else (name,)
        return Template(
            name, method.section.title, "Which variant should be taken for these images?", pipelines, (), {}
        )
    studies = [folder.parent.name for folder in sorted(conf.glob(f"*/{ENVIRONMENT_FILE}"))]
    there = [study for study in studies if "pipelines" in read_mapping(conf / study / ENVIRONMENT_FILE, conf.parent)]
    raise ParameterError(
        f"--from={name} is no study that others can be made from.{guess(name, [*METHODS, *there])} There are the pipelines "
        f"{', '.join(METHODS)} and the studies {', '.join(there)}."
    )


def read_classes(source: str, settings: "DataPrepSettings") -> Classes:
    """Names of the classes and how many images each has, without decoding any. Raises DataError where there are none."""
    import numpy as np

    from vision_studies.data.sources.listing import Listing
    from vision_studies.data.sources.read import list_source

    found = list_source(source, settings)
    if isinstance(found, Listing):
        rows = [(item.label, item.split) for item in found.items()]
    else:
        rows = [(label, "test" if test else "train") for label, test in zip(found.labels, found.is_test, strict=True)]
    labels = np.array([label for label, _ in rows], np.int64)
    splits = np.array([split or "train" for _, split in rows])
    share = 1.0
    for name, fraction in (
        ("test", settings.splits.test_fraction),
        ("validation", settings.splits.validation_fraction),
    ):
        share *= 1.0 if (splits == name).any() else 1 - fraction
    counts = np.bincount(labels, minlength=len(found.class_names))
    trained = np.bincount(labels[splits == "train"], minlength=len(counts)) * share
    return Classes(found.class_names, tuple(counts.tolist()), tuple(np.ceil(trained).astype(int).tolist()))


def _suggested(name: str) -> str:
    return f"my_{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_') or 'images'}"


def _blocks(text: str) -> dict[str, str]:
    """Lines of every top-level parameter of a file; comments of a line's own between two of them belong to neither."""
    blocks = {}
    for block in _BLOCK.split(text):
        key, colon, _ = block.partition(":")
        if colon and not key.startswith(("#", "-")):
            name = key.strip("\"'")
            in_lines = re.match(r"[^:]+:\s*(#.*)?$", block.split("\n", 1)[0])
            blocks[name] = block.rstrip() + "\n" if in_lines else _dumped(name, yaml.safe_load(block)[key])
    return blocks


def _environment(template: Template, name: str) -> str:
    return (
        f"# How the report calls the study, and what it asks: as in conf/{template.name}, write here what you ask.\n"
        f"title: {_quoted(f'{name} (after: {template.title})')}\n"
        f"question: {_quoted(template.question)}\n"
        f"pipelines: [{', '.join(template.pipelines)}]\n"
        + (f"extends: [{', '.join(template.extends)}]\n" if template.extends else "")
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _parameters(
    template: Template, name: str, source: str, image_size: int, classes: Classes, base: Mapping[str, Any]
) -> str:
    content = yaml.safe_load(template.blocks.get("data_prep", "")) or {}
    splits = (content.get("data_prep") or {}).get("splits") or {}
    tail = splits.get("long_tail")
    even = _are_even(classes)
    if tail is not None and not even:
        splits = {key: value for key, value in splits.items() if key != "long_tail"}  # there is one already
    parts = [
        f"# kedro run --env={name}          all of it\n"
        f"# kedro run --env={name}{QUICK}    small networks, few epochs: does it run, and how long will it take?\n"
        f"# What is not said here is as in conf/base; docs/reference/parameters has everything that can be changed.\n",
        f"data_prep:\n  source: {json.dumps(source, ensure_ascii=False)}   # {_counted(classes)}\n"
        f"  image_size: {image_size}          # pixels to a side, of the networks' input\n"
        + (_indented({"splits": splits}) if splits else ""),
    ]
    for pipeline in template.pipelines:
        block = template.blocks.get(pipeline, f"{pipeline}:\n")
        for key, value in _ADAPTED.get(pipeline, _as_it_is)(name, classes, base.get(pipeline, {})).items():
            block = _with_group(block, key, value)
        seeds = base.get(pipeline, {}).get("seeds")
        if seeds and not re.search(r"^  seeds:", block, re.MULTILINE):
            first, rest = block.split("\n", 1)
            block = f"{first}\n  seeds: {json.dumps(seeds)}   # of every variant: more of them tell smaller differences\n{rest}"
        if block.strip() != f"{pipeline}:":
            parts.append(block)
    return "\n".join(parts)


def _quick_parameters(conf: Path, name: str, template: str, image_size: int) -> str:
    text = (
        f"# The study {name} with the networks and epochs of conf/{SMALL_BUDGET}: kedro run --env={name}{QUICK}\n\n"
        f"data_prep:\n  image_size: {image_size}   # as in {name}, for which the images are prepared once\n"
    )
    file = conf / SMALL_BUDGET / f"{template}.yml"  # what that budget changes of this study alone
    own = read_mapping(file, conf.parent) if file.is_file() else {}
    rest = {pipeline: values for pipeline, values in own.items() if pipeline != "data_prep"}
    return f"{text}\n{yaml.safe_dump(rest, sort_keys=False)}" if rest else text


_UNEVEN = 3  # times as many images of the largest class as of the smallest make a tail of its own


def _are_even(classes: Classes) -> bool:
    return max(classes.images) < _UNEVEN * max(1, min(classes.images))


def _counted(classes: Classes) -> str:
    pairs = [f"{name} {count:,}" for name, count in zip(classes.names, classes.images, strict=True)]
    few = f"{', '.join(pairs[:_MOST_COUNTS])}{', ...' if len(pairs) > _MOST_COUNTS else ''}".replace("\n", " ")
    return f"{sum(classes.images):,} images in {len(classes.names):,} classes: {few}"


def _as_it_is(_: str, __: Classes, ___: Mapping[str, Any]) -> dict[str, Any]:
    """Of pipelines whose settings neither name classes nor count their images."""
    return {}


def _halves(name: str, classes: Classes, _: Mapping[str, Any]) -> dict[str, Any]:
    """Which classes are learnt first, and which after them, of `transfer_cuts`."""
    if len(classes.names) < 4:
        raise DataError(
            "Cuts ask what a network that knows some classes knows of others, two of each at least, and these images have "
            f"{len(classes.names)} classes; choose another study to start from."
        )
    half = (len(classes.names) + 1) // 2
    pretraining, fine_tuning = list(classes.names[:half]), list(classes.names[half:])
    return {"classes": {"label": name, "pretraining": pretraining, "fine_tuning": fine_tuning}}


def _thirds(_: str, classes: Classes, base: Mapping[str, Any]) -> dict[str, Any]:
    """Which classes are few and many, of `alphanet`, and from how many others a few class borrows."""
    counts = sorted(classes.trained)
    if len(counts) < 3 or _are_even(classes):
        return {}  # as the study has them, whose tail is made of even classes
    third = len(counts) // 3
    few = counts[third]
    others = sum(count >= few for count in counts)
    neighbours = [min(number, others) for number in base["neighbours"]]
    return {
        "splits": {"few_below": few, "many_above": max(few, counts[-third - 1])},
        "neighbours": list(dict.fromkeys(neighbours)),
    }


_ADAPTED: Mapping[str, Callable[[str, Classes, Mapping[str, Any]], dict[str, Any]]] = {
    "transfer_cuts": _halves,
    "alphanet": _thirds,
}
"""Name of the study, its classes and the base parameters of the pipeline -> settings that depend on which classes there are."""


def _with_group(block: str, key: str, value: Any) -> str:
    """A block whose group `key` of the first level says `value`, whatever it said before."""
    lines: list[str] = []
    inside = False
    for line in block.splitlines():
        starts = re.match(r"  \S", line)
        inside = line.startswith(f"  {key}:") or (inside and not starts)
        if not inside:
            lines.append(line)
    return "\n".join([lines[0], _indented({key: value}).rstrip("\n"), *lines[1:]]) + "\n"


def _dumped(name: str, value: Mapping[str, Any] | None) -> str:
    return f"{name}:\n" + (_indented(value) if value else "")


def _indented(value: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return "".join(f"  {line}\n" for line in text.splitlines())


def _write(file: Path, text: str) -> None:
    from vision_studies.files import atomic_file

    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def _removed_unless_whole(conf: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (Exception, KeyboardInterrupt):
        for folder in (name, name + QUICK):
            shutil.rmtree(conf / folder, ignore_errors=True)
        raise


def next_steps(name: str, source: str, files: Sequence[Path], conf: Path) -> str:
    """What to do with a study that was written, for the terminal."""
    written = "\n".join(f"  conf/{file.relative_to(conf).as_posix()}" for file in files)
    quick = any(file.parent.name == name + QUICK for file in files)
    steps = [
        (f"kedro data check {json.dumps(source, ensure_ascii=False)}", "what is wrong with the images"),
        *([(f"kedro run --env={name}{QUICK}", "a first look, small")] if quick else []),
        (f"kedro run --env={name}", "the whole study"),
    ]
    width = max(len(command) for command, _ in steps)
    return f"Written:\n{written}\n\nGo on with\n" + "\n".join(
        f"  {command:<{width}}   {what}" for command, what in steps
    )
