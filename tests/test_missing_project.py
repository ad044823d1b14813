"""Commands where there is no project, or half of one, once the package is installed."""

import shutil
import subprocess
import sys
import tomllib

import pytest
from tests.conftest import ROOT

from vision_studies.cli import cli
from vision_studies.missing_project import COMMANDS, missing_project, require_project


def test_every_command_of_the_project_that_kedro_lacks_is_known():
    of_kedro = {"catalog", "registry"}  # which tell by themselves that they need a project
    assert set(COMMANDS) == set(cli.commands) - of_kedro


@pytest.mark.parametrize("words", [[command] for command in COMMANDS] + [["run", "--env=demo"]])
def test_a_folder_without_a_project_is_told_what_one_is(tmp_path, words):
    told = missing_project(words, tmp_path)
    assert f"{tmp_path} lies in no project, which `kedro {words[0]}` needs" in told
    assert "conf/" in told
    assert told.endswith("or copy these.")


@pytest.mark.parametrize("words", [[], ["--version"], ["new"], ["--help"]])
def test_commands_of_kedro_itself_are_left_alone(tmp_path, words):
    assert missing_project(words, tmp_path) is None


def test_a_project_without_src_is_told_to_make_one(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert "mkdir src" in missing_project(["run"], tmp_path)
    (tmp_path / "src").mkdir()
    assert missing_project(["run"], tmp_path) is None
    assert missing_project(["run"], tmp_path / "src") is None


def test_another_project_is_none_of_our_business(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.kedro]\npackage_name = "other"\n')
    assert missing_project(["run"], tmp_path) is None


def test_kedro_asks_before_it_begins(tmp_path, monkeypatch, capsys):
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["kedro.init"]
    assert entry == {"vision_studies": f"{require_project.__module__}:{require_project.__name__}"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kedro", "run"])
    with pytest.raises(SystemExit, match="1"):
        require_project()
    assert capsys.readouterr().err.startswith(f"Error: {tmp_path} lies in no project")


@pytest.mark.slow
def test_it_loads_none_of_the_libraries_that_take_long(tmp_path):
    code = "import sys, vision_studies.missing_project as o; o.require_project(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"torch", "pandas", "matplotlib", "kedro"} & set(done.stdout.split()) == set()


@pytest.mark.slow
def test_a_second_clone_in_the_environment_is_run_with_its_own_code(tmp_path):
    source = ROOT / "src/vision_studies"
    package = tmp_path / "src/vision_studies"
    package.mkdir(parents=True)
    for name in ("missing_project.py", "project_folders.py"):
        shutil.copy(source / name, package / name)
    (package / "__init__.py").write_text('__version__ = "of the second clone"\n')
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "import vision_studies.missing_project as ours; ours.require_project()\n"
        "sys.path.insert(0, 'src'); import vision_studies; print(vision_studies.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "of the second clone\n"
