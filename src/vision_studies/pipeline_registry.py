"""The pipelines of the project."""

import warnings
from importlib import import_module

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

WORK = ("data_prep", "cifar_resnet")
"""What `__default__` does before it reports."""


def register_pipelines() -> dict[str, Pipeline]:
    """Name -> pipeline; `__default__` prepares data, trains and reports.

    Kedro imports the modules of the requested pipelines only, so that one command never waits for another's libraries.
    """
    found = find_pipelines(raise_errors=True)
    found.pop("__default__", None)
    if set(WORK) < set(found):
        found["__default__"] = _everything(found)
    return found


def _everything(found: dict[str, Pipeline]) -> Pipeline:
    work = sum((found[name] for name in WORK), Pipeline([]))
    with warnings.catch_warnings():
        # Kedro warns of a node that reads another namespace's data set, which is what waiting for it means.
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        report = import_module("vision_studies.pipelines.reporting").create_pipeline(after=sorted(work.outputs()))
        return work + report
