"""What `kedro runs plan` says of the time of studies, and what they then take, on the processor's own clock.

python -m benchmarks.plan [--studies ENV ...] [--write]

Each study is planned with nothing known of the machine but what measuring for less than a minute finds, and then done, stage by
stage, without Kedro. Both count seconds of one thread's processor time, so that other programs on the machine change neither.
Images have to be prepared: `kedro run --env=ENV --pipeline=data_prep`, which this does where they are not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.publish import publish

RESULT = Path(__file__).parent / "results" / "plan.md"
GOAL = 0.25
STUDIES: Mapping[str, Mapping[str, Any]] = {
    "mlp_transfer+demo": {},
    "resnet_se+demo": {"cifar_resnet.run.training.epochs": 4, "cifar_resnet.seeds": [0]},
    "alpha_study+demo": {"stacking.seeds": [0], "stacking.run.training.epochs": 4},
    "demo transfer_cuts clustering": {},
    "demo alphanet": {},
    "stacked_cv+demo": {"stacking.seeds": [0], "stacking.run.training.epochs": 3},
    "speedrun+demo": {"cifar_resnet.seeds": [0]},
    "meta_learner_study+demo": {"stacking.seeds": [0], "stacking.run.training.epochs": 3},
    "resnet_randaugment+demo": {"cifar_resnet.run.training.epochs": 2, "cifar_resnet.seeds": [0]},
    "vit_study+demo": {"stacking.seeds": [0], "stacking.run.training.epochs": 3},
}
"""Environment, with the names of its pipelines where not all are meant -> parameters that bring it to a minute or less."""

_CHILD = "--child"


def main() -> None:
    """Plan and do the studies, one after the other, each in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", nargs="*", default=list(STUDIES))
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.relative_to(RESULT.parents[2])}")
    parser.add_argument(_CHILD)
    parser.add_argument("--rows", type=Path, help="file in which what was found is kept, so that another call goes on")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(planned_and_done(arguments.child)))
        return
    kept = {}
    if arguments.rows is not None and arguments.rows.is_file():
        kept = {row["study"]: row for row in map(json.loads, arguments.rows.read_text(encoding="utf-8").splitlines())}
    rows = []
    for study in arguments.studies:
        found = kept.get(study) or _in_a_process(study)
        kept[study] = found
        rows += [found]
        if arguments.rows is not None:
            arguments.rows.write_text("".join(json.dumps(row) + "\n" for row in kept.values()), encoding="utf-8")
    publish(text_of(rows), RESULT, write=arguments.write)


def _in_a_process(study: str) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    options = [_CHILD, study]
    command = [sys.executable, "-m", "benchmarks.plan", *options]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def planned_and_done(study: str) -> dict[str, Any]:
    """Seconds of a study as planned and as it took, of all of it and of each stage."""
    # Before anything else has taken them: the loop of training reads these clocks.
    time.perf_counter = time.process_time  # type: ignore[assignment]
    time.monotonic = time.process_time  # type: ignore[assignment]
    from vision_studies.studies.forecast import forecast
    from vision_studies.studies.method import do_item
    from vision_studies.studies.planned_times import PlannedTimes
    from vision_studies.studies.times import Speeds

    planned: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        contexts = contexts_of(study, Path(folder))
        stages = [stage for context in contexts for stage in forecast(context)]
        times = PlannedTimes(stages, Speeds(Path(folder) / "speeds.json"))
        begun = time.process_time()
        times.measure_missing()
        measuring = time.process_time() - begun
        for stage, estimate in zip(times.forecasts, times.stages, strict=True):
            own = planned.setdefault(f"{stage.pipeline}: {stage.stage}", [0.0, 0.0, 0.0, 0.0])
            for place, value in enumerate((estimate.seconds, estimate.low, estimate.high)):
                own[place] += value
        for context in contexts:
            steps, answer = context.steps({}), None
            while True:
                try:
                    item = steps.send(answer)
                except StopIteration:
                    break
                begun = time.process_time()
                answer = do_item(item, context)
                own = planned.setdefault(f"{context.method.name}: {item.label}", [0.0, 0.0, 0.0, 0.0])
                own[3] += time.process_time() - begun
    return {"study": study, "measuring": measuring, "stages": planned}


def contexts_of(study: str, folder: Path) -> list[Any]:
    """The methods of a study on its prepared images, with their runs in a folder; what cannot be done on them is left out."""
    from kedro.io import DataCatalog

    from vision_studies.catalog.config_loader import StudyConfigLoader
    from vision_studies.config.merge import unflatten
    from vision_studies.config.registry import METHODS, settings_model
    from vision_studies.project_folders import project_folder
    from vision_studies.settings import CONFIG_LOADER_ARGS
    from vision_studies.studies.method import load_method, make_context
    from vision_studies.studies.run_store import RunStore

    changed = unflatten(STUDIES.get(study, {}))
    environment, *pipelines = study.split()
    loader = StudyConfigLoader(project_folder() / "conf", environment, changed, **CONFIG_LOADER_ARGS)
    parameters, described = loader["parameters"], loader.catalog_in(project_folder())
    catalog = DataCatalog.from_config({name: described[name] for name in ("image_set", "splits")})
    if not catalog.exists("image_set"):
        prepare = [sys.executable, "-m", "kedro", "run", f"--env={environment}", "--pipeline=data_prep"]
        subprocess.run(prepare, check=True, stdout=sys.stderr)
    images = [catalog.load(name) for name in ("image_set", "splits")]
    shared = [settings_model(name).model_validate(parameters[name]) for name in ("study", "execution")]
    contexts = []
    asked = pipelines or (METHODS if loader.pipelines is None else loader.pipelines)
    for name in (name for name in METHODS if name in asked):
        method = load_method(name)
        models = [settings_model(key).model_validate(parameters[key]) for key in method.parameter_names]
        runs = RunStore(folder / "models" / (method.runs_of or method.name) / "runs")
        context = make_context(method, models, *shared, fresh=False, data=images, runs=runs)
        contexts += [context] if method.fits(context) is None else []
    return contexts


def text_of(rows: list[dict[str, Any]]) -> str:
    """The table, and which studies missed the goal."""
    from vision_studies.studies.provenance import processor_name

    shown, missed = [], []
    for row in rows:
        seconds, low, high, actual = (sum(each[place] for each in row["stages"].values()) for place in range(4))
        off = seconds / actual - 1
        changed = ", ".join(f"`{name}={value}`" for name, value in STUDIES.get(row["study"], {}).items())
        shown.append(
            [
                f"`{row['study']}`" + (f" ({changed})" if changed else ""),
                f"{row['measuring']:.0f}",
                f"{seconds:.0f} ({low:.0f} to {high:.0f})",
                f"{actual:.0f}",
                f"{100 * off:+.0f} %",
            ]
        )
        if abs(off) > GOAL:
            missed.append(row)
    headings = ("study", "measuring, s", "planned, s", "took, s", "off by")
    lines = [
        "# Planned and actual times",
        "",
        f"`python -m benchmarks.plan --write`, {processor_name()}, one thread. Seconds of processor time; only stages of runs, "
        "without preparation, tables, figures and report.",
        "",
        tabulate(shown, headings, tablefmt="github"),
        "",
        f"Goal: within {100 * GOAL:.0f} %: {len(rows) - len(missed)} of {len(rows)}.",
    ]
    for row in missed:
        stages = sorted(row["stages"].items(), key=lambda each: -abs(each[1][0] - each[1][3]))[:2]
        told = "; ".join(f"{name} {values[0]:.0f} s planned, {values[3]:.0f} s taken" for name, values in stages)
        lines += ["", f"- `{row['study']}`: {told}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
