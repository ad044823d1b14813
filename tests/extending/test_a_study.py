"""A study is two files in a folder: those that the page on studies shows."""

import re
import shutil

import pytest
from tests.conftest import ROOT
from tests.golden.blank_data import blank_data
from tests.studies.contexts import context_of

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.errors import ParameterError
from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.forecast import forecast

FILES = dict(
    re.findall(
        r'```yaml title="(conf/[^"]+)"\n(.*?)```',
        (ROOT / "docs/extending/study.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)


@pytest.fixture
def conf(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path / "conf"


def test_the_page_shows_both_files():
    assert set(FILES) == {"conf/crops/environment.yml", "conf/crops/parameters.yml"}


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["crops", "crops+demo", "crops+cifar100"])
def test_its_runs_are_planned(conf, environment, tmp_path):
    loader = StudyConfigLoader(conf, environment, {}, **CONFIG_LOADER_ARGS)
    parameters = loader["parameters"]
    assert (loader.pipelines, parameters["study"]["title"]) == (["cifar_resnet"], "Do crops help?")
    settings = CifarResnetSettings.model_validate(parameters["cifar_resnet"])
    data = blank_data(DataPrepSettings.model_validate(parameters["data_prep"]))
    training, _ = forecast(context_of("cifar_resnet", settings, data, tmp_path / "runs"))
    assert [run.name for run in training.decisions][:3] == ["crops, seed 0", "as they are, seed 0", "crops, seed 1"]
    assert len({run.fingerprint for run in training.decisions}) == 10


def test_a_misspelt_key_is_told(conf):
    file = conf / "crops/parameters.yml"
    file.write_text(file.read_text(encoding="utf-8").replace("seeds:", "seed:"), encoding="utf-8")
    with pytest.raises(ParameterError, match=r"conf/crops/parameters.yml: cifar_resnet.seed: .*did you mean 'seeds'"):
        StudyConfigLoader(conf, "crops", {}, **CONFIG_LOADER_ARGS)["parameters"]
