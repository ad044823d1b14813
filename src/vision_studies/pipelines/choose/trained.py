"""Candidates whose networks are trained: what a training has said is kept when it ends, and a stopped one is continued."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vision_studies.config.fine_tuning import FineTuning
from vision_studies.files import atomic_file, write_json
from vision_studies.outcomes import STOPPED_EARLY
from vision_studies.pipelines.choose.budget import Clock, Hopeless, OutOfTime, read_pace
from vision_studies.pipelines.choose.candidates import part_of, recipe_of
from vision_studies.pipelines.choose.division import FEWEST_PAIRED, Division, Training, Trainings, trainings_of
from vision_studies.run_folders import PACE_FILE

if TYPE_CHECKING:
    from vision_studies.config.fine_tuning import FineTuning
    from vision_studies.data.image_set import ImageSet
    from vision_studies.studies.runs import Run

_FOLDER = "trainings"
_SURE = 3.0  # standard errors: one in 700 that is as good is stopped at a look, of which there are as many as folds
_FEWEST_COMPARED = 30  # images
_FIRST_LOOKS, _DOUBT = 2, 1.3  # epochs after which nobody can say to 30 % how long the rest takes


class Rival(NamedTuple):
    """What a candidate that is trained has to come near to.

    Attributes:
        title: for people.
        inner: probabilities float32 [F, N, classes] with the same folds; see `work.Tried.inner`.
    """

    title: str
    inner: np.ndarray


class Said(NamedTuple):
    """What the trainings of a candidate say.

    Attributes:
        tested: logits float32 [M, classes] of the test images.
        inner: logits float32 [F, N, classes]; NaN where nothing is said of an image. See `work.Tried.inner`.
        body: weights of the network that is kept, and by what its images are normalised.
        head: `weight` [classes, D] and `bias` [classes] of its last layer.
        earlier: seconds that earlier commands have worked on them.
    """

    tested: np.ndarray
    inner: np.ndarray
    body: dict[str, Any]
    head: dict[str, np.ndarray]
    earlier: float


def train_candidate(
    run: "Run",
    folder: Path,
    division: Division,
    images: "ImageSet",
    classes: int,
    clock: Clock | None,
    rival: Rival | None = None,
) -> Said:
    """Do all trainings of a candidate, or what an earlier command has left of them: those that validate it first.

    Raises:
        Hopeless: on the images of inner folds that have been predicted, it is clearly worse than the rival.
        OutOfTime: the budget has ended, or will before they do; the trainings that have ended, and the checkpoint of another,
            are kept.
    """
    begun = time.perf_counter()
    trainings = trainings_of(division, run.seed)
    network = _network(run, division, images, classes)
    pace = _Pace(folder, network.epochs, trainings, clock, begun)
    logits: dict[str, np.ndarray] = {}
    body, head = dict[str, Any](), dict[str, np.ndarray]()
    for number, training in enumerate(trainings.all):
        file = folder / _FOLDER / f"{training.name}.safetensors"
        kept = None if training is trainings.whole else read_array(file, "logits")
        if kept is not None and kept.shape == (len(training.predicts), classes):  # else of other images
            logits[training.name] = kept
            pace.skip(training)
            continue
        predicts = training.predicts if len(training.predicts) else network.test_places
        checkpoints = folder / _FOLDER / training.name
        said = network.train(training.learns, predicts, run.seed + number, checkpoints, pace.report(training))
        logits[training.name] = said.logits
        if rival is not None and training in trainings.inner:
            _compare(_inner(trainings, division, logits, classes), division.labels, rival)
        if training is trainings.whole:
            body, head = said.body, said.head
        else:
            write_array(file, "logits", said.logits)
            shutil.rmtree(checkpoints, ignore_errors=True)
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)
    inner = _inner(trainings, division, logits, classes)
    if division.outer is None:
        return Said(logits["whole"], inner, body, head, pace.earlier)
    tested = np.zeros((len(division.labels), classes), np.float32)
    for training in trainings.outer:
        tested[training.predicts] = logits[training.name]
    return Said(tested, inner, body, head, pace.earlier)


def _inner(trainings: Trainings, division: Division, logits: dict[str, np.ndarray], classes: int) -> np.ndarray:
    folds = max(1, division.folds)
    inner = np.full((folds, len(division.labels), classes), np.nan, np.float32)
    for fold, training in enumerate(trainings.inner):
        if (said := logits.get(training.name)) is None:
            continue
        if division.outer is None or folds < FEWEST_PAIRED:
            inner[fold, training.predicts] = said
            continue
        own, following = fold, (fold + 1) % folds
        of = division.outer[training.predicts]
        inner[own, training.predicts[of == following]] = said[of == following]
        inner[following, training.predicts[of == own]] = said[of == own]
    return inner


def _compare(inner: np.ndarray, labels: np.ndarray, rival: Rival) -> None:
    """Raise Hopeless where the rival is right more often by `_SURE` standard errors of the difference, of the same images."""
    known = np.isfinite(inner).all(axis=2) & np.isfinite(rival.inner).all(axis=2)
    right, theirs = ((said.argmax(axis=2) == labels)[known] for said in (inner, rival.inner))
    behind = theirs.astype(float) - right
    if len(behind) < _FEWEST_COMPARED or behind.mean() <= _SURE * behind.std() / len(behind) ** 0.5:
        return
    raise Hopeless(
        f"{STOPPED_EARLY}: of {known.any(axis=0).sum():,} images of inner folds it was right about {right.mean():.1%}, and "
        f"'{rival.title}' about {theirs.mean():.1%}"
    )


class _Result(NamedTuple):
    logits: np.ndarray
    body: dict[str, Any]
    head: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Network:
    """How a candidate is trained; places from the number of images that are learnt from on are test images."""

    epochs: int
    train: Callable[[np.ndarray, np.ndarray, int, Path, Callable[[Any], None]], _Result]
    test_places: np.ndarray


def _network(run: "Run", division: Division, images: "ImageSet", classes: int) -> _Network:
    import torch

    from vision_studies.pipelines.choose.joined_network import opened_part
    from vision_studies.training.fine_tuning import FineTuner, TrainerFromNothing

    apart = division.outer is None
    positions = np.concatenate([division.positions, division.test]) if apart else division.positions
    labels = np.concatenate([division.labels, division.test_labels]) if apart else division.labels
    places = np.arange(len(division.positions), len(positions)) if apart else np.arange(1)
    recipe, pixels = recipe_of(run.configuration), np.asarray(images.images[positions])
    trainer: Any
    if isinstance(recipe, FineTuning):
        part = part_of(run.configuration["features"][0])
        trainer = FineTuner(pixels, labels, opened_part(part), part.pixels, classes, recipe, mirror=part.mirror)
    else:
        trainer = TrainerFromNothing(pixels, labels, classes, recipe, mirror=run.configuration["mirror"])

    def train(learns: np.ndarray, predicts: np.ndarray, seed: int, folder: Path, report: Any) -> _Result:
        logits, network, *scale = trainer.train(learns, predicts, seed=seed, folder=folder, on_epoch=report)
        body = dict(network.body.state_dict())
        body |= {name: torch.tensor(getattr(own, name)) for own in scale for name in ("mean", "std")}
        head = {name: value.detach().cpu().numpy() for name, value in network.classifier.named_parameters()}
        return _Result(logits, body, head)

    return _Network(recipe.epochs, train, places)


@dataclass
class _Pace:
    """How fast the trainings of a candidate go, and whether they will end in time.

    The first epochs are the timed steps: what would not end is stopped after one of them, at a cost of little more.
    """

    folder: Path
    epochs: int
    trainings: Trainings
    clock: Clock | None
    begun: float
    earlier: float = field(default=0.0, init=False)
    _left: float = field(init=False)
    _seen: float = field(default=0.0, init=False)
    _looks: int = field(default=0, init=False)
    _ready: float = field(init=False)

    def __post_init__(self) -> None:
        self._left = float(sum(self.epochs * len(training.learns) for training in self.trainings.all))
        self._total = self._left
        before = read_pace(self.folder / PACE_FILE)
        self.earlier = 0.0 if before is None else before["spent"]
        self._ready = time.perf_counter()

    def skip(self, training: Training) -> None:
        """Take in that a training has ended in an earlier command."""
        self._left -= self.epochs * len(training.learns)

    def report(self, training: Training) -> Callable[[Any], None]:
        """What a training calls after every epoch. Raises OutOfTime there."""
        done = 0

        def told(row: dict[str, Any]) -> None:
            nonlocal done
            if row["epoch"] > done + 1:  # an earlier command has done the first ones
                self._left -= (row["epoch"] - done - 1) * len(training.learns)
            done = int(row["epoch"])
            self._left -= len(training.learns)
            self._seen += len(training.learns)
            self._looks += 1
            self._look()

        return told

    def _look(self) -> None:
        if self.clock is None:
            return
        training = (time.perf_counter() - self._ready) / self._seen
        preparing = self._ready - self.begun
        spent = self.earlier + time.perf_counter() - self.begun
        seconds = {
            "total": preparing + training * self._total,
            "left": preparing + training * self._left,
            "spent": spent,
        }
        write_json(self.folder / PACE_FILE, seconds)
        doubt = _DOUBT if self._looks <= _FIRST_LOOKS else 1.0
        if self._left and (self.clock.left <= 0 or training * self._left > doubt * self.clock.left):
            raise OutOfTime(seconds["left"])


def read_array(file: Path, name: str) -> np.ndarray | None:
    """What `write_array` has written; None where it is missing or damaged."""
    try:
        return load_file(file)[name]
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def write_array(file: Path, name: str, array: np.ndarray) -> None:
    """Write one array, as safetensors."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as temporary:
        save_file({name: np.ascontiguousarray(array)}, temporary)
