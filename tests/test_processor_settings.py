import os
import sys
from pathlib import Path

import pytest
from scripts import test_processors as script
from scripts.pytest_counts import run_pytest

from vision_studies.training.precision import has_fast_bfloat16

MILAN = {"avx2"}
COOPER_LAKE = MILAN | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16"}
SAPPHIRE_RAPIDS = COOPER_LAKE | {"amx_tile", "amx_bf16"}


@pytest.mark.parametrize(
    ("flags", "instruction_sets"),
    [
        (set(), []),
        (MILAN, ["AVX2"]),
        (COOPER_LAKE, ["AVX2", "AVX512_CORE", "AVX512_CORE_BF16"]),
        (SAPPHIRE_RAPIDS, ["AVX2", "AVX512_CORE", "AVX512_CORE_BF16", "AVX512_CORE_AMX"]),
    ],
)
def test_a_processor_imitates_what_is_not_above_its_own(flags, instruction_sets):
    chosen = script.settings(flags, cores=2)
    assert [one["ONEDNN_MAX_CPU_ISA"] for one in chosen if "ONEDNN_MAX_CPU_ISA" in one] == instruction_sets
    capabilities = [one["ATEN_CPU_CAPABILITY"] for one in chosen if "ATEN_CPU_CAPABILITY" in one]
    assert capabilities == (["default", "avx2"] if flags else ["default"])
    assert [one["OMP_NUM_THREADS"] for one in chosen if "OMP_NUM_THREADS" in one] == ["1", "2"]


def test_flags_and_name_are_those_of_the_first_processor():
    text = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: fpu\n"
    assert script.processor_flags(text) == {"fpu", "avx2"}
    assert script.processor_name(text) == "Some CPU, AVX2"
    assert script.processor_flags("") == set()


@pytest.mark.parametrize(
    ("limit", "fast"), [("AVX2", False), ("AVX512_CORE", False), ("avx512_core_vnni", False), ("ALL", None), ("", None)]
)
def test_an_imitated_processor_is_as_fast_at_bfloat16_as_the_one_it_imitates(limit, fast, monkeypatch):
    """None: as fast as the processor itself."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    flags = script.processor_flags(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    expected = bool({"amx_bf16", "avx512_bf16"} & flags) if fast is None else fast
    assert has_fast_bfloat16.__wrapped__("cpu") == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def test_a(): pass\ndef test_b(): assert False", (1, 1, "")),
        ("import nowhere", (0, 0, "pytest ended with 2")),
    ],
)
def test_tests_are_counted(tmp_path, body, expected):
    (tmp_path / "test_small.py").write_text(body + "\n")
    counts = run_pytest(sys.executable, ["-p", "no:cacheprovider"], tmp_path, dict(os.environ))
    assert (counts.passed, counts.failed, counts.failure) == expected
    assert not (tmp_path / ".tests.xml").exists()
    assert script.table([("A=1", counts, 2.0)]).splitlines()[1].split()[:3] == ["A=1", *map(str, expected[:2])]
