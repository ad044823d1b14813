import csv
import json

import pytest
from click.testing import CliRunner
from PIL import Image
from tests.conftest import ROOT
from tests.data.checks.pictures import write_classes

from vision_studies.cli.data import data


@pytest.fixture
def check(tmp_path, monkeypatch):
    """`kedro data check` in the project, of a folder with a copy in the wrong class, a blank image and eleven broken ones."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / "set"
    write_classes(folder)
    (folder / "dog/x.png").write_bytes((folder / "cat/00.png").read_bytes())
    Image.new("RGB", (96, 96), (9, 9, 9)).save(folder / "cat/blank.png")
    for index in range(11):
        (folder / f"dog/broken{index:02d}.png").write_bytes(b"")
    return lambda *options: CliRunner().invoke(data, ["check", str(folder), *options])


def test_all_is_said_in_eighty_columns_and_what_is_wrong_ends_with_1(check):
    done = check()
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert not [line for line in lines[3:] if len(line) > 80]
    heads = [line for line in lines if line.endswith("]") and not line.startswith(" ")]
    assert [head.partition(":")[0] for head in heads] == ["WRONG", "WRONG", "Doubtful", "Note"]
    assert "and 1 more (--csv=FILE names all)" in done.stdout
    assert "data_prep.accept=[copies_with_two_labels,unreadable] goes on as it is" in done.stdout.replace("\n", " ")


def test_what_is_accepted_ends_with_0(check):
    done = check("--params=data_prep.accept=[copies_with_two_labels,unreadable]")
    assert done.exit_code == 0
    assert "Wrong (accepted)" in done.stdout or "WRONG (accepted)" in done.stdout


def test_an_unknown_name_to_accept_is_one_sentence(check):
    done = check("--params=data_prep.accept=[copys]")
    assert done.exit_code == 1
    assert "'copys'" in done.stderr
    assert "Did you mean 'copies'?" in done.stderr


def test_findings_are_written_as_json_table_and_sheet(check, tmp_path):
    files = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "png")}
    check(f"--json={files['json']}", f"--csv={files['csv']}", f"--sheet={files['png']}")
    told = json.loads(files["json"].read_text(encoding="utf-8"))
    assert (told["images"], told["seen"], told["classes"]) == (62, 73, 2)
    counts = {finding["name"]: finding["count"] for finding in told["findings"]}
    assert counts == {"unreadable": 11, "copies_with_two_labels": 2, "blank": 1, "copies": 2}
    with files["csv"].open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == sum(counts.values())
    assert {row["file"] for row in rows if row["finding"] == "copies"} == {"cat/00.png", "dog/x.png"}
    with Image.open(files["png"]) as sheet:
        assert sheet.width > 800


def test_json_alone_is_printed_with_a_dash(check):
    done = check("--json=-")
    assert {finding["name"] for finding in json.loads(done.stdout)["findings"]} >= {"blank", "unreadable"}
