"""What a study costs besides its training: milliseconds a run, and how soon one of 5,000 finished runs goes on.

python -m benchmarks.bookkeeping [--write]
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from click.testing import CliRunner
from tabulate import tabulate

from benchmarks.publish import publish
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.runs import list_runs
from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.study import ExecutionSettings, StudySettings
from vision_studies.costs import costs_nothing
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.cifar_resnet.settings import CifarResnetSettings
from vision_studies.pipelines.cifar_resnet.stages import EVALUATION, TRAINING, study_runs
from vision_studies.project_folders import MODELS
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.execution import execute
from vision_studies.studies.forecast import Forecaster
from vision_studies.studies.method import Context, load_method
from vision_studies.studies.provenance import processor_name
from vision_studies.studies.results import history_table, results_table
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Record, Stage, Work

FINISHED = 5000
SEEDS = 10
MEASURED = 200  # runs of which the milliseconds are taken
STACK = 20  # runs
EPOCHS = 20
ROUNDS = 5
STUDY = StudySettings(name="benchmark", title="Benchmark", question="How fast?")
RESULT = Path(__file__).parent / "results" / "bookkeeping.md"
HISTORY = pd.DataFrame(
    {"epoch": np.arange(1, EPOCHS + 1)}
    | {
        name: np.linspace(1, 0.1, EPOCHS)
        for name in ("learning_rate", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    }
)
METRICS = {
    "validation_accuracy": 0.9,
    "validation_loss": 0.3,
    "best_epoch": 17,
    "parameters": 6085,
    "macs": 194816,
    "seconds": 60.5,
    "other_metrics": {"ended": "stopped", "train_accuracy": 0.95},
}
LOADER_OPTIONS: dict[str, Any] = {**CONFIG_LOADER_ARGS}
PARAMETERS = StudyConfigLoader(Path(__file__).parents[1] / "conf", **LOADER_OPTIONS)["parameters"]
HERE = ExecutionSettings.model_validate(PARAMETERS["execution"] | {"device": "cpu"})
OUTCOME = Outcome(METRICS, history=HISTORY)
SCORE = Outcome({"test_accuracy": 0.9, "test_loss": 0.3, "other_metrics": {"test_images": 180}})


def settings_of(parameters: dict[str, Any], variants: int) -> CifarResnetSettings:
    """The base study of `cifar_resnet` with many variants."""
    changes = [{"training": {"optimizer": {"learning_rate": 0.0001 * (number + 1)}}} for number in range(variants)]
    own = [{"name": f"variant {number}", "changes": change} for number, change in enumerate(changes)]
    return CifarResnetSettings.model_validate(parameters | {"variants": own, "seeds": list(range(SEEDS))})


def small_data() -> PreparedData:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    image_set = ImageSet.create(
        "noise", images, np.arange(200) % 10, tuple("0123456789"), np.zeros(200, dtype=bool), {}
    )
    splits = SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    return PreparedData(image_set, make_splits(image_set, splits), {})


def write_finished(runs: Sequence[Run], folder: Path) -> None:
    """Finished runs, all with the files of the first."""
    for stage, outcome in ((TRAINING, OUTCOME), (EVALUATION, SCORE)):
        alone(runs[:1], stage, lambda *_, found=outcome: found, folder)
    files = {file.name: file.read_bytes() for file in RunStore(folder).path(runs[0]).glob("[!.]*.*")}
    described = json.loads(files.pop("run.json"))
    for run in runs[1:]:
        own_folder = RunStore(folder).path(run)
        own_folder.mkdir()
        own = {"variant": run.variant, "seed": run.seed, "configuration": run.configuration}
        (own_folder / "run.json").write_text(json.dumps(described | own, indent=2, sort_keys=True) + "\n")
        for name, content in files.items():
            (own_folder / name).write_bytes(content)


def alone(runs: Sequence[Run], stage: str, work: Work, folder: Path) -> None:
    """Do a stage of runs, each by itself."""
    execute(Stage(stage, runs, Alone(work), costs_nothing), RunStore(folder), HERE)


def milliseconds(runs: Sequence[Run], do: Callable[[Sequence[Run], Path], None]) -> float:
    """Of a run, when the work itself takes none."""
    measured = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            do(runs, Path(folder))
            measured.append(1000 * (time.perf_counter() - start) / len(runs))
    return statistics.median(measured)


def one_by_one(runs: Sequence[Run], folder: Path) -> None:
    alone(runs, TRAINING, lambda *_: OUTCOME, folder)


def in_stacks(runs: Sequence[Run], folder: Path) -> None:
    def work(stack: Sequence[Run], _folder: Path, record: Record) -> None:
        for run in stack:
            record(run, OUTCOME)

    def group(waiting: Sequence[Run]) -> list[Sequence[Run]]:
        return [waiting[start : start + STACK] for start in range(0, len(waiting), STACK)]

    execute(Stage(TRAINING, runs, work, costs_nothing, group), RunStore(folder), HERE)


def seconds_until_work(plan: Callable[[], list[Run]], folder: Path) -> float:
    """From the beginning of a node to that of the only run that is not finished, which is then forgotten again."""
    begun = []

    def work(*_: object) -> Outcome:
        begun.append(time.perf_counter())
        return OUTCOME

    start = time.perf_counter()
    runs = plan()
    alone(runs, TRAINING, work, folder)
    (RunStore(folder).path(runs[-1]) / f"{TRAINING}.json").unlink()
    return begun[0] - start


def seconds(do: Callable[[], object]) -> float:
    measured = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        do()
        measured.append(time.perf_counter() - start)
    return statistics.median(measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULT}")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    data = small_data()
    settings = settings_of(PARAMETERS["cifar_resnet"], FINISHED // SEEDS)

    def plan() -> list[Run]:
        method = load_method("cifar_resnet")
        return study_runs(Context(method, settings, STUDY, HERE, False, data, RunStore(Path("runs"))))

    runs = plan()
    rows = [
        ["a run, one by one, milliseconds", f"{milliseconds(runs[:MEASURED], one_by_one):.1f}", "20"],
        [f"a run, in stacks of {STACK}, milliseconds", f"{milliseconds(runs[:MEASURED], in_stacks):.1f}", "20"],
    ]
    with tempfile.TemporaryDirectory() as project:
        folder = Path(project) / MODELS / STUDY.name / "cifar_resnet" / "runs"
        folder.mkdir(parents=True)
        write_finished(runs, folder)
        (RunStore(folder).path(runs[-1]) / f"{TRAINING}.json").unlink()
        begun = statistics.median(seconds_until_work(plan, folder) for _ in range(ROUNDS))
        RunStore(folder).record(runs[-1], TRAINING, OUTCOME)
        os.chdir(project)
        rows += [
            ["until the one that is not finished begins, seconds", f"{begun:.2f}", "3"],
            [
                "results table, seconds",
                f"{seconds(lambda: results_table(runs, RunStore(folder), [TRAINING, EVALUATION])):.2f}",
                "",
            ],
            ["table of histories, seconds", f"{seconds(lambda: history_table(runs, RunStore(folder))):.2f}", ""],
            [
                "what a command would do (`kedro runs plan`), seconds",
                f"{seconds(lambda: forecast(plan(), folder)):.2f}",
                "",
            ],
            ["`kedro runs list`, seconds", f"{seconds(lambda: CliRunner().invoke(list_runs)):.2f}", ""],
        ]
    table = tabulate(rows, headers=["", "measured", "goal"], tablefmt="github", disable_numparse=True)
    text = (
        f"# Bookkeeping of a study with {FINISHED:,} finished runs\n\n{processor_name()}; medians of {ROUNDS} rounds. Runs "
        f"have {EPOCHS} epochs, and take no time themselves; seconds are without starting Python.\n\n{table}\n"
    )
    publish(text, RESULT, write=arguments.write)


def forecast(runs: Sequence[Run], folder: Path) -> object:
    forecaster, work = Forecaster("cifar_resnet", RunStore(folder), fresh=False), Alone(lambda *_: OUTCOME)
    first = Stage(TRAINING, runs, work, costs_nothing)
    second = Stage(EVALUATION, runs, work, costs_nothing, verb="score", after=TRAINING)
    return [forecaster.stage(stage) for stage in (first, second)]


if __name__ == "__main__":
    main()
