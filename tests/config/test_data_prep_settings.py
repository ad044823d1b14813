import json
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.data.conftest import READING

from vision_studies.config.data_prep import NAMED_SOURCES, DataPrepSettings, data_set_key, source_folder, source_name
from vision_studies.config.validation import validate_parameters
from vision_studies.errors import ParameterError

SPLITS = {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0, "copies": "together", "long_tail": None}
TAIL = {"profile": "exponential", "factor": 100, "seed": 0, "reverse": False}


def settings(source="digits", **changes):
    values = {
        "source": [*map(str, source)] if isinstance(source, list) else str(source),
        "image_size": None,
        "skip_corrupt": False,
        **READING,
        "splits": SPLITS,
        "download_folder": "data/01_raw",
        "ffcv": "auto",
    }
    return DataPrepSettings(**(values | changes))


@pytest.mark.parametrize("name", NAMED_SOURCES)
def test_a_named_source_is_no_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert source_folder(name) is None
    assert source_folder(f"./{name}") == (tmp_path / name).resolve()
    assert source_name(f"./{name}/") == source_name(name) == name
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


SPLIT_CHANGES = [
    {"seed": 1},
    {"validation_fraction": 0.2},
    {"test_fraction": 0.1},
    {"long_tail": TAIL},
    {"long_tail": TAIL | {"profile": "step"}},
    {"long_tail": TAIL | {"factor": 50}},
    {"long_tail": TAIL | {"seed": 1}},
]


def test_the_key_is_the_same_on_every_machine():
    # Pinned: prepared data of an earlier version would otherwise be prepared again under another name.
    assert data_set_key(settings()) == "digits-7eaf9a4a"
    assert data_set_key(settings(["mnist", "fashion_mnist"])) == "mnist_fashion_mnist-904d0564"


def test_how_images_become_square_is_mentioned_where_some_are_not(tmp_path):
    """Keys are from before there was a choice; what is square, or keeps its size, keeps its key."""
    for source in (
        settings(),
        settings(image_size=16),
        settings(tmp_path),
        settings(["mnist", "digits"], image_size=16),
    ):
        assert "resize" not in source.content()
    assert settings(tmp_path, image_size=16).content()["resize"] == "squash"
    assert "resize" not in settings(tmp_path, image_size=16, resize="crop").content()
    for resize in ("crop", "letterbox"):
        assert settings(resize=resize).content()["resize"] == resize


def test_settings_without_a_long_tail_do_not_mention_it():
    # Pinned keys are from before there were long tails.
    assert settings().content()["splits"] == {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0}
    tailed = settings(splits=SPLITS | {"long_tail": TAIL})
    assert tailed.content()["splits"]["long_tail"] == TAIL
    assert data_set_key(tailed) == data_set_key(settings(splits=SPLITS | {"long_tail": TAIL | {"factor": 100.0}}))
    assert json.loads(json.dumps(tailed.content())) == tailed.content()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "exp"}, "splits.long_tail.profile: 'exp' is not one of exponential, step."),
        ({"factor": 1}, "splits.long_tail.factor: 1 is not allowed; it must be greater than 1."),
        ({"seed": -1}, "splits.long_tail.seed: -1 is not allowed; it must be greater than or equal to 0."),
        (
            {"faktor": 3},
            "splits.long_tail.faktor: there is no such parameter; did you mean 'factor'? Allowed: factor, profile, ranks, "
            "reverse, seed.",
        ),
    ],
    ids=str,
)
def test_a_wrong_long_tail_is_one_sentence(change, message):
    values = settings().model_dump(mode="json") | {"splits": SPLITS | {"long_tail": TAIL | change}}
    with pytest.raises(ParameterError) as caught:
        validate_parameters({"data_prep": values}, lambda path: "here.yml")
    told = [line for line in str(caught.value).splitlines() if line.startswith("here.yml: ")]
    assert told == [f"here.yml: data_prep.{message}"]


@pytest.mark.parametrize("key", SPLITS)
def test_no_value_of_the_splits_has_a_default(key):
    with pytest.raises(ValidationError, match=rf"splits\.{key}"):
        settings(splits={name: value for name, value in SPLITS.items() if name != key})


@pytest.mark.parametrize("key", TAIL)
def test_no_value_of_a_long_tail_has_a_default(key):
    with pytest.raises(ValidationError, match=rf"splits\.long_tail\.{key}"):
        settings(splits=SPLITS | {"long_tail": {name: value for name, value in TAIL.items() if name != key}})


def test_one_source_is_described_as_text_and_several_as_a_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings("pictures").content()["source"] == "./pictures"
    both = settings(["mnist", "pictures"]).content()
    assert both["source"] == ["mnist", "./pictures"]
    assert json.loads(json.dumps(both)) == both  # as it is read from the disk and compared


def test_the_key_of_several_sources_follows_each_of_them_and_their_order(tmp_path):
    sources = ["mnist", ["mnist"], ["mnist", "digits"], ["digits", "mnist"], ["mnist", tmp_path / "digits"]]
    keys = [data_set_key(settings(source)) for source in sources]
    assert len(set(keys)) == len(keys)
    assert [key.rsplit("-", 1)[0] for key in keys] == ["mnist", "mnist", "mnist_digits", "digits_mnist", "mnist_digits"]


def test_the_key_of_many_sources_is_a_folder_name_still(tmp_path):
    key = data_set_key(settings([tmp_path / (letter * 90) for letter in "abcd"]))
    (tmp_path / key).mkdir()
    assert len(key) < 120


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "source: 3 is not allowed; it must be the name or the folder of a source, or a list of these."),
        (None, "source: None is not allowed; it must be the name or the folder of a source, or a list of these."),
        ("", "source: '' is too short; it must have at least 1 character(s)."),
        ([], "source: [] has too few entries; give it at least 1 entry."),
        (["mnist", 3], "source.1: 3 is not allowed; it must be a valid string."),
        (["mnist", ""], "source.1: '' is too short; it must have at least 1 character(s)."),
        ([["mnist"]], "source.0: ['mnist'] is not allowed; it must be a valid string."),
        (["mnist", "digits", "/a/mnist/"], "source has two entries that are called 'mnist', "),
        (["/a/set", "/b/set"], "source has two entries that are called 'set', "),
    ],
    ids=str,
)
def test_a_wrong_source_is_one_sentence(source, message):
    values = settings().model_dump() | {"source": source}
    with pytest.raises(ParameterError) as caught:
        validate_parameters({"data_prep": values}, lambda path: "here.yml")
    told = [line for line in str(caught.value).splitlines() if line.startswith("here.yml: ")]
    assert len(told) == 1
    assert message in told[0]


def test_a_list_of_one_stays_a_list():
    assert settings(["mnist"]).source == ("mnist",)
    assert settings("mnist").source == "mnist"


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
