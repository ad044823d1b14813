"""What a method is: one object that says all there is to know of it, and doing what it says.

Kedro's nodes, `kedro runs plan`, the report and the commands read it; nothing about a method is told anywhere else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from vision_studies.config.registry import METHODS
from vision_studies.config.study import ExecutionSettings, StudySettings
from vision_studies.errors import DataError, VisionStudiesError
from vision_studies.project_folders import choose_project, project_folder
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.studies.execution import execute
from vision_studies.studies.folds import joined_stage, steps_by_folds
from vision_studies.studies.predictions import Keeping, Kept, Never
from vision_studies.studies.published import NeverPublished, Published
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import share
from vision_studies.studies.stages import Artifacts, Known, Later, Stage, Steps
from vision_studies.studies.study_clock import present_clock

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from vision_studies.data.prepared import PreparedData
    from vision_studies.statistics.metrics import Split
    from vision_studies.statistics.verdict import Chooser, Measure
    from vision_studies.training.classifier import ImageClassifier

S = TypeVar("S")

NO_WEIGHTS = "they have no selected weights: they are unfinished, have failed, or their weights were deleted"

RUNS = "runs_folder"
"""Data set of a method's folder of runs."""


@dataclass(frozen=True)
class Context(Generic[S]):
    """Where and with what a method works: all that its runs need besides their own settings.

    Attributes:
        execution: where runs are done.
        fresh: forget finished runs.
        data: images and splits; None where the study has none.
        runs: where runs lie.
        fold: of a cross-validation, from 1, where `data` is of one; else 0.
    """

    method: "Method[S]"
    settings: S
    study: StudySettings
    execution: ExecutionSettings
    fresh: bool
    data: "PreparedData | None"
    runs: RunStore
    fold: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        # A process that does runs draws and recommends nothing: it need not import what would.
        method = replace(self.method, nodes=(), section=PageSection("", {}, ()), verdict=NoChoice(""))
        parts = (method, self.settings, self.study, self.execution, self.fresh, self.data, self.runs, self.fold)
        return _context_of, (project_folder(), parts)

    @property
    def images(self) -> "PreparedData":
        """The images of the study. Raises DataError where it has none."""
        if self.data is None:
            raise DataError("The study's catalog has no images; name an environment that prepares some.")
        return self.data

    @property
    def device(self) -> "torch.device":
        """Where runs of this process are trained and scored."""
        from vision_studies.training.runtime import select_device

        return select_device(self.execution.device)

    def run(
        self, variant: str, seed: int, configuration: dict[str, Any], *, trial: int = 0, data: str | None = None
    ) -> Run:
        """A run of the method, with what decides its numbers besides the seed as JSON.

        Args:
            variant: how the study calls it.
            trial: of a search, from 1; 0 without one.
            data: fingerprint of what it learns from; None for the study's images.
        """
        fingerprint, method = self.images.fingerprint if data is None else data, self.method
        names = (method.name, self.study.name, variant, trial, seed)
        return Run(*names, configuration, fingerprint, method.version, self.fold)

    @property
    def each_fold(self) -> "list[Context[S]]":
        """The context with the images as each fold divides them; empty where they are not in folds."""
        folds = () if self.data is None else self.data.each_fold
        return [replace(self, data=data, fold=fold) for fold, data in enumerate(folds, start=1)]

    def steps(self, known: Known) -> Steps:
        """All that the method does, in order, as items: once for each fold, where the images are in folds."""
        whole, each = self.method.stages(self, known), [self.method.stages(own, known) for own in self.each_fold]
        return steps_by_folds(each, whole) if each else whole

    def table(self, runs: Sequence[Run], stages: Sequence[str]) -> "pd.DataFrame":
        """Rows of the results table for all `runs` that have a first stage; later stages add their columns."""
        from vision_studies.studies.results import results_table

        return results_table(runs, self.runs, stages)

    def histories(self, runs: Sequence[Run]) -> "pd.DataFrame":
        """Histories of all runs, one below the other; see `results.history_table`."""
        from vision_studies.studies.results import history_table

        return history_table(runs, self.runs)


def _context_of(project: Path, parts: tuple[Any, ...]) -> Context[Any]:
    """A context in the process that does its runs, which may have been started outside of the project."""
    choose_project(project)
    return Context(*parts)


@dataclass(frozen=True)
class NodeSpec:
    """A node of a method's graph, named after its function.

    Attributes:
        inputs: data sets, after those of the context where it takes one; likewise `outputs`.
        tags: phases that can be run alone.
        in_context: whether the first argument is the `Context`.
        does_runs: whether it does runs: then it is left out only where none has changed or failed since it did.
    """

    function: Callable[..., Any]
    inputs: Sequence[str]
    outputs: str | Sequence[str]
    tags: str | Sequence[str]
    in_context: bool = False
    does_runs: bool = False


does_runs = partial(NodeSpec, in_context=True, does_runs=True)
"""A node that does runs."""


class FigureText(NamedTuple):
    """How a page calls a figure, and what to look for in it."""

    title: str
    caption: str


class ChartSource(NamedTuple):
    """An interactive figure of the page.

    Attributes:
        file: table that it is drawn from, in the pipeline's folder of results.
        draw: content of the file -> title, caption and figure as `reports.page.Chart` takes them; None where there is
            nothing to see.
    """

    file: str
    draw: Callable[[Any], Any]


@dataclass(frozen=True)
class PageSection:
    """What the page of a study shows of a pipeline: interactive charts, and figures by the stem of their file, in order."""

    title: str
    figures: Mapping[str, FigureText]
    charts: Sequence[ChartSource]


def never(_: Mapping[str, Any]) -> bool:
    """No configuration."""
    return False


@dataclass(frozen=True)
class Choice:
    """How a verdict chooses among the variants of a method; see `statistics.verdict`.

    Attributes:
        is_baseline: variant and configuration (with dotted keys) of a run -> whether it is what others are to beat.
        condition: condition of a row of the results table, None where it has none -> what only such rows share, in words for a
            heading; empty where all that have the same images stand beside each other.
        measure: what of the test images is reported.
        choosers: by what of the validation images it selects, what it prefers first.
        is_balanced: configuration (with dotted keys) of a run -> whether it is chosen by and reported as a mean over classes,
            whatever `measure` and `choosers` say.
        is_of_one_seed: configuration of a run -> whether there is none of other seeds, so that they are not missing.
        costs_without: what costs leave out; empty: nothing.
        asks_more: whether its own conclusions answer another question than which variant to take, and stand below the verdict.
    """

    is_baseline: Callable[[str, Mapping[str, Any]], bool]
    condition: Callable[[str | None], str]
    measure: "Measure" = "accuracy"
    choosers: "tuple[Chooser, ...]" = ("validation_accuracy", "validation_loss")
    is_balanced: Callable[[Mapping[str, Any]], bool] = never
    is_of_one_seed: Callable[[Mapping[str, Any]], bool] = never
    costs_without: str = ""
    asks_more: bool = False


@dataclass(frozen=True)
class NoChoice:
    """A method that recommends nothing, for the `reason`, which follows its name: "asks ..."."""

    reason: str
    asks_more: ClassVar[bool] = True


def no_baseline(_: str, __: Mapping[str, Any]) -> bool:
    """Where nothing is there to be beaten."""
    return False


def beside_all(_: str | None) -> str:
    """Where all that have the same images stand beside each other."""
    return ""


@dataclass(frozen=True)
class StoredNetwork:
    """A run whose network is to be used again, with the content of its `run.json`.

    Attributes:
        checkpoint: a numbered one, instead of the selected weights; of networks that are trained as one alone.
    """

    folder: Path
    description: Mapping[str, Any]
    checkpoint: Path | None = None

    @property
    def configuration(self) -> dict[str, Any]:
        """Of the run."""
        return dict(self.description["configuration"])

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.description["seed"])

    @property
    def path(self) -> Path:
        """The file that was named, or else the run's folder."""
        return self.checkpoint or self.folder

    @property
    def weights(self) -> Path:
        """The file that is read."""
        return self.checkpoint or self.folder / WEIGHTS_FILE


def has_weights(_: Mapping[str, Any], folder: Path) -> str | None:
    """Why a run whose network has selected weights cannot be used; None where it can."""
    return None if (folder / WEIGHTS_FILE).is_file() else NO_WEIGHTS


def data_as_prepared(run: StoredNetwork, prepared: "Mapping[str, PreparedData]") -> "PreparedData | None":
    """The prepared images that a run names by their fingerprint; None where they are not there any more."""
    return prepared.get(run.description["data_fingerprint"])


def split_positions(_: StoredNetwork | None, data: "PreparedData", split: "Split") -> "np.ndarray":
    """Positions, in the image set, of the images of a split ("validation" or "test") of the data, int64 [N]."""
    positions: np.ndarray = getattr(data.splits, split)
    return positions


@dataclass(frozen=True)
class Networks:
    """How the networks that runs have trained are called, and how they are used again.

    Attributes:
        title: configuration of a run -> name of its network; empty where there is none.
        rebuild: run, and the images and splits that it was trained on -> the network as it was trained. Raises
            CheckpointError where the weights do not fit the network that the run describes, or those of another run, which
            it needs, are gone; is asked where `unusable` finds nothing against it.
        unusable: configuration and folder of a run -> why no classifier of images can be made of it, in words that follow
            "cannot be used: "; None where one can.
        positions: run, images and splits, and "validation" or "test" -> positions, in the image set, of the images that the
            run is validated or tested with, int64 [N].
        data: run, and all prepared images of the project by their fingerprint -> the images and splits that it was trained on;
            None where they are not there any more.
        score: run, and "validation" or "test" -> columns of the results table that tell of these images, of runs that can be
            scored without a classifier of images; None where there are none, and of a run that is scored by its classifier
            of images like any other. Raises ParameterError of a run that cannot be scored, and DataError where it has no
            such images.
        held_out: run, and the images and splits that it was trained on -> what was said of images by networks that had not
            learnt from them, where the run's own network has learnt from all: logits [N, classes], labels int64 [N], and
            features [N, d] as its network gives them. None where networks have images that they have not learnt from.
        never: why no run of the method leaves a network, in words that follow "cannot be used: "; None where runs do.
    """

    title: Callable[[Mapping[str, Any]], str]
    rebuild: "Callable[[StoredNetwork, PreparedData], ImageClassifier]"
    unusable: Callable[[Mapping[str, Any], Path], str | None] = has_weights
    positions: "Callable[[StoredNetwork, PreparedData, Split], np.ndarray]" = split_positions
    data: "Callable[[StoredNetwork, Mapping[str, PreparedData]], PreparedData | None]" = data_as_prepared
    score: "Callable[[StoredNetwork, Split], dict[str, float] | None] | None" = None
    held_out: "Callable[[StoredNetwork, PreparedData], tuple[np.ndarray, np.ndarray, np.ndarray]] | None" = None
    never: str | None = None


def no_networks(reason: str, title: Callable[[Mapping[str, Any]], str]) -> Networks:
    """Runs of which no classifier of images can be made, with the `reason` and the `title` as `Networks` has them."""
    refused = partial(_refused, reason)
    return Networks(title, refused, refused, never=reason)


def _refused(reason: str, *_: Any) -> Any:
    return reason


def _alone(settings: Any) -> Any:
    return settings


def in_folds(_: Any) -> None:
    """Where the runs of a method are done once for each fold, whatever its settings."""


def _as_they_are(_: Any, data: "PreparedData") -> "PreparedData":
    return data


def _no_files(_: Any) -> Sequence[Path]:
    return ()


def _by_fingerprint(_: Path, fingerprint: str) -> str:
    return fingerprint[:6]


@dataclass(frozen=True)
class Method(Generic[S]):
    """A method of the house, one a pipeline that trains.

    Attributes:
        name: of the pipeline, its namespace and its parameters.
        version: raised when the numbers of its runs change: all are then done again.
        section: what the page of a study shows of it.
        stages: all that it does, in order, as items; the second argument has what earlier nodes have saved. Nothing may be
            done before an item is given.
        check: whether the study can be done on the images of the context: cheap, nothing is trained or written. Raises
            VisionStudiesError with the reason where it cannot.
        most_runs: how many trainings there are at most, found without data.
        nodes: its graph.
        networks: how what its runs have trained is used again, or why it is not.
        published: how its published project wrote results, or why there is nothing of the kind.
        predictions: how much its scored runs keep of what they say of images, or why there is nothing of the kind.
        verdict: how a verdict chooses among its variants, or why it does not.
        folds: settings -> why its runs are not done once for each fold where the images are in folds, in words that follow its
            name, so that it keeps the one test split; empty where it divides the images into folds of its own; None where they
            are: `in_folds`.
        data: data sets of the images that its runs need.
        parameters: top-level parameters that decide which runs there are; its own where there are none.
        settings: settings models of `parameters`, in their order -> `Context.settings`.
        prepare: images as `data_prep` leaves them -> as the method needs them.
        runs_of: pipeline whose folder of runs it works in; its own where there is none.
        borrowed: data sets of another pipeline, by the names that they have here.
        outside: files beside the catalog's that its nodes read, but for those that parameters name.
        images: folder of its runs, and fingerprint of what one has learnt from -> what these images are called, beside their
            source: runs whose images have another name do not stand beside each other.
    """

    name: str
    version: int
    section: PageSection
    stages: Callable[[Context[S], Known], Steps]
    check: Callable[[Context[S]], None]
    most_runs: Callable[[S], int]
    nodes: Sequence[NodeSpec]
    networks: Networks
    published: Published | NeverPublished
    predictions: Kept | Never
    verdict: Choice | NoChoice
    folds: Callable[[S], str | None]
    data: Sequence[str] = ("image_set", "splits")
    parameters: Sequence[str] = ()
    settings: Callable[..., S] = _alone
    prepare: "Callable[[S, PreparedData], PreparedData | None]" = _as_they_are
    runs_of: str = ""
    borrowed: Mapping[str, str] = field(default_factory=dict)
    outside: Callable[[S], Sequence[Path]] = _no_files
    images: Callable[[Path, str], str] = _by_fingerprint

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Top-level parameters that decide which runs there are."""
        return tuple(self.parameters) or (self.name,)

    def fits(self, context: Context[S]) -> str | None:
        """Why the study cannot be done on the images of the context, in a sentence; None where it can."""
        try:
            for own in (context, *context.each_fold):
                self.check(own)
        except VisionStudiesError as error:
            return str(error)
        return None

    def runs_folder(self, models: Path) -> Path:
        """Where its runs lie in a study's folder of models."""
        return models / (self.runs_of or self.name) / "runs"

    @property
    def run_tables(self) -> list[tuple[str, str]]:
        """Data sets that may be tables of its runs, each with that of their histories; those of the last stage come first."""
        tables = []
        for node in reversed([node for node in self.nodes if node.does_runs]):
            outputs = [node.outputs] if isinstance(node.outputs, str) else list(node.outputs)
            histories = next((name for name in outputs if name.endswith("histories")), "histories")
            tables += [(name, histories) for name in outputs if name != histories]
        return tables


def check_images(data: "PreparedData") -> None:
    """What every method needs of its images. Raises DataError where a split is empty, images are not square, or there are fewer
    than two classes to be told apart.
    """
    import numpy as np

    for split in ("train", "validation", "test"):
        if not len(getattr(data.splits, split)):
            raise DataError(
                f"'{data.image_set.name}' has no {split} images; add some, or change data_prep.splits, and prepare them again."
            )
    if (classes := len(np.unique(data.image_set.labels[data.splits.train]))) < 2:
        raise DataError(
            f"'{data.image_set.name}' has training images of {classes} class, and a network learns to tell two or more apart; "
            "add images of another class."
        )
    data.image_size  # noqa: B018 - refuses images that are not square


def make_context(
    method: Method[S],
    models: Sequence[Any],
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    data: Sequence[Any],
    runs: RunStore,
) -> Context[S]:
    """The context of a method; see `Context`.

    Args:
        method: the method, with the settings `models` of its parameters.
        data: what the catalog has of `method.data`: image set, table of splits and, where asked for, FFCV files.
    """
    from vision_studies.data.prepared import PreparedData

    settings = method.settings(*models)
    image_set, splits, *files = data
    prepared = None
    if image_set is not None and splits is not None:
        whole = PreparedData.from_catalog(image_set, splits, files[0] if files else {})
        if whole.folds and method.folds(settings) is not None:
            whole = whole.without_folds
        prepared = method.prepare(settings, whole)
    return Context(method, settings, study, execution, fresh, prepared, runs)


def run_stages(context: Context[S], *labels: str, known: Known | None = None) -> dict[str, list[Run]]:
    """Do stages of a method; those before them are taken to have been done, and those after them are not asked for.

    Args:
        context: where and with what.
        labels: of the stages.
        known: what earlier nodes have saved.

    Returns:
        Label -> the runs of the stage, in the order in which the method gave them; with folds those that are put together.

    Raises:
        VisionStudiesError: something is the user's to mend.
    """
    steps, answer = context.steps(known or {}), None
    done: dict[str, list[Run]] = {}
    while True:
        try:
            item = steps.send(answer)
        except StopIteration:
            break
        if item.label not in labels and {*labels} <= done.keys():
            break
        if isinstance(item, Later) or item.label not in labels:
            answer = None if isinstance(item, Later) else True
            continue
        done.setdefault(item.label, []).extend(run for run in getattr(item, "runs", ()) if not run.fold)
        answer = do_item(item, context)
    missing = {*labels} - done.keys()
    if missing:
        raise RuntimeError(f"{context.method.name} has no stage {', '.join(sorted(missing))}")
    if (clock := present_clock()) is not None:
        for label in labels:
            clock.left.pop((context.method.name, label), None)  # planned at most, and not needed
    return done


def do_item(item: Any, context: Context[Any]) -> Any:
    """Do something that a method does, unless it is `Later`; what the method is to be told of it.

    Raises:
        VisionStudiesError: something is the user's to mend.
    """
    clock = present_clock()
    if isinstance(item, Stage) and item.joins is not None:
        here = context.execution.model_copy(update={"backend": "sequential"})  # no more than files are read
        execute(joined_stage(item, context.runs), context.runs, here, fresh=context.fresh)
        return True
    if isinstance(item, Stage):
        keeps = context.method.predictions
        if isinstance(keeps, Kept):
            item = replace(item, work=Keeping(item.work, context.execution.predictions or keeps.detail))
        timed = None if clock is None else clock.stage(context.method.name, item)
        execute(item, context.runs, context.execution, fresh=context.fresh, clock=timed)
        return True
    if isinstance(item, Artifacts):
        share(
            item,
            fresh=context.fresh,
            note=None if clock is None else partial(clock.made, context.method.name, item.label),
        )
        return True
    if context.fresh:
        item.forget(context.runs)
    found = item.work(context.runs, context.execution)
    if clock is not None:
        clock.left.pop((context.method.name, item.label), None)
    return found


def load_method(name: str) -> Method[Any]:
    """The method of a pipeline that `config.registry.METHODS` names. Raises ModuleNotFoundError where there is none."""
    method: Method[Any] = import_module(f"vision_studies.pipelines.{name}.method").METHOD
    return method


def networks_of(pipeline: str) -> Networks:
    """Networks of a pipeline's runs; none can be used of one that is no method any more."""
    return load_method(pipeline).networks if pipeline in METHODS else no_networks("they keep no network", lambda _: "")
