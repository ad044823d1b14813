"""What `--params` reads: the values of Kedro's own reading, and lists and groups of any depth besides."""

import json
import shlex

import click
import pytest
import yaml
from kedro.framework.cli.utils import _split_params
from omegaconf import OmegaConf
from tests.conftest import ROOT

from vision_studies.cli import cli
from vision_studies.cli.model_card import _command
from vision_studies.cli.params import read_params

FILES = sorted((ROOT / "conf").glob("*/parameters*.yml"))


def read(text):
    return read_params(click.Context(click.Command("run")), click.Option(["--params"]), text)


def lists_in(settings, path=()):
    """Every list with its path, as far as dots can name it."""
    for key, value in settings.items():
        if isinstance(value, list):
            yield ".".join((*path, key)), value
        elif isinstance(value, dict) and "." not in key:
            yield from lists_in(value, (*path, key))


def lists_of(file):
    return dict(lists_in(OmegaConf.to_container(OmegaConf.load(file))))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_list_of_every_pipeline_can_be_given_on_the_command_line(file):
    for path, value in lists_of(file).items():
        for text in (json.dumps(value), yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()):
            found = read(f"fresh=true,{path}={text},workers=1")
            assert (found.pop("fresh"), found.pop("workers")) == (True, 1)
            for key in path.split("."):
                found = found[key]
            assert found == value, path


def test_there_are_lists_in_every_pipeline():
    pipelines = {file.parent.name for file in (ROOT / "src/vision_studies/pipelines").glob("*/method.py")}
    assert pipelines <= {
        path.split(".")[0] for file in FILES for path, value in lists_of(file).items() if len(value) > 1
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=[resnet9,resnet9]", {"a": {"b": ["resnet9", "resnet9"]}}),
        ("a=/mnt/pets #2,b=1", {"a": "/mnt/pets #2", "b": 1}),
        ("a=pets #2", {"a": "pets #2"}),
        ("a=./x: y", {"a": "./x: y"}),
        ("a='/mnt/cats, dogs',b='it''s',c=\"x, y\"", {"a": "/mnt/cats, dogs", "b": "it's", "c": "x, y"}),
        ("a=['/mnt/a,b',/mnt/c d]", {"a": ["/mnt/a,b", "/mnt/c d"]}),
        ("a=~/pets,b=~", {"a": "~/pets", "b": None}),
        ("a=x=y,b=s3://z?q=1", {"a": "x=y", "b": "s3://z?q=1"}),
        ("a=&x,b=*y,c=!z,d=%,e=@", {"a": "&x", "b": "*y", "c": "!z", "d": "%", "e": "@"}),
        ("seeds=[0,1,2],a={b: {c: [1, {d: null}]}}", {"seeds": [0, 1, 2], "a": {"b": {"c": [1, {"d": None}]}}}),
        ("a.b=[1,2],a.c=3", {"a": {"b": [1, 2], "c": 3}}),
        ("a=[],b=[[32],[24, 24]] , c=[1]", {"a": [], "b": [[32], [24, 24]], "c": [1]}),
        ("a=[{name: cutout, size: 4},{name: b}]", {"a": [{"name": "cutout", "size": 4}, {"name": "b"}]}),
        ("a=\"x, y\",b='it, too'", {"a": "x, y", "b": "it, too"}),
        ("a=[\"x, [y\",'z]']", {"a": ["x, [y", "z]"]}),
        ("a={b: [1e-3, null, true]}", {"a": {"b": [0.001, None, True]}}),
    ],
)
def test_commas_in_lists_groups_and_quotes_begin_no_parameter(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a=1",
        "a=1,b.c=x y, b.d =1e-4,",
        "a=null,b=,c=a=b",
        "a=/images/x[1],b=/images/[old",
        "a=[0],b={}",
        "a.b=1,a.b=2",
    ],
)
def test_all_else_is_read_as_kedro_reads_it(text):
    option, context = click.Option(["--params"]), click.Context(click.Command("run"))
    assert read(text) == _split_params(context, option, text)


def test_values_of_a_file_that_are_read_already_stay():
    assert read({"a": {"b": [1, 2]}}) == {"a": {"b": [1, 2]}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a.b=resnet9,resnet9", "--params: 'resnet9' must be name=value; a list of several values stands in brackets"),
        ("=3", "--params: '=3' must be name=value"),
        (
            "a=[1,2",
            "--params: a=[1,2 cannot be read (expected ',' or ']', but got the end); a list is written as [a,b]",
        ),
        ("a=[1,2,b=3", "--params: a=[1,2,b=3 cannot be read"),
        ("a=[1,,2]", "--params: a=[1,,2] cannot be read"),
        ("a={b: 1]", "--params: a={b: 1] cannot be read"),
        ('a="x', '--params: a="x cannot be read'),
        ("a=[1]2,b=3", "--params: a=[1] is followed by '2,b=3'; separate parameters by commas."),
        ("a=x: y: z", "--params: a=x: y: z cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(text, told):
    with pytest.raises(click.ClickException) as error:
        read(text)
    assert error.value.format_message().startswith(told)
    assert "\n" not in error.value.format_message()


@pytest.mark.parametrize("command", [("run",), ("runs", "plan"), ("store", "push")])
def test_every_command_reads_parameters_so(command):
    found = cli
    for name in command:
        found = found.commands[name]
    parsed = found.make_context(name, ["--params=stacking.run.base_learners=[resnet9,resnet9]"])
    assert parsed.params["params"] == {"stacking": {"run": {"base_learners": ["resnet9", "resnet9"]}}}


def test_the_command_of_a_model_card_says_what_its_run_was_given():
    given = {"stacking": {"seeds": [0, 1], "run": {"base_learners": ["a, b", "c"], "initialisation": None}}}
    command = _command({"study": "demo", "pipelines": ["stacking"], "command_line_parameters": given})
    *words, params = shlex.split(command)
    assert words == ["kedro", "run", "--env=demo", "--pipeline=stacking"]
    assert read(params.removeprefix("--params=")) == given
