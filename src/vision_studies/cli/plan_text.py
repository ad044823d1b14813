"""What `kedro runs plan` prints."""

import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vision_studies.studies.forecast import (
    BUSY,
    CONTINUE,
    LATER,
    RETRY,
    REUSE,
    TRAIN,
    Change,
    Decision,
    StageForecast,
)

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
        study: what `--env` names.
        pipelines: what would be done, in order.
        images: what is prepared; None where nothing is yet, or the study has no images.
        forecasts: stages of the pipelines; None where the data are not prepared.
        most: pipeline -> how many trainings there are at most.
    """

    study: str
    pipelines: tuple[str, ...]
    images: str | None
    forecasts: tuple[StageForecast, ...] | None
    most: dict[str, int]


def plan_text(plan: StudyPlan, *, each: bool) -> str:
    """A plan as it is printed.

    Args:
        plan: of one study.
        each: name every run, too.
    """
    parts = [_heading(plan)]
    if plan.forecasts is not None:
        rows = [row for forecast in plan.forecasts for row in _rows(forecast)]
        parts += [_table(rows, ("pipeline", "stage", "decision", "runs", "why"))] if rows else []
        parts += [_each(forecast) for forecast in plan.forecasts if each and forecast.decisions]
    elif plan.most:
        rows = [[name, f"{count:,}"] for name, count in plan.most.items()]
        parts.append(_table(rows, ("pipeline", "runs at most")))
    return "\n\n".join([*parts, _sentence(plan)])


def _heading(plan: StudyPlan) -> str:
    lines = [f"Study {plan.study}"]
    option = "" if plan.study == "base" else f" --env={plan.study}"
    if plan.forecasts is None:
        lines.append(
            "Its images are not prepared yet, and what a run is called includes its images: which runs are finished can be "
            f"told after `kedro run{option} --pipeline=data_prep`."
        )
    elif plan.images is not None:
        lines.append(f"data_prep: images and splits lie in {plan.images}")
    if "reporting" in plan.pipelines:
        lines.append("reporting: the report is written anew where what it reports has changed")
    return "\n".join(lines)


def _rows(forecast: StageForecast) -> list[list[str]]:
    """Lines of the table: runs with the same fate for the same reason are one."""
    groups: dict[tuple[Any, ...], list[Decision]] = {}
    for decision in sorted(forecast.decisions, key=lambda own: _ORDER.index(own.action)):
        names = tuple(name for name, _, _ in decision.changes)
        groups.setdefault((decision.action, decision.reason, names), []).append(decision)
    rows = [[_word(forecast, action), str(len(own)), _why(own)] for (action, _, _), own in groups.items()]
    rows += [["later", f"≤ {unknown.count}", unknown.reason] for unknown in forecast.unknown]
    return [[forecast.pipeline, forecast.stage, *row] for row in rows]


def _word(forecast: StageForecast, action: str) -> str:
    return forecast.verb if action == TRAIN else _WORDS.get(action, action)


def _why(decisions: Sequence[Decision]) -> str:
    first = decisions[0]
    parts = []
    if first.reason != "changed":
        finished = [own.finished_at for own in decisions if own.finished_at is not None]
        last = f", {'last ' if len(decisions) > 1 else ''}{max(finished)[:16].replace('T', ' ')}" if finished else ""
        parts.append(f"{first.reason}{last}")
    changes = list(zip(*(own.changes for own in decisions), strict=True))
    parts += [_changed(same) for same in changes[:_MOST_CHANGES]]
    if len(changes) > _MOST_CHANGES:
        parts.append(f"and {len(changes) - _MOST_CHANGES} more")
    return ", ".join(parts)


def _changed(changes: Sequence[Change]) -> str:
    """One parameter of several runs: `name old -> new`, or the name alone where values are long or many."""
    name = changes[0][0]
    before, now = (_values(change[place] for change in changes) for place in (1, 2))
    if before is None or now is None:
        return f"{name} is another"
    return f"{name} {before} -> {now}"


def _values(values: Iterable[Any]) -> str | None:
    told = list(dict.fromkeys("none" if value is None else _shown(value) for value in values))
    if len(told) > 2 or any(len(own) > _LONGEST_VALUE or _HASH.fullmatch(own) for own in told):
        return None
    return " or ".join(told)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _each(forecast: StageForecast) -> str:
    rows = [
        [_word(forecast, own.action), own.name, own.fingerprint or "", _why([own])]
        for own in sorted(forecast.decisions, key=lambda own: _ORDER.index(own.action))
    ]
    return f"{forecast.pipeline}, {forecast.stage}\n{_table(rows, ('', 'run', 'fingerprint', 'why'))}"


def _table(rows: list[list[str]], headings: Sequence[str]) -> str:
    """Rows below headings; the last column is wrapped to the width of the terminal. What repeats is left out."""
    from tabulate import tabulate

    others = sum(max(len(row[place]) for row in [headings, *rows]) + 2 for place in range(len(headings) - 1))
    width = max(_NARROWEST, shutil.get_terminal_size().columns - others)
    shown, above = [], [""] * len(headings)
    for row in rows:
        names = ["" if row[: place + 1] == above[: place + 1] else row[place] for place in range(2)]
        kept = [*names, *row[2:]] if headings[0] == "pipeline" else row
        # Whole words: a parameter's name in two halves cannot be copied.
        last = textwrap.fill(row[-1], width, break_long_words=False, break_on_hyphens=False)
        shown.append([*kept[:-1], last])
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
    counts = dict.fromkeys(_ORDER, 0)
    scored = 0
    for forecast in plan.forecasts:
        for decision in forecast.decisions:
            if forecast.verb != _SCORE:
                counts[decision.action] += 1
            elif decision.action in (TRAIN, CONTINUE, RETRY):
                scored += 1
    unknown = sum(unknown.count for forecast in plan.forecasts for unknown in forecast.unknown)
    done = [
        (counts[TRAIN], "trained"),
        (counts[CONTINUE], "continued"),
        (counts[RETRY], "tried again"),
        (scored, "scored"),
    ]
    told = [f"{count:,} {what}" for count, what in done if count]
    if not told and not unknown and not counts[BUSY] + counts[LATER]:
        return f"Nothing would be trained: all {counts[REUSE]:,} runs are finished and reused."
    told += [f"{counts[REUSE]:,} reused"] if counts[REUSE] else []
    first, *rest = told or ["0 trained"]
    number, what = first.split(" ", 1)
    sentence = ", ".join([f"{number} {'run' if number == '1' else 'runs'} would be {what}", *rest])
    more = []
    if counts[BUSY]:
        more.append(f"{counts[BUSY]:,} {'is' if counts[BUSY] == 1 else 'are'} being worked on")
    if counts[LATER] + unknown:
        more.append(f"{'at most ' if unknown else ''}{counts[LATER] + unknown:,} more follow from these")
    return "; ".join([sentence, *more]) + "."
