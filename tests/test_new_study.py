"""A study of somebody's own images is written from every study and every pipeline, and is one."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.studies import studies
from vision_studies.config.registry import METHODS
from vision_studies.settings import CONFIG_LOADER_ARGS

STUDIES = [
    file.parent.name
    for file in sorted((ROOT / "conf").glob("*/environment.yml"))
    if "pipelines" in yaml.safe_load(file.read_text(encoding="utf-8"))
]
BIRDS = {"crow": 9, "grebe, red": 4, "heron": 3, "owl": 3, "wren": 30}


def write_photos(folder: Path, images: dict[str, int]) -> Path:
    for name, count in images.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the environments of this one, and photographs of five kinds of birds in it."""
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    (tmp_path / "conf").mkdir()
    for folder in (ROOT / "conf").iterdir():
        (tmp_path / "conf" / folder.name).symlink_to(folder)
    write_photos(tmp_path / "photos", BIRDS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*arguments: str, fails: bool = False) -> str:
    done = CliRunner().invoke(studies, ["new", *arguments])
    assert bool(done.exit_code) == fails, done.output
    return done.output


def parameters(project: Path, study: str) -> dict:
    return StudyConfigLoader(project / "conf", study, **CONFIG_LOADER_ARGS)["parameters"]


@pytest.mark.parametrize("template", [*METHODS, *STUDIES])
def test_every_study_and_every_pipeline_can_be_asked_of_other_images(project, template):
    said = new("birds", f"--from={template}", "--data=photos", "--image-size=24")
    assert "kedro run --env=birds_quick" in said
    written = parameters(project, "birds")
    assert written["data_prep"]["source"] == "photos"  # relative: the project can be moved
    assert written["data_prep"]["image_size"] == 24
    quick = StudyConfigLoader(project / "conf", "birds_quick", **CONFIG_LOADER_ARGS)
    assert quick["parameters"]["data_prep"] == written["data_prep"]  # prepared once for both
    assert quick.environment["title"].startswith("birds")
    loader = StudyConfigLoader(project / "conf", "birds", **CONFIG_LOADER_ARGS)
    assert loader.pipelines
    if template in STUDIES:
        asked = StudyConfigLoader(project / "conf", template, **CONFIG_LOADER_ARGS)
        assert loader.pipelines == asked.pipelines
        for pipeline in asked.pipelines:
            assert written[pipeline].get("variants") == asked["parameters"][pipeline].get("variants")


def test_what_depends_on_the_classes_is_that_of_these(project):
    new("cuts", "--from=cuts_cifar_regular", "--data=photos")
    cuts = parameters(project, "cuts")["transfer_cuts"]
    assert cuts["classes"] == {
        "label": "cuts",
        "pretraining": ["crow", "grebe, red", "heron"],
        "fine_tuning": ["owl", "wren"],
    }
    assert cuts["modes"] == ["freeze_reinit", "freeze_truncate"]
    new("rare", "--from=alphanet_cifar10lt", "--data=photos")
    rare = parameters(project, "rare")
    assert rare["data_prep"]["splits"]["long_tail"] is None  # there is one already
    few, many = (rare["alphanet"]["splits"][name] for name in ("few_below", "many_above"))
    trained = [0.72 * count for count in BIRDS.values()]
    assert any(count < few for count in trained)
    assert any(count > many for count in trained)
    assert rare["alphanet"]["neighbours"] == [sum(count > few - 1 for count in trained)]


def test_even_classes_keep_the_tail_that_the_study_makes(project):
    write_photos(project / "even", dict.fromkeys(("a", "b", "c"), 6))
    new("tail", "--from=alphanet_cifar10lt", "--data=even")
    assert parameters(project, "tail")["data_prep"]["splits"]["long_tail"]["factor"] == 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["birds", "--from=resnet_sse", "--data=photos"], "Did you mean 'resnet_se'?"),
        (["birds", "--from=fashion_mnist", "--data=photos"], "--from=fashion_mnist is no study"),
        (["birds", "--from=resnet_se", "--data=fotos"], "fotos does not exist"),
        (["resnet_se", "--from=resnet_se", "--data=photos"], "conf/resnet_se exists already"),
        (["my birds", "--from=resnet_se", "--data=photos"], "such as my_my_birds"),
        (["birds+x", "--from=resnet_se", "--data=photos"], "cannot be the name of a study"),
        (["birds", "--from=transfer_cuts", "--data=two"], "these images have 2 classes"),
        (["birds", "--from=resnet_se", "--data=one"], "one class"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_written(project, arguments, said):
    write_photos(project / "two", {"a": 3, "b": 3})
    write_photos(project / "one", {"a": 3})
    before = sorted((project / "conf").iterdir())
    told = new(*arguments, fails=True)
    assert said in told
    assert told.count("\n") == 1
    assert sorted((project / "conf").iterdir()) == before


def test_settings_that_do_not_fit_leave_nothing_behind(project):
    (project / "conf/odd").mkdir()
    (project / "conf/odd/environment.yml").write_text("pipelines: [cifar_resnet]\n")
    (project / "conf/odd/parameters.yml").write_text("cifar_resnet: {seeds: [many]}\n")
    assert "seeds" in new("birds", "--from=odd", "--data=photos", fails=True)
    assert not (project / "conf/birds").exists()
    assert not (project / "conf/birds_quick").exists()
