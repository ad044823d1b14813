"""Training step of `resnet_small`, batch 128, on a CPU: as published (float32, contiguous, eager) and as `fit` does it.

    python -m benchmarks.training_step [--write] [--compile] [--rounds 5]

Every form is measured in processes of its own, so that the allocator of one does not serve another. Rounds take the forms
in turn; ratios are formed within a round and their median is reported, so that other work on the machine touches both
sides alike.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BATCH = 128
WARMUP_STEPS, TIMED_STEPS = 6, 10
PUBLISHED = "as published: float32, contiguous"
OURS = "ours: bfloat16, channels_last, allocator"
COMPILED = "ours, compiled"
FORMS: dict[str, dict[str, Any]] = {
    PUBLISHED: {"precision": "fp32", "channels_last": False, "compile": False, "tune": False},
    "+ allocator": {"precision": "fp32", "channels_last": False, "compile": False, "tune": True},
    "+ channels_last": {"precision": "fp32", "channels_last": True, "compile": False, "tune": True},
    OURS: {"precision": "bf16", "channels_last": True, "compile": False, "tune": True},
    COMPILED: {"precision": "bf16", "channels_last": True, "compile": True, "tune": True},
}
RESULT = Path(__file__).parent / "results" / "training_step.md"


def measure(form: str) -> float:
    """Median seconds of a training step in this process."""
    import torch
    from pydantic import TypeAdapter
    from torch.nn import functional as F

    from vision_studies.config.models import ModelSettings
    from vision_studies.models.build import build_model
    from vision_studies.training.runtime import tune_process

    options = FORMS[form]
    if options["tune"]:
        tune_process()
    torch.manual_seed(0)
    settings = TypeAdapter(ModelSettings).validate_python({"name": "resnet_small"})
    model = build_model(settings, in_channels=3, num_classes=10, image_size=32)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
    order = torch.channels_last if options["channels_last"] else torch.contiguous_format
    model, images = model.to(memory_format=order), images.contiguous(memory_format=order)
    forward = torch.compile(model) if options["compile"] else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options["precision"] == "bf16"):
            logits = forward(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - started

    for _ in range(WARMUP_STEPS):
        step()
    return statistics.median(step() for _ in range(TIMED_STEPS))


def measure_apart(form: str) -> float:
    """`measure` in a new process."""
    command = [sys.executable, "-m", "benchmarks.training_step", "--measure", form]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def report(seconds: dict[str, list[float]], rounds: int) -> str:
    """Table in Markdown."""
    lines = [
        "# Training step of `resnet_small`, batch 128",
        "",
        f"`python -m benchmarks.training_step`: median of {rounds} rounds, each form in a process of its own.",
        "",
        machine(),
        "",
        "| form | ms a step | images/s | times as published | in single rounds |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for form, times in seconds.items():
        ratios = [published / own for published, own in zip(seconds[PUBLISHED], times, strict=True)]
        median = statistics.median(times)
        lines.append(
            f"| {form} | {1000 * median:.0f} | {BATCH / median:.0f} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f} to {max(ratios):.2f} |"
        )
    return "\n".join(lines) + "\n"


def machine() -> str:
    """One line about the processor: what of it decides these numbers."""
    import torch

    flags, model = "", platform.processor()
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                flags = value
            if name.strip() == "model name":
                model = value.strip()
    units = [unit for unit in ("amx_bf16", "avx512_bf16") if unit in flags.split()] or ["none"]
    return f"{model}, {os.cpu_count()} cores, bfloat16 units: {', '.join(units)}; torch {torch.__version__}."


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--compile", action="store_true", help="measure the compiled form too (a minute a round)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=list(FORMS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    forms = [form for form in FORMS if arguments.compile or form != COMPILED]
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(arguments.rounds):
        for form in forms:
            seconds[form].append(measure_apart(form))
    table = report(seconds, arguments.rounds)
    print(table)
    if arguments.write:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
