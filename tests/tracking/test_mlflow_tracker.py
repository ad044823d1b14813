from pathlib import Path

import pytest
from tests.tracking.made_up_study import AVERAGE, FIRST_SECOND, history, row

from vision_studies.config.tracking import MlflowSettings
from vision_studies.tracking.mlflow_tracker import KEY, MlflowTracker

mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
pytest.importorskip("alembic", reason="needs the extra mlflow")


class Store:
    """What can be read back."""

    def __init__(self, uri: str) -> None:
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        self.experiment = self.client.get_experiment_by_name("studies").experiment_id

    def runs(self, condition: str = "", deleted: bool = False) -> dict:
        view = 2 if deleted else 1
        return {run.info.run_name: run for run in self.client.search_runs([self.experiment], condition, view)}

    def history(self, name: str, metric: str) -> list[tuple[int, float]]:
        run = self.runs()[name].info.run_id
        return [(point.step, point.value) for point in self.client.get_metric_history(run, metric)]


@pytest.mark.slow
def test_a_study_is_written_read_back_and_brought_up_to_date(study, record, quiet, tmp_path):
    uri = f"sqlite:///{tmp_path}/tracking/mlflow.db"
    settings = MlflowSettings(enabled=True, uri=uri, experiment="studies")
    tracker = MlflowTracker(settings, tmp_path / "tracking")
    stops = iter([False, True])
    assert tracker.log(record(study, "running"), lambda: next(stops)) == 1  # stopped after its first run
    assert tracker.log(record(study, "running"), lambda: False) == 2
    store = Store(uri)
    assert store.runs()["study: small"].info.status == "RUNNING"
    assert "verdict" not in store.runs()["study: small"].data.tags
    study.write_verdict({"verdict": "Take '2x & more'.", "verdict.take": "2x & more"})
    assert tracker.log(record(study), lambda: False) == 0

    parent = store.runs()["study: small"]
    children = store.runs(f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    names = ["stacking: 2x & more, seed 0", "stacking: 2x & more, seed 1", "stacking: average, seed 0"]
    assert sorted(children) == names
    assert set(store.runs()) == {*names, "study: small"}
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"runs": 3.0, "runs_complete": 3.0}
    assert "the first is best" in parent.data.tags["mlflow.note.content"]
    assert (parent.data.tags["verdict"], parent.data.tags["verdict.take"]) == ("Take '2x & more'.", "2x & more")

    first = children[names[0]]
    assert (first.info.start_time, first.info.end_time) == (1000 * (FIRST_SECOND - 40), 1000 * FIRST_SECOND)
    assert first.data.params["base_learners.1.model.name"] == "vit"
    assert len(first.data.params["note"]) <= 6000
    assert "cut: 7000" in first.data.params["note"]
    assert first.data.tags["mlflow.source.git.commit"] == first.data.tags["git_commit"] == "abc123"
    assert first.data.metrics["test_accuracy"] == 0.625
    assert store.history(names[0], "model_0/train_loss") == [(1, 0.75), (2, 0.5), (3, 0.25)]
    assert store.history(names[0], "meta/train_epoch_loss") == [(1, 1.5), (2, 1.0), (3, 0.5)]
    assert store.history(names[1], "val/acc") == [(1, 0.25), (3, 0.6)]

    assert [entry.path for entry in store.client.list_artifacts(parent.info.run_id, "stacking")] == [
        "stacking/curves.png",
        "stacking/results.parquet",
    ]

    # Another test accuracy is written over, another history makes another run, and what left the table says so.
    other_history = history(1).assign(train_loss=9.0)
    changed = row(0, test_accuracy=0.75, status="failed", finished_at="2027-01-01T00:00:00+00:00")
    study.write([changed, row(1)], [history(0), other_history])
    (study.reports / "report.html").write_text("<p>another", encoding="utf-8")
    assert tracker.log(record(study), lambda: False) == 2
    after = store.runs()
    assert set(after) == set(store.runs()) == {*names, "study: small"}
    assert after[names[0]].info.run_id == first.info.run_id
    assert (after[names[0]].data.metrics["test_accuracy"], after[names[0]].info.status) == (0.75, "FAILED")
    assert store.history(names[0], "model_0/train_loss") == [(1, 0.75), (2, 0.5), (3, 0.25)]
    assert store.history(names[1], "train/epoch_loss") == [(1, 9.0), (2, 9.0), (3, 9.0)]
    assert set(store.runs(deleted=True)) == {names[1]}
    assert after[names[2]].data.tags["in_results"] == "no"
    report = store.client.download_artifacts(parent.info.run_id, "report.html", str(tmp_path))
    assert "another" in Path(report).read_text(encoding="utf-8")

    study.write([changed, row(1), row(0, **AVERAGE)], [history(0), other_history])
    assert tracker.log(record(study), lambda: False) == 0
    assert store.runs()[names[2]].data.tags["in_results"] == "yes"
    assert len({run.data.tags[KEY] for run in store.runs().values()}) == 4
