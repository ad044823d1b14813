"""What `kedro run` does by `--env`, `KEDRO_ENV` and sessions do, too."""

import json
import os

import numpy as np
import pytest
from kedro.framework.project import configure_project, pipelines
from kedro.framework.session import KedroSession
from PIL import Image
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli import kedro_commands
from vision_studies.config.registry import METHODS
from vision_studies.errors import ParameterError
from vision_studies.settings import CONFIG_LOADER_ARGS

ALL = {"data_prep", *METHODS, "reporting"}
DEFAULTS = [
    (None, ALL),
    ("demo", ALL),
    ("resnet_se+demo", {"data_prep", "cifar_resnet", "reporting"}),
    ("alpha_study+demo", {"data_prep", "stacking", "reporting"}),
    ("alphanet_imported", {"alphanet", "reporting"}),
    ("cifar100", {"data_prep"}),
    ("cifar100+long_tail+cluster", {"data_prep"}),
    ("resnet_se+cifar100", {"data_prep", "cifar_resnet", "reporting"}),
    ("cluster", ALL),
]
"""Environment -> pipelines that it does without --pipeline."""

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # which Kedro itself does


@pytest.fixture(autouse=True)
def configured():
    configure_project("vision_studies")


@pytest.fixture
def pets(tmp_path):
    """A project whose environment `pets` names images, and nothing else."""
    for number in range(30):
        image = tmp_path / f"data/01_raw/pets/{'cat' if number % 3 else 'dog'}/{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)).save(image)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    (tmp_path / "conf").mkdir()
    for folder in ("base", "demo"):
        (tmp_path / "conf" / folder).symlink_to(ROOT / "conf" / folder)
    (tmp_path / "conf/pets").mkdir()
    (tmp_path / "conf/pets/parameters.yml").write_text("data_prep: {source: data/01_raw/pets, ffcv: false}\n")
    return tmp_path


def namespaces():
    return {node.namespace for node in pipelines["__default__"].nodes}


@pytest.mark.parametrize("by_variable", [False, True], ids=["env", "KEDRO_ENV"])
@pytest.mark.parametrize(("env", "expected"), DEFAULTS, ids=[str(env) for env, _ in DEFAULTS])
def test_a_session_has_the_pipelines_of_its_study(tmp_path, monkeypatch, env, expected, by_variable):
    monkeypatch.chdir(tmp_path)
    if by_variable and env is not None:
        monkeypatch.setenv("KEDRO_ENV", env)
    with KedroSession.create(ROOT, env=None if by_variable else env) as session:
        session.load_context()
    assert namespaces() == expected
    loader = StudyConfigLoader(ROOT / "conf", env, {}, **CONFIG_LOADER_ARGS)
    from vision_studies.cli.run_plan import _chosen

    assert set(_chosen(loader, None)) == expected  # and so the plan says


def test_sessions_of_one_process_have_each_their_own_pipelines(tmp_path):
    for env, expected in (*DEFAULTS[2:6], *DEFAULTS[:2]):
        with KedroSession.create(ROOT, env=env) as session:
            session.load_context()
        assert namespaces() == expected


def test_a_study_of_a_pipeline_that_there_is_not_is_refused(pets):
    (pets / "conf/pets/environment.yml").write_text("pipelines: [cifar_resnt]\n")
    with (
        KedroSession.create(pets, env="pets") as session,
        pytest.raises(ParameterError, match=r"There is no pipeline 'cifar_resnt'. Did you mean 'cifar_resnet'\?"),
    ):
        session.load_context()


def test_a_session_does_one_study_and_no_collection():
    with (
        KedroSession.create(ROOT, env="all_studies") as session,
        pytest.raises(
            ParameterError, match="all_studies stands for several studies, and a session does one; name one of meta"
        ),
    ):
        session.run()


@pytest.mark.slow
def test_images_that_an_environment_names_are_prepared_from_anywhere(
    pets, monkeypatch, tmp_path_factory, capsys, caplog
):
    caplog.set_level("INFO")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with KedroSession.create(pets, env="pets") as session:
        session.run()
    record = json.loads(next((pets / "data/08_reporting/pets/run_records").glob("*.json")).read_text())
    assert record["status"] == "complete"
    assert record["namespaces"] == ["data_prep"]
    (prepared,) = (pets / "data/03_primary").iterdir()
    assert prepared.name.startswith("pets-")
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {tuple(cells) for cells in table if cells[:1] in (["cat"], ["dog"], ["all"])}
    assert rows == {("cat", "14", "2", "4"), ("dog", "7", "1", "2"), ("all", "2", "21", "3", "6")}
    assert (
        "to train on them: kedro run --env=STUDY+pets, with a STUDY that `kedro run --help` names, or"
        in caplog.messages
    )
    assert any(message.startswith("kedro run --env=pets --pipeline=cifar_resnet") for message in caplog.messages)
    monkeypatch.chdir(pets / "data/01_raw")
    with KedroSession.create(env="pets") as session:
        session.run()
    assert [folder.name for folder in (pets / "data/03_primary").iterdir()] == [prepared.name]
    assert "'pets': 30 images reused from an earlier run" in caplog.messages


def test_the_command_takes_the_study_from_the_variable_where_no_option_names_one(pets, monkeypatch):
    given = []
    monkeypatch.chdir(pets)
    monkeypatch.setattr(kedro_commands.kedro_run, "callback", lambda **options: given.append(options["env"]))
    for variable, option, expected in (("pets", None, "pets"), ("pets", "demo", "demo"), ("", None, None)):
        monkeypatch.setitem(os.environ, "KEDRO_ENV", variable)
        kedro_commands._run(env=option)
        assert (given.pop() or None) == expected


def test_a_collection_is_taken_from_the_variable_too(monkeypatch):
    done = []
    monkeypatch.setenv("KEDRO_ENV", "all_studies+demo")
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr(kedro_commands, "_run_each", lambda *studies: done.append(studies))
    kedro_commands._run(env=None)
    ((studies, collection),) = done
    assert collection == "all_studies+demo"
    assert "alpha_study+demo" in studies
