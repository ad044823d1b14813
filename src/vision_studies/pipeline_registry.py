"""The pipelines of the project."""

import warnings
from collections.abc import Sequence
from importlib import import_module

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

from vision_studies.config.registry import METHODS

_chosen: tuple[str, ...] = ("data_prep", *METHODS)
_reported: tuple[str, ...] = ()


def choose_methods(names: Sequence[str], *, images: bool = True) -> None:
    """Let `__default__` work with these methods only: a study names those that it is about, and whether it has images."""
    global _chosen  # noqa: PLW0603 - Kedro asks for the pipelines without saying for which study
    _chosen = (*(("data_prep",) if images else ()), *(name for name in METHODS if name in names))


def report_after(names: Sequence[str]) -> None:
    """Let `reporting` wait for these pipelines, which are run with it; alone it reads what lies there, and may come first."""
    global _reported  # noqa: PLW0603 - likewise
    _reported = tuple(names)


def register_pipelines() -> dict[str, Pipeline]:
    """Name -> pipeline; `__default__` prepares data, trains and reports.

    Kedro imports the modules of the requested pipelines only, so that one command never waits for another's libraries.
    """
    pipelines = find_pipelines(raise_errors=True)
    pipelines.pop("__default__", None)
    if _reported and set(_reported) < set(pipelines):
        pipelines["reporting"] = _report([pipelines[name] for name in _reported])
    if set(_chosen) < set(pipelines):
        work = [pipelines[name] for name in _chosen]
        pipelines["__default__"] = sum(work, _report(work))
    return pipelines


def _report(pipelines: Sequence[Pipeline]) -> Pipeline:
    work = sum(pipelines, Pipeline([]))
    with warnings.catch_warnings():
        # Kedro warns of a node that reads another namespace's data set, which is what waiting for it means.
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        reporting = import_module("vision_studies.pipelines.reporting")
        report: Pipeline = reporting.create_pipeline(after=sorted(work.outputs()))
        return report
