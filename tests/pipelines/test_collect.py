import pandas as pd
import pytest

from vision_studies.errors import DataError
from vision_studies.pipelines.reporting.collect import collect_conclusions, collect_figures, collect_results
from vision_studies.studies.results import validate_results

ROW = {
    "pipeline": "cifar_resnet",
    "study": "demo",
    "variant": "plain",
    "trial": 0,
    "seed": 0,
    "configuration": "{}",
    "status": "complete",
    "run_fingerprint": "f",
    "configuration_hash": "c",
    "data_fingerprint": "d",
}


def store(folder, pipeline):
    (folder / pipeline).mkdir(parents=True)
    table = validate_results(pd.DataFrame([ROW | {"pipeline": pipeline}]))
    table.to_parquet(folder / pipeline / "results.parquet")


def test_results_of_all_pipelines_are_collected(tmp_path):
    store(tmp_path, "cifar_resnet")
    store(tmp_path, "stacking")
    assert collect_results(tmp_path)["pipeline"].tolist() == ["cifar_resnet", "stacking"]


def test_no_results_say_what_to_run(tmp_path):
    with pytest.raises(DataError, match=r"no results in .*; run a pipeline of this study first"):
        collect_results(tmp_path)


def test_a_truncated_table_is_named(tmp_path):
    store(tmp_path, "cifar_resnet")
    file = tmp_path / "cifar_resnet" / "results.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"results.parquet cannot be read"):
        collect_results(tmp_path)


def test_the_newest_version_of_every_figure_is_taken(tmp_path):
    for version in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
        folder = tmp_path / "cifar_resnet" / "loss.png" / version
        folder.mkdir(parents=True)
        (folder / "loss.png").write_text(version)
    assert collect_figures(tmp_path) == {("cifar_resnet", "loss"): b"2026-01-02T00.00.00.000Z"}


def test_answers_are_collected_by_pipeline_and_a_damaged_file_is_named(tmp_path):
    (tmp_path / "mlp_transfer").mkdir()
    file = tmp_path / "mlp_transfer" / "conclusions.json"
    file.write_text('["It does.", "It costs."]')
    assert collect_conclusions(tmp_path) == {"mlp_transfer": ["It does.", "It costs."]}
    file.write_text("[")
    with pytest.raises(DataError, match=r"conclusions.json cannot be read"):
        collect_conclusions(tmp_path)
