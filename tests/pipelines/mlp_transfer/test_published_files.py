from vision_studies.pipelines.mlp_transfer.published_files import run_manifest

FOLDER = "runs/mnist-mlp-hyperparam_20260218_144328"


def test_the_manifest_has_the_published_keys_in_their_order():
    assert list(run_manifest(FOLDER).items()) == [
        ("run_dir", FOLDER),
        ("search_output_dir", f"{FOLDER}/search"),
        ("transfer_output_dir", f"{FOLDER}/transfer"),
        ("search_config_path", "configs/search.yaml"),
        ("transfer_config_path", "configs/transfer.yaml"),
    ]
