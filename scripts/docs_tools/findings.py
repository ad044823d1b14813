"""What the studies have found: `python -m scripts.docs_tools.findings --write` makes the page of findings, and the rows of the
page of studies, of the files that `scripts.docs_tools.record_result` keeps in `docs/results`."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from scripts.docs_tools.record_result import RESULTS, ROOT, Answer, Result, Standing, read_result

PAGE = ROOT / "docs/findings.md"
STUDIES = ROOT / "docs/studies.md"
MOST = 10
"""Sentences that the page begins with."""

_HEAD = """\
# Findings

What the studies of this project have found, each with its interval, the number of test images and seeds behind it, budget and
machine; [all of them to filter and sort](results.md). A budget such as `hour` says
[what can hold at full size](studies.md#what-an-hour-can-tell), too. Intervals are of {confidence} and cover what is said beside
them; differences between candidates are corrected for their number. This page is made of the files in `docs/results` by
`python -m scripts.docs_tools.findings --write`; nothing on it is written by hand.
"""
_ROW = re.compile(r"^\| `kedro run --env=(?P<study>\w+)` \|.*\|$", re.MULTILINE)
_LAST_CELL = re.compile(r"(?<=\|)(?:[^|\\]|\\.)*\|$")


def all_results(folder: Path = RESULTS) -> list[Result]:
    """Those that are kept, in the order of the page of studies, full size first."""
    order = [match["study"] for match in _ROW.finditer(STUDIES.read_text(encoding="utf-8"))]
    results = [read_result(file) for file in sorted(folder.glob("*.json"))]

    def place(result: Result) -> tuple[int, str]:
        name, *_ = result.study.split("+")
        return order.index(name) if name in order else len(order), result.study

    return sorted(results, key=place)


def findings_page(results: Sequence[Result]) -> str:
    """The page, as Markdown."""
    told = sorted((result for result in results if result.is_told), key=_surety, reverse=True)
    untold = [result for result in results if not result.is_told]
    first = [_point(result) for result in told[:MOST]] or ["Nothing yet.\n"]
    missing = [_point(result) for result in untold] or ["Nothing that was looked for, so far.\n"]
    parts = [
        _HEAD.format(confidence=f"{100 * (results[0].confidence if results else 0.95):g} %"),
        "## What is most useful to know\n",
        "".join(first),
        "## What we could not find\n",
        "".join(missing),
        "## All results\n",
        _table(results),
        *(_section(result) for result in results),
    ]
    return "\n".join(parts)


def studies_page(results: Sequence[Result], text: str) -> str:
    """The page of studies, in which rows of studies that have results end with these.

    Args:
        results: of any studies.
        text: the page as it is.
    """
    of_study: dict[str, list[Result]] = {}
    for result in results:
        of_study.setdefault(result.study.split("+")[0], []).append(result)

    def row(match: re.Match[str]) -> str:
        found = of_study.get(match["study"])
        if not found:
            return match[0]
        cell = " ".join(map(_cell, found))
        return _LAST_CELL.sub(lambda _: f" {cell} |", match[0])

    return _ROW.sub(row, text)


def _cell(result: Result) -> str:
    return f"{_escaped(result.sentences[result.lead])} [{_facts(result)}](findings.md#{anchor(result)})"


def _point(result: Result) -> str:
    return f"- **{result.title}.** {result.sentences[result.lead]} ([{_facts(result)}](#{anchor(result)}))\n"


def _facts(result: Result) -> str:
    """Budget and what stands behind a result, as in "`hour`: 10,000 test images, 3 seeds; 58 min", and the version."""
    counts = []
    standings = [standing for answer in result.answers for standing in answer.standings]
    images, seeds = ({count for each in standings if (count := getattr(each, name))} for name in ("images", "seeds"))
    if images:
        counts.append(f"{_span(images)} test images")
    if seeds:
        counts.append("1 seed" if seeds == {1} else f"{_span(seeds)} seeds")
    counted = ", ".join(counts)
    said = f"{counted}; " if counted else ""
    return f"{_budget(result)}; {said}{result.minutes} min; {_version(result)}"


def _span(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _budget(result: Result) -> str:
    added = "+".join(result.study.split("+")[1:])
    return f"`+{added}`" if added else "full size"


def _version(result: Result) -> str:
    commit = "" if result.commit is None else f" ({', '.join(each[:7] for each in result.commit.split(', '))})"
    return f"version {result.versions['vision-studies']}{commit}"


def _surety(result: Result) -> float:
    """How many times the half of its interval the clearest difference is that a study tells; 0 where it has none in numbers."""
    ratios = [0.0]
    for standing in (standing for answer in result.answers for standing in answer.standings):
        low, high, value = standing.difference_low, standing.difference_high, standing.difference
        if low is not None and high is not None and value is not None and high > low and standing.says != "cannot tell":
            ratios.append(abs(value) / ((high - low) / 2))
    return max(ratios)


def _table(results: Sequence[Result]) -> str:
    lines = [
        "| study | budget | images | taken | value | interval | test images | seeds | minutes | version |",
        "| --- | --- | --- | --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for result in results:
        study = f"[`{result.study.split('+')[0]}`](#{anchor(result)})"
        for answer in result.answers:
            chosen = next((each for each in answer.standings if each.name == answer.chosen), None)
            if chosen is not None:
                images = answer.images.split(" (")[0] + (f", {answer.condition}" if answer.condition else "")
                cells = [
                    study,
                    _budget(result),
                    images,
                    _escaped(chosen.name),
                    _percent(chosen.value),
                    _interval(chosen),
                ]
                counts = [
                    f"{chosen.images or 0:,}",
                    str(chosen.seeds or 0),
                    result.minutes,
                    _version(result),
                ]
                lines.append(f"| {' | '.join([*cells, *counts])} |")
    return "\n".join(lines) + "\n"


def _section(result: Result) -> str:
    """All that is kept of a study."""
    changed = ", ".join(f"`{name}={value}`" for name, value in result.changed.items())
    lines = [
        f"## {result.title}: {_budget(result).strip('`')} {{#{anchor(result)}}}",
        "",
        f"*{result.question}* `kedro run --env={result.study}`{f' with {changed}' if changed else ''}: {_facts(result)}, on "
        f"{result.processor}; torch {result.versions['torch']}.",
        "",
        *(f"- {sentence}" for sentence in (*result.missing, *result.sentences)),
        "",
    ]
    for answer in result.answers:
        lines += [*_standings(answer), ""]
    lines += [f"![{result.title}](results/{name})\n" for name in result.figures]
    return "\n".join(lines)


def _standings(answer: Answer) -> list[str]:
    measure = answer.measure.replace("_", " ")
    of = f" ({answer.condition})" if answer.condition else ""
    lines = [
        f"| candidate{of} | {measure} | interval | minus the taken one, points | |",
        "| --- | ---: | --- | --- | --- |",
    ]
    for each in answer.standings:
        taken = " (taken)" if each.name == answer.chosen else ""
        cells = [
            f"{_escaped(each.name)}{taken}",
            _percent(each.value),
            _interval(each),
            _difference(each),
            each.says or "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(standing: Standing) -> str:
    if standing.low is None or standing.high is None:
        return "–"
    return f"{100 * standing.low:.1f} to {100 * standing.high:.1f} %"


def _difference(standing: Standing) -> str:
    if standing.difference is None:
        return "–"
    low, high = standing.difference_low, standing.difference_high
    interval = "" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{100 * standing.difference:+.1f}{interval}"


def anchor(result: Result) -> str:
    """Where the part of a study begins on the page."""
    return re.sub(r"\W+", "-", result.study)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Print the page of findings or, with `--write`, write both pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/findings.md and docs/studies.md")
    results = all_results()
    if parser.parse_args().write:
        PAGE.write_text(findings_page(results), encoding="utf-8")
        STUDIES.write_text(studies_page(results, STUDIES.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(findings_page(results))


if __name__ == "__main__":
    main()
