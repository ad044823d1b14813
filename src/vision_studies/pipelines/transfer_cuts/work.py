"""The runs of `transfer_cuts`: which there are, and doing them in stacks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.config.transfer_cuts import BASELINE, CutRunSettings, PretrainingRunSettings, TransferCutsSettings
from vision_studies.errors import DataError
from vision_studies.studies.execution import execute, require_networks
from vision_studies.studies.results import COMPLETE
from vision_studies.studies.runs import Run
from vision_studies.studies.stacks import Record, execute_stacks
from vision_studies.studies.stages import Outcome, read_stage, run_folder

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.methods.transfer_cuts import CutRun

PIPELINE = "transfer_cuts"
PRETRAINING, TRAINING, EVALUATION = "pretraining", "training", "evaluation"


@dataclass(frozen=True)
class Cell:
    """A place in the study's table; several may be one and the same run.

    Attributes:
        mode: what is done at the cut, or `baseline`.
        cut: convolutions before the cut; -1 for the baseline.
        fraction: share of the training images.
        run: what is trained.
    """

    mode: str
    cut: int
    fraction: float
    run: Run


@dataclass(frozen=True)
class Workplace:
    """All that a run needs besides its own settings."""

    settings: TransferCutsSettings
    study: StudySettings
    execution: ExecutionSettings
    data: "PreparedData"
    folder: Path

    @cached_property
    def classes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """First and new classes, by name.

        Raises:
            DataError: a class is unknown, or stands among both.
        """
        from vision_studies.data.subsets import resolve_classes

        names = self.data.image_set.class_names
        first, new = (
            resolve_classes(getattr(self.settings.classes, key), names, f"transfer_cuts.classes.{key}")
            for key in ("pretraining", "fine_tuning")
        )
        both = [name for name in new if name in first]
        if both:
            raise DataError(
                f"transfer_cuts.classes: '{both[0]}' is among the classes of pretraining and of fine_tuning; new classes "
                "must not have been seen: take it out of one of the two."
            )
        return first, new

    def pretraining_runs(self) -> list[Run]:
        """One a pretraining seed."""
        configuration = self.settings.pretraining_run(self.classes[0])
        return [self._run("pretraining", seed, configuration) for seed in self.settings.pretraining.seeds]

    def cells(self) -> list[Cell]:
        """All places of the study's table, fraction by fraction; the baseline is the first of each."""
        pretrained = [run.fingerprint for run in self.pretraining_runs()]
        points = [(BASELINE, -1)] + [
            (mode, cut) for mode in self.settings.modes for cut in self.settings.cut_points(mode)
        ]
        found = []
        for subset in self.settings.subsets:
            for mode, cut in points:
                for repeat in range(subset.repeats):
                    own = pretrained[repeat % len(pretrained)]
                    configuration = self.settings.run(mode, max(cut, 0), subset.fraction, self.classes[1], own)
                    run = self._run(cell_name(mode, cut, subset.fraction), repeat, configuration)
                    found.append(Cell(mode, cut, subset.fraction, run))
        return found

    def _run(self, variant: str, seed: int, configuration: dict[str, Any]) -> Run:
        from vision_studies.methods.transfer_cuts import METHOD_VERSION

        return Run(PIPELINE, self.study.name, variant, 0, seed, configuration, self.data.fingerprint, METHOD_VERSION)


def cell_name(mode: str, cut: int, fraction: float) -> str:
    """How a place of the table is called, as in `1 %: FR, cut 4`."""
    from vision_studies.analysis.rankings import mode_label

    point = f", cut {cut}" if cut >= 0 and mode != "fine_tune" else ""
    return f"{share_name(fraction)}: {mode_label(mode)}{point}"


def share_name(fraction: float) -> str:
    """How a share of the images is called, as in `0.1 %`."""
    return f"{100 * fraction:.4g} %"


def pretrain_runs(place: Workplace, *, fresh: bool) -> list[Run]:
    """Pretrain what is not pretrained yet; return the runs.

    Raises:
        DataError: a pretraining has not given a network.
    """
    runs = place.pretraining_runs()
    execute(runs, PRETRAINING, partial(_pretrain, place=place), place.folder, place.execution, fresh=fresh)
    rate = "transfer_cuts.pretraining.optimizer.learning_rate"
    require_networks(place.folder, runs, PRETRAINING, name="pretraining", learning_rate=rate)
    return runs


def train_runs(place: Workplace, runs: Sequence[Run], *, fresh: bool) -> None:
    """Fine-tune what is not finished, cut by cut."""
    check_subsets(place, runs)
    work = partial(_train, place=place)
    execute_stacks(runs, TRAINING, work, partial(_stacks, place), place.folder, place.execution, fresh=fresh)


def evaluate_runs(place: Workplace, runs: Iterable[Run]) -> None:
    """Score the trained ones of `runs` once."""
    trained = [run for run in runs if _is_trained(place.folder, run)]
    work = partial(_evaluate, place=place)
    execute_stacks(trained, EVALUATION, work, _by_layers, place.folder, place.execution)


def check_subsets(place: Workplace, runs: Iterable[Run]) -> None:
    """Draw every subset before anything is trained.

    Raises:
        DataError: a fraction leaves a class without an image.
    """
    from vision_studies.methods.transfer_cuts import subset

    for run in {run.configuration["fraction"]: run for run in runs}.values():
        subset(CutRunSettings.model_validate(run.configuration), run.seed, place.data)


def _is_trained(folder: Path, run: Run) -> bool:
    result = read_stage(folder, run, TRAINING)
    return result is not None and result["status"] == COMPLETE


def _layers(run: Run) -> tuple[Any, ...]:
    """Runs that share it have the same layers behind the same features; in its order, features are computed once."""
    cut = run.configuration["cut"]
    return cut["frozen"], run.configuration["pretrained"] or "", cut["transferred"], cut["kept"], cut["new_dense"]


def _by_layers(runs: Sequence[Run]) -> list[list[Run]]:
    return [list(own) for _, own in groupby(sorted(runs, key=_layers), key=_layers)]


def _stacks(place: Workplace, runs: Sequence[Run]) -> list[Sequence[Run]]:
    """Runs of equal layers and fraction, as many at a time as the memory of a stack allows."""
    from vision_studies.methods.transfer_cuts import member_bytes
    from vision_studies.training.members import divide_into_stacks

    stacks: list[Sequence[Run]] = []
    for own in _by_layers(runs):
        for _, alike in groupby(sorted(own, key=_fraction), key=_fraction):
            members = list(alike)
            needed = member_bytes(_cut_run(place, members[0]), place.data)
            stacks += divide_into_stacks(members, needed, place.settings.stack.memory_mb)
    return stacks


def _fraction(run: Run) -> float:
    return float(run.configuration["fraction"])


def _cut_run(place: Workplace, run: Run) -> "CutRun":
    from vision_studies.methods.cut_networks import WEIGHTS_FILE
    from vision_studies.methods.transfer_cuts import CutRun

    settings = CutRunSettings.model_validate(run.configuration)
    if settings.pretrained is None:
        return CutRun(settings, run.seed, None, None)
    earlier = next(own for own in place.pretraining_runs() if own.fingerprint == settings.pretrained)
    file = run_folder(place.folder, earlier) / WEIGHTS_FILE
    return CutRun(settings, run.seed, file, PretrainingRunSettings.model_validate(earlier.configuration))


def _pretrain(run: Run, folder: Path, *, place: Workplace) -> Outcome:
    from vision_studies.methods.transfer_cuts import pretrain
    from vision_studies.training.runtime import select_device

    settings = PretrainingRunSettings.model_validate(run.configuration)
    device = select_device(place.execution.device)
    return pretrain(settings, run.seed, place.data, folder, device, place.settings.stack)


def _train(stack: Sequence[Run], folder: Path, record: Record, *, place: Workplace) -> None:
    from vision_studies.methods.cut_networks import WEIGHTS_FILE
    from vision_studies.methods.transfer_cuts import train_stack
    from vision_studies.training.runtime import select_device

    train_stack(
        [_cut_run(place, run) for run in stack],
        place.data,
        folder,
        select_device(place.execution.device),
        place.settings.stack,
        on_end=lambda member, outcome: record(stack[member], outcome),
        weights_file=lambda member: run_folder(place.folder, stack[member]) / WEIGHTS_FILE,
    )


def _evaluate(stack: Sequence[Run], _folder: Path, record: Record, *, place: Workplace) -> None:
    from vision_studies.methods.cut_networks import WEIGHTS_FILE
    from vision_studies.methods.transfer_cuts import evaluate_stack
    from vision_studies.training.runtime import select_device

    files = [(_cut_run(place, run), run_folder(place.folder, run) / WEIGHTS_FILE) for run in stack]
    scores = evaluate_stack(files, place.data, select_device(place.execution.device))
    for run, metrics in zip(stack, scores, strict=True):
        trained = read_stage(place.folder, run, TRAINING)
        known = trained["metrics"]["other_metrics"] if trained else {}
        record(run, Outcome(metrics | {"other_metrics": known | metrics["other_metrics"]}))
