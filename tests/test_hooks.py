import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.io import AbstractDataset, Version
from tests.conftest import ROOT, heed_interrupts

from vision_studies import files, settings
from vision_studies.catalog.atomic import JSONDataset
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.errors import BusyError, DataError, ParameterError


class Run:
    """What Kedro tells the project's hooks of one run."""

    def __init__(
        self, project: Path, env: str, run_id: str, namespace: str = "cifar_resnet", parameters: dict | None = None
    ) -> None:
        self.project, self.study, self.run_id = project, env, run_id
        self.data_sets: dict[str, AbstractDataset] = {}
        self.hook = _create_hook_manager()
        _register_hooks(self.hook, [type(hooks)() for hooks in settings.HOOKS])
        loader = StudyConfigLoader(
            ROOT / "conf", env=env, runtime_params=parameters or {}, **settings.CONFIG_LOADER_ARGS
        )
        self.hook.hook.after_context_created(context=SimpleNamespace(config_loader=loader, project_path=project))
        node = SimpleNamespace(name=namespace, namespace=namespace, outputs=["images", f"{namespace}.figure"])
        self.told = {
            "run_params": {"run_id": run_id, "pipeline_names": ["cifar_resnet"], "runtime_params": {}},
            "pipeline": SimpleNamespace(nodes=[node], inputs=set, datasets=lambda: set(self.data_sets)),
            "catalog": self.data_sets,
        }

    def start(self) -> "Run":
        self.hook.hook.before_pipeline_run(**self.told)
        return self

    def save(self, name: str) -> None:
        self.hook.hook.after_dataset_saved(dataset_name=name, data=None, node=None)

    def end(self) -> None:
        self.hook.hook.after_pipeline_run(run_result={}, **self.told)

    def fail(self, error: Exception) -> None:
        self.hook.hook.on_pipeline_error(error=error, **self.told)

    @property
    def file(self) -> Path:
        return self.project / "data/08_reporting" / self.study / "run_records" / f"{self.run_id}.json"

    def record(self) -> dict:
        return json.loads(self.file.read_text(encoding="utf-8"))


def test_a_run_is_recorded_from_start_to_end(tmp_path):
    run = Run(tmp_path, "resnet_se+demo", "1").start()
    started = run.record()
    assert (started["status"], started["study"], started["pipelines"]) == (
        "running",
        "resnet_se+demo",
        ["cifar_resnet"],
    )
    assert started["environments"] == ["base", "resnet_se", "demo"]
    assert started["parameters"]["data_prep"]["source"] == "digits"
    assert started["parameters"]["study"]["title"]
    assert started["differences_from_base"]["data_prep.source"] == ["cifar10", "digits"]
    assert not [name for name in started["differences_from_base"] if name.startswith("study")]
    assert {"python", "torch", "kedro"} <= set(started["versions"])
    assert started["processor"]
    run.end()
    assert run.record()["status"] == "complete"
    assert run.record()["finished_at"] >= started["started_at"]
    assert isinstance(run.record()["gpus"], list)


@pytest.mark.slow
def test_a_failure_is_recorded_and_frees_the_study(tmp_path):
    run = Run(tmp_path, "demo", "1").start()
    run.fail(ValueError("no luck"))
    assert (run.record()["status"], run.record()["error"]) == ("failed", "no luck")
    Run(tmp_path, "demo", "2").start().end()


@pytest.mark.slow
def test_a_command_with_the_same_parameters_shares_the_study(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    first = Run(tmp_path, "demo", "1").start()
    joined = Run(tmp_path, "demo", "2", "reporting", {"execution": {"workers": 3}}).start()
    assert f"sharing the study 'demo' with process {os.getpid()} on " in caplog.text
    first.end()
    Run(tmp_path, "demo", "3").start().end()
    joined.end()
    assert [path.name for path in (tmp_path / "data/.locks/study-demo").iterdir()] == []
    assert [run.record()["status"] for run in (first, joined)] == ["complete", "complete"]


@pytest.mark.slow
def test_a_command_with_other_parameters_is_refused_and_leaves_no_record(tmp_path):
    first = Run(tmp_path, "demo", "1").start()
    other = Run(tmp_path, "demo", "2", parameters={"cifar_resnet": {"seeds": [7]}})
    with pytest.raises(
        BusyError,
        match=r"The study 'demo' is being worked on by process \d+ on \S+ with another value of cifar_resnet.seeds; wait",
    ):
        other.start()
    assert not other.file.exists()
    assert first.record()["status"] == "running"
    first.end()
    other.start().end()
    assert other.record()["status"] == "complete"


@pytest.mark.slow
def test_fresh_wants_the_study_for_itself(tmp_path):
    first, fresh = Run(tmp_path, "demo", "1").start(), Run(tmp_path, "demo", "2", parameters={"fresh": True})
    with pytest.raises(BusyError, match="fresh=true wants it for itself"):
        fresh.start()
    first.end()
    fresh.start()
    with pytest.raises(BusyError, match="is being done afresh by process"):
        first.start()
    Run(tmp_path, "resnet_se+demo", "3").start().end()  # another study goes on
    fresh.end()


@pytest.mark.slow
def test_commands_that_begin_in_the_same_millisecond_have_a_record_each(tmp_path):
    runs = [Run(tmp_path, "demo", "1").start() for _ in range(2)]
    for run in runs:
        run.end()
    assert sorted(file.name for file in runs[0].file.parent.glob("*.json")) == ["1-2.json", "1.json"]


@pytest.mark.slow
def test_a_data_set_is_waited_for_until_it_is_prepared(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    first = Run(tmp_path, "demo", "1", namespace="data_prep").start()
    Run(tmp_path, "resnet_se+demo", "2").start().end()  # whoever prepares nothing goes on
    waiting = threading.Thread(target=lambda: Run(tmp_path, "resnet_se+demo", "3", namespace="data_prep").start())
    waiting.start()
    deadline = time.monotonic() + 60
    while "which prepares the data set 'digits-" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert f"waiting for process {os.getpid()} on " in caplog.text
    first.save("data_prep.figure")
    assert waiting.is_alive()
    first.save("images")  # the last that others need
    waiting.join(60)
    assert not waiting.is_alive()
    first.end()


def test_what_killed_processes_have_left_half_written_goes_when_a_study_begins(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = ["07_model_output/demo/cifar_resnet/results.parquet", "08_reporting/demo/report.html"]
    left = [tmp_path / "data" / name for name in names]
    left = [path.with_name(f".{path.name}.{files._machine()}-{gone.pid}-a_b2.tmp") for path in left]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()
    Run(tmp_path, "demo", "1").start().end()
    assert not any(path.exists() for path in left)


def card(folder, version=None):
    return JSONDataset(filepath=str(folder / "card.json"), version=Version(None, version))


@pytest.mark.slow
def test_the_oldest_versions_go_when_the_last_command_leaves_the_study(tmp_path):
    for number in range(8):
        card(tmp_path, str(number)).save({"number": number})
    (tmp_path / "plain.json").write_text("{}")
    runs = [Run(tmp_path, "demo", str(number)).start() for number in range(2)]
    for run in runs:
        run.data_sets |= {"card": card(tmp_path), "plain": JSONDataset(filepath=str(tmp_path / "plain.json"))}
    runs[0].end()
    assert len(card(tmp_path).versions.names()) == 8  # the other one may read any of them
    runs[1].end()
    assert card(tmp_path).versions.names() == list("76543")
    fewer = Run(tmp_path, "demo", "3", parameters={"versions": {"keep": 2}})
    fewer.data_sets |= {"card": card(tmp_path)}
    fewer.start().end()
    assert card(tmp_path).versions.names() == list("76")
    assert card(tmp_path).load() == {"number": 7}


def test_a_version_that_cannot_be_loaded_stops_a_command_before_it_begins(tmp_path):
    card(tmp_path, "1").save({"number": 1})

    def run_with(**load_versions):
        run = Run(tmp_path, "demo", "1")
        run.data_sets |= {"card": card(tmp_path), "plain": JSONDataset(filepath=str(tmp_path / "plain.json"))}
        run.told["run_params"]["load_versions"] = load_versions
        return run

    for name, version, error, told in (
        ("card", "2", DataError, "There is no version '2' of .*card.json; there are 1 "),
        (
            "plain",
            "1",
            ParameterError,
            "--load-versions: 'plain' is no data set with versions that these steps work with",
        ),
        ("crad", "1", ParameterError, "'crad' is no data set .* Did you mean 'card'"),
    ):
        refused = run_with(**{name: version})
        with pytest.raises(error, match=told):
            refused.start()
        assert not refused.file.exists()
    run_with(card="1").start().end()


HELD = """
import sys, time
from pathlib import Path
from tests.test_hooks import Run
Run(Path(sys.argv[1]), "demo", "1").start()
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, "interrupted"), (signal.SIGKILL, "running")])
def test_a_stopped_process_lets_go_of_its_study(tmp_path, sent, status):
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        study, steps, results, held = (process.stdout.readline() for _ in range(4))
        assert (study[9:], held) == ("Study demo\n", "held\n")
        assert " 1 step on " in steps
        assert "results: data/07_model_output/demo" in results
        waiting = Run(tmp_path, "demo", "2", parameters={"fresh": True})
        with pytest.raises(BusyError, match=f"process {process.pid} on"):
            waiting.start()
        process.send_signal(sent)
        process.wait(timeout=30)
    assert json.loads((waiting.file.parent / "1.json").read_text())["status"] == status
    waiting.start().end()
