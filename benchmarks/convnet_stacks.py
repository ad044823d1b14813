"""How many networks behind a cut to train as one: size of stacks, `images_at_once`, and grouped convolutions or a loop.

    python -m benchmarks.convnet_stacks --data=/path/to/fashion_mnist [--write] [--rounds 3]
        [--places 0 3 5 6] [--networks 1 5 25] [--images 6000]

Two tables, with the networks of the published study (clothes and bags, then shoes) and random weights before the cut, which
take the time of any others. The first: seconds of one epoch with its validation, in which stacks of every size learn from
0.1 % and 10 % of the images with several `images_at_once`; features, subsets and first weights are not timed. The second:
one step of training (forward and backward, without the optimiser) and one of validation (forward, the same images for all
networks) on random features, by one grouped convolution for all networks and by one convolution a network. `ConvNet` takes
the form that its number of pixels calls for; here that limit is replaced. Rounds take the forms in turn; medians are
reported. Rows are shown on standard error as they come.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.publish import publish
from benchmarks.training_step import machine
from benchmarks.transfer_cuts import ALL_IMAGES, CPU, prepared, published_settings, read_images
from vision_studies.data.prepared import PreparedData
from vision_studies.models import convnet
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.transfer_cuts.cut_networks import cut_network, load_pretrained, pretraining_network
from vision_studies.pipelines.transfer_cuts.settings import (
    CutRunSettings,
    CutStackSettings,
    PretrainingRunSettings,
    TransferCutsSettings,
)
from vision_studies.pipelines.transfer_cuts.work import CutRun, train_stack
from vision_studies.training.checkpoints import save_weights
from vision_studies.training.precision import autocast, uses_bfloat16
from vision_studies.training.runtime import tune_process
from vision_studies.training.stack import Stack

RESULT = Path(__file__).parent / "results" / "convnet_stacks.md"
MODULE = "benchmarks.convnet_stacks"
LIMIT = "_GROUPED_PIXELS"
GROUPED, LOOP = sys.maxsize, 0
PLACES, NETWORKS = (0, 3, 5, 6), (1, 5, 25)
FRACTIONS, IMAGES_AT_ONCE = (0.001, 0.1), (64, 128, 256, 512)
STEP_IMAGES = (2, 5, 10, 20, 40, 80, 160)


def grouped_limit() -> int:
    """Pixels of a network and channel up to which `ConvNet` takes grouped convolutions.

    Raises:
        RuntimeError: it no longer decides by this constant, so that no form could be forced.
    """
    if not hasattr(convnet, LIMIT):
        raise RuntimeError(f"{convnet.__name__} has no {LIMIT}; set LIMIT of {MODULE} to what decides there now.")
    return int(getattr(convnet, LIMIT))


def cut_run(settings: TransferCutsSettings, cut: int, fraction: float) -> CutRunSettings:
    """A fine-tuning of one cut and fraction."""
    own = settings.run("freeze_reinit", cut, fraction, settings.classes.fine_tuning, "random")
    return CutRunSettings.model_validate(own)


def random_network(
    settings: TransferCutsSettings, data: PreparedData, folder: Path
) -> tuple[PretrainingRunSettings, Path]:
    """Settings and weights, in `folder`, of a network that has learnt nothing."""
    pretraining = PretrainingRunSettings.model_validate(settings.pretraining_run(settings.classes.pretraining))
    file = folder / "random.safetensors"
    save_weights(pretraining_network(pretraining, data, seed=0), file)
    return pretraining, file


def epoch_rows(
    settings: TransferCutsSettings, data: PreparedData, folder: Path, networks: Sequence[int], rounds: int
) -> Iterator[str]:
    """Rows of a table: seconds of an epoch a network, by cut, fraction, size of the stack and images at once."""
    pretraining, file = random_network(settings, data, folder)
    for cut in settings.cut_points("freeze_reinit"):
        for fraction in FRACTIONS:
            run = cut_run(settings, cut, fraction)
            for size in networks:
                stack = [CutRun(run, repeat, file, pretraining) for repeat in range(size)]
                seconds: dict[int, list[float]] = {number: [] for number in IMAGES_AT_ONCE}
                _epoch_seconds(stack[:1], data, settings.stack, folder)  # warm
                for _ in range(rounds):
                    for number, found in seconds.items():
                        options = settings.stack.model_copy(update={"images_at_once": number})
                        found.append(_epoch_seconds(stack, data, options, folder))
                times = " | ".join(f"{statistics.median(found) / size:.4f}" for found in seconds.values())
                yield f"| {cut} | {100 * fraction:g} % | {size} | {times} |"


def _epoch_seconds(stack: Sequence[CutRun], data: PreparedData, options: CutStackSettings, folder: Path) -> float:
    """Seconds of the epochs alone, of all networks together."""
    ended: list[Outcome] = []
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        train_stack(
            stack,
            data,
            Path(temporary),
            CPU,
            options,
            on_end=lambda _, outcome: ended.append(outcome),
            weights_file=lambda member: Path(temporary) / f"{member}.safetensors",
        )
    return sum(outcome.metrics["seconds"] for outcome in ended)


def step_rows(
    settings: TransferCutsSettings, data: PreparedData, folder: Path, networks: Sequence[int], rounds: int
) -> Iterator[str]:
    """Rows of a table: ms an image and network, of training and validation, by one grouped convolution and by a loop."""
    pretraining, file = random_network(settings, data, folder)
    pretrained = load_pretrained(settings.network, data, pretraining.classes, file)
    training = settings.fine_tuning.training
    dtype = torch.bfloat16 if uses_bfloat16(training, CPU) else torch.float32
    for cut in [cut for cut in settings.cut_points("freeze_reinit") if cut < settings.network.depth]:
        run = cut_run(settings, cut, FRACTIONS[-1])
        image = torch.zeros(1, data.in_channels, data.image_size, data.image_size)
        channels, height, width = pretrained.features(image, cut).shape[1:]
        for size in [size for size in networks if size > 1]:  # a single network has no grouped form
            stack = Stack([cut_network(run, data, repeat, pretrained) for repeat in range(size)], CPU)
            for images in STEP_IMAGES:
                maps = torch.randn(size, images, height, width, channels, dtype=dtype).permute(0, 1, 4, 2, 3)
                seconds: dict[tuple[bool, int], list[float]] = {}
                for _ in range(rounds + 1):  # the first one warms
                    for learns in (True, False):
                        for limit in (GROUPED, LOOP):
                            with patch.object(convnet, LIMIT, limit), autocast(training, CPU):
                                found = _step_seconds(stack, maps, learns=learns)
                            seconds.setdefault((learns, limit), []).append(found)
                times = [1000 * statistics.median(found[1:]) / images / size for found in seconds.values()]
                pixels = images * height * width
                yield f"| {cut} | {size} | {images} | {pixels} | {' | '.join(f'{each:.3f}' for each in times)} |"


def _step_seconds(stack: Stack, maps: Tensor, *, learns: bool) -> float:
    started = time.perf_counter()
    if learns:
        stack(maps).float().logsumexp(dim=2).sum().backward()
    else:
        with torch.inference_mode():
            stack(maps[:1])
    return time.perf_counter() - started


def shown(rows: Iterable[str]) -> list[str]:
    """All rows, each shown when it is there."""
    found = []
    for row in rows:
        print(row, file=sys.stderr, flush=True)
        found.append(row)
    return found


def report(epochs: Sequence[str], steps: Sequence[str], limit: int, options: argparse.Namespace) -> str:
    """Both tables in Markdown."""
    return "\n".join(
        [
            "# Stacks of networks behind a cut",
            "",
            f"`python -m {MODULE}`: {min(options.images, ALL_IMAGES)} of {ALL_IMAGES} images a class of FashionMNIST, median "
            f"of {options.rounds} rounds; how is said in its source.",
            "",
            machine(),
            "",
            "Seconds of an epoch with its validation, for one network of a stack, by `images_at_once`.",
            "",
            f"| cut | images | networks | {' | '.join(map(str, IMAGES_AT_ONCE))} |",
            f"| ---: | ---: | ---: | {' | '.join('---:' for _ in IMAGES_AT_ONCE)} |",
            *epochs,
            "",
            "Milliseconds for one image of one network. Pixels are those of a network and channel behind the cut; up to "
            f"{limit}, `ConvNet` takes the grouped form.",
            "",
            "| cut | networks | images of each | pixels | training, grouped | training, loop | validation, grouped | "
            "validation, loop |",
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *steps,
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--data", required=True, help="folder of FashionMNIST, in any layout that data_prep reads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--places", type=int, nargs="+", default=[*PLACES], help="convolutions before the cut")
    parser.add_argument("--networks", type=int, nargs="+", default=[*NETWORKS], help="sizes of stacks")
    parser.add_argument("--images", type=int, default=ALL_IMAGES, help="training images a class; at least 1112")
    options = parser.parse_args()
    limit = grouped_limit()
    tune_process()
    image_set = read_images(options.data, options.images)
    own = {"cuts": options.places, "fine_tuning": {"training": {"epochs": 1}}}
    settings, data = published_settings(image_set, own), prepared(image_set)
    with tempfile.TemporaryDirectory() as temporary:
        work = settings, data, Path(temporary), options.networks, options.rounds
        epochs, steps = shown(epoch_rows(*work)), shown(step_rows(*work))
    publish(report(epochs, steps, limit, options), RESULT, write=options.write)


if __name__ == "__main__":
    main()
