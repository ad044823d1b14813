"""Learning new classes behind every cut of a network: one run after the other as published, and as ours in stacks.

    python -m benchmarks.transfer_cuts --data=/path/to/fashion_mnist [--write] [--rounds 3] [--parts]
        [--places 0 1 2 3 4 5 6] [--repeats 2 2 1] [--epochs 40] [--images 1120] [--pretraining-epochs 3]

Both sides fine-tune one pretrained network (clothes and bags, then shoes) at every cut and from scratch, with 0.1 %, 1 % and
10 % of the images: 8 places of the study's table at 2, 2 and 1 repeats are 40 runs. Both validate after every epoch, stop
early after 6 epochs without progress and after 40 at the latest, and test on all training images of the new classes. As
published (`benchmarks.published_cuts`): one network at a time in float32, and the baseline is trained although it is
cut 0; images lie decoded in memory, as torchvision has them. Ours: fine-tuning and evaluation of the pipeline with
`protocol: published`.

A round of the published form at full length takes hours on two cores. Capped in both alike are the images of each class
(sizes of subsets, validation and test shrink together; 6000 are all) and the repeats; `--epochs` caps the epochs, too.
Both draw the same subsets, which is checked, and new weights with the project's seeds, and a subset is one batch, so that
accuracies differ by rounding alone. Every form has a process of its own, rounds take the forms in turn, and ratios are
formed within a round. Reading the images and pretraining are not timed. `--parts` measures ours without one of its parts.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.publish import publish
from benchmarks.published_cuts import Round, published_round
from benchmarks.rounds import measure
from benchmarks.training_step import machine
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.config.merge import merge_settings
from vision_studies.config.study import ExecutionSettings, StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.sources.read import read_source
from vision_studies.data.splits import make_splits
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings
from vision_studies.pipelines.transfer_cuts.stages import (
    EVALUATION,
    FINE_TUNING,
    PRETRAINING,
    TRAINING,
    Cuts,
    pretraining_runs,
    study_cells,
)
from vision_studies.studies.method import WEIGHTS_FILE, Context, load_method, run_stages
from vision_studies.studies.run_store import RunStore
from vision_studies.training.runtime import peak_memory_mb

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "transfer_cuts.md"
MODULE = "benchmarks.transfer_cuts"
CPU = torch.device("cpu")
FIRST, NEW = (0, 1, 2, 3, 4, 6, 8), (5, 7, 9)
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


def published_settings(image_set: ImageSet, own: dict[str, Any]) -> TransferCutsSettings:
    """The published study of shoes after clothes and bags, frozen before the cut and new after it, with `own` changes."""
    base = parameters("base/parameters_transfer_cuts.yml", "transfer_cuts")
    published = parameters("published_cuts/parameters.yml", "transfer_cuts")
    classes = {
        "pretraining": [image_set.class_names[label] for label in FIRST],
        "fine_tuning": [image_set.class_names[label] for label in NEW],
    }
    study = merge_settings(merge_settings(base, published), {"classes": classes, "modes": ["freeze_reinit"]})
    return TransferCutsSettings.model_validate(merge_settings(study, own))


def caps(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line changes in the published study."""
    fractions = zip(FRACTIONS, options.repeats, strict=True)
    return {
        "cuts": options.places,
        "subsets": [{"fraction": fraction, "repeats": repeats} for fraction, repeats in fractions if repeats],
        "pretraining": {"training": {"epochs": options.pretraining_epochs, "batch_size": 64, "restore": "best"}},
        "fine_tuning": {"training": {"epochs": options.epochs}},
    }


def changed(settings: TransferCutsSettings, changes: dict[str, Any]) -> TransferCutsSettings:
    return TransferCutsSettings.model_validate(merge_settings(settings.model_dump(mode="json"), changes))


def context_of(settings: TransferCutsSettings, data: PreparedData, folder: Path) -> Cuts:
    execution = ExecutionSettings(
        backend="sequential", workers=1, scheduler_address=None, resources={}, processes_per_run=1, device="cpu"
    )
    study = StudySettings(name="benchmark", title="", question="")
    return Context(load_method("transfer_cuts"), settings, study, execution, False, data, RunStore(folder))


def prepared(image_set: ImageSet) -> PreparedData:
    splits = DataPrepSettings.model_validate(parameters("base/parameters_data_prep.yml", "data_prep")).splits
    return PreparedData(image_set, make_splits(image_set, splits), {})


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Keep images, settings and a pretrained network; in a process that is gone when work begins."""
    image_set = read_images(options.data, options.images)
    settings = published_settings(image_set, caps(options))
    image_set.save(folder / "images")
    (folder / "settings.json").write_text(settings.model_dump_json(), encoding="utf-8")
    run_stages(context_of(settings, prepared(image_set), folder / "pretraining"), PRETRAINING)


def opened(folder: Path) -> tuple[TransferCutsSettings, PreparedData]:
    text = (folder / "settings.json").read_text(encoding="utf-8")
    return TransferCutsSettings.model_validate_json(text), prepared(ImageSet.open(folder / "images"))


def reference_round(settings: TransferCutsSettings, data: PreparedData, folder: Path) -> Round:
    """All places as published."""
    context = context_of(settings, data, folder / "pretraining")
    file = context.runs.path(pretraining_runs(context)[0], WEIGHTS_FILE)
    return published_round(settings, data, study_cells(context), file)


def own_round(settings: TransferCutsSettings, data: PreparedData, folder: Path) -> Round:
    """All places as the pipeline does them."""
    with tempfile.TemporaryDirectory() as temporary:
        runs_folder = Path(temporary) / "runs"
        shutil.copytree(folder / "pretraining", runs_folder)
        context = context_of(settings, data, runs_folder)
        runs = [cell.run for cell in study_cells(context)]
        started = time.perf_counter()
        run_stages(context, FINE_TUNING)
        trained = time.perf_counter()
        run_stages(context, EVALUATION)
        ended = time.perf_counter()
        peak = peak_memory_mb(CPU)
        results = {
            run.fingerprint: [context.runs.result(run, stage) for stage in (TRAINING, EVALUATION)] for run in runs
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
    work: Callable[[TransferCutsSettings, PreparedData, Path], Round] = reference_round
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
        f"Capped: {min(options.images, ALL_IMAGES)} of {ALL_IMAGES} images a class; at most {options.epochs} epochs (40 as "
        f"published); {', '.join(map(str, options.repeats))} of 25, 25 and 20 repeats; pretrained for "
        f"{options.pretraining_epochs} epochs.",
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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--data", help="folder of FashionMNIST, in any layout that data_prep reads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--places",
        type=int,
        nargs="+",
        default=[*PLACES],
        help="convolutions before the cut; the baseline is always there",
    )
    parser.add_argument("--repeats", type=int, nargs=3, default=[2, 2, 1], help="of 0.1 %%, 1 %% and 10 %%; 0 for none")
    parser.add_argument("--epochs", type=int, default=40, help="most epochs of fine-tuning; 40 as published")
    parser.add_argument(
        "--images", type=int, default=IMAGES, help=f"training images a class; {ALL_IMAGES} are all of them"
    )
    parser.add_argument("--pretraining-epochs", type=int, default=3)
    parser.add_argument("--parts", action="store_true", help="measure ours without one of its parts, too")
    parser.add_argument("--serve", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data is None and options.serve is None:
        parser.error("--data names no folder of FashionMNIST; give one")
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
        forms = {form: form != PUBLISHED for form in NAMES if options.parts or form in (PUBLISHED, OURS)}
        numbers = measure(MODULE, forms, options.rounds, "--folder", str(folder))
        settings = TransferCutsSettings.model_validate_json((folder / "settings.json").read_text(encoding="utf-8"))
    rounds = {form: [Round.read(own) for own in found] for form, found in numbers.items()}
    publish(report(rounds, settings, options), RESULT, write=options.write)


if __name__ == "__main__":
    main()
