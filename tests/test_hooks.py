import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from tests.conftest import ROOT, heed_interrupts

from vision_studies import settings
from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.errors import BusyError


class Run:
    """What Kedro tells the project's hooks of one run."""

    def __init__(
        self, project: Path, env: str, run_id: str, namespace: str = "cifar_resnet", tags: tuple[str, ...] = ()
    ) -> None:
        self.project, self.study, self.run_id = project, env, run_id
        self.hook = _create_hook_manager()
        _register_hooks(self.hook, [type(hooks)() for hooks in settings.HOOKS])
        loader = StudyConfigLoader(ROOT / "conf", env=env, **settings.CONFIG_LOADER_ARGS)
        self.hook.hook.after_context_created(context=SimpleNamespace(config_loader=loader, project_path=project))
        self.told = {
            "run_params": {"run_id": run_id, "pipeline_names": ["cifar_resnet"], "runtime_params": {}},
            "pipeline": SimpleNamespace(nodes=[SimpleNamespace(namespace=namespace, tags=set(tags))]),
            "catalog": None,
        }

    def start(self) -> "Run":
        self.hook.hook.before_pipeline_run(**self.told)
        return self

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


def test_a_failure_is_recorded_and_frees_the_study(tmp_path):
    run = Run(tmp_path, "demo", "1").start()
    run.fail(ValueError("no luck"))
    assert (run.record()["status"], run.record()["error"]) == ("failed", "no luck")
    Run(tmp_path, "demo", "2").start().end()


def test_a_refused_run_names_the_holder_and_leaves_no_record(tmp_path):
    first, second = Run(tmp_path, "demo", "1").start(), Run(tmp_path, "demo", "2")
    with pytest.raises(BusyError, match=r"The study 'demo' is being worked on by process \d+ on \S+; wait until"):
        second.start()
    assert not second.file.exists()
    assert first.record()["status"] == "running"
    first.end()
    second.start().end()
    assert second.record()["status"] == "complete"


def test_a_run_of_shared_nodes_alone_joins_a_study_that_is_being_worked_on(tmp_path):
    first = Run(tmp_path, "hyper_search", "1", "stacking").start()
    joined = Run(tmp_path, "hyper_search", "2", "stacking", tags=("search", "shared")).start()
    assert joined.record()["status"] == "running"
    joined.end()
    with pytest.raises(BusyError):
        Run(tmp_path, "hyper_search", "3", "stacking").start()
    first.end()


def test_another_study_goes_on_unless_it_prepares_the_same_data(tmp_path):
    first = Run(tmp_path, "demo", "1", namespace="data_prep").start()
    Run(tmp_path, "resnet_se+demo", "2").start().end()
    preparing = Run(tmp_path, "resnet_se+demo", "3", namespace="data_prep")
    with pytest.raises(BusyError, match="The data set 'digits-"):
        preparing.start()
    Run(tmp_path, "resnet_se+demo", "4").start().end()  # the refused run has let go of its study
    first.end()
    preparing.start().end()


HELD = """
import sys, time
from pathlib import Path
from tests.test_hooks import Run
Run(Path(sys.argv[1]), "demo", "1").start()
print("held", flush=True)
time.sleep(60)
"""


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
        assert process.stdout.readline() == "held\n"
        waiting = Run(tmp_path, "demo", "2")
        with pytest.raises(BusyError, match=f"process {process.pid} on"):
            waiting.start()
        process.send_signal(sent)
        process.wait(timeout=30)
    assert json.loads((waiting.file.parent / "1.json").read_text())["status"] == status
    waiting.start().end()
