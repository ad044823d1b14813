"""What a study costs besides its training, with 100 to 10,000 finished runs: a run, its tables, and how soon it goes on.

python -m benchmarks.bookkeeping [--write]
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
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
from vision_studies.training.runtime import peak_memory_mb

FINISHED = (100, 1000, 10_000)
SEEDS = 10
MEASURED = 100  # runs of which the milliseconds are taken
STACK = 20  # runs
EPOCHS = 20
ROUNDS = 5
STUDY = StudySettings(name="benchmark", title="Benchmark", question="How fast?")
CPU = torch.device("cpu")
ALONE, STACKED = "a run, one by one", f"a run, in stacks of {STACK}"
BEGINS, MEMORY = "until the one that is not finished begins", "memory"
GOALS = {ALONE: "20 ms", STACKED: "20 ms", BEGINS: "3 s"}
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


def seconds_a_run(runs: Sequence[Run], do: Callable[[Sequence[Run], Path], None], folder: Path) -> float:
    """Of the last runs, whose work takes no time, when all others are finished; looking at these is not counted."""
    measured = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        do(runs, folder)  # nothing is to be done
        looked = time.perf_counter()
        for run in runs[-MEASURED:]:
            (RunStore(folder).path(run) / f"{TRAINING}.json").unlink()
        begun = time.perf_counter()
        do(runs, folder)
        measured.append((time.perf_counter() - begun - (looked - start)) / MEASURED)
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


def measure(finished: int) -> dict[str, float]:
    """Seconds of everything in a study with so many finished runs, and the most memory that this process took (MB)."""
    logging.disable(logging.INFO)
    data = small_data()
    settings = settings_of(PARAMETERS["cifar_resnet"], finished // SEEDS)

    def plan() -> list[Run]:
        method = load_method("cifar_resnet")
        return study_runs(Context(method, settings, STUDY, HERE, False, data, RunStore(Path("runs"))))

    runs = plan()
    with tempfile.TemporaryDirectory() as project:
        folder = Path(project) / MODELS / STUDY.name / "cifar_resnet" / "runs"
        folder.mkdir(parents=True)
        write_finished(runs, folder)
        (RunStore(folder).path(runs[-1]) / f"{TRAINING}.json").unlink()
        before = peak_memory_mb(CPU)
        begins = statistics.median(seconds_until_work(plan, folder) for _ in range(ROUNDS))
        RunStore(folder).record(runs[-1], TRAINING, OUTCOME)
        found = {
            ALONE: seconds_a_run(runs, one_by_one, folder),
            STACKED: seconds_a_run(runs, in_stacks, folder),
            BEGINS: begins,
        }
        os.chdir(project)
        found |= {
            "results table": seconds(lambda: results_table(runs, RunStore(folder), [TRAINING, EVALUATION])),
            "table of histories": seconds(lambda: history_table(runs, RunStore(folder))),
            "what a command would do (`kedro runs plan`)": seconds(lambda: forecast(plan(), folder)),
            "`kedro runs list`": seconds(lambda: CliRunner().invoke(list_runs)),
        }
        os.chdir("/")
    return found | {MEMORY: peak_memory_mb(CPU) - before}


def report(measured: dict[int, dict[str, float]]) -> str:
    """The table: each thing at each number of runs, and what a run has of it at the most in terms of what it has before."""
    fewer, most = sorted(measured)[-2:]
    rows = []
    for name in measured[most]:
        values = {count: found[name] for count, found in measured.items()}
        if name in (ALONE, STACKED):
            shown = [f"{1000 * value:.1f} ms" for value in values.values()]
            grown = f"{values[most] / values[fewer]:.2f}"
        else:
            unit = "MB" if name == MEMORY else "s"
            shown = [f"{value:.0f} {unit}" if name == MEMORY else f"{value:.2f} {unit}" for value in values.values()]
            grown = f"{(values[most] / most) / (values[fewer] / fewer):.2f}" if values[fewer] > 0 else ""
        rows.append([name, *shown, grown, GOALS.get(name, "")])
    heads = ["", *(f"{count:,} runs" for count in measured), f"a run of {most:,} against one of {fewer:,}", "goal"]
    table = tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True)
    return (
        f"# Bookkeeping of a study as it grows\n\n{processor_name()}; medians of {ROUNDS} rounds, each number of "
        f"finished runs in a process of its own. Runs have {EPOCHS} epochs, and take no time themselves; seconds are without "
        "starting Python, memory is what the process takes more at its most once the runs are there. Goal: a run costs within "
        f"20 % of what it costs in a study a tenth as large.\n\n{table}\n"
    )


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULT}")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only)))
        return
    measured = {}
    for count in FINISHED:
        command = [sys.executable, "-m", "benchmarks.bookkeeping", f"--only={count}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured[count] = json.loads(done.stdout.splitlines()[-1])
    publish(report(measured), RESULT, write=arguments.write)


def forecast(runs: Sequence[Run], folder: Path) -> object:
    forecaster, work = Forecaster("cifar_resnet", RunStore(folder), fresh=False), Alone(lambda *_: OUTCOME)
    first = Stage(TRAINING, runs, work, costs_nothing)
    second = Stage(EVALUATION, runs, work, costs_nothing, verb="score", after=TRAINING)
    return [forecaster.stage(stage) for stage in (first, second)]


if __name__ == "__main__":
    main()
