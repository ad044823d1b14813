import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from vision_studies.config.data_prep import NAMED_SOURCES, DataPrepSettings, data_set_key

SPLITS = {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0}


def settings(source="digits", **changes):
    values = {
        "source": str(source),
        "image_size": None,
        "skip_corrupt": False,
        "splits": SPLITS,
        "download_folder": "data/01_raw",
        "ffcv": "auto",
    }
    return DataPrepSettings(**(values | changes))


@pytest.mark.parametrize("name", NAMED_SOURCES)
def test_a_named_source_is_no_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert settings(name).source_folder is None
    assert settings(f"./{name}").source_folder == (tmp_path / name).resolve()
    assert re.fullmatch(rf"{name}-[0-9a-f]{{8}}", data_set_key(settings(name)))


def test_a_folder_has_one_key_however_its_path_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "my pictures"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    written = [folder, f"{folder}/", "my pictures", "./link/../my pictures", "link", "~/my pictures"]
    keys = {data_set_key(settings(path)) for path in written}
    assert len(keys) == 1
    assert keys.pop().startswith("my_pictures-")


def test_two_folders_of_one_name_have_two_keys(tmp_path):
    assert data_set_key(settings(tmp_path / "a/images")) != data_set_key(settings(tmp_path / "b/images"))


@pytest.mark.parametrize("source", ["/", "/@", "/.."])
def test_a_key_is_a_folder_name_whatever_the_source_is_called(source):
    key = data_set_key(settings(source))
    assert key.startswith("images-")
    assert os.sep not in key


def test_the_key_follows_what_decides_the_content_and_nothing_else():
    key = data_set_key(settings())
    same = [{"ffcv": True}, {"download_folder": "elsewhere"}]
    other = [{"image_size": 16}, {"skip_corrupt": True}, *({"splits": SPLITS | change} for change in SPLIT_CHANGES)]
    assert {data_set_key(settings(**change)) for change in same} == {key}
    assert len({key, *(data_set_key(settings(**change)) for change in other)}) == 1 + len(other)


SPLIT_CHANGES = [{"seed": 1}, {"validation_fraction": 0.2}, {"test_fraction": 0.1}]


def test_the_key_is_the_same_on_every_machine():
    # Pinned: prepared data of an earlier version would otherwise be prepared again under another name.
    assert data_set_key(settings()) == "digits-7eaf9a4a"


@pytest.mark.parametrize(
    "changes",
    [
        {"source": ""},
        {"image_size": 0},
        {"image_size": 1025},
        {"splits": SPLITS | {"validation_fraction": 0.0}},
        {"splits": SPLITS | {"validation_fraction": 1.0}},
        {"splits": SPLITS | {"seed": -1}},
        {"splits": SPLITS | {"sed": 1}},
        {"ffcv": "yes"},
        {"size": 32},
    ],
    ids=str,
)
def test_values_out_of_range_and_unknown_keys_are_refused(changes):
    with pytest.raises(ValidationError):
        settings(**changes)


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        settings().image_size = 4
    assert settings().download_folder == Path("data/01_raw")
