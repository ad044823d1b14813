"""What a user sees of commands: their help, what a run tells, its progress, and what Ctrl-C leaves."""

import io
import json
import logging
import re
import signal
import threading
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from kedro.framework.cli.cli import project_commands
from rich.console import Console
from tests.conftest import ROOT
from tests.studies.engine import execute

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli import cli, kedro_commands
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import environments
from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import costs_nothing
from vision_studies.hooks import TerminalHooks, terminal
from vision_studies.outcomes import Outcome
from vision_studies.studies import execution
from vision_studies.studies.execution import RunLog
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Stage
from vision_studies.studies.study_clock import StudyClock, even_weights
from vision_studies.studies.times import Speeds
from vision_studies.training import progress


def commands(group: click.Group, path: tuple[click.Command, ...] = ()):
    """Every command, with the groups that it stands in."""
    for command in group.commands.values():
        yield (*path, command)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, command))


@pytest.mark.parametrize("path", list(commands(cli)), ids=lambda path: " ".join(command.name for command in path))
def test_every_command_and_everything_that_it_takes_is_explained(path):
    command = path[-1]
    assert command.help, "the command has no help"
    unexplained = [own.opts[-1] for own in command.params if isinstance(own, click.Option) and not own.help]
    assert unexplained == []
    said = "\n".join(own.help for own in path)
    for argument in (own for own in command.params if isinstance(own, click.Argument)):
        for name in re.findall(r"[A-Z_]+", (argument.metavar or argument.name).upper()):
            assert name in said, f"nothing is said of {name}"
    shown = CliRunner().invoke(command, ["--help"])
    assert shown.exit_code == 0, shown.output


def test_the_help_of_run_names_studies_with_their_titles_and_what_may_be_joined_to_them(monkeypatch):
    monkeypatch.chdir(ROOT)
    shown = CliRunner().invoke(cli, ["run", "--help"]).output
    assert "resnet_se                 Squeeze-and-excitation in a small residual network" in shown
    joined = shown.split("To be joined to a study by +:")[1]
    assert {"demo", "middle", "cifar100"} <= set(joined.replace(",", " ").split())
    assert "kedro run --env=resnet_se+demo" in shown
    assert "--params" in shown.split("--from-inputs")[0], "what everyone needs comes first"


def test_an_environment_that_cannot_be_read_does_not_hide_the_help(tmp_path):
    (tmp_path / "conf/broken").mkdir(parents=True)
    (tmp_path / "conf/broken/environment.yml").write_text("title: [", encoding="utf-8")
    assert environments(tmp_path / "conf") == ({"broken": "conf/broken/environment.yml cannot be read"}, [])
    assert environments(tmp_path / "none") == ({}, [])


def test_commands_that_take_the_place_of_kedros_are_listed_once():
    assert not {"run", "catalog", "registry"} & set(project_commands.lazy_subcommands)
    assert "ipython" in project_commands.lazy_subcommands


def printed(monkeypatch, *, is_terminal: bool, **levels: str) -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=40, force_terminal=is_terminal, color_system=None)
    monkeypatch.setattr(terminal, "get_console", lambda: console)
    handler = terminal.TerminalHandler()
    for level, message in levels.items():
        record = logging.LogRecord("x", getattr(logging, level), "", 0, message, (), None)
        record.heading = level == "INFO"
        handler.emit(record)
    return output.getvalue().splitlines()


def test_a_message_keeps_its_brackets_and_is_one_line_where_no_terminal_folds_it(monkeypatch):
    long = "[32] of [red]2[/red]: " + "word " * 20 + "end"
    heading, warning = printed(monkeypatch, is_terminal=False, INFO=long, WARNING=long)
    assert heading[8:] == f" {long}"
    assert warning[8:] == f"   Warning: {long}"
    folded = printed(monkeypatch, is_terminal=True, INFO=long, WARNING="short")
    assert len(folded) > 3
    assert max(map(len, folded)) <= 40
    assert all(line.startswith(" " * 9) for line in folded[1:-1])


def steps(*names: str) -> SimpleNamespace:
    return SimpleNamespace(nodes=[SimpleNamespace(name=name, namespace=name.split(".")[0]) for name in names])


def begun(tmp_path, env: str, pipeline: SimpleNamespace) -> TerminalHooks:
    hooks = TerminalHooks()
    loader = StudyConfigLoader(
        ROOT / "conf", env=env, base_env="base", default_run_env="local", merge_strategy={"parameters": "soft"}
    )
    hooks.after_context_created(SimpleNamespace(config_loader=loader, project_path=tmp_path))
    hooks.before_pipeline_run(pipeline)
    return hooks


def test_a_run_says_what_it_is_where_it_works_and_where_results_lie(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    pipeline = steps("data_prep.split", "cifar_resnet.train_runs")
    hooks = begun(tmp_path, "resnet_se+demo", pipeline)
    for seconds, node in zip((60.0, 0.0), pipeline.nodes, strict=True):
        monkeypatch.setattr(terminal, "NOTABLE_SECONDS", seconds)
        hooks.before_node_run(node)
        hooks.after_node_run(node)
    hooks.after_pipeline_run()
    said = caplog.messages
    assert said[0] == "Study resnet_se+demo: Squeeze-and-excitation in a small residual network"
    assert said[1].startswith("data_prep, cifar_resnet: 2 steps on ")
    assert said[2] == "results: data/07_model_output/resnet_se+demo, data/08_reporting/resnet_se+demo"
    assert said[3:5] == ["[1/2] data_prep.split", "[2/2] cifar_resnet.train_runs"]
    assert [text.split()[0] for text in said[5:7]] == ["took", "Done"]
    assert said[7].startswith("images: data/03_primary/digits-")
    assert said[8:] == ["for the report: kedro run --env=resnet_se+demo --pipeline=reporting"]


def test_a_run_with_a_report_ends_with_its_place_and_is_forgotten_by_the_next(tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO)
    pipeline = steps("reporting.build_report")
    hooks = begun(tmp_path, "demo", pipeline)
    reports = tmp_path / "data/08_reporting"
    (reports / "demo").mkdir(parents=True)
    (reports / "demo/report.html").touch()
    hooks.after_dataset_saved("reporting.summary", "All is well.")
    hooks.after_pipeline_run()
    places = f"All studies: {reports}/index.html\nReport: {reports}/demo/report.html\n"
    assert capsys.readouterr().out.endswith(f"All is well.\n\n{places}")
    assert "kedro run" not in caplog.text
    hooks.before_pipeline_run(pipeline)
    hooks.after_pipeline_run()
    assert "Report" not in capsys.readouterr().out


def test_without_results_of_its_own_the_page_of_all_studies_is_the_report(tmp_path, capsys):
    hooks = begun(tmp_path, "demo", steps("reporting.report_studies"))
    hooks.after_dataset_saved("reporting.summary", "Nothing yet.")
    hooks.after_pipeline_run()
    assert capsys.readouterr().out.endswith(f"Nothing yet.\n\nReport: {tmp_path}/data/08_reporting/index.html\n")


def test_a_run_that_fails_says_where(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    pipeline = steps("cifar_resnet.train_runs", "cifar_resnet.evaluate_runs")
    hooks = begun(tmp_path, "demo", pipeline)
    hooks.before_node_run(pipeline.nodes[0])
    hooks.on_pipeline_error()
    assert caplog.messages[-1].startswith("Stopped in step 1 of 2, cifar_resnet.train_runs, after ")


class Clock:
    """Time that passes when told to."""

    def __init__(self, monkeypatch, module) -> None:
        self.now = 100.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))


def ended(seed: int, accuracy: float = 0.5) -> tuple[Run, Outcome]:
    run = Run("cifar_resnet", "demo", "plain", 0, seed, {"width": 1}, "data", 1)
    return run, Outcome({"validation_accuracy": accuracy})


def test_many_small_runs_share_lines_and_long_ones_have_their_own(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    clock = Clock(monkeypatch, execution)
    log = RunLog("training", even_weights([ended(seed)[0] for seed in range(10)]))
    for seed in range(6):
        clock.now += 1
        log.ended([ended(seed, 0.5 + seed / 100)])
    clock.now += 6
    log.ended([ended(6, 0.9)])
    log.ended([ended(seed, 0.1) for seed in (7, 8, 9)])
    assert caplog.messages == [
        "training 5 of 10: validation accuracy 0.5000 to 0.5400, about 5 s left",
        "training 7 of 10: validation accuracy 0.5000 to 0.9000, about 5 s left",
        "training 10 of 10: validation accuracy 0.1000 to 0.9000",
    ]
    caplog.clear()
    log = RunLog("training", even_weights([ended(seed)[0] for seed in range(2)]))
    for seed in range(2):
        clock.now += 60
        log.ended([ended(seed)])
    assert caplog.messages == [
        "training 1 of 2: plain, seed 0: validation accuracy 0.5000, about 60 s left",
        "training 2 of 2: plain, seed 1: validation accuracy 0.5000",
    ]


def test_what_is_left_counts_for_what_it_costs_and_is_of_the_whole_study(monkeypatch, caplog, tmp_path):
    caplog.set_level(logging.INFO)
    clock = Clock(monkeypatch, execution)
    runs = [ended(seed)[0] for seed in range(3)]
    weights = dict(zip((run.fingerprint for run in runs), (80.0, 10.0, 10.0), strict=True))
    log = RunLog("training", weights)
    clock.now += 80
    log.ended([ended(0)])
    assert caplog.messages[-1].endswith("about 20 s left")  # and not 160 s, as two more such runs would take
    study = StudyClock(
        Speeds(tmp_path / "speeds.json"), {("cifar_resnet", "training"): 100.0, ("cifar_resnet", "evaluation"): 30.0}
    )
    stage = study.stage("cifar_resnet", Stage("training", runs, Alone(fail), costs_nothing))
    log = RunLog("training", weights, stage)
    clock.now += 120  # half as long again as planned
    log.ended([ended(0)])
    assert caplog.messages[-1].endswith("about 73 s left")  # 30 of this stage, 43 of the next
    assert study.pace(80.0, 120.0) == pytest.approx((120 + 13) / (80 + 13))  # a tenth of the 130 s counts as planned
    clock.now += 30
    log.ended([ended(1), ended(2)])
    assert caplog.messages[-1].endswith("about 43 s left")


def fail(run, folder):
    raise RuntimeError("out of luck")


def test_a_run_that_fails_is_told_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    settings = ExecutionSettings.model_construct(backend="sequential", workers=1)
    execute([ended(0)[0]], "training", fail, tmp_path, settings)
    assert caplog.text.count("out of luck") == 1
    assert caplog.text.count("plain, seed 0") == 1
    assert caplog.messages[-1] == "training 1 of 1"


def test_a_long_training_says_where_it_is_ever_more_rarely_where_there_is_no_terminal(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "get_console", lambda: Console(file=io.StringIO(), force_terminal=False))
    clock = Clock(monkeypatch, progress)
    with progress.training_progress(1000, 100) as advance:
        for epoch in range(101, 1001):
            clock.now += 1
            advance({"epoch": epoch, "validation_accuracy": 0.9, "train_loss": 0.25})
    assert caplog.messages[0] == "epoch 130 of 1000: loss 0.250, validation accuracy 0.900, about 0:14:30 left"
    assert 5 < len(caplog.messages) < 20
    caplog.clear()
    with progress.stack_progress(6, 20) as advance:
        for epoch in range(20):
            clock.now += 0.2
            advance(epoch + 1, 3)
    assert caplog.messages == [], "what is over in seconds needs no line"


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, True), (3600.0, False)])
def test_a_terminal_has_a_bar_for_what_takes_its_time(monkeypatch, seconds, shown):
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=True)
    monkeypatch.setattr(progress, "get_console", lambda: console)
    monkeypatch.setattr(progress, "_BAR_AFTER", seconds)
    with progress.stack_progress(6, 20) as advance:
        if shown:
            next(own for own in threading.enumerate() if isinstance(own, threading.Timer)).join(10)
        advance(7, 3)
    assert ("7/20" in output.getvalue() and "3 of 6 networks" in output.getvalue()) == shown
    assert not [own for own in threading.enumerate() if isinstance(own, threading.Timer)]


def test_an_interrupted_command_says_so_in_a_sentence():
    def interrupted() -> None:
        raise KeyboardInterrupt

    command = click.Command("try", callback=told_in_a_sentence(interrupted, when_stopped="Stopped; go on later."))
    done = CliRunner().invoke(command)
    assert (done.exit_code, done.stderr, done.stdout) == (130, "\nStopped; go on later.\n", "")


def test_a_collection_stops_with_the_study_that_is_stopped(monkeypatch, capsys):
    begun_studies = []

    def run(arguments, check, env):
        assert env["KEDRO_ENV"] == arguments[-1].removeprefix("--env=")
        begun_studies.append(arguments[-1])
        return SimpleNamespace(returncode=130)

    monkeypatch.setattr(kedro_commands.subprocess, "run", run)
    monkeypatch.setattr(kedro_commands.sys, "argv", ["kedro", "run", "--env=some"])
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stopped:
        kedro_commands._run_each(["one", "two"], "some")
    assert (stopped.value.code, begun_studies) == (130, ["--env=one"])
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_loses_nothing_and_says_so(project):
    running = project.start("run", "--env=demo", "--pipeline=data_prep")
    for line in running.stdout:
        if "data_prep.prepare_image_set" in line:
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.strip() == "Stopped. Nothing that was finished is lost: the same command continues."
    assert "Traceback" not in out
    record = next((project.folder / "data/08_reporting/demo/run_records").glob("*.json"))
    assert json.loads(record.read_text(encoding="utf-8"))["status"] == "interrupted"


def test_a_choice_that_leaves_nothing_to_do_is_told_in_a_sentence(project):
    done = project.run("run", "--env=demo", "--pipeline=cifar_resnet", "--nodes=cifar_resnet.zz", succeeds=False)
    message = "Pipeline does not contain nodes named ['cifar_resnet.zz']; `kedro registry describe` lists the steps"
    assert done.stderr.startswith(f"Error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stdout


def test_a_runner_that_is_none_is_told_in_a_sentence():
    done = CliRunner().invoke(cli, ["run", "--runner=Zed"])
    assert done.exit_code == 1
    assert done.stderr == "Error: There is no runner 'Zed'; use SequentialRunner, ThreadRunner or ParallelRunner.\n"
