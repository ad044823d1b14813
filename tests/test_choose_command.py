"""`kedro choose`: what it refuses before it looks, and the study that it writes for images."""

import pytest
import yaml
from click.testing import CliRunner

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
