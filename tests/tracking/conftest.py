import pytest
from tests.tracking.made_up_study import MadeUpStudy

from vision_studies.tracking.records import StudyRecord
from vision_studies.tracking.study_log import StudyFolders, find_artefacts, read_runs


@pytest.fixture
def study(tmp_path) -> MadeUpStudy:
    return MadeUpStudy(tmp_path)


@pytest.fixture
def record():
    def read(study: MadeUpStudy, state: str = "complete", **options) -> StudyRecord:
        folders = StudyFolders.of(study.project, "small")
        artefacts = None if state == "running" else find_artefacts(folders)
        runs = tuple(read_runs(folders, **options))
        return StudyRecord("small", "Small", "Is it?", runs, state, artefacts, folders.summary(), folders.verdict())

    return read


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    """The environment that the recorder's process has."""
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
        ("DO_NOT_TRACK", "true"),
        ("WANDB_SILENT", "true"),
        ("WANDB_ERROR_REPORTING", "false"),
        ("WANDB_CACHE_DIR", str(tmp_path / "cache")),
        ("WANDB_DATA_DIR", str(tmp_path / "staged")),
    ):
        monkeypatch.setenv(name, value)
