"""`kedro runs plan`: what `kedro run` would do with each run of a study, and why."""

import json
import re
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import click
from kedro.io import DataCatalog

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import ENV, OPTIONS, PARAMS, study_name
from vision_studies.config.data_prep import NAMED_SOURCES, DataPrepSettings
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.pipeline_registry import check_pipelines
from vision_studies.project_folders import MODELS, TIMES, project_folder
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.forecast import (
    BUSY,
    CONTINUE,
    JOIN,
    LATER,
    RETRY,
    REUSE,
    TRAIN,
    Change,
    Decision,
    StageForecast,
    forecast,
)
from vision_studies.studies.method import Method, load_method, make_context
from vision_studies.studies.planned_times import PlannedTimes
from vision_studies.studies.provenance import processor_name
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.times import BUSY_MACHINE, Estimate, Speeds, duration, setting, size, total

_DATA = ("image_set", "splits")
_ORDER = (REUSE, BUSY, CONTINUE, RETRY, TRAIN, LATER)
_WORDS = {BUSY: "at work"}
_SCORE = "score"
_HASH = re.compile(r"[0-9a-f]{12,64}")
_LONGEST_VALUE = 24
_MOST_CHANGES = 4
_NARROWEST = 24  # characters of the last column


@dataclass(frozen=True)
class StudyPlan:
    """What would become of a study.

    Attributes:
        pipelines: what would be done, in order.
        images: what is prepared; None where nothing is yet, or the study has no images.
        forecasts: stages of the pipelines; None where the data are not prepared.
        most: pipeline -> how many trainings there are at most.
        left_out: pipeline -> why its study cannot be done on the images.
        times: what is left to be done in each stage of `forecasts`.
        busy: share of the processors that other programs took while that was measured.
    """

    study: str
    pipelines: tuple[str, ...]
    images: str | None
    forecasts: tuple[StageForecast, ...] | None
    most: dict[str, int]
    left_out: dict[str, str] = field(default_factory=dict)
    times: tuple[Estimate, ...] = ()
    busy: float = 0.0


@click.command(
    "plan",
    epilog=(
        "\b\nExamples:\n"
        "  kedro runs plan --env=demo\n"
        "  kedro runs plan --env=demo --params=cifar_resnet.run.training.epochs=30 --runs\n"
        "  kedro runs plan --env=resnet_se --no-timing"
    ),
)
@ENV
@click.option("--pipeline", "-p", help=OPTIONS["pipeline"])
@PARAMS
@click.option("--runs", "each", is_flag=True, help="Name every run, too.")
@click.option("--no-timing", is_flag=True, help="Measure nothing: tell times by what is known of this machine already.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON: a list of studies.")
@told_in_a_sentence
def plan(
    env: str | None, pipeline: str | None, params: dict[str, Any], each: bool, no_timing: bool, as_json: bool
) -> None:
    """Show what `kedro run` would do with each run, why, and how long it takes on this machine.

    Give it the options of the command you are about to start. It changes and holds up nothing; to tell the time of what it
    does not know yet, it does a few steps of it, for less than a minute, and remembers what it has found.
    """
    if pipeline is not None:
        check_pipelines([pipeline])
    loader = StudyConfigLoader(project_folder() / "conf", env)
    studies: list[str | None] = [*loader.studies] if loader.studies is not None else [env]
    plans = [_plan(study, pipeline, params, timing=not no_timing) for study in studies]
    if as_json:
        click.echo(json.dumps([_as_json(study) for study in plans], indent=2))
        return
    click.echo("\n\n".join(_text(study, each=each) for study in plans))


def _as_json(plan: StudyPlan) -> dict[str, Any]:
    bare = None if plan.forecasts is None else tuple(replace(stage, work=()) for stage in plan.forecasts)
    written = asdict(replace(plan, forecasts=bare))
    for stage in written["forecasts"] or ():
        del stage["work"]
    return written


def _plan(env: str | None, pipeline: str | None, params: dict[str, Any], *, timing: bool) -> StudyPlan:
    # Without Kedro's session, which would import the modules of all pipelines.
    loader = StudyConfigLoader(project_folder() / "conf", env, params, **CONFIG_LOADER_ARGS)
    parameters, described, name = loader["parameters"], loader.catalog_in(project_folder()), study_name(env)
    catalog = DataCatalog.from_config({data: described[data] for data in _DATA})
    pipelines = _chosen(loader, pipeline)
    methods = [
        (method, _validated(parameters, *method.parameter_names))
        for method in (load_method(pipeline) for pipeline in pipelines if pipeline in METHODS)
    ]
    most = {method.name: _most(method, method.settings(*models), parameters) for method, models in methods}
    if not all(catalog.exists(data) for data in _DATA):
        return StudyPlan(name, pipelines, None, None, most)
    image_set, splits = (catalog.load(data) for data in _DATA)
    study, execution = _validated(parameters, "study", "execution")
    forecasts: list[StageForecast] = []
    left_out: dict[str, str] = {}
    for method, models in methods:
        store = RunStore(project_folder() / MODELS / name / (method.runs_of or method.name) / "runs")
        context = make_context(method, models, study, execution, parameters["fresh"], (image_set, splits), store)
        if (reason := method.fits(context)) is None:
            # What is put together from folds costs nothing, and is no run to be waited for.
            forecasts += [stage for stage in forecast(context) if stage.verb != JOIN]
        else:
            left_out[method.name] = reason
    prepared = str(image_set.folder.parent.relative_to(project_folder())) if image_set is not None else None
    speeds = Speeds.of_this_machine(project_folder() / TIMES, setting(execution))
    planned = PlannedTimes(forecasts, speeds)
    if timing:
        planned.measure_missing()
    return StudyPlan(
        name, pipelines, prepared, tuple(forecasts), most, left_out, tuple(planned.stages), speeds.busy or 0.0
    )


def _most(method: Method[Any], settings: Any, parameters: Mapping[str, Any]) -> int:
    """How many trainings there are at most: of images that are not known yet, once for each fold that they might be in. Named
    sources bring a test split, or images enough for one.
    """
    prepared = DataPrepSettings.model_validate(parameters["data_prep"])
    sources = [prepared.source] if isinstance(prepared.source, str) else prepared.source
    may_be_in_folds = prepared.splits.folds.when != "never" and not set(sources) & {*NAMED_SOURCES}
    folds = prepared.splits.folds.number if may_be_in_folds and method.folds(settings) is None else 1
    return method.most_runs(settings) * folds


def _chosen(loader: StudyConfigLoader, pipeline: str | None) -> tuple[str, ...]:
    """Pipelines that `kedro run` would do, in its order."""
    if pipeline not in (None, "__default__"):
        return (str(pipeline),)
    named = loader.pipelines
    methods = [name for name in METHODS if named is None or name in named]
    return (*(("data_prep",) if loader.images else ()), *methods, *(() if named == [] else ("reporting",)))


def _validated(parameters: Mapping[str, Any], *keys: str) -> list[Any]:
    return [settings_model(key).model_validate(parameters[key]) for key in keys]


def _text(plan: StudyPlan, *, each: bool) -> str:
    """A plan as it is printed; `each`: name every run, too."""
    parts = [_heading(plan)]
    if plan.forecasts is not None:
        rows = [row for forecast in plan.forecasts for row in _rows(forecast)]
        parts += [_table(rows, ("pipeline", "stage", "decision", "runs", "why"))] if rows else []
        parts += [_each(forecast) for forecast in plan.forecasts if each and forecast.decisions]
        parts += [_times(plan)] if any(forecast.work for forecast in plan.forecasts) else []
    elif plan.most:
        rows = [[name, f"{count:,}"] for name, count in plan.most.items()]
        parts.append(_table(rows, ("pipeline", "runs at most")))
    return "\n\n".join([*parts, _sentence(plan)])


def _times(plan: StudyPlan) -> str:
    """What is left to be done, stage by stage and in all, with the time that it takes on this machine."""
    rows = []
    for stage, estimate in zip(plan.forecasts or (), plan.times, strict=True):
        held = sum(decision.action == REUSE for decision in stage.decisions)
        unknown = sum(each.count for each in stage.unknown)
        to_do = len(stage.decisions) - held + unknown
        shown = f"≤ {to_do:,}" if unknown else f"{to_do:,}"
        rows.append([stage.pipeline, stage.stage, shown, f"{held:,}", _range(estimate, bool(unknown)) if to_do else ""])
    whole = total(plan.times)
    at_most = any(stage.unknown for stage in plan.forecasts or ())
    lines = [
        _table(rows, ("pipeline", "stage", "runs to do", "runs held", "time on this machine")),
        f"In all {_range(whole, at_most)} on this machine: {processor_name()}.",
    ]
    needs = [
        f"{size(whole.memory)} of memory at once" if whole.memory else "",
        f"{size(whole.disk)} of disk" if whole.disk else "",
    ]
    if any(needs):
        lines.append(f"It takes about {' and '.join(filter(None, needs))}.")
    if plan.busy > BUSY_MACHINE:
        lines.append(
            f"Other programs take {100 * plan.busy:.0f} % of the processors now: the range is wider for that, and times are "
            "measured anew when the machine is quiet."
        )
    if whole.is_rough:
        lines.append(
            "Some of it is told from the number of operations alone: leave out --no-timing, or see it once it has run."
        )
    lines += [f"Not counted: {reason}." for reason in whole.unknown]
    return "\n".join(lines)


def _range(estimate: Estimate, at_most: bool) -> str:
    if not estimate.high:
        return "not known" if estimate.unknown else "no time worth telling"
    about = "at most " if at_most else "about "
    return f"{about}{duration(estimate.seconds)} ({duration(estimate.low)} to {duration(estimate.high)})"


def _heading(plan: StudyPlan) -> str:
    lines = [f"Study {plan.study}"]
    option = "" if plan.study == "base" else f" --env={plan.study}"
    if plan.forecasts is None:
        lines.append(
            "Its images are not prepared yet, without which it cannot be told which runs are finished;\n"
            f"`kedro run{option} --pipeline=data_prep` prepares them."
        )
    elif plan.images is not None:
        lines.append(f"data_prep: images and splits lie in {plan.images}")
    if "reporting" in plan.pipelines:
        lines.append("reporting: the report is written anew where what it reports has changed")
    lines += [f"{name}: left out, for it cannot be done on these images: {why}" for name, why in plan.left_out.items()]
    return "\n".join(lines)


def _rows(forecast: StageForecast) -> list[list[str]]:
    """Lines of the table: runs with the same fate for the same reason are one."""
    groups: dict[tuple[Any, ...], list[Decision]] = {}
    for decision in _ordered(forecast):
        names = tuple(name for name, _, _ in decision.changes)
        groups.setdefault((decision.action, decision.reason, names), []).append(decision)
    rows = [[_word(forecast, action), str(len(alike)), _why(alike)] for (action, _, _), alike in groups.items()]
    rows += [["later", f"≤ {unknown.count}", unknown.reason] for unknown in forecast.unknown]
    return [[forecast.pipeline, forecast.stage, *row] for row in rows]


def _ordered(forecast: StageForecast) -> list[Decision]:
    return sorted(forecast.decisions, key=lambda decision: _ORDER.index(decision.action))


def _word(forecast: StageForecast, action: str) -> str:
    return forecast.verb if action == TRAIN else _WORDS.get(action, action)


def _why(decisions: Sequence[Decision]) -> str:
    first = decisions[0]
    parts = []
    if first.reason != "changed":
        finished = [decision.finished_at for decision in decisions if decision.finished_at is not None]
        last = f", {'last ' if len(decisions) > 1 else ''}{max(finished)[:16].replace('T', ' ')}" if finished else ""
        parts.append(f"{first.reason}{last}")
    changes = list(zip(*(decision.changes for decision in decisions), strict=True))
    parts += [_changed(same) for same in changes[:_MOST_CHANGES]]
    if len(changes) > _MOST_CHANGES:
        parts.append(f"and {len(changes) - _MOST_CHANGES} more")
    return ", ".join(parts)


def _changed(changes: Sequence[Change]) -> str:
    """One parameter of several runs: `name old -> new`, or the name alone where values are long or many."""
    name = changes[0][0]
    before, now = (_values(change[column] for change in changes) for column in (1, 2))
    if before is None or now is None:
        return f"{name} is another"
    return f"{name} {before} -> {now}"


def _values(values: Iterable[Any]) -> str | None:
    texts = (value if isinstance(value, str) else "none" if value is None else json.dumps(value) for value in values)
    shown = list(dict.fromkeys(texts))
    if len(shown) > 2 or any(len(text) > _LONGEST_VALUE or _HASH.fullmatch(text) for text in shown):
        return None
    return " or ".join(shown)


def _each(forecast: StageForecast) -> str:
    rows = [
        [_word(forecast, decision.action), decision.name, decision.fingerprint or "", _why([decision])]
        for decision in _ordered(forecast)
    ]
    return f"{forecast.pipeline}, {forecast.stage}\n{_table(rows, ('', 'run', 'fingerprint', 'why'))}"


def _table(rows: list[list[str]], headings: Sequence[str]) -> str:
    """Rows below headings; the last column is wrapped to the width of the terminal. What repeats is left out."""
    from tabulate import tabulate

    others = sum(max(len(row[column]) for row in [headings, *rows]) + 2 for column in range(len(headings) - 1))
    width = max(_NARROWEST, shutil.get_terminal_size().columns - others)
    shown, above = [], [""] * len(headings)
    for row in rows:
        names = ["" if row[: column + 1] == above[: column + 1] else row[column] for column in range(2)]
        cells = [*names, *row[2:]] if headings[0] == "pipeline" else row
        # Whole words: a parameter's name in two halves cannot be copied.
        last = textwrap.fill(row[-1], width, break_long_words=False, break_on_hyphens=False)
        shown.append([*cells[:-1], last])
        above = row
    right = ["right" if heading.startswith("runs") else "left" for heading in headings]
    return tabulate(shown, headings, tablefmt="simple", disable_numparse=True, colalign=right)


def _sentence(plan: StudyPlan) -> str:
    """What it comes to, in words."""
    if plan.forecasts is None:
        count = sum(plan.most.values())
        return f"{count:,} runs at most would be trained." if count else "No pipeline that trains was asked for."
    if not plan.forecasts:
        return "No pipeline that trains was asked for."
    decisions = [
        (forecast.verb == _SCORE, decision.action) for forecast in plan.forecasts for decision in forecast.decisions
    ]
    counts = Counter(action for is_score, action in decisions if not is_score)
    scored = sum(is_score and action in (TRAIN, CONTINUE, RETRY) for is_score, action in decisions)
    unknown = sum(unknown.count for forecast in plan.forecasts for unknown in forecast.unknown)
    done = {"trained": counts[TRAIN], "continued": counts[CONTINUE], "tried again": counts[RETRY], "scored": scored}
    if not any(done.values()) and not unknown and not counts[BUSY] + counts[LATER]:
        return f"Nothing would be trained: all {counts[REUSE]:,} runs are finished and reused."
    done["reused"] = counts[REUSE]
    (first, number), *rest = [item for item in done.items() if item[1]] or [("trained", 0)]
    sentence = f"{number:,} {'run' if number == 1 else 'runs'} would be {first}"
    parts = [", ".join([sentence, *(f"{count:,} {what}" for what, count in rest)])]
    if counts[BUSY]:
        parts.append(f"{counts[BUSY]:,} {'is' if counts[BUSY] == 1 else 'are'} being worked on")
    if counts[LATER] + unknown:
        parts.append(f"{'at most ' if unknown else ''}{counts[LATER] + unknown:,} more follow from these")
    return "; ".join(parts) + "."
