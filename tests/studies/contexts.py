"""Contexts of methods for tests that call them without Kedro."""

from vision_studies.config.study import ExecutionSettings, StudySettings
from vision_studies.studies.method import load_method, make_context
from vision_studies.studies.run_store import RunStore

STUDY = StudySettings(name="tried", title="", question="")
HERE = ExecutionSettings(
    backend="sequential", workers=1, scheduler_address=None, resources={}, processes_per_run=1, device="cpu"
)


def context_of(name, settings, data, folder, *, fresh=False, study=STUDY, execution=HERE):
    """The context of a method.

    Args:
        name: of its pipeline.
        settings: of the method; a tuple where several parameters decide its runs.
        data: image set and table of splits.
        folder: of its runs.
        fresh: forget finished runs.
        study: name, title and question.
        execution: where runs are done.
    """
    models = settings if isinstance(settings, tuple) else (settings,)
    return make_context(load_method(name), models, study, execution, fresh, data, RunStore(folder))
