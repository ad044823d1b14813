"""Commands on a finished study print the same from every folder of its project, and by `KEDRO_ENV` as by `--env`."""

import pytest
from click.testing import CliRunner

from vision_studies.cli import cli

STUDY = "demo+quick"
COMMANDS = [
    ("runs", "list"),
    ("runs", "plan"),
    ("runs", "plan", "--json"),
    ("runs", "clean"),
    ("models", "list"),
    ("models", "card", "--pipeline=cifar_resnet"),
    ("versions", "list"),
    ("versions", "clean"),
    ("store", "status"),
]
WITH_STUDY = [("alphanet", "table"), ("alphanet", "combinations")]
"""Commands that take the study as an argument."""
FOLDERS = ["conf/base", "data/08_reporting", "data/06_models/demo+quick/cifar_resnet/runs"]


def printed(folder, monkeypatch, *arguments, variable=None):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    if variable is not None:
        monkeypatch.setenv("KEDRO_ENV", variable)
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    return done.exit_code, done.output


@pytest.mark.slow
@pytest.mark.parametrize("command", [*COMMANDS, *WITH_STUDY], ids=" ".join)
def test_a_command_prints_the_same_from_everywhere(demo_project, monkeypatch, command):
    named = [STUDY] if command in WITH_STUDY else [f"--env={STUDY}"]
    expected = printed(demo_project.folder, monkeypatch, *command, *named)
    assert STUDY in expected[1] or "alphanet" in command or command[1] in ("clean", "card") or command[0] == "versions"
    for folder in FOLDERS:
        assert printed(demo_project.folder / folder, monkeypatch, *command, *named) == expected, folder
    assert printed(demo_project.folder / FOLDERS[0], monkeypatch, *command, variable=STUDY) == expected


@pytest.mark.slow
def test_paths_on_the_command_line_start_where_the_user_stands(demo_project, monkeypatch, tmp_path):
    import numpy as np

    folder = demo_project.folder / "notebooks"
    folder.mkdir(exist_ok=True)
    np.save(folder / "images.npy", np.zeros((3, 8, 8, 1), np.uint8))
    code, said = printed(
        folder, monkeypatch, "models", "predict", "images.npy", "-p", "cifar_resnet", "-o", "x.csv", variable=STUDY
    )
    assert code == 0
    assert "3 images: x.csv" in said.splitlines()
    assert len((folder / "x.csv").read_text().splitlines()) == 4
