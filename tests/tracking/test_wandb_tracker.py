import pytest
from tests.tracking.made_up_study import AVERAGE, history, row
from tests.tracking.wandb_files import read_offline_runs

from vision_studies.config.tracking import WandbSettings
from vision_studies.tracking.wandb_tracker import WandbTracker

pytest.importorskip("wandb", reason="needs the extra wandb")


@pytest.mark.slow
def test_a_study_is_written_offline_read_back_and_brought_up_to_date(study, record, quiet, tmp_path):
    folder = tmp_path / "wandb"
    settings = WandbSettings(enabled=True, mode="offline", project="studies", entity=None, folder=str(folder))
    tracker = WandbTracker(settings)
    try:
        stops = iter([False, True])
        assert tracker.log(record(study, "running"), lambda: next(stops)) == 1  # stopped after its first run
        assert tracker.log(record(study), lambda: False) == 2
        assert tracker.log(record(study), lambda: False) == 0

        runs = read_offline_runs(folder)
        names = ["stacking: 2x & more, seed 0", "stacking: 2x & more, seed 1", "stacking: average, seed 0"]
        assert sorted(runs) == [*names, "study: small"]
        assert {run.group for run in runs.values()} == {"small"}
        assert {run.project for run in runs.values()} == {"studies"}
        parent, first = runs["study: small"], runs[names[0]]
        assert (parent.kind, first.kind) == ("study", "stacking")
        assert first.config["study_run"] == parent.id
        assert (first.config["seed"], first.config["base_learners.1.model.name"]) == (0, "vit")
        assert first.config["started_at"] < first.config["finished_at"]
        assert first.tags == ["stacking", "complete", "results"]
        assert first.values("model_0/train_loss") == [(1, 0.75), (2, 0.5), (3, 0.25)]
        assert first.values("meta/val_loss") == [(1, 2.0), (3, 1.25)]
        assert first.summary["test_accuracy"] == 0.625
        assert parent.summary["runs_complete"] == 3
        (artefacts,) = parent.artefacts.values()
        assert sorted(artefacts) == ["report.html", "stacking/curves.png", "stacking/results.parquet", "summary.txt"]
        assert not [path for path in folder.rglob("*") if path.name in ("requirements.txt", "diff.patch")]

        study.write([row(0, test_accuracy=0.75, status="failed"), row(1), row(0, **AVERAGE)], [history(0), history(1)])
        assert tracker.log(record(study), lambda: False) == 1
        again = read_offline_runs(folder)  # which refuses a run that is there twice
        assert (again[names[0]].summary["test_accuracy"], again[names[0]].exit_code) == (0.75, 1)
        assert again[names[0]].id == first.id
        assert again[names[1]].exit_code == 0
    finally:
        tracker.close()
