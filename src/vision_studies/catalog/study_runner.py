"""Kedro's sequential runner, which leaves out what would be made again from the same.

A node is left out where its outputs are there as it has left them, and inputs, parameters and the program are as they were. A
node that does runs is left out where besides no file of any run has changed since it ended, and none has failed.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from time import time_ns
from typing import Any, TypeVar

from kedro.io import AbstractDataset, AbstractVersionedDataset, CatalogProtocol, DatasetError, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner
from kedro.runner.task import Task
from pluggy import PluginManager
from pydantic import BaseModel

import vision_studies
from vision_studies.catalog.datasets import FolderDataset
from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import DataError
from vision_studies.files import hash_json, visible_files, write_json
from vision_studies.project_folders import LAYERS, MODELS, REPORTS, TIMES, in_project, project_folder
from vision_studies.run_folders import note_left_out, note_unfinished, read_unfinished, runs_state
from vision_studies.studies.forecast import StageForecast
from vision_studies.studies.planned_times import PlannedTimes
from vision_studies.studies.provenance import library_versions
from vision_studies.studies.study_clock import StudyClock, present_clock, study_clock
from vision_studies.studies.times import Speeds, duration, setting

logger = logging.getLogger(__name__)

_PARAMETER = "params:"
_FRESH = f"{_PARAMETER}fresh"
_WITHOUT_EFFECT = (_FRESH, f"{_PARAMETER}execution")
"""Where and whether runs are done: it decides no table and no figure."""
_MARK = "only_from_inputs"
_LEDGER = ".nodes"
_WORTH_TELLING = 20.0  # seconds
_NAMED = 6  # runs that a sentence names
_NAME_LETTERS = 256  # the name of no file has more
_DRAWING = ("matplotlib", "plotly", "scipy", "kedro-datasets")

F = TypeVar("F", bound=Callable[..., Any])
Signature = dict[str, Any]
FolderState = Callable[[Mapping[str, Path], int], Any]
"""Folders by their names, and until when what lies in them counts (nanoseconds since 1970)."""
OutsideFiles = Callable[[Mapping[str, Any]], Iterable[Path]]
Fits = Callable[[Sequence[str], Callable[[str], Any]], str | None]
"""Names of a node's inputs, and what loads one of them -> why its study cannot be done on the images; None where it can."""


Forecasts = Callable[[Sequence[str], Callable[[str], Any]], tuple[list[StageForecast], ExecutionSettings]]
"""Likewise -> what is left to be done, stage by stage, and where."""


@dataclass(frozen=True)
class _Mark:
    """What a node's outputs follow from, besides its inputs."""

    folders: FolderState
    outside: OutsideFiles
    does_runs: bool
    fits: Fits | None = None
    forecast: Forecasts | None = None


def _no_folders(_: Mapping[str, Path], __: int) -> None:
    return None


def _no_files(_: Mapping[str, Any]) -> tuple[Path, ...]:
    return ()


def only_from_inputs(function: F, folders: FolderState | None = None, outside: OutsideFiles | None = None) -> F:
    """Mark the function of a node whose outputs follow from its inputs.

    Args:
        function: of the node.
        folders: what of the folders among the inputs decides the outputs, by their names; None where all that is taken from
            them is told by tables among the inputs, as that of folders of runs.
        outside: parameters by their names -> files that the node reads beside its inputs; those that parameters name are
            known.
    """
    setattr(function, _MARK, _Mark(folders or _no_folders, outside or _no_files, does_runs=False))
    return function


def only_from_runs(
    function: F,
    outside: OutsideFiles | None = None,
    fits: Fits | None = None,
    forecast: Forecasts | None = None,
) -> F:
    """Mark the function of a node that does runs, and whose outputs follow from its inputs and these.

    `fits` says whether its study can be done: where it cannot, it is left out of a run of several. `forecast` says what is left
    to be done of it.
    """
    setattr(function, _MARK, _Mark(_runs_of, outside or _no_files, does_runs=True, fits=fits, forecast=forecast))
    return function


def _runs_of(folders: Mapping[str, Path], until: int) -> list[str] | None:
    states = [runs_state(folder, until) for folder in folders.values()]
    return None if None in states else [state for state in states if state is not None]


class StudyRunner(SequentialRunner):
    """Runs nodes one after the other, without those that would make the same again."""

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        with ExitStack() as clock:
            self._do(pipeline, catalog, hook_manager, run_id, clock)

    def _do(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None,
        run_id: str | None,
        clock: ExitStack,
    ) -> None:
        """Run the nodes; what is left of the study is known from the first on that works with the images."""
        nodes = pipeline.nodes
        self._validate_catalog(catalog)
        self._validate_nodes(nodes)
        self._set_manager_datasets(catalog)
        loads = Counter(chain.from_iterable(node.inputs for node in nodes))
        done: set[Node] = set()
        left_out = 0
        unfit: dict[str, str] | None = None
        for planned in nodes:
            node = _without(planned, unfit or {})
            if unfit is not None and node.namespace in unfit:
                continue
            if is_unchanged(node, catalog):
                left_out += 1
            else:
                if unfit is None and _fits(node) is not None:  # the first that works with the images
                    unfit = _unfit_studies(nodes, catalog)
                    started = clock.enter_context(study_clock(_announced(nodes, catalog, unfit)))
                    clock.callback(started.end)
                    if node.namespace in unfit:
                        continue
                ledger = _ledger(node, catalog)
                # As they are before the node reads them: another process may change them while it works.
                inputs = _inputs(node, catalog, time_ns()) if ledger is not None else {}
                task = Task(node, catalog, is_async=self._is_async, hook_manager=hook_manager, run_id=run_id)
                try:
                    task.execute()
                except Exception:  # told of as Kedro's own runner does, and raised again
                    self._suggest_resume_scenario(pipeline, done, catalog)
                    raise
                missing = _note_missing(node, catalog)
                if ledger is not None and not missing:
                    _note(node, catalog, ledger, inputs)
            done.add(node)
            self._release_datasets(node, catalog, loads, pipeline)
        if left_out:
            logger.info("%d of %d steps had nothing new to work with, and their results stay", left_out, len(nodes))


def _fits(node: Node) -> Fits | None:
    mark: _Mark | None = getattr(node.func, _MARK, None)
    return None if mark is None else mark.fits


def _forecast(node: Node) -> Forecasts | None:
    mark: _Mark | None = getattr(node.func, _MARK, None)
    return None if mark is None else mark.forecast


def _unfit_studies(nodes: Sequence[Node], catalog: CatalogProtocol) -> dict[str, str]:
    """Pipelines whose studies cannot be done on the images -> why; the report says so, too.

    Raises:
        DataError: no other study is asked for.
    """
    judged: dict[str, str | None] = {}
    for node in nodes:
        if node.namespace is not None and node.namespace not in judged and (fits := _fits(node)) is not None:
            judged[node.namespace] = fits(node.inputs, catalog.load)
    unfit = {name: reason for name, reason in judged.items() if reason is not None}
    if unfit and len(unfit) == len(judged):
        raise DataError(" ".join(dict.fromkeys(unfit.values())))
    name = _study_name(catalog)
    for pipeline, reason in judged.items():
        note_left_out(project_folder() / REPORTS / name / pipeline, reason)
    for pipeline, reason in unfit.items():
        logger.warning("%s is left out, for it cannot be done on these images: %s", pipeline, reason)
    return unfit


def _note_missing(node: Node, catalog: CatalogProtocol) -> bool:
    """Note, for the report, what of a pipeline the budget has left undone; whether it has."""
    clock, mark = present_clock(), getattr(node.func, _MARK, None)
    if clock is None or mark is None or not mark.does_runs or node.namespace is None:
        return False
    without = list(dict.fromkeys(clock.without.get(node.namespace, [])))
    sentence = None
    if without:
        named = ", ".join(without[:_NAMED]) + (f" and {len(without) - _NAMED} more" if len(without) > _NAMED else "")
        are = "runs were" if len(without) > 1 else "run was"
        sentence = (
            f"The budget (execution.budget) was used up before all of {node.namespace} was done: {len(without)} {are} not "
            f"begun ({named}); a larger one goes on."
        )
    folder = project_folder() / REPORTS / _study_name(catalog) / node.namespace
    if sentence != read_unfinished(folder):  # of several nodes the first says it
        if sentence is not None:
            logger.warning(sentence)
        note_unfinished(folder, sentence)
    return bool(without)


def _study_name(catalog: CatalogProtocol) -> str:
    study = catalog.load(f"{_PARAMETER}study")
    return str(study["name"] if isinstance(study, Mapping) else study.name)


def _announced(nodes: Sequence[Node], catalog: CatalogProtocol, unfit: Collection[str]) -> StudyClock:
    """Say how much is to be done, and how long it takes on this machine; the clock that goes on telling it."""
    asked = {
        node.namespace: node
        for node in reversed(nodes)
        if node.namespace not in (None, *unfit) and _forecast(node) is not None
    }
    forecasts: list[StageForecast] = []
    execution: ExecutionSettings | None = None
    for node in reversed(asked.values()):
        if (told := _forecast(node)) is not None:
            of_method, execution = told(node.inputs, catalog.load)
            forecasts += of_method
    together = 1 if execution is None or execution.backend == "sequential" else execution.workers
    where = [] if execution is None else setting(execution)
    speeds = Speeds.of_this_machine(project_folder() / TIMES, where)
    planned = PlannedTimes(forecasts, speeds)
    planned.measure_if_worth_it()
    whole = planned.whole
    if whole.seconds >= _WORTH_TELLING:
        logger.info(
            "%s%s (%s to %s) on this machine for what is left to be done; `kedro runs plan` tells it stage by stage",
            "at most " if any(stage.unknown for stage in forecasts) else "about ",
            duration(whole.seconds),
            duration(whole.low),
            duration(whole.high),
        )
    clock = planned.clock(together)
    if execution is not None and execution.seconds is not None:
        clock.begin(execution.seconds, project_folder() / MODELS / _study_name(catalog) / "budget.json", planned.least)
    return clock


def _without(node: Node, left_out: Collection[str]) -> Node:
    """A node that does not wait for what pipelines would have made that are left out."""
    awaited = [name for name in node.inputs if name.split(".")[0] in left_out]
    if not awaited or node.namespace in left_out:
        return node
    return node._copy(inputs=[name for name in node.inputs if name not in awaited])


def _note(node: Node, catalog: CatalogProtocol, ledger: Path, inputs: Signature) -> None:
    if _mark(node).does_runs:  # which are as the node itself has left them
        ledger.parent.mkdir(parents=True, exist_ok=True)
        ledger.touch()
        until = ledger.stat().st_mtime_ns  # by the clock of the file system, which may be another machine's
        inputs = inputs | {"until": until, "folders": _folders_state(node, catalog, until)}
        if inputs["folders"] is None:
            ledger.unlink()
            return
    write_json(ledger, inputs | _outputs(node, catalog))


def is_unchanged(node: Node, catalog: CatalogProtocol) -> bool:
    """Whether a node would make again what is there."""
    ledger = _ledger(node, catalog)
    if ledger is None or not ledger.is_file() or (_mark(node).does_runs and catalog.load(_FRESH)):
        return False
    try:
        noted = json.loads(ledger.read_text(encoding="utf-8"))
        until = int(noted["until"])
    except (ValueError, TypeError, KeyError):
        return False  # damaged: the node is done, and it is written anew
    return bool(noted == json.loads(json.dumps(_inputs(node, catalog, until) | _outputs(node, catalog))))


def _inputs(node: Node, catalog: CatalogProtocol, until: int) -> Signature:
    """The program, and what a node reads, but for what it has left there itself."""
    left = [path for name in node.outputs for path in _paths(_dataset(name, catalog))]
    again = {name for name in node.inputs if any(path in left for path in _paths(_dataset(name, catalog)))}
    names = {*node.inputs} - {*_WITHOUT_EFFECT, *_folders(node, catalog), *again}
    states = {name: _state(name, catalog) for name in sorted(names)}
    parameters = {name: catalog.load(name) for name in names if name.startswith(_PARAMETER)}
    outside = _times(_mark(node).outside(parameters))
    folders = _folders_state(node, catalog, until)
    return {"program": _program(), "until": until, "folders": folders, "outside": outside, **states}


def _folders_state(node: Node, catalog: CatalogProtocol, until: int) -> Any:
    return _mark(node).folders(_folders(node, catalog), until)


def _mark(node: Node) -> _Mark:
    mark: _Mark = getattr(node.func, _MARK)
    return mark


def _folders(node: Node, catalog: CatalogProtocol) -> dict[str, Path]:
    datasets = {name: _dataset(name, catalog) for name in node.inputs}
    return {name: _paths(dataset)[0] for name, dataset in datasets.items() if isinstance(dataset, FolderDataset)}


def _outputs(node: Node, catalog: CatalogProtocol) -> Signature:
    return {name: _state(name, catalog) for name in node.outputs}


def _ledger(node: Node, catalog: CatalogProtocol) -> Path | None:
    """Where a node's signature is kept; None of a node that is always done."""
    if not hasattr(node.func, _MARK):
        return None
    names = [name for name in (*node.inputs, *node.outputs) if not name.startswith(_PARAMETER)]
    datasets = {name: _dataset(name, catalog) for name in names}
    if any(dataset is None or isinstance(dataset, MemoryDataset) for dataset in datasets.values()):
        return None
    first = next(iter(_paths(datasets[node.outputs[0]])), Path())
    root = next((folder.parent for folder in (first, *first.parents) if folder.name in LAYERS), None)
    return None if root is None else root / _LEDGER / f"{hash_json([node.name, str(first)])[:16]}.json"


def _state(name: str, catalog: CatalogProtocol) -> Any:
    """A parameter itself, or how a data set is described; with sizes and times of the files that either names."""
    if name.startswith(_PARAMETER):
        value = catalog.load(name)
        value = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        return {"value": value, "files": _times(_named_in(value))}
    dataset = _dataset(name, catalog)
    ending = getattr(dataset, "_filename_suffix", "")  # partitions of other kinds may lie beside
    described = {key: str(value) for key, value in (dataset._describe() if dataset else {}).items() if key != "version"}
    files = [file for path in _newest(dataset) for file in _files(path) if str(file).endswith(ending)]
    return {"described": described, "files": _times(files)}


def _named_in(value: Any) -> Iterator[Path]:
    """Files that a parameter names, and what lies in the folders that it names."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _named_in(part)
    elif isinstance(value, str | Path) and len(parts := Path(value).parts) > 1 and max(map(len, parts)) < _NAME_LETTERS:
        path = in_project(value)
        yield from sorted(path.iterdir()) if path.is_dir() else [path]


def _times(files: Iterable[Path]) -> list[list[Any]]:
    """Names, sizes and times; of a file that is not there its name."""
    return [[str(file), *(_size_and_time(file) if file.exists() else ())] for file in files]


def _dataset(name: str, catalog: CatalogProtocol) -> AbstractDataset[Any, Any] | None:
    return None if name.startswith(_PARAMETER) else catalog.get(name)


def _paths(dataset: AbstractDataset[Any, Any] | None) -> list[Path]:
    """What a data set is described by: a file, or a folder."""
    for attribute in ("_filepath", "_file", "_folder", "_path"):
        path = getattr(dataset, attribute, None)
        if path is not None:
            return [Path(str(path))]
    return []


def _newest(dataset: AbstractDataset[Any, Any] | None) -> list[Path]:
    if isinstance(dataset, AbstractVersionedDataset):
        try:
            return [Path(str(dataset._get_load_path()))]
        except DatasetError:
            return []
    return _paths(dataset)


def _files(path: Path) -> Iterator[Path]:
    return iter([path]) if path.is_file() else visible_files(path)


@cache
def _program() -> str:
    """Changes with every file of this package, and with the libraries that draw and write."""
    package = Path(vision_studies.__file__).parent
    files = sorted(file for file in package.rglob("*.py"))
    libraries = [library_versions(), *(version(name) for name in _DRAWING), find_spec("ffcv") is not None]
    return hash_json([libraries, [[str(file.relative_to(package)), *_size_and_time(file)] for file in files]])[:16]


def _size_and_time(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns
