"""Runs the numeric tests as lesser processors would: `make test-processors`.

oneDNN and ATen, the libraries under torch, can be held to older instruction sets than the processor has, and number of
threads decides how a matrix product is cut. Each setting that this processor can imitate is one run of the tests.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from scripts.pytest_counts import Counts, run_pytest

ROOT = Path(__file__).resolve().parents[1]

INSTRUCTION_SETS = {
    "AVX2": {"avx2"},
    "AVX512_CORE": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "AVX512_CORE_BF16": {"avx512_bf16"},
    "AVX512_CORE_AMX": {"amx_tile", "amx_bf16"},
}
"""Values of ONEDNN_MAX_CPU_ISA, and the flags without which a processor cannot imitate them."""
CAPABILITIES = {"default": set[str](), "avx2": {"avx2"}}
"""Values of ATEN_CPU_CAPABILITY, and the same."""


def settings(flags: set[str], cores: int) -> list[dict[str, str]]:
    """The variables of each run: what a processor with these flags can imitate, and one thread or all."""
    chosen = [{"ONEDNN_MAX_CPU_ISA": name} for name, needed in INSTRUCTION_SETS.items() if needed <= flags]
    chosen += [{"ATEN_CPU_CAPABILITY": name} for name, needed in CAPABILITIES.items() if needed <= flags]
    return chosen + [{"OMP_NUM_THREADS": str(threads)} for threads in sorted({1, cores})]


def processor_flags(cpuinfo: str) -> set[str]:
    """The flags of the first processor in the text of /proc/cpuinfo."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return next((set(value.split()) for name, _, value in lines if name.strip() == "flags"), set())


def processor_name(cpuinfo: str) -> str:
    """The name of the first processor in the text of /proc/cpuinfo, and the newest instruction set that matters here."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), "unknown processor")
    flags = processor_flags(cpuinfo)
    newest = [isa for isa, needed in INSTRUCTION_SETS.items() if needed <= flags]
    return f"{name}, {newest[-1] if newest else 'no AVX2'}"


def table(rows: list[tuple[str, Counts, float]]) -> str:
    """A line for each setting."""
    lines = [f"{'setting':<40}{'passed':>8}{'failed':>8}{'seconds':>9}"]
    for name, counts, seconds in rows:
        lines += [f"{name:<40}{counts.passed:>8}{counts.failed:>8}{seconds:>9.0f}  {counts.failure}".rstrip()]
    return "\n".join(lines)


def main() -> int:
    """End with 1 if a test fails under one of the settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pytest_arguments", nargs="*", help="after --: what pytest gets")
    options = parser.parse_args()
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    rows = []
    for variables in settings(processor_flags(cpuinfo), os.cpu_count() or 1):
        name = " ".join(f"{key}={value}" for key, value in variables.items())
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        counts = run_pytest(Path(sys.executable), options.pytest_arguments, ROOT, os.environ | variables)
        rows.append((name, counts, time.monotonic() - began))
    print(f"\n{processor_name(cpuinfo)}\n{table(rows)}")
    return 1 if any(counts.failed or counts.failure for _, counts, _ in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
