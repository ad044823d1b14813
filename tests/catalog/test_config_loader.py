import shutil

import pytest
import yaml
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.errors import ParameterError

OPTIONS = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}


@pytest.fixture
def conf(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    return tmp_path / "conf"


def load(conf, env=None, **runtime):
    return StudyConfigLoader(conf, env=env, runtime_params=runtime, **OPTIONS)


def write(conf, env, **files):
    (conf / env).mkdir(exist_ok=True)
    for name, content in files.items():
        (conf / env / f"{name}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")


def epochs(loader):
    return loader["parameters"]["cifar_resnet"]["run"]["training"]["epochs"]


def training(**values):
    return {"cifar_resnet": {"run": {"training": values}}}


def test_environments_are_merged_left_to_right_over_the_base(conf):
    write(conf, "a", parameters=training(epochs=7, batch_size=32))
    write(conf, "b", parameters=training(epochs=9))
    merged = load(conf, "a+b")["parameters"]["cifar_resnet"]["run"]["training"]
    assert (merged["epochs"], merged["batch_size"]) == (9, 32)
    assert epochs(load(conf, "b+a")) == 7
    assert merged["gradient_clip"] == 1.0  # untouched by both


def test_what_an_environment_has_for_one_study_is_laid_over_the_rest_of_it(conf):
    write(conf, "a", parameters=training(epochs=7))
    write(conf, "extended", environment={"extends": "a"})
    write(conf, "small", parameters=training(epochs=2, batch_size=64), a=training(epochs=3))
    merged = load(conf, "a+small")["parameters"]["cifar_resnet"]["run"]["training"]
    assert (merged["epochs"], merged["batch_size"]) == (3, 64)
    assert (epochs(load(conf, "extended+small")), epochs(load(conf, "small"))) == (3, 2)
    assert epochs(load(conf, "small+a")) == 7  # what comes last
    write(conf, "small", a=training(epochs="many"))
    with pytest.raises(ParameterError, match=r"conf/small/a\.yml.*epochs"):
        load(conf, "a+small")["parameters"]


STUDIES = sorted(
    file.parent.name
    for file in (ROOT / "conf").glob("*/environment.yml")
    if "pipelines:" in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("study", STUDIES)
def test_an_hour_is_a_budget_for_every_study(study):
    assert load(ROOT / "conf", f"{study}+hour")["parameters"]["study"]["name"] == f"{study}+hour"


def test_what_an_hour_has_for_single_studies_is_for_studies_that_there_are():
    named = {file.stem for file in (ROOT / "conf/hour").glob("*.yml")} - {"parameters"}
    assert {"resnet_se", "speedrun"} < named <= set(STUDIES)


def test_a_group_of_another_name_replaces_the_old_one(conf):
    write(conf, "a", parameters=training(schedule={"name": "constant", "warmup_epochs": 0}))
    schedule = load(conf, "a")["parameters"]["cifar_resnet"]["run"]["training"]["schedule"]
    assert schedule == {"name": "constant", "warmup_epochs": 0}


def test_parameters_of_the_command_line_come_last(conf):
    write(conf, "a", parameters=training(epochs=7))
    assert epochs(load(conf, "a", **training(epochs=11))) == 11


def test_an_environment_extends_others_and_a_circle_is_told(conf):
    write(conf, "a", parameters=training(epochs=7, batch_size=32))
    write(conf, "b", parameters=training(epochs=9), environment={"extends": "a", "title": "B"})
    loader = load(conf, "b")
    assert (epochs(loader), loader.chain) == (9, ["a", "b"])
    assert loader["parameters"]["study"]["title"] == "B"
    write(conf, "a", environment={"extends": ["b"]})
    with pytest.raises(ParameterError, match=r"extends goes in a circle \(b -> a -> b\)"):
        load(conf, "b")


@pytest.mark.slow
def test_study_and_data_set_stand_in_every_path(conf):
    loader = load(conf, "resnet_se+demo")
    catalog = loader["catalog"]
    key = catalog["image_set"]["filepath"].split("/")[2]
    assert key.startswith("digits-")
    assert catalog["{pipeline}.results"]["filepath"].startswith("data/07_model_output/resnet_se+demo/")
    of_all = (
        "outputs_folder",
        "reports_folder",
        "pages",
        "page_scripts",
        "index",
        "index_scripts",
        "comparison",
        "best_markdown",
        "best_latex",
    )
    for name, entry in catalog.items():
        path = entry.get("filepath", entry.get("path"))
        if name in [f"reporting.{own}" for own in of_all]:  # reports compare all studies
            assert path.split("/")[:2] in (["data", "07_model_output"], ["data", "08_reporting"])
            continue
        assert "/resnet_se+demo" in path or f"/{key}/" in path, path
    assert load(conf)["catalog"]["{pipeline}.results"]["filepath"].startswith("data/07_model_output/base/")


@pytest.mark.slow
def test_another_source_is_another_data_set(conf):
    first = load(conf, "demo")["catalog"]["splits"]["filepath"]
    second = load(conf, "demo", data_prep={"image_size": 16})["catalog"]["splits"]["filepath"]
    assert first != second


@pytest.mark.slow
def test_loaders_of_two_studies_in_one_process_do_not_meet(conf):
    one, other = load(conf, "demo"), load(conf, "resnet_se")
    assert "/demo/" in one["catalog"]["{pipeline}.results"]["filepath"]
    assert "/resnet_se/" in other["catalog"]["{pipeline}.results"]["filepath"]
    assert "/demo/" in one["catalog"]["{pipeline}.histories"]["filepath"]


@pytest.mark.slow
@pytest.mark.parametrize("env", sorted(folder.name for folder in (ROOT / "conf").iterdir() if folder.is_dir()))
@pytest.mark.parametrize("overlay", ["", "+demo"])
def test_every_environment_is_valid(conf, env, overlay):
    if env == "base":
        pytest.skip("the base is part of every environment")
    loader = load(conf, f"{env}{overlay}")
    assert loader["parameters"]["study"]["name"] == f"{env}{overlay}"
    assert loader["catalog"]


def test_a_mistake_names_its_file(conf):
    write(conf, "a", parameters_more=training(epochs="many"))
    with pytest.raises(
        ParameterError, match=r"^conf/a/parameters_more\.yml: cifar_resnet\.run\.training\.epochs: 'many'"
    ):
        load(conf, "a")["parameters"]
    with pytest.raises(ParameterError, match=r"^--params: cifar_resnet\.run\.training\.epocs: "):
        load(conf, None, **training(epocs=3))["parameters"]


def test_an_unknown_environment_is_told_with_the_nearest(conf):
    with pytest.raises(
        ParameterError, match=r"no environment 'resnet_s'.* Did you mean 'resnet_se'\? There are: all_studies, "
    ):
        load(conf, "resnet_s+demo")


def test_broken_yaml_is_told_with_file_and_line(conf):
    (conf / "demo/parameters.yml").write_text("data_prep: {source: digits\nfresh: [", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"demo/parameters\.yml.*line"):
        load(conf, "demo")["parameters"]


def test_an_unknown_key_of_an_environment_file_is_told(conf):
    write(conf, "a", environment={"extend": "demo"})
    with pytest.raises(ParameterError, match=r"environment\.yml: 'extend' is not known here; allowed are extends"):
        load(conf, "a")


def test_a_study_says_whether_it_has_images(conf):
    assert load(conf).images
    assert load(conf, "alphanet_cifar10lt").images
    assert not load(conf, "alphanet_imported+demo").images
    write(conf, "a", environment={"images": "none"})
    with pytest.raises(ParameterError, match=r"conf/a/environment.yml: images='none' must be true or false"):
        load(conf, "a")


def test_a_study_names_the_pipelines_it_is_about_and_a_rehearsal_keeps_them(conf):
    assert load(conf).pipelines is None
    assert load(conf, "demo").pipelines is None
    assert load(conf, "resnet_se+demo").pipelines == ["cifar_resnet"]
    assert load(conf, "demo+mlp_transfer").pipelines == ["mlp_transfer"]
    write(conf, "a", environment={"extends": "mlp_transfer_small"})
    assert load(conf, "a").pipelines == ["mlp_transfer"]
    write(conf, "a", environment={"pipelines": "mlp_transfer"})
    with pytest.raises(
        ParameterError, match=r"conf/a/environment.yml: pipelines='mlp_transfer' must be a list of names"
    ):
        load(conf, "a")


def test_the_base_parameters_can_be_read_beside_those_of_a_study(conf):
    write(conf, "a", parameters=training(epochs=7))
    loader = load(conf, "a")
    assert loader.base_parameters()["cifar_resnet"]["run"]["training"]["epochs"] != 7
    assert epochs(loader) == 7
    assert "/a/" in loader["catalog"]["{pipeline}.results"]["filepath"]  # paths are still those of the study
