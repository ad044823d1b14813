"""Training step of `resnet_small`, batch 128, on a CPU: as published (float32, contiguous, eager) and as `fit` does it.

    python -m benchmarks.training_step [--write] [--compile] [--rounds 15]

Every form lives in a process of its own, so that the allocator of one does not serve another, and only one works at a
time. Rounds take the forms in turn, a few steps each; ratios are formed within a round and their median is reported, so
that other work on the machine touches both sides alike. The fastest step of all says what the machine does undisturbed.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.publish import publish
from benchmarks.rounds import measure

BATCH = 128
WARMUP_STEPS, STEPS_A_ROUND = 6, 4
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


def serve(form: str) -> None:
    """Take a few training steps for every line of input, and print their seconds."""
    import torch
    from pydantic import TypeAdapter
    from torch.nn import functional as F

    from vision_studies.config.models import ModelSettings
    from vision_studies.training.runtime import tune_process

    options = FORMS[form]
    if options["tune"]:
        tune_process()
    torch.manual_seed(0)
    settings = TypeAdapter(ModelSettings).validate_python({"name": "resnet_small"})
    model = settings.build(in_channels=3, num_classes=10, image_size=32)
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
    for _ in sys.stdin:
        print(json.dumps([step() for _ in range(STEPS_A_ROUND)]), flush=True)


def report(seconds: dict[str, list[list[float]]], rounds: int) -> str:
    """Table in Markdown."""
    lines = [
        "# Training step of `resnet_small`, batch 128",
        "",
        f"`python -m benchmarks.training_step`: {rounds} rounds of {STEPS_A_ROUND} steps; how is said in its source.",
        "",
        machine(),
        "",
        "| form | ms a step | images/s | times as published | middle half of rounds | fastest step, ms | its ratio |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    published = [statistics.median(steps) for steps in seconds[PUBLISHED]]
    published_fastest = min(map(min, seconds[PUBLISHED]))
    for form, rounds_of_form in seconds.items():
        times = [statistics.median(steps) for steps in rounds_of_form]
        ratios = [reference / own for reference, own in zip(published, times, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        median, fastest = statistics.median(times), min(map(min, rounds_of_form))
        lines.append(
            f"| {form} | {1000 * median:.0f} | {BATCH / median:.0f} | {statistics.median(ratios):.2f} | "
            f"{low:.2f} to {high:.2f} | {1000 * fastest:.0f} | {published_fastest / fastest:.2f} |"
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
    parser.add_argument("--compile", action="store_true", help="measure the compiled form too (a minute more)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--serve", choices=list(FORMS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    forms = [form for form in FORMS if arguments.compile or form != COMPILED]
    tuned = {form: bool(FORMS[form]["tune"]) for form in forms}
    seconds = measure("benchmarks.training_step", tuned, arguments.rounds)
    publish(report(seconds, arguments.rounds), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
