"""The recipes of docs/clusters.md that no machine here can run: what of them can be checked is."""

import re
import sys

import pytest
from tests.conftest import ROOT

PAGE = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
CONTAINER = (ROOT / "docs/assets/Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} +(.+)$", CONTAINER, re.MULTILINE)


def packages(text: str) -> set[str]:
    (listed,) = re.findall(r"apt-get install -y (?:-qq )?(?:--no-install-recommends )?([^;&|}]+)", text)
    return set(listed.split())


def test_the_slurm_script_makes_jobs_of_one_run_each(monkeypatch, capsys):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is an optional library")
    (script,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert "slurm_workers.py" in script
    monkeypatch.setattr(sys, "argv", ["slurm_workers.py", "--show"])
    named = {}
    try:
        exec(script.replace('"port": 8786', '"port": 0'), named)  # noqa: S102 - the page is ours
    finally:
        named["cluster"].close()
    job = capsys.readouterr().out
    for line in ("-p gpu", "-A my_account", "--cpus-per-task=8", "--mem=30G", "-t 24:00:00", "--gres=gpu:1"):
        assert f"#SBATCH {line}\n" in job, job
    (worker,) = [line for line in job.splitlines() if "dask worker" in line or "dask_worker" in line]
    assert "/shared/vision-studies/.venv/bin/python" in worker
    assert "--nthreads 1" in worker
    assert "--resources GPU=1" in worker
    assert worker.rindex("--memory-limit 0") > worker.index("--memory-limit")  # the last one counts
    assert job.index("cd /shared/vision-studies\n") < job.index(worker)


def test_the_container_is_set_up_as_the_project_is():
    install = (ROOT / "install.sh").read_text(encoding="utf-8")
    assert packages(CONTAINER) == packages(install) | {"git"}
    runs = " ".join(instructions("RUN"))
    steps = [
        """"$(sed -nE 's/^ *"(torch==[^"]+)".*/\\1/p' pyproject.toml)\"""",
        "--require-hashes --no-deps --requirement requirements.txt",
        "--require-hashes --no-deps --requirement requirements-ffcv.txt",
        "--no-deps --editable .",
    ]
    assert [step for step in steps if step not in install] == []
    assert runs.count("pip install") == runs.count("--no-build-isolation") + 1
    places = [runs.index(step) for step in steps]
    assert places == sorted(places)
    assert instructions("FROM") == ["python:3.11-slim"]


def test_the_container_copies_what_there_is_and_runs_kedro_as_nobody_special():
    copied = [word for line in instructions("COPY") for word in line.split()[:-1]]
    assert {"src", "conf", "pyproject.toml"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    (user,) = instructions("USER")
    assert user != "root"
    assert f"--create-home {user}" in CONTAINER
    assert instructions("ENTRYPOINT") == ['["kedro"]']
    assert CONTAINER.index("requirements.txt") < CONTAINER.index("RUN pip install") < CONTAINER.index("USER")
