"""Parameters are values: nothing in them is run, and no variable of the environment gets into them."""

import click
import pytest
from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.params import read_params
from vision_studies.errors import ParameterError


def loader(folder, **options):
    return StudyConfigLoader(
        folder, base_env="base", default_run_env="local", merge_strategy={"parameters": "soft"}, **options
    )


@pytest.fixture
def conf(tmp_path):
    for name in ("base", "local"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("text", ["${oc.env:SECRET}", "${oc.env:SECRET,none}", "x ${oc.env:SECRET}"])
@pytest.mark.parametrize("file", ["parameters.yml", "catalog.yml", "globals.yml"])
def test_no_secret_gets_into_parameters_or_catalog(conf, monkeypatch, file, text):
    monkeypatch.setenv("SECRET", "hidden-value")
    (conf / "base" / file).write_text(f"fresh: '{text}'\n")
    if file == "globals.yml":
        (conf / "base/parameters.yml").write_text("fresh: ${globals:fresh}\n")
    OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)  # as a library might have left it
    try:
        with pytest.raises(Exception, match="oc.env") as refused:
            own = loader(conf)
            OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
            own._parameters = {} if file == "catalog.yml" else None  # which are checked before the catalog is read
            own["catalog" if file == "catalog.yml" else "parameters"]
    finally:
        OmegaConf.clear_resolver("oc.env")
    assert "hidden-value" not in str(refused.value)


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system"])
def test_no_object_is_built_from_parameters(conf, monkeypatch, value):
    monkeypatch.chdir(conf)
    (conf / "base/parameters.yml").write_text(f"fresh: {value}\n")
    with pytest.raises(ParameterError, match=r"parameters\.yml, line 1: could not determine a constructor"):
        loader(conf)["parameters"]
    assert not (conf / "ran").exists()


def test_no_object_is_built_from_a_list_of_the_command_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for tag in ("!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system ''"):
        with pytest.raises(click.ClickException, match="could not determine a constructor"):
            read_params(click.Context(click.Command("run")), click.Option(["--params"]), f"seeds=[0, {tag}]")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value", ["__import__('os').getcwd()", "${oc.env:SECRET}", "!!python/name:os.system", "$(id)", "`id`"]
)
def test_values_of_the_command_line_stay_text(monkeypatch, value):
    monkeypatch.setenv("SECRET", "hidden-value")
    context = click.Context(click.Command("run"))
    option = click.Option(["--params"])
    OmegaConf.clear_resolver("oc.env")
    try:
        split = read_params(context, option, f"fresh={value}")
    except Exception as error:
        assert "hidden-value" not in str(error)  # noqa: PT017 - refused is as good as kept
    else:
        assert split == {"fresh": value}
