"""`kedro choose`: what it refuses before it looks, and the study that it writes for images."""

import shutil
from importlib import import_module

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from tests.conftest import ROOT

from vision_studies.cli.choose import _written, choose
from vision_studies.errors import ParameterError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["photos", "--budget=soon"], "'soon' is no length of time; write 90s, 10m or 1h"),
        (["photos", "--budget=10"], "'10' is no length of time"),
        (["/nowhere/photos"], "/nowhere/photos"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments, said):
    done = CliRunner().invoke(choose, arguments)
    assert done.exit_code == 1
    assert done.output.strip().startswith("Error: ")
    assert said in done.output


ODD = [
    (
        "an image of 20,000 pixels",
        Image.new("RGB", (20_000, 12), "red"),
        "20 images of 2 classes are brought to 16 pixels",
    ),
    ("a grey one among coloured ones", Image.new("L", (16, 16), 90), "20 images of 2 classes"),
    ("one with alpha", Image.new("RGBA", (16, 16), (9, 200, 9, 100)), "20 images of 2 classes"),
    ("a blank one", Image.new("RGB", (16, 16), "white"), "20 images of 2 classes"),
]


@pytest.mark.parametrize(("image", "said"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_odd_images_are_named_where_they_matter_and_the_rest_is_chosen_for(tmp_path, monkeypatch, image, said):
    random, ran = np.random.default_rng(0), []
    for number in range(19):
        folder = tmp_path / f"photos/class_{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    image.save(tmp_path / "photos/class_0/odd.png")
    shutil.copytree(ROOT / "conf/base", tmp_path / "project/conf/base")
    module = import_module("vision_studies.cli.choose")  # whose name in the package is that of the command
    monkeypatch.setattr(module, "project_folder", lambda: tmp_path / "project")
    monkeypatch.setattr(module, "run_study", lambda *asked: ran.append(asked))
    done = CliRunner().invoke(choose, [str(tmp_path / "photos"), "--params=data_prep.accept=[blank]"])
    assert done.exit_code == 0, done.output
    assert said in done.output
    assert [name for name, _ in ran] == ["choose_photos"]


def test_images_have_a_study_of_their_own_which_is_found_again(tmp_path):
    name = _written(tmp_path, None, "/pictures/my leaves.zip", 96, {})
    assert name == "choose_my_leaves"
    written = yaml.safe_load((tmp_path / name / "parameters.yml").read_text(encoding="utf-8"))
    assert written == {"data_prep": {"source": "/pictures/my leaves.zip", "image_size": 96, "resize": "letterbox"}}
    assert yaml.safe_load((tmp_path / name / "environment.yml").read_text(encoding="utf-8"))["extends"] == "choose"
    assert _written(tmp_path, None, "/pictures/my leaves.zip", 96, {}) == name
    accepted = {"accept": ["blank"]}
    again = _written(tmp_path, "accepted", "/pictures/leaves", 96, accepted)
    assert yaml.safe_load((tmp_path / again / "parameters.yml").read_text(encoding="utf-8"))["data_prep"].items() >= (
        accepted.items()
    )
    assert _written(tmp_path, None, "/elsewhere/my leaves.zip", 96, {}) == f"{name}_2"


@pytest.mark.parametrize(
    ("study", "said"), [("base", "cannot be the name"), ("../out", "cannot be"), ("taken", "already")]
)
def test_a_name_that_cannot_be_a_study_or_is_one_of_other_images_is_refused(tmp_path, study, said):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ParameterError, match=said):
        _written(tmp_path, study, "/pictures/leaves", 96, {})
