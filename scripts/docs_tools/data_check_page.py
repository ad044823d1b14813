"""The page of what a check of images finds: `python -m scripts.docs_tools.data_check_page` writes it anew."""

from collections.abc import Iterable
from pathlib import Path

from tests.odd_inputs.case import Case
from tests.odd_inputs.cases import CASES, SECTIONS

from vision_studies.data.checks.findings import KINDS, Severity

PAGE = Path(__file__).parents[2] / "docs/data_check.md"
_HEAD = """\
# What the doctor finds

`kedro data check` looks at a folder of images, a table, Parquet files or an archive before anything is trained on it;
`data_prep` does the same as its first step. Whatever it finds has a name, and one of three severities:

| severity | what comes of it |
| --- | --- |
| {wrong} | The preparation stops in a sentence. `data_prep.accept` with the name of the finding goes on as it is. |
| {doubtful} | It goes on, and the finding stands in the report beside every result of these images. |
| {note} | What was done with the images, which is as most people want it. |

<!-- not run: a folder of yours -->
```bash
kedro data check photos
kedro run --pipeline=data_prep --params=data_prep.source=photos,data_prep.accept=[similar_class_names]
```

Every image that lies in a source is used, or a finding names it: none is left out without a word.

This page is made from the code and from the table of cases in `tests/odd_inputs/`, each of which is tried by the tests
(`python -m scripts.docs_tools.data_check_page` writes it). Another two hundred data sets in which several things are wrong at
once are [tried by `make faults`](faults.md).
"""
_MOST_EXAMPLES = 6


def data_check_page() -> str:
    """The page, as Markdown."""
    head = _HEAD.format(**{str(severity): f"**{severity}**" for severity in Severity})
    overview = ["## All findings", "", "| finding | severity | what is found |", "| --- | --- | --- |"]
    overview += [f"| [`{name}`](#{name}) | {kind.severity} | {kind.title} |" for name, kind in KINDS.items()]
    parts = [head, "\n".join(overview) + "\n", *(_of_kind(name) for name in KINDS), _cases()]
    return "\n".join(parts)


def _of_kind(name: str) -> str:
    kind = KINDS[name]
    examples = [case.name for case in CASES if name in case.findings]
    further = f" (and {len(examples) - _MOST_EXAMPLES} more)" if len(examples) > _MOST_EXAMPLES else ""
    return "\n".join(
        [
            f"## {kind.title} {{#{name}}}",
            "",
            f"`{name}`, {kind.severity}",
            "",
            f"- **On the disk**: {'; '.join(map(_escaped, examples[:_MOST_EXAMPLES]))}{further}.",
            f"- **Why it matters**: {kind.why}",
            f"- **What to do**: {kind.mend}",
            "",
        ]
    )


def _cases() -> str:
    lines = [
        "## All cases",
        "",
        "What lies on the disk, what is found, and what data result: images of each class in all or, where the source divides "
        "them, of training, validation and test (a dash: carved). Where the preparation stops, parameters stand with which it "
        "goes on.",
    ]
    for title, cases in SECTIONS.items():
        lines += ["", f"### {title}", "", "| on the disk | found | data |", "| --- | --- | --- |"]
        lines += [f"| {_escaped(case.name)} | {_found(case.findings)} | {_data(case)} |" for case in cases]
    return "\n".join(lines) + "\n"


def _found(names: Iterable[str]) -> str:
    return ", ".join(f"[`{name}`](#{name})" for name in names) or "nothing"


def _data(case: Case) -> str:
    if case.counts is None:
        return "none: it stops in a sentence"
    counts = ", ".join(f"{_escaped(name)} {_count(count)}" for name, count in case.counts.items())
    left_out = f"; {case.named} named and left out" if case.named else ""
    left_out += f"; {case.untrained} not trained on, as copies of them are for test" if case.untrained else ""
    if not case.refused:
        return counts + left_out
    mend = ", ".join(f"`{name}: {_value(value)}`" for name, value in case.mend.items())
    return f"stops; with {mend}: {counts}{left_out}"


def _count(count: int | tuple[int, int, int]) -> str:
    return str(count) if isinstance(count, int) else " / ".join("–" if part < 0 else str(part) for part in count)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(text: str) -> str:
    """As text in a table, whatever the characters would mean in Markdown."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    for letter in "\\`*_[]<>|#":
        shown = shown.replace(letter, f"\\{letter}")
    return shown


if __name__ == "__main__":
    PAGE.write_text(data_check_page(), encoding="utf-8")
