import shutil

import pytest
from omegaconf import OmegaConf
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.catalog.configuration_files import named_values, united
from vision_studies.errors import ParameterError

OPTIONS = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}


@pytest.fixture
def conf(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/mine").mkdir()
    return tmp_path / "conf"


def read(conf, key="parameters", env="mine", **runtime):
    return StudyConfigLoader(conf, env=env, runtime_params=runtime, **OPTIONS)[key]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "parameters.yml",
            "fresh: true\nexecution: {workers: }}\n",
            r"parameters\.yml, line 2: .*mend the file's YAML",
        ),
        ("parameters.yml", "execution:\n\tworkers: 1\n", r"parameters\.yml, line 2: found character '\\t'"),
        ("parameters.yml", "fresh: true\nfresh: false\n", r"parameters\.yml, line 2: found duplicate key fresh"),
        ("parameters.yml", "- fresh\n", r"parameters\.yml holds a list; it must hold named values"),
        ("parameters.yml", "fresh: \xff\n", r"parameters\.yml is not UTF-8 text"),
        ("parameters.yml", "5: true\n", r"parameters\.yml: '5' is not a parameter"),
        ("parameters.yml", "fresh: ${nosuch}\n", r"parameters\.yml: fresh: Interpolation key 'nosuch' not found"),
        ("parameters.yml", "fresh: ${globals:x}\n", r"parameters\.yml: fresh: Globals key 'x' not found"),
        ("parameters.yml", "study: {title: Mine}\n", r"parameters\.yml: 'study' is filled in by the project"),
        ("environment.yml", "title: [\n", r"environment\.yml, line 2: "),
        ("environment.yml", "extends: 5\n", r"environment\.yml: extends=5 must be the name of an environment"),
        ("environment.yml", "extends: [1]\n", r"environment\.yml: extends=\[1\] must be the name of an environment"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(conf, file, content, message):
    (conf / "mine" / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(ParameterError, match=rf"^conf/mine/{message}") as caught:
        read(conf)
    assert len(str(caught.value).splitlines()) == 1


def test_a_broken_catalog_is_told_with_its_line(conf):
    (conf / "mine/catalog.yml").write_text("image_set:\n  type: [}\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"^conf/mine/catalog\.yml, line 2: "):
        read(conf, "catalog")


def test_what_is_set_twice_is_told_with_both_files(conf):
    (conf / "mine/parameters.yml").write_text("fresh: true\n", encoding="utf-8")
    (conf / "mine/parameters_more.yml").write_text("fresh: false\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"conf/mine/parameters\S*\.yml and conf/mine/parameters\S*\.yml: fresh;"):
        read(conf)


def test_wrong_parameters_are_told_as_such_where_only_the_catalog_is_read(conf):
    with pytest.raises(ParameterError, match=r"^--params: data_prep\.sauce: there is no such parameter"):
        read(conf, "catalog", data_prep={"sauce": "digits"})


@pytest.mark.parametrize("name", ["../conf/mine", "studies/mine", "/", "demo+", ".", ""])
def test_the_name_of_a_study_is_the_name_of_a_folder(conf, name):
    (conf / "studies/mine").mkdir(parents=True)
    if name == "":
        assert StudyConfigLoader(conf, env=name, **OPTIONS).study == "base"
        return
    with pytest.raises(ParameterError, match="There is no environment"):
        StudyConfigLoader(conf, env=name, **OPTIONS)


@pytest.mark.slow
def test_loaders_of_two_studies_in_one_process_keep_their_globals(conf):
    (conf / "base/globals.yml").write_text("again: false\n", encoding="utf-8")
    for name, value in (("mine", "true"), ("other", "false")):
        (conf / name).mkdir(exist_ok=True)
        (conf / name / "globals.yml").write_text(f"again: {value}\n", encoding="utf-8")
        (conf / name / "parameters.yml").write_text("fresh: ${globals:again}\n", encoding="utf-8")
    mine, other = (StudyConfigLoader(conf, env=name, **OPTIONS) for name in ("mine", "other"))
    assert (mine["parameters"]["fresh"], other["parameters"]["fresh"]) == (True, False)


def test_the_study_is_not_offered_as_a_parameter(conf):
    with pytest.raises(ParameterError) as caught:
        read(conf, studdy=1)
    assert "study" not in str(caught.value)


def test_files_are_read_as_omegaconf_reads_them():
    files = sorted((ROOT / "conf").glob("*/*.yml"))
    for file in files:
        values = named_values(file.read_text(encoding="utf-8"))
        assert values in (OmegaConf.to_container(OmegaConf.load(file)), None), file
        assert values is not None or not OmegaConf.load(file), file
    assert len(files) > 80
    tricky = "a: 1e3\nb: [1, ~, 2001-01-01, 0x1f, 1_000, .5, on]\nc: &x {d: .inf}\ne: *x\nf: '${g}'\n"
    assert named_values(tricky) == OmegaConf.to_container(OmegaConf.create(tricky))


@pytest.mark.parametrize("text", ["a: 1\na: 2", "- 1", "1: 2", "a: !!set {b}", "a: [", "a: &x [*x]", "", "a"])
def test_what_is_wrong_or_no_named_value_is_left_to_omegaconf(text):
    assert named_values(text) is None


def test_values_of_several_files_are_united_as_omegaconf_merges_them():
    contents = [
        {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": 1},
        {"a": {"c": {"d": [3], "f": None}}},
        {"e": {"g": 2}, "h": {}},
    ]
    merged = OmegaConf.to_container(OmegaConf.unsafe_merge(*map(OmegaConf.create, contents)))
    assert united(contents) == merged
