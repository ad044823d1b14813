"""The pipelines of the project."""

import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

from kedro.framework.project import find_pipelines, pipelines
from kedro.pipeline import Pipeline

from vision_studies.config.registry import METHODS
from vision_studies.errors import ParameterError, guess

_chosen: tuple[str, ...] = ("data_prep", *METHODS)
_reported: tuple[str, ...] = ()


def check_pipelines(names: Sequence[str]) -> None:
    """Refuse a name that no pipeline has: raises ParameterError with the names that there are."""
    spec = find_spec("vision_studies.pipelines")
    modules = iter_modules(spec.submodule_search_locations if spec else None)
    there = ["__default__", *(module.name for module in modules if module.ispkg)]
    for name in names:
        if name not in there:
            raise ParameterError(f"There is no pipeline '{name}'.{guess(name, there)} There are: {', '.join(there)}.")


def choose_methods(names: Sequence[str] | None, *, images: bool = True) -> None:
    """Let `__default__` work with these methods only: a study names those that it is about, and whether it has images.

    Without any, `__default__` prepares the images and no more; None stands for all methods. Raises ParameterError where there
    is no pipeline of a name.
    """
    check_pipelines(names or ())
    methods = [*METHODS] if names is None else [name for name in METHODS if name in names]
    _choose((*(("data_prep",) if images else ()), *methods))


def _choose(chosen: tuple[str, ...]) -> None:
    global _chosen
    if chosen == _chosen:
        return
    _chosen, requested = chosen, pipelines._requested_pipelines
    if pipelines._pipelines_module is not None:  # what it has read for another study is of no use
        pipelines.configure(pipelines._pipelines_module)
        pipelines.set_requested(requested)


def report_after(names: Sequence[str]) -> None:
    """Let `reporting` wait for these pipelines, which are run with it; alone it reads what lies there, and may come first."""
    global _reported  # noqa: PLW0603 - likewise
    _reported = tuple(names)


def register_pipelines() -> dict[str, Pipeline]:
    """Name -> pipeline; `__default__` prepares data, trains and reports.

    Kedro imports the modules of the requested pipelines only, so that one command never waits for another's libraries.
    """
    there = find_pipelines(raise_errors=True)
    there.pop("__default__", None)
    if _reported and set(_reported) < set(there):
        there["reporting"] = _report([there[name] for name in _reported])
    if set(_chosen) < set(there):
        work = [there[name] for name in _chosen]
        there["__default__"] = sum(work, Pipeline([]) if _chosen == ("data_prep",) else _report(work))
    return there


def _report(parts: Sequence[Pipeline]) -> Pipeline:
    work = sum(parts, Pipeline([]))
    with warnings.catch_warnings():
        # Kedro warns of a node that reads another namespace's data set, which is what waiting for it means.
        warnings.filterwarnings("ignore", message="One or more dataset names contain")
        reporting = import_module("vision_studies.pipelines.reporting")
        report: Pipeline = reporting.create_pipeline(after=sorted(work.outputs()))
        return report
