"""docs/features.md is the list of what the five projects can do: all that its rows name is there, and nothing is left out."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import click
import pytest
import yaml
from pydantic import ValidationError
from scripts.docs_tools.parameter_schema import PipelineSchema, choices
from tests.conftest import ROOT
from tests.docs.command_checks import CommandChecks, kedro_commands

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.merge import has_path, merge_settings, nested
from vision_studies.config.models import PRESETS
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.method import load_method

CONF = ROOT / "conf"
PAGE = ROOT / "docs/features.md"
HEADER = ("feature", "how", "module", "test")
PROMISE = re.compile(
    r"\b(partly|partially|planned|todo|tbd|stub|not yet|coming soon|work in progress)\b", re.IGNORECASE
)
COMMANDS = ("kedro", "make")
GROUPS = ("alphanet", "models", "runs")
"""Groups of commands of which each stands for features of the published projects."""


class Row(NamedTuple):
    """A line of a table; its cells are called as in the header."""

    line: int
    feature: str
    how: str
    module: str
    test: str


def tables(text: str) -> Iterator[tuple[int, list[str]]]:
    """Every line of a table with its number and its cells, headers and rules among them."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("|"):
            yield number, [cell.strip() for cell in line.strip().strip("|").split("|")]


def code(cell: str) -> list[str]:
    """What stands between backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def rows(text: str) -> list[Row]:
    """The rows that have four cells; the others are told of by `shape_problems`."""
    rules = {number for number, cells in tables(text) if set("".join(cells)) <= set(":- ")}
    return [
        Row(number, *cells)
        for number, cells in tables(text)
        if len(cells) == len(HEADER) and number not in rules and tuple(cells) != HEADER
    ]


def problems(row: Row) -> list[str]:
    """What is wrong with a row."""
    told = [f"the cell '{name}' is empty" for name in HEADER if not getattr(row, name)]
    told += [f"'{word}' promises something" for word in PROMISE.findall(" ".join(row[1:]))]
    told += how_problems(row.how)
    told += [f"there is no module {name}" for name in code(row.module) if not is_module(name)]
    told += [f"there is no test {name}" for name in code(row.test) if not is_test(name)]
    limits = {"how": 9, "module": 2, "test": 2}
    return told + [
        f"the cell '{name}' names {len(code(getattr(row, name)))} things, not one to {most}"
        for name, most in limits.items()
        if getattr(row, name) and not 1 <= len(code(getattr(row, name))) <= most
    ]


def how_problems(cell: str) -> list[str]:
    """What is wrong with commands and parameters: what stands beside a command of a study is laid over that study.

    A value may need those before it in its cell, as on one command line.
    """
    named = code(cell)
    commands = [shlex.split(text) for text in named if text.split()[0] in COMMANDS]
    told = [problem for words in commands for problem in CommandChecks(CONF).problems(words)]
    if told:
        return told
    environments = [word.removeprefix("--env=") for words in commands for word in words if word.startswith("--env=")]
    alone = together = parameters_of(environments[0] if environments else None)
    for text in named:
        if text.split()[0] not in COMMANDS:
            problem = parameter_problem(text, alone)
            if problem and parameter_problem(text, together):
                told.append(problem)
            together = laid_over(together, text)
    return told


@cache
def parameters_of(environment: str | None) -> dict[str, Any]:
    loader = StudyConfigLoader(CONF, environment, {}, **CONFIG_LOADER_ARGS)
    return loader["parameters"]


@cache
def reference(key: str) -> set[str]:
    """Every parameter that the settings model of a top-level parameter has, set in `conf/base` or not."""
    groups = PipelineSchema(key, parameters_of(None)[key]).groups
    return {parameter.path for group in groups for parameter in group.parameters} | {group.path for group in groups}


def parameter_problem(text: str, parameters: dict[str, Any]) -> str | None:
    """What is wrong with a `parameter`, or with a `parameter: value`, which the settings model has to take."""
    path, is_set, _ = text.partition(": ")
    key = path.partition(".")[0]
    if "." not in path or key not in parameters:
        return f"{text} is neither a command nor a parameter"
    if not is_set:
        return None if path in reference(key) or has_path(parameters, path) else f"there is no parameter {path}"
    try:
        settings_model(key).model_validate(laid_over(parameters, text)[key])
    except ValidationError as error:
        return f"{text}: {error.errors()[0]['msg']}"
    return None


def laid_over(parameters: dict[str, Any], text: str) -> dict[str, Any]:
    path, is_set, value = text.partition(": ")
    return merge_settings(parameters, nested(path, yaml.safe_load(value))) if is_set else parameters


def is_module(name: str) -> bool:
    return name.endswith(".py") and (ROOT / "src/vision_studies" / name).is_file()


def is_test(name: str) -> bool:
    file, _, function = name.partition("::")
    return file.startswith("tests/") and (ROOT / file).is_file() and function in functions_in(file)


@cache
def functions_in(file: str) -> set[str]:
    nodes = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def left_out(text: str) -> dict[str, set[str]]:
    """Names that the code and `conf/` have and no row of the page: by what they are names of."""
    named = {
        word
        for row in rows(text)
        for span in code(f"{row.feature} {row.how}")
        for word in (*re.findall(r"[\w.]+", span), *re.findall(r"\w+/\w+", span))
    }
    spans = {span for row in rows(text) for span in code(row.how)}
    missing = {what: names - named for what, names in registered().items()}
    missing["commands"] = {
        name for name in own_commands() if not any(f"{span} ".startswith(f"{name} ") for span in spans)
    }
    return {what: names for what, names in missing.items() if names}


def registered() -> dict[str, set[str]]:
    kinds = {
        f"choices of {key}": set(choices_in(settings_model(key).model_json_schema())) for key in [*METHODS, "data_prep"]
    }
    figures = {name: set(load_method(name).section.figures) for name in METHODS}
    return kinds | {
        "environments": {folder.name for folder in CONF.iterdir() if folder.is_dir()} - {"base", "local"},
        "pipelines": {*METHODS, "data_prep", "reporting"},
        "networks": {*PRESETS, *parameters_of(None)["stacking"]["networks"]},
        **{f"figures of {name}": names for name, names in figures.items()},
    }


def choices_in(schema: Any) -> Iterator[str]:
    """Names that some parameter may have for its value."""
    if isinstance(schema, dict):
        yield from (choice for choice in choices(schema) if isinstance(choice, str))
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from choices_in(inner)


def own_commands() -> list[str]:
    groups = {name: command for name, command in kedro_commands().items() if name in GROUPS}
    return [
        f"kedro {name} {command}"
        for name, group in groups.items()
        if isinstance(group, click.Group)
        for command in group.commands
    ]


TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", rows(TEXT), ids=lambda row: f"{PAGE.name}:{row.line}")
def test_all_that_a_row_names_is_there(row):
    assert not problems(row), row.feature


def test_every_line_of_a_table_is_a_row():
    assert {number: len(cells) for number, cells in tables(TEXT) if len(cells) != len(HEADER)} == {}


def test_no_feature_is_told_twice():
    features = [row.feature for row in rows(TEXT)]
    assert [feature for feature in features if features.count(feature) > 1] == []


def test_no_name_of_the_code_or_the_configuration_is_left_out():
    assert left_out(TEXT) == {}


WHOLE = {
    "feature": "a feature",
    "how": "`kedro run --env=demo`, `stacking.run.folds.number`, `stacking.run.loss.form: mean`",
    "module": "`files.py`",
    "test": "`tests/test_files.py::test_a_file_appears_whole_or_not_at_all`",
}


@pytest.mark.parametrize(
    ("cell", "text", "told"),
    [
        ("feature", "", "'feature' is empty"),
        ("feature", "Partly there", "'Partly' promises"),
        ("feature", "views (not yet)", "'not yet' promises"),
        ("how", "", "'how' is empty"),
        ("how", "by hand", "'how' names 0 things"),
        ("how", "`python hand.py`", "neither a command nor a parameter"),
        ("how", "`kedro run --env=demos`", "no environment 'demos'"),
        ("how", "`kedro runs exhort`", "no command exhort"),
        ("how", "`make coffee`", "no target coffee"),
        ("how", "`stacking.run.folds.numbers`", "there is no parameter stacking.run.folds.numbers"),
        ("how", "`stocking.run`", "neither a command nor a parameter"),
        ("how", "`stacking.run.loss.form: product`", "Input should be"),
        ("how", "`stacking.run.lost.form: mean`", "Extra inputs are not permitted"),
        ("how", "`stacking.search.sampler.name: random`", "Field required"),
        ("module", "`filing.py`", "no module filing.py"),
        ("module", "`training`", "no module training"),
        ("test", "`tests/test_filing.py::test_a_file_appears_whole_or_not_at_all`", "no test tests/test_filing.py"),
        ("test", "`tests/test_files.py::test_a_file_appears_in_half`", "test_a_file_appears_in_half"),
        ("test", "`tests/test_files.py`", "no test tests/test_files.py"),
        ("test", "by eye", "'test' names 0 things"),
    ],
)
def test_what_is_wrong_with_a_row_is_told(cell, text, told):
    assert problems(Row(1, **WHOLE)) == []
    [problem] = problems(Row(1, **{**WHOLE, cell: text}))
    assert told in problem


def test_a_parameter_is_laid_over_the_study_beside_it():
    without = "`stacking.search.trials: 3`"
    assert problems(Row(1, **{**WHOLE, "how": without})) != []
    assert problems(Row(1, **{**WHOLE, "how": f"`kedro run --env=hyper_search`, {without}"})) == []


def test_a_value_may_need_those_before_it():
    experts = "`alphanet.backbone.experts: 2`"
    averaged = "`alphanet.classifiers: [{label: own, method: {name: multi_expert, of: own, crt: null}}]`"
    how = "`kedro run --env=demo`, {}, {}".format
    assert problems(Row(1, **{**WHOLE, "how": how(experts, averaged)})) == []
    [problem] = problems(Row(1, **{**WHOLE, "how": how(averaged, experts)}))
    assert "set backbone.experts to 2" in problem


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("alphanet_sweep", "environments"),
        ("reporting", "pipelines"),
        ("resnet50", "networks"),
        ("uniform_base_class", "choices of alphanet"),
        ("interpolation", "choices of stacking"),
        ("random_perspective", "choices of cifar_resnet"),
        ("plateau", "choices of cifar_resnet"),
        ("effective_rank", "figures of clustering"),
        ("kedro runs label", "commands"),
    ],
)
def test_what_no_row_names_is_told(name, what):
    without = re.sub(rf"(?<![\w.]){name}(?![\w.])", "SOMETHING", TEXT)
    assert name in left_out(without)[what]


def test_a_line_with_too_few_cells_is_no_row():
    text = "| feature | how | module | test |\n| --- | --- | --- | --- |\n| a | b |\n| a | b | c | d |\n"
    assert [number for number, cells in tables(text) if len(cells) != len(HEADER)] == [3]
    assert rows(text) == [Row(4, "a", "b", "c", "d")]
