import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
from tests.conftest import ROOT, heed_interrupts

pytest.importorskip("distributed", reason="Dask is an optional library")


def start(project, *arguments):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts/cluster_demo.py"), *arguments],
        cwd=project.folder,
        env=project.environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_interrupts,
    )


def workers(demo) -> list[int]:
    line = demo.stdout.readline()
    assert "Dask scheduler at tcp://127.0.0.1:" in line, line + demo.stdout.read()
    return [int(part.split(")")[0]) for part in line.split("(process ")[1:]]


def holder(pids, run) -> int | None:
    """Place of the worker that has the lock of a run open."""
    for place, pid in enumerate(pids):
        for child in psutil.Process(pid).children(recursive=True):
            if any(str(run) in file.path for file in child.open_files()):
                return place
    return None


def stopped_in_the_middle(pids, runs, demo, seconds=90):
    """Stop a worker that has a checkpoint of its run and not its result; return its place and the run's folder."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and demo.poll() is None:
        for run in [file.parents[1] for file in runs.glob("*/checkpoints/epoch_*.safetensors")]:
            place = None if (run / "training.json").exists() else holder(pids, run)
            if place is None:
                continue
            os.killpg(pids[place], signal.SIGSTOP)
            if holder(pids, run) == place and not (run / "training.json").exists():
                return place, run
            os.killpg(pids[place], signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("no worker was met in the middle of a run")


@pytest.mark.slow
def test_a_killed_worker_changes_no_result(demo_project):
    """The runs of the demo, done before one after the other, again on two workers; one is killed while it trains."""
    study = "demo+quick+cluster"
    runs = demo_project.folder / "data/06_models" / study / "cifar_resnet/runs"
    with start(demo_project, f"--env={study}", "--pipeline=cifar_resnet") as demo:
        pids = workers(demo)
        killed, run = stopped_in_the_middle(pids, runs, demo)
        os.killpg(pids[killed], signal.SIGKILL)
        said = demo.stdout.read()
    assert demo.returncode == 0, said
    assert f"cluster: {len(list(runs.glob('*/training.json')))} by worker-{2 - killed}" in said
    assert (run / "training.json").exists()
    assert "have ended" in said
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    outputs = demo_project.folder / "data/07_model_output"
    tables = []
    for name in ("demo+quick", study):
        table = pd.read_parquet(outputs / name / "cifar_resnet/results.parquet")
        tables.append(table.sort_values(["variant", "seed"]).reset_index(drop=True))
    compared = [
        name for name in tables[0] if name.startswith(("validation_", "test_", "run_f")) or name == "best_epoch"
    ]
    pd.testing.assert_frame_equal(tables[0][compared], tables[1][compared], check_exact=True)
    assert tables[1]["status"].tolist() == ["complete"] * len(tables[1])
    for folder in demo_project.folder.glob(
        f"data/0*/{study}"
    ):  # others who use the demo must not find this study there
        shutil.rmtree(folder)
