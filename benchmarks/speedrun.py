"""The study `speedrun` on two cores: training time, accuracy, memory, and where the time of a step goes.

    python -m benchmarks.speedrun --source=/path/to/cifar10 [--write] [--seeds 0 1 2]

Runs the command a user would (`kedro run --env=speedrun`), trains every seed anew, and reads the results table. The profile
is of single steps at the three sizes that images have during training.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd
import torch
import yaml
from tabulate import tabulate
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.publish import publish
from vision_studies.config.training import MuonSettings
from vision_studies.models.architectures.speedrun import SpeedrunNetSettings
from vision_studies.studies.provenance import processor_name
from vision_studies.training.optimizers import build_optimizers
from vision_studies.training.precision import has_fast_bfloat16
from vision_studies.training.runtime import tune_process

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "speedrun.md"
STUDY = ROOT / "conf/speedrun/parameters.yml"
PROFILED_STEPS = 6
KINDS = {
    "convolutions": ("convolution",),
    "pooling": ("max_pool", "fill_", "amax", "zero_"),
    "activation": ("gelu",),
    "norm": ("batch_norm",),
    "optimiser": ("mm", "addmm", "bmm", "baddbmm", "_foreach", "lerp", "norm"),
}


def train(source: str, seeds: list[int]) -> pd.DataFrame:
    """Rows of the results table, one a seed, in the order of the seeds."""
    folder = ROOT / "data/07_model_output/speedrun/cifar_resnet"
    rows = []
    for seed in seeds:  # commas divide parameters on the command line: one seed at a time
        parameters = f"data_prep.source={source},fresh=true,cifar_resnet.seeds=[{seed}]"
        for pipeline in ("data_prep", "cifar_resnet"):
            command = [sys.executable, "-m", "kedro", "run", "--env=speedrun", f"--pipeline={pipeline}"]
            subprocess.run([*command, f"--params={parameters}"], check=True, cwd=ROOT)
        table = pd.read_parquet(folder / "results.parquet")
        rows.append(table[table["seed"] == seed])
    return pd.concat(rows)


def runs_table(results: pd.DataFrame) -> str:
    """One line a seed, and the medians."""
    rows = [
        {
            "seed": str(row["seed"]),
            "training, s": row["seconds"],
            "images/s": row["images_per_second"],
            "test accuracy": row["test_accuracy"],
            "with its mirror image": json.loads(row["other_metrics"])["test_accuracy_views_2"],
            "peak memory, GB": row["peak_memory_mb"] / 1000,
        }
        for row in results.to_dict("records")
    ]
    rows.append(
        {"seed": "median"} | {key: statistics.median(row[key] for row in rows) for key in rows[0] if key != "seed"}
    )
    formats = ("", ".0f", ",.0f", ".4f", ".4f", ".2f")
    return tabulate(rows, headers="keys", tablefmt="github", floatfmt=formats, disable_numparse=[0])


def profile_table() -> str:
    """Milliseconds of a training step by kind of work, for each size of the images."""
    run = yaml.safe_load(STUDY.read_text(encoding="utf-8"))["cifar_resnet"]["run"]
    training = run["training"]
    columns = {}
    for scale in sorted(set(training["image_scales"])):
        size = round(32 * scale)
        columns[f"{size} pixels, ms"] = _profile(size, training["batch_size"], training["optimizer"])
    totals = {column: sum(times.values()) for column, times in columns.items()}
    rows = []
    for kind in [*KINDS, "the rest"]:
        row: dict[str, str] = {"work": kind}
        for column, times in columns.items():
            row[column] = f"{times[kind]:.0f} ({100 * times[kind] / totals[column]:.0f} %)"
        rows.append(row)
    rows.append({"work": "sum"} | {column: f"{total:.0f}" for column, total in totals.items()})
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def _profile(size: int, batch: int, optimizer: dict[str, object]) -> dict[str, float]:
    torch.manual_seed(0)
    settings = SpeedrunNetSettings.model_validate({"name": "speedrun_net"})
    model = settings.build(in_channels=3, num_classes=10, image_size=size)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = build_optimizers(model, MuonSettings.model_validate(optimizer))
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16("cpu")):
            logits = model(images)
        F.cross_entropy(logits.float(), labels, label_smoothing=0.2).backward()
        for each in optimizers:
            each.step()
            each.zero_grad()

    for _ in range(PROFILED_STEPS):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(PROFILED_STEPS):
            step()
    times: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        name = event.key.removeprefix("aten::")
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "the rest")
        times[kind] += event.self_cpu_time_total / 1000 / PROFILED_STEPS
    return times


def main() -> None:
    """Train, profile, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="cifar10", help="as the parameter data_prep.source")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--write", action="store_true", help=f"keep the tables in {RESULT.name}")
    arguments = parser.parse_args()
    tune_process()
    times = profile_table()
    runs = runs_table(train(arguments.source, arguments.seeds))
    text = (
        f"# Speedrun\n\n`kedro run --env=speedrun` on CIFAR-10, {processor_name()}.\n"
        f"`python -m benchmarks.speedrun --source=... --write`; what was tried stands in `speedrun_tried.md`.\n\n{runs}\n\n"
        f"Mean of {PROFILED_STEPS} training steps by kind of work (loader not included):\n\n{times}\n"
    )
    publish(text, RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
