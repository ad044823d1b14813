import socket
import time

import pytest
import yaml
from tests.conftest import ROOT
from tests.tracking.wandb_files import read_offline_runs

from vision_studies import errors
from vision_studies.config.merge import merge_settings
from vision_studies.config.tracking import TrackingSettings
from vision_studies.errors import MissingDependencyError
from vision_studies.tracking.process import RecorderProcess, require_trackers
from vision_studies.tracking.recorder import Recorder

NAMES = {"name": "small", "title": "Small", "question": "Is it?"}


def settings(**changes) -> TrackingSettings:
    base = yaml.safe_load((ROOT / "conf/base/parameters_tracking.yml").read_text(encoding="utf-8"))["tracking"]
    return TrackingSettings.model_validate(merge_settings(base, changes))


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_trackers_are_off_where_nobody_switched_them_on():
    assert not settings().mlflow.enabled
    assert not settings().wandb.enabled


@pytest.mark.parametrize(
    "uri", ["http://me:secret@host:5000", "http://token@host", "postgresql://me:secret@host/mlflow"]
)
def test_an_address_with_a_secret_is_refused_without_repeating_it(uri):
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_PASSWORD") as refused:
        settings(mlflow={"uri": uri})
    assert "secret" not in refused.value.errors()[0]["msg"]
    assert settings(mlflow={"uri": "postgresql://me@host/mlflow"}).mlflow.uri


def test_a_tracker_that_is_not_installed_is_told_before_anything_runs(monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda library: None)
    with pytest.raises(MissingDependencyError, match=r"pip install vision-studies\[mlflow\]"):
        require_trackers(settings(mlflow={"enabled": True}))
    with pytest.raises(MissingDependencyError, match=r"needs wandb, which is not installed"):
        require_trackers(settings(wandb={"enabled": True}))
    require_trackers(settings())


@pytest.mark.slow
def test_one_tracker_is_down_and_the_other_takes_the_study_in(study):
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    pytest.importorskip("wandb", reason="needs the extra wandb")
    down = f"http://127.0.0.1:{unused_port()}"
    chosen = settings(mlflow={"enabled": True, "uri": down}, wandb={"enabled": True})
    recorder = RecorderProcess(chosen, study.project, NAMES)
    try:
        recorder.say("complete")
        ended, answers = recorder.wait(120), recorder.answers()
        assert ended, answers
    finally:
        recorder.stop()
    assert not recorder.has_failed()
    problem, done = sorted(answers, key=lambda answer: answer["tracker"])
    assert (problem["tracker"], problem["problem"]) == ("MLflow", "Connection refused")
    assert done == {"tracker": "Weights & Biases", "written": 3, "runs": 3}
    assert len(read_offline_runs(study.project / "data/09_tracking/wandb")) == 4


@pytest.mark.slow
def test_a_server_that_never_answers_holds_nothing_up(study):
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        recorder = RecorderProcess(settings(mlflow={"enabled": True, "uri": uri}), study.project, NAMES)
        recorder.say("look")
        assert time.monotonic() - started < 2  # a process was started, and nothing waited for
        try:
            connection, _ = server.accept()  # now it waits for an answer
            with connection:
                began = time.monotonic()
                recorder.say("complete")
                assert not recorder.wait(0.2)
                assert recorder.answers() == []
                recorder.stop()
                assert time.monotonic() - began < 5
        finally:
            recorder.stop()
    assert recorder.has_failed()


def test_the_recorder_ends_when_the_training_is_gone(study):
    recorder = RecorderProcess(settings(), study.project, NAMES)
    recorder.say("look")
    recorder._pipe.close()  # as when the training is killed
    recorder.say("look")  # nobody listens, and nobody minds
    try:
        assert recorder.wait(120)
        assert not recorder.has_failed()
    finally:
        recorder.stop()


class Broken:
    """A tracker that fails at first."""

    name = "Broken"

    def __init__(self) -> None:
        self.errors = [RuntimeError("out\nof order."), RuntimeError("out\nof order."), None]
        self.asked = 0

    def log(self, study, stopped) -> int:  # noqa: ARG002 - as trackers are called
        self.asked += 1
        error = self.errors.pop(0)
        if error is not None:
            raise error
        return len(study.runs)

    def close(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_failing_tracker_is_told_of_once_and_asked_again(study):
    told: list[dict] = []
    tracker = Broken()
    request = {"project": str(study.project), "study": NAMES, "settings": {"weights": False}}
    recorder = Recorder(request, [tracker], told.append, lambda: False)
    for _ in range(4):  # failed, failed, taken in, and nothing new
        recorder.look()
    assert tracker.asked == 3
    assert told == [{"tracker": "Broken", "problem": "out of order"}]
    tracker.errors = [None]
    recorder.look("failed")
    recorder.close()
    assert told[1:] == [
        {"tracker": "Broken", "written": 6, "runs": 3},
        {"tracker": "Broken", "problem": "No space left on device"},
    ]
