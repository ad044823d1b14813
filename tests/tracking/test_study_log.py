import json
from dataclasses import replace
from pathlib import PurePath

import pandas as pd
import pytest
from tests.golden.test_catalog import GOLDEN
from tests.tracking.made_up_study import FIRST_SECOND, JOINT, MadeUpStudy, history, row

from vision_studies.config.registry import METHODS
from vision_studies.reports.page import PLOTLY, SCRIPTS, STUDY_ENDING
from vision_studies.studies.method import NodeSpec, load_method
from vision_studies.tracking import study_log
from vision_studies.tracking.histories import fold_steps, logged_names
from vision_studies.tracking.study_log import (
    PLOTLY_FILE,
    StudyFolders,
    find_artefacts,
    read_new_runs,
    read_runs,
    run_record,
)

FOLLOWED = ["validation_stability", "validation_confidence"]


def folders_of(study: MadeUpStudy) -> StudyFolders:
    return StudyFolders.of(study.project, "small")


def test_a_row_becomes_a_record_with_its_own_time(study):
    first, second, average = read_runs(folders_of(study))
    assert (first.name, average.name) == ("stacking: 2x & more, seed 0", "stacking: average, seed 0")
    assert first.parameters["base_learners.1.model.name"] == "vit"
    assert (first.parameters["seed"], second.parameters["seed"]) == (0, 1)
    assert first.metrics["test_accuracy_base_1"] == 0.25
    assert "peak_memory_mb" not in first.metrics  # missing in the table
    assert (first.tags["ended"], first.tags["method"], first.tags["data_fingerprint"]) == ("stopped", "joint", "d" * 16)
    assert (first.started, first.ended) == (FIRST_SECOND - 40, FIRST_SECOND)
    assert average.history == {}


def test_losses_of_base_learners_and_meta_learner_have_the_names_of_the_original(study):
    epochs = read_runs(folders_of(study))[0].history
    assert list(epochs) == [1, 2, 3]
    assert epochs[1] == {
        "train/epoch_loss": 3.0,
        "meta/train_epoch_loss": 1.5,
        "model_0/train_loss": 0.75,
        "val/loss": 2.0,
        "meta/val_loss": 2.0,
        "val/acc": 0.25,
        "meta/val_acc": 0.25,
        "model_1/val_loss": 4.0,
        "train/lr": 0.1,
        "epoch/seconds": 10.0,
    }
    assert "val/loss" not in epochs[2]  # not measured in that epoch


def test_the_history_of_a_stack_by_folds_is_the_meta_learners():
    names = logged_names("train_loss", is_stack=True, is_joint=False)
    assert names == ["train/epoch_loss", "meta/train_epoch_loss"]
    assert logged_names("learning_rate", is_stack=True, is_joint=False) == ["train/lr", "meta/learning_rate"]
    assert logged_names("train_loss", is_stack=False, is_joint=False) == ["train/epoch_loss"]
    assert logged_names("validation_few", is_stack=False, is_joint=False) == ["val/few"]


def test_base_learners_of_a_stack_by_folds_are_logged_over_their_folds():
    rows = [(0, 0, 1, 0.5), (0, 1, 1, 1.5), (0, 1, 2, 1.0), (1, 0, 1, 2.0), (1, 1, 1, float("nan"))]
    steps = fold_steps(pd.DataFrame(rows, columns=["learner", "fold", "epoch", "validation_loss"]))
    assert steps == {
        1: {
            **{"model_0/val_loss/mean": 1.0, "model_0/val_loss/upper": 1.5, "model_0/val_loss/lower": 0.5},
            **{"model_1/val_loss/mean": 2.0, "model_1/val_loss/upper": 2.0, "model_1/val_loss/lower": 2.0},
        },
        2: {"model_0/val_loss/mean": 1.0, "model_0/val_loss/upper": 1.0, "model_0/val_loss/lower": 1.0},
    }
    own = run_record(
        row(0), None, pd.DataFrame(rows, columns=["learner", "fold", "epoch", "train_loss"]), table="results"
    )
    assert list(own.history) == [1, 2]
    assert own.history[1]["model_0/train_loss/mean"] == 1.0
    followed = pd.DataFrame([(0, 0, 1, 0.5, 0.9), (0, 1, 1, 0.7, 0.7)], columns=["learner", "fold", "epoch", *FOLLOWED])
    logged = fold_steps(followed)[1]
    assert logged["model_0/prediction_stability/mean"] == pytest.approx(0.6)
    assert logged["model_0/confidence/upper"] == pytest.approx(0.9)


def test_what_is_not_finite_is_no_metric():
    record = run_record(row(0, test_loss=float("inf"), other_metrics='{"a": NaN, "b": true}'), None, table="results")
    assert not {"test_loss", "a", "b"} & set(record.metrics)


def test_a_new_configuration_takes_the_place_of_the_row_it_replaces(study):
    old = {run.key for run in read_runs(folders_of(study))}
    results = study.outputs / "results.parquet"
    before = results.read_bytes()
    study.write([row(0, run_fingerprint="another"), row(1)], [history(0), history(1)])
    results.write_bytes(before)  # the evaluation has not come yet: training.parquet alone is new
    runs = read_runs(folders_of(study))
    assert sorted(run.tags["run_fingerprint"] for run in runs) == ["another", "average0", "fingerprint1"]
    assert len({run.key for run in runs} - old) == 1


def test_a_row_that_was_trained_by_an_earlier_command_keeps_its_own_history(study):
    rows = [row(0), row(1)]
    study.write(rows, [history(0), history(1)])
    results = study.outputs / "results.parquet"
    both = results.read_bytes()
    study.write([row(1)], [history(1)])
    results.write_bytes(both)
    own = study.project / "data/06_models/small/stacking/runs/fingerprint0"
    own.mkdir(parents=True)
    history(0).drop(columns=["variant", "trial", "seed"]).to_parquet(own / "history.parquet", index=False)
    assert {run.tags["seed"]: list(run.history) for run in read_runs(folders_of(study))} == {
        "0": [1, 2, 3],
        "1": [1, 2, 3],
    }


def test_a_run_is_read_from_its_folder_as_it_will_be_from_the_table(study):
    folder = study.project / "data/06_models/small/stacking/runs/fingerprint1"
    folder.mkdir(parents=True)
    names = {"pipeline": "stacking", "study": "small", "variant": "2x & more", "trial": 0, "seed": 1}
    (folder / "run.json").write_text(
        json.dumps(names | {"configuration": JOINT, "data_fingerprint": "d" * 16, "method_version": 1}),
        encoding="utf-8",
    )
    history(1).drop(columns=["variant", "trial", "seed"]).to_parquet(folder / "history.parquet", index=False)
    stage = {
        "metrics": {"validation_accuracy": 0.6, "seconds": 40.0},
        "status": "complete",
        "reason": None,
        "provenance": {"git_commit": "abc123", "finished_at": "2026-11-22T05:00:00+00:00", "versions": {}},
    }
    (folder / "training.json").write_text(json.dumps(stage), encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(b"w")
    now = (folder / "training.json").stat().st_mtime
    (live,) = read_new_runs(folders_of(study), now, with_weights=True)
    tabled = next(run for run in read_runs(folders_of(study)) if run.key == live.key)
    assert live.training_hash == tabled.training_hash
    assert live.metrics == {"validation_accuracy": 0.6, "seconds": 40.0}
    assert [file.name for file in live.files] == ["weights.safetensors"]
    assert read_new_runs(folders_of(study), now + 1) == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"tags": 3}', "{}"])
def test_without_a_verdict_that_can_be_read_there_are_no_tags_of_it(study, content):
    if content is not None:
        (study.reports / "verdict.json").write_text(content)
    assert folders_of(study).verdict() == {}
    study.write_verdict({"verdict": "Take 'a'."})
    assert folders_of(study).verdict() == {"verdict": "Take 'a'."}


def test_artefacts_are_the_newest_figures_the_report_and_the_results(study):
    (study.reports / "large.csv").write_bytes(b"0" * 2000)
    found = find_artefacts(folders_of(study), largest_bytes=1000)
    small = {path: file for path, file in found.items() if not path.endswith("results.parquet")}
    assert sorted(small) == ["report.html", "stacking/curves.png", "summary.txt"]
    assert small["stacking/curves.png"].read_bytes() == b"new"
    assert "stacking/results.parquet" in find_artefacts(folders_of(study))
    assert pd.read_parquet(find_artefacts(folders_of(study))["stacking/results.parquet"]).shape[0] == 3


def test_all_that_a_report_loads_is_taken_along(study):
    """Figures as SVG, data of interactive figures, and what draws them, which all studies share."""
    assert PLOTLY_FILE.as_posix() == f"{SCRIPTS}/{PLOTLY}{STUDY_ENDING}"
    shared = study.reports.parent / PLOTLY_FILE
    shared.parent.mkdir()
    shared.write_text("plotly")
    beside = ["stacking/curves.svg", "scripts/runs.page.js"]
    for name in beside:
        (study.reports / name).parent.mkdir(exist_ok=True)
        (study.reports / name).write_text(name)
    found = find_artefacts(folders_of(study))
    assert set(beside) <= set(found)
    assert PLOTLY_FILE.as_posix() not in found  # the report has no interactive figure
    (study.reports / "scripts/chart-1.page.js").write_text("chart")
    found = find_artefacts(folders_of(study))
    assert found["scripts/chart-1.page.js"].read_text() == "chart"
    assert found[PLOTLY_FILE.as_posix()] == shared


@pytest.mark.parametrize("name", METHODS)
def test_tables_of_runs_lie_where_the_catalog_keeps_what_nodes_that_do_runs_give(name):
    catalog = json.loads(GOLDEN.read_text(encoding="utf-8"))["base"]
    tables = load_method(name).run_tables
    assert ("results", "histories") in tables
    for data_set in {data_set for pair in tables for data_set in pair if f"{name}.{data_set}" in catalog}:
        file = PurePath(catalog[f"{name}.{data_set}"].get("filepath", ""))
        if file.suffix == ".parquet":
            assert file.stem == study_log.file_stem(data_set)


def test_tables_of_a_later_stage_come_first_and_histories_stay_with_their_stage():
    assert load_method("transfer_cuts").run_tables == [
        *(("results", "histories"), ("accuracies", "histories")),
        *(("training_results", "histories"), ("pretraining", "pretraining_histories")),
    ]
    assert ("trial_results", "trial_histories") in load_method("stacking").run_tables
    assert ("search_results", "search_histories") in load_method("mlp_transfer").run_tables
    alphanet = load_method("alphanet").run_tables
    assert {("backbones", "backbone_histories"), ("classifiers", "histories")} <= set(alphanet)


def test_a_stage_that_a_method_adds_is_tracked_with_its_histories(study, monkeypatch):
    method = load_method("cifar_resnet")
    warming_up = NodeSpec(print, [], ["warm_ups", "warm_up_histories"], "training", does_runs=True)
    ninth = replace(method, name="ninth", nodes=(warming_up, *method.nodes))
    monkeypatch.setattr(study_log, "METHODS", {"ninth": "its settings"})
    monkeypatch.setattr(study_log, "load_method", {"ninth": ninth}.__getitem__)
    folder = study.outputs.parent / "ninth"
    study.outputs.rename(folder)
    pd.DataFrame([row(5, variant="warm", run_fingerprint="warm5")]).to_parquet(folder / "warm_ups.parquet")
    history(5).assign(variant="warm").to_parquet(folder / "warm_up_histories.parquet")
    *others, warm = read_runs(folders_of(study))
    assert [run.tags["table"] for run in others] == ["results"] * 3
    assert (warm.tags["table"], warm.tags["variant"], list(warm.history)) == ("warm_ups", "warm", [1, 2, 3])


def test_a_table_of_something_else_than_runs_is_left_alone(study):
    before = read_runs(folders_of(study))
    pd.DataFrame({"variant": ["a"], "seed": [0]}).to_parquet(study.outputs / "trials.parquet")
    assert read_runs(folders_of(study)) == before
