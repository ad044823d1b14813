"""Threads follow what a container is given, not what its machine has."""

import ast
import os
import subprocess
import sys

import pytest
from tests.conftest import ROOT

from vision_studies.processors import processors

PACKAGE = ROOT / "src/vision_studies"


def version_1(group, quota):
    return {f"{group}/cpu.cfs_quota_us": f"{quota}\n", f"{group}/cpu.cfs_period_us": "100000\n"}


CASES = [
    ("no control groups", None, {}, 64),
    ("version 2, no limit", "0::/", {"cpu.max": "max 100000\n"}, 64),
    ("version 2, in a container", "0::/", {"cpu.max": "400000 100000\n"}, 4),
    ("version 2, a part of one", "0::/", {"cpu.max": "20000 100000\n"}, 1),
    ("version 2, one and a half", "0::/", {"cpu.max": "150000 100000\n"}, 2),
    ("version 2, a service", "0::/a.slice/b.service", {"a.slice/b.service/cpu.max": "300000 100000"}, 3),
    ("version 2, a group above", "0::/a/b/c", {"a/cpu.max": "2000 1000", "a/b/cpu.max": "max 100000"}, 2),
    ("version 2, a name of the machine", "0::/../../pod/x", {"cpu.max": "500000 100000"}, 5),
    ("version 1, no limit", "4:cpu,cpuacct:/\n1:name=systemd:/", version_1("cpu,cpuacct", -1), 64),
    ("version 1, in a container", "4:cpu,cpuacct:/docker/0a1b", version_1("cpu,cpuacct", 250_000), 3),
    ("version 1, a job of a cluster", "7:cpuset:/x\n4:cpu:/slurm/job_1", version_1("cpu/slurm/job_1", 800_000), 8),
    ("both versions", "4:cpu,cpuacct:/\n0::/", version_1("cpu", 200_000), 2),
    ("more than there are", "0::/", {"cpu.max": "9900000 100000"}, 64),
    ("not the files that they should be", "0::/\nnonsense", {"cpu.max": "a b"}, 64),
    ("a period of nothing", "0::/", {"cpu.max": "100000 0"}, 64),
]
"""What it is, groups of the process, files below /sys/fs/cgroup, and threads of a machine with 64 processors."""


@pytest.mark.parametrize(("groups", "files", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_threads_follow_the_quota_of_a_container(tmp_path, monkeypatch, groups, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    written = {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in (written if groups is None else written | {"proc/self/cgroup": groups}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert processors(tmp_path) == expected


def test_threads_follow_the_processors_that_a_process_is_bound_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert processors(tmp_path) == 2


@pytest.mark.slow
def test_torch_computes_with_as_many_threads_unless_told_otherwise():
    script = (
        "import torch; from vision_studies.training import runtime; runtime.processors = lambda: 1; torch.set_num_threads(4);"
        "runtime.tune_process(); print(torch.get_num_threads())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for told, threads in (({}, "1"), ({"OMP_NUM_THREADS": "4"}, "4")):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment | told, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [threads]


@pytest.mark.slow
def test_nothing_counts_the_processors_of_the_machine_itself():
    counting = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("cpu_count", "process_cpu_count", "sched_getaffinity"):
                counting.append(path.relative_to(PACKAGE).as_posix())
            pools = ("ThreadPoolExecutor", "ProcessPoolExecutor", "ThreadPool", "Pool")
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in pools:
                assert node.args or node.keywords, f"{path}: of how many threads?"
            if isinstance(node, ast.keyword) and node.arg == "n_jobs":
                assert not isinstance(node.value, ast.UnaryOp), f"{path}: of how many threads?"
    assert sorted(counting) == ["processors.py", "studies/provenance.py"]  # which says what the machine has
