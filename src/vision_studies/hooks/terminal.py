"""What a run tells on the terminal: what it is, the step at work, what took long, and where its results lie."""

import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from kedro.framework.hooks import hook_impl
from kedro.framework.project import LOGGING
from rich import get_console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vision_studies.errors import visible
from vision_studies.hooks.study import StudyHooks
from vision_studies.project_folders import OUTPUTS, PRIMARY, REPORTS
from vision_studies.studies.provenance import processor_name

logger = logging.getLogger(__name__)

NOTABLE_SECONDS = 10.0
"""A step that takes longer than this says so when it has ended."""

_HEADING = {"heading": True}  # such a line stands at the margin, what is told during a step stands below it
_INDENT = 2
_MOST_CLASSES = 30
_LEVELS = {logging.WARNING: ("Warning: ", "bold yellow"), logging.ERROR: ("Error: ", "bold red")}
_GPUS = Path("/proc/driver/nvidia/gpus")


def use_project_logging(project: Path) -> None:
    """Let messages look as the project has it, where Kedro has found its own configuration alone, which it looks for in the
    working folder; one that KEDRO_LOGGING_CONFIG names stays.
    """
    file = project / "conf/logging.yml"
    of_kedro = any(handler.name == "rich" for handler in logging.getLogger().handlers)
    if of_kedro and "KEDRO_LOGGING_CONFIG" not in os.environ and file.is_file():
        LOGGING.configure(yaml.safe_load(file.read_text(encoding="utf-8")))


class TerminalHandler(logging.Handler):
    """A time and a message. Only warnings and errors name their level.

    On a terminal a long message goes on below its beginning; elsewhere each is one line, however long, for `grep`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        try:
            console = get_console()  # the progress bars' own: a line then moves above the bar instead of through it
            moment = Text(datetime.fromtimestamp(record.created).strftime("%H:%M:%S"), style="dim")
            is_heading = getattr(record, "heading", False)
            level, style = _LEVELS.get(min(record.levelno // 10 * 10, logging.ERROR), ("", ""))
            message = Text.assemble((level, style), (visible(self.format(record)), "bold" if is_heading else ""))
            indent = 0 if is_heading else _INDENT
            if console.is_terminal:
                line = Table.grid(padding=(0, 1))
                line.add_row(moment, Padding(message, (0, 0, 0, indent)))
                console.print(line)
            else:
                console.print(Text.assemble(moment, " " * (1 + indent), message), soft_wrap=True)
        except Exception:  # as every handler of `logging` does: what cannot be printed is told there, and stops no run
            self.handleError(record)


class TerminalHooks(StudyHooks):
    """Says what begins, which step is at work and, at the end of a run that made a report, what it found and where it lies."""

    _summary: str | None

    def __init__(self) -> None:
        super().__init__()
        self._begin({})

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Let the project's own handler take the place of the one that Kedro has made from `conf/logging.yml`."""
        super().after_context_created(context)
        use_project_logging(self._project)
        self._names_images_alone = getattr(context.config_loader, "pipelines", None) == []
        self._with_params = " and the same --params" if getattr(context.config_loader, "runtime_params", None) else ""
        root = logging.getLogger()
        for handler in list(root.handlers):
            if handler.name == "terminal" and not isinstance(handler, TerminalHandler):
                ours = TerminalHandler()
                ours.set_name(handler.name)
                ours.setFormatter(handler.formatter)
                root.removeHandler(handler)
                root.addHandler(ours)

    @hook_impl
    def before_pipeline_run(self, pipeline: Any) -> None:
        """Say what begins, on what machine, and where its results will lie."""
        self._begin({node.name: node.namespace for node in pipeline.nodes})
        title = self._description.get("title", self._study)
        _say(f"Study {self._study}" + ("" if title.casefold() in self._study.split("+") else f": {title}"))
        steps = f"{self._steps} step{'' if self._steps == 1 else 's'}"
        logger.info("%s: %s on %s", ", ".join(self._pipelines), steps, self._machine())
        if set(self._pipelines) != {"data_prep"}:
            logger.info("results: %s, %s", OUTPUTS / self._study, REPORTS / self._study)

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        """Name the step."""
        self._begun[node.name] = time.monotonic()
        width = len(str(self._steps))
        number = self._numbers.get(node.name)  # none in ParallelRunner's processes
        _say(f"{f'[{number:>{width}}/{self._steps}] ' if number else ''}{node.name}")

    @hook_impl
    def after_node_run(self, node: Any) -> None:
        """Say how long the step took, where that is notable."""
        seconds = time.monotonic() - self._begun[node.name]
        if seconds >= NOTABLE_SECONDS:
            logger.info("took %s", _duration(seconds))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep the summary until the run has ended."""
        if dataset_name == "reporting.summary":
            self._summary = data

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Print the summary and where the report lies, or how to make one."""
        _say(f"Done in {_duration(time.monotonic() - self._started)}")
        reports = self._project / REPORTS
        if self._summary is None and "reporting" in self._pipelines:  # nothing new was reported
            file = reports / self._study / "summary.txt"
            self._summary = file.read_text(encoding="utf-8") if file.is_file() else None
        if self._summary is not None:
            page, index = reports / self._study / "report.html", reports / "index.html"
            lines = [f"All studies: {index}", f"Report: {page}"] if page.is_file() else [f"Report: {index}"]
            print(f"\n{visible(self._summary)}\n", *lines, sep="\n")
            return
        env = "" if self._study == "base" else f" --env={self._study}"
        if "data_prep" in self._pipelines:
            logger.info("images: %s", PRIMARY / self._load_data_set())
        if self._pipelines == ["data_prep"]:
            self._tell_counts()
            for line in self._how_to_go_on(env):
                logger.info("%s", line)
        elif set(self._pipelines) - {"data_prep", "reporting"}:
            logger.info("for the report: kedro run%s --pipeline=reporting%s", env, self._with_params)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Say how far the run has come; the command tells the error itself."""
        if self._begun:
            name = next(reversed(self._begun))
            step = f"step {self._numbers.get(name, len(self._begun))} of {self._steps}, {name}"
            _say(f"Stopped in {step}, after {_duration(time.monotonic() - self._started)}")

    def _tell_counts(self) -> None:
        """Say how many images of each class stand in each split; of many classes, how many there are in all."""
        from vision_studies.reports.table import Table

        try:
            card = json.loads((self._project / REPORTS / self._study / "data_prep/data_card.json").read_text("utf-8"))
            names, counts = card["class_names"], card["counts"]
        except (OSError, ValueError, KeyError):  # the step that makes the card was not asked for
            return
        rows = [
            {"class": visible(name), **{split: f"{counts[split][number]:,}" for split in counts}}
            for number, name in enumerate(names)
        ]
        total = {"class": f"all {len(names):,}", **{split: f"{sum(of_class):,}" for split, of_class in counts.items()}}
        if len(rows) > _MOST_CLASSES:
            smallest = {split: f"{min(of_class):,}" for split, of_class in counts.items()}
            rows = [{"class": "the smallest", **smallest}]
        print(f"\n{Table([*rows, total]).terminal()}\n")

    def _how_to_go_on(self, env: str) -> list[str]:
        if not self._names_images_alone:
            return [f"to go on: kedro run{env}{self._with_params}"]
        return [
            f"to train on them: kedro run --env=STUDY+{self._study}, with a STUDY that `kedro run --help` names, or",
            f"kedro run{env} --pipeline=cifar_resnet{self._with_params}, or another pipeline that `kedro registry list` names",
        ]

    def _begin(self, steps: Mapping[str, str | None]) -> None:
        """Start the clock for steps, which are given with their pipelines."""
        self._started = time.monotonic()
        self._steps = len(steps)
        self._numbers = {name: number for number, name in enumerate(steps, start=1)}
        self._pipelines = list(dict.fromkeys(namespace for namespace in steps.values() if namespace))
        self._begun: dict[str, float] = {}
        self._summary = None

    def _machine(self) -> str:
        """Processor and the GPUs that may be used, found without torch, whose import would hold up the first line."""
        device = self._load_parameters().get("execution", {}).get("device", "auto")
        models = [] if device == "cpu" or version("torch").endswith("+cpu") else _gpu_models()
        return " and ".join([*models, processor_name()])


def _say(heading: str) -> None:
    logger.info("%s", heading, extra=_HEADING)


def _gpu_models() -> list[str]:
    """Models of NVIDIA's GPUs, as the driver has them; none where it does not say."""
    lines = [line for file in sorted(_GPUS.glob("*/information")) for line in file.read_text().splitlines()]
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]


def _duration(seconds: float) -> str:
    from vision_studies.reports.formatting import duration  # it brings pandas, which the first line does not wait for

    return duration(seconds)
