import pytest
import yaml
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.pipelines.mlp_transfer.published_files import phase_configurations, run_manifest
from vision_studies.pipelines.mlp_transfer.settings import MlpTransferSettings
from vision_studies.settings import CONFIG_LOADER_ARGS

FOLDER = "runs/mnist-mlp-hyperparam_20260218_144328"


@pytest.fixture(scope="module")
def settings():
    parameters = StudyConfigLoader(ROOT / "conf", "mlp_transfer", **CONFIG_LOADER_ARGS)["parameters"]
    return MlpTransferSettings.model_validate(parameters["mlp_transfer"])


def test_the_manifest_has_the_published_keys_in_their_order():
    assert list(run_manifest(FOLDER).items()) == [
        ("run_dir", FOLDER),
        ("search_output_dir", f"{FOLDER}/search"),
        ("transfer_output_dir", f"{FOLDER}/transfer"),
        ("search_config_path", "configs/search.yaml"),
        ("transfer_config_path", "configs/transfer.yaml"),
    ]


def test_the_configurations_are_those_that_the_manifest_names_and_lead_back_to_its_folders(settings):
    manifest, files = run_manifest(FOLDER), phase_configurations(settings, FOLDER)
    assert set(files) == {manifest["search_config_path"], manifest["transfer_config_path"]}
    search, transfer = (files[manifest[f"{phase}_config_path"]] for phase in ("search", "transfer"))
    assert search == {
        "search": {"num_trials": 30, "seed": 1},
        "retrain": {"seeds": [1, 2, 3, 4, 5]},
        "output_dir": manifest["search_output_dir"],
    }
    assert transfer == {
        "transfer": {"seeds": [1, 2, 3, 4, 5], "search_dir": manifest["search_output_dir"]},
        "output_dir": manifest["transfer_output_dir"],
    }
    for content in (manifest, search, transfer):
        assert yaml.safe_load(yaml.safe_dump(content, sort_keys=False)) == content
