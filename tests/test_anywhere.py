"""Parameters and commands mean the same wherever in the project, or outside of it, they are read and started."""

import ast
import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT

from vision_studies import project_folders
from vision_studies.config.data_prep import DataPrepSettings, data_set_key, source_folder
from vision_studies.data.sources.read import read_source, source_identity
from vision_studies.project_folders import choose_project, find_project, in_project, project_folder

PACKAGE = ROOT / "src/vision_studies"
STUDY = "demo+quick"


@pytest.fixture
def small_project(tmp_path):
    """A project of two classes in a folder of its own; it has no configuration."""
    return make_project(tmp_path / "project")


def make_project(folder):
    for number in range(24):
        image = folder / f"data/01_raw/pets/{'cat' if number % 2 else 'dog'}/{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)).save(image)
    (folder / "notebooks").mkdir()
    (folder / "pyproject.toml").write_text("[tool.kedro]\n")
    return folder


def prepared_from(source, base_parameters):
    return DataPrepSettings.model_validate(base_parameters["data_prep"] | {"source": source, "ffcv": False})


@pytest.fixture
def base_parameters():
    from vision_studies.catalog.config_loader import StudyConfigLoader
    from vision_studies.settings import CONFIG_LOADER_ARGS

    return StudyConfigLoader(ROOT / "conf", **CONFIG_LOADER_ARGS)["parameters"]


@pytest.mark.slow
def test_one_place_alone_asks_for_the_working_folder():
    asking = {
        f"{path.relative_to(PACKAGE)}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("cwd", "getcwd", "getcwdb")
    }
    assert asking == {"project_folders.py"}


@pytest.mark.parametrize("inside", [".", "notebooks", "data/01_raw/pets/cat"])
def test_the_project_is_found_from_any_of_its_folders(small_project, monkeypatch, inside):
    monkeypatch.chdir(small_project / inside)
    assert project_folder() == small_project
    assert in_project("data/x") == small_project / "data/x"
    assert in_project("/mnt/x").as_posix() == "/mnt/x"


@pytest.mark.parametrize("content", [None, "[tool.ruff]\n", b"\xff\xfe[tool.kedro]"])
def test_a_folder_of_no_project_stands_for_itself(tmp_path, monkeypatch, content):
    if content is not None:
        (tmp_path / "pyproject.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    assert find_project(tmp_path) is None
    assert project_folder() == tmp_path


def test_a_chosen_project_counts_before_the_working_folder(small_project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    choose_project(small_project)
    assert project_folder() == small_project
    monkeypatch.chdir(small_project)
    choose_project(small_project)
    assert project_folders._chosen is None  # and the next command may be started elsewhere


def test_a_home_that_nobody_knows_is_a_folder_that_is_not_there(small_project, monkeypatch):
    monkeypatch.chdir(small_project)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does where a user has none
    assert source_folder("~/pets") == small_project / "~/pets"


@pytest.mark.parametrize("inside", [".", "notebooks", "data/01_raw"])
@pytest.mark.parametrize("source", ["data/01_raw/pets", "./data/01_raw/../01_raw/pets/", "{project}/data/01_raw/pets"])
def test_a_folder_of_the_project_has_one_key_from_everywhere(
    small_project, base_parameters, monkeypatch, inside, source
):
    monkeypatch.chdir(small_project)
    key = data_set_key(prepared_from("data/01_raw/pets", base_parameters))
    monkeypatch.chdir(small_project / inside)
    settings = prepared_from(source.format(project=small_project), base_parameters)
    assert data_set_key(settings) == key
    assert len(read_source(settings).labels) == 24


def test_a_project_that_was_moved_keeps_its_prepared_data(small_project, base_parameters, monkeypatch, tmp_path):
    settings = prepared_from("data/01_raw/pets", base_parameters)
    monkeypatch.chdir(small_project)
    before = data_set_key(settings), source_identity(settings)
    shutil.move(small_project, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (data_set_key(settings), source_identity(settings)) == before


def test_a_folder_outside_goes_by_its_absolute_path(small_project, base_parameters, monkeypatch, tmp_path):
    shutil.copytree(small_project / "data/01_raw/pets", tmp_path / "pets")
    monkeypatch.chdir(small_project)
    inside, outside, upwards = (
        data_set_key(prepared_from(source, base_parameters))
        for source in ("data/01_raw/pets", f"{tmp_path}/pets", "../pets")
    )
    assert inside != outside == upwards


def test_a_process_that_does_runs_knows_the_project_of_the_command(
    small_project, base_parameters, monkeypatch, tmp_path
):
    from vision_studies.config.study import ExecutionSettings, StudySettings
    from vision_studies.pipelines.stacking.method import METHOD
    from vision_studies.studies.method import Context
    from vision_studies.studies.run_store import RunStore

    study = StudySettings(name="base", title="", question="")
    execution = ExecutionSettings.model_validate(base_parameters["execution"])
    monkeypatch.chdir(small_project)
    packed = pickle.dumps(Context(METHOD, None, study, execution, False, None, RunStore(tmp_path)))
    monkeypatch.chdir(tmp_path)
    pickle.loads(packed)
    assert project_folder() == small_project
