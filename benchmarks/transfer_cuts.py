"""Learning new classes behind every cut of a network: one run after the other as published, and as ours in stacks.

    python -m benchmarks.transfer_cuts --data=/path/to/fashion_mnist [--write] [--rounds 3] [--parts] [--tune]
        [--places 0 1 2 3 4 5 6] [--repeats 2 2 1] [--epochs 8] [--images 1120] [--pretraining-epochs 3]

Both sides fine-tune one pretrained network (clothes and bags, then shoes) at every cut and from scratch, with 0.1 %, 1 % and
10 % of the images: 8 places of the study's table at 2, 2 and 1 repeats are 40 runs. Both validate after every epoch, stop
early after 6 epochs without progress, and test on all training images of the new classes. As published: one network at a
time in float32; every image is made a PIL image, a tensor and normalised at every access, and its label is encoded alone;
the labels of a run's subset are found by running over the training images twice; layers before the cut are computed at
every step; the training images are scored every epoch; the baseline is trained although it is cut 0. Images lie decoded in
memory, as torchvision has them. Ours: `train_runs` and `evaluate_runs` of the pipeline with `protocol: published`.

A round of the published form at full length takes hours on two cores. Capped in both alike are the images of each class
(sizes of subsets, validation and test shrink together; 6000 are all), the epochs (40 as published), and the repeats. Both
draw the same subsets, which is checked, and new weights with the project's seeds, so that accuracies differ by rounding
alone. Every form has a process of its own, rounds take the forms in turn, and ratios are formed within a round. Reading
the images and pretraining are not timed. `--parts` measures ours without one of its parts; `--tune` measures instead how
an epoch's time depends on the size of stacks and on `images_at_once`, and where one grouped convolution is faster than one
a network; it takes all images unless told otherwise.
"""

import argparse
import copy
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import yaml
from PIL import Image
from sklearn.preprocessing import LabelEncoder
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset, random_split

from benchmarks.publish import publish
from benchmarks.rounds import measure
from benchmarks.training_step import machine
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.merge import merge_settings
from vision_studies.config.study import StudySettings
from vision_studies.config.transfer_cuts import (
    CutRunSettings,
    CutStackSettings,
    PretrainingRunSettings,
    TransferCutsSettings,
)
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.sources.read import read_source
from vision_studies.data.splits import make_splits
from vision_studies.methods.cut_networks import WEIGHTS_FILE, cut_network, load_pretrained, pretraining_network
from vision_studies.methods.transfer_cuts import CutRun, TrainedCut, subset, train_stack
from vision_studies.models import convnet
from vision_studies.pipelines.transfer_cuts.work import (
    EVALUATION,
    TRAINING,
    Cell,
    Workplace,
    evaluate_runs,
    pretrain_runs,
    train_runs,
)
from vision_studies.studies.execution import read_stage, run_folder
from vision_studies.torchvision_compat import torchvision_module
from vision_studies.training.checkpoints import load_state, save_weights
from vision_studies.training.members import weights_seed
from vision_studies.training.precision import autocast
from vision_studies.training.runtime import peak_memory_mb, tune_process
from vision_studies.training.stack import Stack

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "transfer_cuts.md"
MODULE = "benchmarks.transfer_cuts"
CPU = torch.device("cpu")
PRETRAINING, NEW = (0, 1, 2, 3, 4, 6, 8), (5, 7, 9)
FRACTIONS = (0.001, 0.01, 0.1)
PLACES, IMAGES, ALL_IMAGES = (0, 1, 2, 3, 4, 5, 6), 1120, 6000
PUBLISHED, OURS, ALONE, ANEW, FLOAT32 = "published", "ours", "alone", "anew", "float32"
NAMES = {
    PUBLISHED: "as published",
    OURS: "ours",
    ALONE: "ours, stacks of one network",
    ANEW: "ours, layers before the cut computed at every step",
    FLOAT32: "ours, float32",
}
CHANGES: dict[str, dict[str, Any]] = {
    OURS: {},
    ALONE: {"stack": {"memory_mb": 1}},
    ANEW: {"stack": {"features_mb": 0}},
    FLOAT32: {"fine_tuning": {"training": {"precision": "fp32"}}},
}
TUNED_PLACES, TUNED_FRACTIONS, TUNED_STACKS = (0, 3, 5, 6), (0.001, 0.1), (1, 5, 25)
TUNED_IMAGES_AT_ONCE = (64, 128, 256, 512)
STEP_STACKS, STEP_IMAGES = (5, 25), (2, 5, 10, 20, 40, 80, 160)


@dataclass(frozen=True)
class Round:
    """What one round of one form gave.

    Attributes:
        drawing: seconds for finding the subsets; ours draws within training.
        training: seconds.
        testing: seconds.
        peak_mb: most memory of the process so far, in millions of bytes.
        epochs: of all networks that were trained.
        accuracies: test accuracy at every place, in the order of `Workplace.cells`.
    """

    drawing: float
    training: float
    testing: float
    peak_mb: float
    epochs: float
    accuracies: tuple[float, ...]

    @classmethod
    def read(cls, numbers: Sequence[float]) -> "Round":
        drawing, training, testing, peak_mb, epochs, *accuracies = numbers
        return cls(drawing, training, testing, peak_mb, epochs, tuple(accuracies))

    def numbers(self) -> list[float]:
        return [self.drawing, self.training, self.testing, self.peak_mb, self.epochs, *self.accuracies]

    @property
    def seconds(self) -> float:
        return self.drawing + self.training + self.testing


def parameters(file: str, key: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "conf" / file).read_text(encoding="utf-8"))[key]


def read_images(source: str, images: int) -> ImageSet:
    """The first training images of every class, and all test images."""
    settings = parameters("base/parameters_data_prep.yml", "data_prep") | {"source": source}
    read = read_source(DataPrepSettings.model_validate(settings))
    kept = read.is_test.copy()
    for label in range(len(read.class_names)):
        kept[np.flatnonzero((read.labels == label) & ~read.is_test)[:images]] = True
    return ImageSet.create(read.name, read.images[kept], read.labels[kept], read.class_names, read.is_test[kept], {})


def settings_for(image_set: ImageSet, options: argparse.Namespace) -> TransferCutsSettings:
    """The published study with the caps of the command line."""
    base = parameters("base/parameters_transfer_cuts.yml", "transfer_cuts")
    published = parameters("published_cuts/parameters.yml", "transfer_cuts")
    fractions = zip(FRACTIONS, options.repeats, strict=True)
    own = {
        "classes": {
            "pretraining": [image_set.class_names[label] for label in PRETRAINING],
            "fine_tuning": [image_set.class_names[label] for label in NEW],
        },
        "modes": ["freeze_reinit"],
        "cuts": options.places,
        "subsets": [{"fraction": fraction, "repeats": repeats} for fraction, repeats in fractions if repeats],
        "pretraining": {"training": {"epochs": options.pretraining_epochs, "batch_size": 64, "restore": "best"}},
        "fine_tuning": {"training": {"epochs": options.epochs}},
    }
    return TransferCutsSettings.model_validate(merge_settings(merge_settings(base, published), own))


def changed(settings: TransferCutsSettings, changes: dict[str, Any]) -> TransferCutsSettings:
    return TransferCutsSettings.model_validate(merge_settings(settings.model_dump(mode="json"), changes))


def workplace(settings: TransferCutsSettings, data: PreparedData, folder: Path) -> Workplace:
    execution = ExecutionSettings(backend="sequential", workers=1, scheduler_address=None, resources={}, device="cpu")
    return Workplace(settings, StudySettings(name="benchmark", title="", question=""), execution, data, folder)


def prepared(image_set: ImageSet) -> PreparedData:
    splits = DataPrepSettings.model_validate(parameters("base/parameters_data_prep.yml", "data_prep")).splits
    return PreparedData(image_set, make_splits(image_set, splits), {})


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Keep images, settings and, unless it is tuned, a pretrained network; in a process that is gone when work begins."""
    image_set = read_images(options.data, options.images)
    settings = settings_for(image_set, options)
    image_set.save(folder / "images")
    (folder / "settings.json").write_text(settings.model_dump_json(), encoding="utf-8")
    if not options.tune:
        pretrain_runs(workplace(settings, prepared(image_set), folder / "pretraining"), fresh=False)


def opened(folder: Path) -> tuple[TransferCutsSettings, PreparedData]:
    text = (folder / "settings.json").read_text(encoding="utf-8")
    return TransferCutsSettings.model_validate_json(text), prepared(ImageSet.open(folder / "images"))


class _Images(Dataset[tuple[Tensor, int]]):
    """Images as a torchvision data set gives them, and labels encoded one at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        transforms = torchvision_module("torchvision.transforms")
        self._images, self._labels = images, labels
        self._encoder = LabelEncoder().fit(np.unique(labels))
        self._transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._transform(Image.fromarray(self._images[index]))
        return image, int(self._encoder.transform([self._labels[index]])[0])


class _PlainNetwork(nn.Module):
    """Six convolutions of 64 channels with pooling after every second, and a dense layer."""

    def __init__(self, classes: int, depth: int, channels: int, features: int) -> None:
        super().__init__()
        self.depth = depth
        for layer in range(depth):
            self.add_module(f"conv{layer}", nn.Conv2d(channels if layer else 1, channels, 3, padding=1))
        self.fc = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        for layer in range(self.depth):
            images = F.relu(self.get_submodule(f"conv{layer}")(images))
            if layer % 2:
                images = F.avg_pool2d(images, 2)
        return F.log_softmax(self.fc(images.flatten(1)), dim=1)


def reduced(
    part: Dataset[tuple[Tensor, int]], fraction: float, seed: int, batch_size: int
) -> Subset[tuple[Tensor, int]]:
    """As many images of each class, by labels that are read twice."""
    for _ in range(2):
        labels = [label for _, own in DataLoader(part, batch_size) for label in own]
    torch.manual_seed(seed)
    each = int(len(labels) * fraction / len(NEW))
    chosen: list[int] = []
    for wanted in range(len(NEW)):
        own = [place for place, label in enumerate(labels) if label == wanted]
        chosen += [own[place] for place in torch.randperm(len(own))[:each]]
    return Subset(part, chosen)


def cut_plain(pretrained: _PlainNetwork, cut: int, seed: int) -> _PlainNetwork:
    """The first layers frozen, all others new."""
    network = copy.deepcopy(pretrained)
    torch.manual_seed(seed)
    for layer in range(network.depth):
        convolution = network.get_submodule(f"conv{layer}")
        if layer < cut:
            convolution.requires_grad_(False)
        else:
            convolution.reset_parameters()  # type: ignore[operator]
    network.fc = nn.Linear(network.fc.in_features, len(NEW))
    return network


@torch.no_grad()
def accuracy(network: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> float:
    network.eval()
    found: list[int] = []
    wanted: list[int] = []
    for images, labels in loader:
        found += network(images).argmax(dim=1).tolist()
        wanted += labels.tolist()
    return sum(one == other for one, other in zip(found, wanted, strict=True)) / len(wanted)


def train_plain(
    network: nn.Module,
    learns: DataLoader[tuple[Tensor, int]],
    validates: DataLoader[tuple[Tensor, int]],
    epochs: int,
    patience: int,
) -> int:
    """Train until validation accuracy has not risen for a while; the best weights come back after an early stop alone.

    Returns:
        Epochs that were trained.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    best, waited, weights = 0.0, 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, epochs + 1):
        network.train()
        for images, labels in learns:
            optimizer.zero_grad()
            F.nll_loss(network(images), labels).backward()
            optimizer.step()
        accuracy(network, learns)
        reached = accuracy(network, validates)
        if reached > best:
            best, waited, weights = reached, 0, copy.deepcopy(network.state_dict())
            continue
        waited += 1
        if waited >= patience:
            network.load_state_dict(weights)
            return epoch
    return epochs


def published_round(settings: TransferCutsSettings, data: PreparedData, folder: Path) -> Round:
    """All places one after the other."""
    images, labels = data.image_set.images, data.image_set.labels
    pool = np.flatnonzero(~data.image_set.is_test & np.isin(labels, NEW))
    everything = _Images(np.ascontiguousarray(images[pool, ..., 0]), labels[pool])
    held_out = int(0.1 * len(pool))
    generator = torch.Generator().manual_seed(42)
    part, validation = random_split(everything, [len(pool) - held_out, held_out], generator=generator)
    place = workplace(settings, data, folder / "pretraining")
    weights = load_state(run_folder(place.folder, place.pretraining_runs()[0]) / WEIGHTS_FILE)
    channels = len(weights["conv0.weight"])
    pretrained = _PlainNetwork(len(PRETRAINING), settings.network.depth, channels, weights["fc.weight"].shape[1])
    pretrained.load_state_dict(weights)
    training = settings.fine_tuning.training
    assert training.early_stopping is not None
    size, patience = training.batch_size, training.early_stopping.patience
    drawing = trained = tested = 0.0
    epochs, accuracies = 0, []
    for cell in place.cells():
        started = time.perf_counter()
        own = reduced(part, cell.fraction, cell.run.seed, size)
        drawn = time.perf_counter()
        network = cut_plain(pretrained, max(cell.cut, 0), weights_seed(cell.run.seed))
        learns = DataLoader(own, size, shuffle=True)
        epochs += train_plain(network, learns, DataLoader(validation, size), training.epochs, patience)
        accuracy(network, learns)
        learnt = time.perf_counter()
        accuracies.append(accuracy(network, DataLoader(everything, size)))
        ended = time.perf_counter()
        drawing, trained, tested = drawing + drawn - started, trained + learnt - drawn, tested + ended - learnt
        positions = pool[[part.indices[place] for place in own.indices]]
        _check_subset(cell, positions, data)
    return Round(drawing, trained, tested, peak_memory_mb(CPU), epochs, tuple(accuracies))


def _check_subset(cell: Cell, positions: np.ndarray, data: PreparedData) -> None:
    ours, _ = subset(CutRunSettings.model_validate(cell.run.configuration), cell.run.seed, data)
    if sorted(ours) != sorted(positions):
        raise RuntimeError(f"the two sides have drawn different images for '{cell.run.variant}'")


def own_round(settings: TransferCutsSettings, data: PreparedData, folder: Path) -> Round:
    """All places as the pipeline does them."""
    with tempfile.TemporaryDirectory() as temporary:
        runs_folder = Path(temporary) / "runs"
        shutil.copytree(folder / "pretraining", runs_folder)
        place = workplace(settings, data, runs_folder)
        runs = [cell.run for cell in place.cells()]
        started = time.perf_counter()
        train_runs(place, runs, fresh=False)
        trained = time.perf_counter()
        evaluate_runs(place, runs)
        ended = time.perf_counter()
        peak = peak_memory_mb(CPU)
        results = {
            run.fingerprint: [read_stage(runs_folder, run, stage) for stage in (TRAINING, EVALUATION)] for run in runs
        }
    epochs, accuracies = 0, {}
    for name, (training, evaluation) in results.items():
        if training is None or evaluation is None or "test_accuracy" not in evaluation["metrics"]:
            raise RuntimeError(f"a run of ours has failed: {training} {evaluation}")
        epochs += training["metrics"]["other_metrics"]["epochs"]
        accuracies[name] = evaluation["metrics"]["test_accuracy"]
    every = tuple(accuracies[run.fingerprint] for run in runs)
    return Round(0.0, trained - started, ended - trained, peak, epochs, every)


def serve(form: str, folder: Path) -> None:
    """Do a round for every line of input, and print its numbers; a small one, to warm, for the first line."""
    settings, data = opened(folder)
    work: Callable[[TransferCutsSettings, PreparedData, Path], Round] = published_round
    if form != PUBLISHED:
        work, settings = own_round, changed(settings, CHANGES[form])
    few = [{"fraction": settings.subsets[0].fraction, "repeats": 1}]
    small = {"cuts": [settings.network.depth], "subsets": few, "fine_tuning": {"training": {"epochs": 1}}}
    own = changed(settings, small)
    for _ in sys.stdin:
        print(json.dumps(work(own, data, folder).numbers()), flush=True)
        own = settings


def report(rounds: dict[str, list[Round]], settings: TransferCutsSettings, options: argparse.Namespace) -> str:
    """Tables in Markdown."""
    points = len(settings.cut_points("freeze_reinit")) + 1
    places = [own.fraction for own in settings.subsets for _ in range(points * own.repeats)]
    lines = [
        "# Learning new classes behind every cut",
        "",
        f"`python -m {MODULE}`: {len(places)} runs on FashionMNIST, median of {options.rounds} rounds; how is said in its "
        "source.",
        "",
        machine(),
        "",
        f"Capped: {min(options.images, ALL_IMAGES)} of {ALL_IMAGES} images a class; at most {options.epochs} of 40 epochs; "
        f"{', '.join(map(str, options.repeats))} of 25, 25 and 20 repeats; pretrained for {options.pretraining_epochs} epochs.",
        "",
        "| form | s | finding subsets, s | training, s | test, s | times as published | epochs | peak memory, GB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for form, own in rounds.items():
        pairs = zip(rounds[PUBLISHED], own, strict=True)
        ratio = statistics.median(published.seconds / ours.seconds for published, ours in pairs)
        parts = [statistics.median(values) for values in zip(*(each.numbers()[:3] for each in own), strict=True)]
        total = statistics.median(each.seconds for each in own)
        drawing = f"{parts[0]:.1f}" if form == PUBLISHED else "in training"
        lines.append(
            f"| {NAMES[form]} | {total:.1f} | {drawing} | {parts[1]:.1f} | {parts[2]:.1f} | {ratio:.1f} | "
            f"{own[0].epochs:.0f} | {max(each.peak_mb for each in own) / 1000:.1f} |"
        )
    lines += [
        "",
        "Test accuracy in the first round, means over runs; differences to as published in points.",
        "",
        "| form | images | runs | as published | the form | difference | largest of a run |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for form in [form for form in rounds if form in (OURS, FLOAT32)]:  # the others round as ours does
        for fraction in [*dict.fromkeys(places), None]:
            chosen = [place for place, own in enumerate(places) if fraction in (own, None)]
            published, ours = (np.array(rounds[name][0].accuracies)[chosen] for name in (PUBLISHED, form))
            share = "all" if fraction is None else f"{100 * fraction:g} %"
            lines.append(
                f"| {NAMES[form]} | {share} | {len(chosen)} | {published.mean():.4f} | {ours.mean():.4f} | "
                f"{100 * (ours - published).mean():+.2f} | {100 * np.abs(ours - published).max():.2f} |"
            )
    return "\n".join(lines) + "\n"


def stack_seconds(settings: TransferCutsSettings, data: PreparedData, folder: Path, rounds: int) -> Iterator[str]:
    """Rows of a table: seconds of an epoch with its validation, by cut, fraction, size of stacks and images at once."""
    pretraining, file = _random_network(settings, data, folder)
    for cut in settings.cut_points("freeze_reinit"):
        for fraction in TUNED_FRACTIONS:
            own = settings.run("freeze_reinit", cut, fraction, workplace(settings, data, folder).classes[1], "random")
            run = CutRunSettings.model_validate(own)
            for size in TUNED_STACKS:
                stack = [CutRun(run, repeat, file, pretraining) for repeat in range(size)]
                seconds: dict[int, list[float]] = {number: [] for number in TUNED_IMAGES_AT_ONCE}
                _epoch_seconds(stack[:1], data, settings.stack, folder)  # warm
                for _ in range(rounds):
                    for number, found in seconds.items():
                        options = settings.stack.model_copy(update={"images_at_once": number})
                        found.append(_epoch_seconds(stack, data, options, folder))
                times = " | ".join(f"{statistics.median(found) / size:.3f}" for found in seconds.values())
                yield f"| {cut} | {100 * fraction:g} % | {size} | {times} |"


def _random_network(
    settings: TransferCutsSettings, data: PreparedData, folder: Path
) -> tuple[PretrainingRunSettings, Path]:
    """A network that has learnt nothing: it takes the time of any other."""
    classes = workplace(settings, data, folder).classes[0]
    pretraining = PretrainingRunSettings.model_validate(settings.pretraining_run(classes))
    file = folder / "random.safetensors"
    save_weights(pretraining_network(pretraining, data, seed=0), file)
    return pretraining, file


def _epoch_seconds(stack: Sequence[CutRun], data: PreparedData, options: CutStackSettings, folder: Path) -> float:
    """Seconds of the epochs alone, without features, subsets and first weights."""
    ended: list[TrainedCut] = []
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        train_stack(
            stack,
            data,
            Path(temporary),
            CPU,
            options,
            on_end=lambda _, trained: ended.append(trained),
            weights_file=lambda member: Path(temporary) / f"{member}.safetensors",
        )
    return sum(trained.result.seconds for trained in ended)


def step_milliseconds(settings: TransferCutsSettings, data: PreparedData, folder: Path, rounds: int) -> Iterator[str]:
    """Rows of a table: ms an image and network, of training and validation, by one grouped convolution and by a loop."""
    pretraining, file = _random_network(settings, data, folder)
    pretrained = load_pretrained(settings.network, data, pretraining.classes, file)
    training = settings.fine_tuning.training
    for cut in [cut for cut in settings.cut_points("freeze_reinit") if cut < settings.network.depth]:
        own = settings.run("freeze_reinit", cut, 0.1, workplace(settings, data, folder).classes[1], "random")
        run = CutRunSettings.model_validate(own)
        shape = pretrained.features(torch.zeros(1, data.in_channels, data.image_size, data.image_size), cut).shape[1:]
        for size in STEP_STACKS:
            stack = Stack([cut_network(run, data, repeat, pretrained) for repeat in range(size)], CPU)
            for images in STEP_IMAGES:
                maps = torch.randn(size, images, *shape[1:], shape[0], dtype=torch.bfloat16).permute(0, 1, 4, 2, 3)
                seconds: dict[tuple[bool, int], list[float]] = {}
                for _ in range(rounds + 1):  # the first one warms
                    for learns in (True, False):
                        for limit in (sys.maxsize, 0):
                            with patch.object(convnet, "_GROUPED_PIXELS", limit), autocast(training, CPU):
                                found = _step_seconds(stack, maps, learns=learns)
                            seconds.setdefault((learns, limit), []).append(found)
                times = [1000 * statistics.median(found[1:]) / images / size for found in seconds.values()]
                yield f"| {cut} | {size} | {images} | {' | '.join(f'{each:.3f}' for each in times)} |"


def _step_seconds(stack: Stack, maps: Tensor, *, learns: bool) -> float:
    started = time.perf_counter()
    if learns:
        stack(maps).float().logsumexp(dim=2).sum().backward()
    else:
        with torch.inference_mode():
            stack(maps[:1])
    return time.perf_counter() - started


def tune(folder: Path, rounds: int) -> None:
    """Print both tables, row by row."""
    tune_process()
    settings, data = opened(folder)
    settings = changed(settings, {"fine_tuning": {"training": {"epochs": 1}}})
    print(f"{machine()}\n\nSeconds of an epoch for one network of a stack, by `images_at_once`.\n", flush=True)
    print(f"| cut | images | networks | {' | '.join(map(str, TUNED_IMAGES_AT_ONCE))} |")
    print(f"| ---: | ---: | ---: | {' | '.join('---:' for _ in TUNED_IMAGES_AT_ONCE)} |", flush=True)
    for row in stack_seconds(settings, data, folder, rounds):
        print(row, flush=True)
    print("\nMilliseconds for one image of one network; validation has the same images for all networks.\n")
    print(
        "| cut | networks | images of each | training, grouped | training, loop | validation, grouped | validation, loop |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for row in step_milliseconds(settings, data, folder, rounds):
        print(row, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--data", help="folder of FashionMNIST, in any layout that data_prep reads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--places", type=int, nargs="+", help="convolutions before the cut; the baseline is always there"
    )
    parser.add_argument("--repeats", type=int, nargs=3, default=[2, 2, 1], help="of 0.1 %%, 1 %% and 10 %%; 0 for none")
    parser.add_argument("--epochs", type=int, default=8, help="most epochs of fine-tuning; 40 as published")
    parser.add_argument(
        "--images", type=int, help=f"training images a class; default {IMAGES}, with --tune {ALL_IMAGES}"
    )
    parser.add_argument("--pretraining-epochs", type=int, default=3)
    parser.add_argument("--parts", action="store_true", help="measure ours without one of its parts, too")
    parser.add_argument("--tune", action="store_true", help="measure stacks and grouped convolutions instead")
    parser.add_argument("--serve", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data is None and options.serve is None:
        parser.error("--data names no folder of FashionMNIST; give one")
    options.images = options.images or (ALL_IMAGES if options.tune else IMAGES)
    options.places = options.places or [*(TUNED_PLACES if options.tune else PLACES)]
    return options


def main() -> None:
    """Measure, print, and write where asked."""
    options = arguments()
    if options.serve:
        serve(options.serve, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(prepare, options, folder).result()
        if options.tune:
            tune(folder, options.rounds)
            return
        forms = {form: form != PUBLISHED for form in NAMES if options.parts or form in (PUBLISHED, OURS)}
        numbers = measure(MODULE, forms, options.rounds, "--folder", str(folder))
        settings = TransferCutsSettings.model_validate_json((folder / "settings.json").read_text(encoding="utf-8"))
    rounds = {form: [Round.read(own) for own in found] for form, found in numbers.items()}
    publish(report(rounds, settings, options), RESULT, write=options.write)


if __name__ == "__main__":
    main()
