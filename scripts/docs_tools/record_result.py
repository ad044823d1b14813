"""What a finished study has found, kept beside the documentation: `python -m scripts.docs_tools.record_result STUDY`.

It reads what the study has written (`data/07_model_output/<study>`, `data/08_reporting/<study>`) and writes
`docs/results/<study>.json`, with two of its figures at most; `scripts.docs_tools.findings` makes pages of these files.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.merge import flatten
from vision_studies.errors import DataError, VisionStudiesError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs/results"
MOST_FIGURES, LARGEST_FIGURE = 2, 100_000

_FIGURES = {
    "cifar_resnet": "comparison",
    "stacking": "opponents",
    "transfer_cuts": "difference_lines",
    "clustering": "score_lines",
    "mlp_transfer": "relative_regret_matrix",
    "alphanet": "split_accuracies",
    "choose": "candidates",
}
_MOST_STANDINGS = 40
_LIBRARIES = ("vision-studies", "torch", "numpy")
_NO_BUDGET = ("execution", "storage", "tracking", "data_prep.source", "data_prep.download_folder", "fresh")
_UNTOLD = re.compile(r"\bcannot (tell|be told)\b|too few repeats|no difference can be", re.IGNORECASE)


@dataclass(frozen=True)
class Standing:
    """One of those that stood beside each other; differences are to the chosen one, in points of 1.

    Attributes:
        name: of the candidate.
        pipeline: that it comes from.
        value: on test images, with `low` and `high` as its interval; None where it has none.
        difference: to the chosen one, with its interval and what it `says`; None for the chosen one.
        seeds: that it was trained with.
        images: that it was tested with.
    """

    name: str
    pipeline: str
    value: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    says: str | None
    seeds: int | None
    images: int | None


@dataclass(frozen=True)
class Answer:
    """One question's candidates, the chosen one first.

    Attributes:
        images: what they are called.
        condition: of which the answer is, such as a share of the images; "" where there is one alone.
        measure: that is compared.
        chosen: name of the candidate to take.
        standings: the first dozen.
    """

    images: str
    condition: str
    measure: str
    chosen: str
    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class Result:
    """What a study has found, and how.

    Attributes:
        study: environments, joined by +.
        title: of the study.
        question: that it asks.
        sentences: that it says, what was compared first and the verdict then.
        lead: number of the sentence that says most.
        answers: in numbers.
        missing: what the study has not done.
        rehearsal: whether the study says that it answers nothing.
        confidence: of all intervals.
        changed: parameters of the command line, without where files lie and how runs are shared out.
        processor: that it ran on.
        versions: of the project and its libraries; several, with commas, where the commands had not the same.
        commit: of the project, likewise; None where it is not known.
        wall_minutes: of all commands together.
        run_minutes: of all runs together, as their table says; a network that several runs need counts in each.
        figures: files beside the result.
        killed: commands that were killed, of which nobody knows how long they took.
    """

    study: str
    title: str
    question: str
    sentences: tuple[str, ...]
    lead: int
    answers: tuple[Answer, ...]
    missing: tuple[str, ...]
    rehearsal: bool
    confidence: float
    changed: Mapping[str, Any]
    processor: str
    versions: Mapping[str, str]
    commit: str | None
    wall_minutes: float
    run_minutes: float
    figures: tuple[str, ...]
    killed: int = 0

    @property
    def minutes(self) -> str:
        """How long its commands took, in words."""
        return f"{'at least ' if self.killed else ''}{self.wall_minutes:,.0f}"

    @property
    def is_told(self) -> bool:
        """Whether its first sentence says more than that nothing can be told."""
        return not _UNTOLD.search(self.sentences[self.lead])


def read_result(file: Path) -> Result:
    """A result as it is kept. Raises DataError where the file is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        answers = tuple(
            Answer(**{**answer, "standings": tuple(Standing(**each) for each in answer["standings"])})
            for answer in content.pop("answers")
        )
        lists = {name: tuple(content[name]) for name in ("sentences", "missing", "figures")}
        return Result(**{**content, **lists, "answers": answers})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file.name} is no result of a study ({error}); write it anew with record_result.") from error


def result_of(project: Path, study: str, lead: int | None = None) -> Result:
    """What a finished study has written.

    Args:
        project: folder of the project.
        study: environments, joined by +.
        lead: number of the sentence that says most; None: the first that tells something, or the first.

    Raises:
        DataError: the study has no verdict, was not finished, or has no such sentence.
    """
    reports, outputs = (project / "data" / layer / study for layer in ("08_reporting", "07_model_output"))
    records = [
        json.loads(file.read_text(encoding="utf-8")) for file in sorted((reports / "run_records").glob("*.json"))
    ]
    finished = [record for record in records if record["status"] == "complete"]
    if not (reports / "verdict.json").exists() or not finished:
        raise DataError(
            f"'{study}' has no verdict in {project.name}/data/08_reporting; finish it with `kedro run` first."
        )
    verdict = json.loads((reports / "verdict.json").read_text(encoding="utf-8"))
    besides = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(reports.glob("*/conclusions.json"))]
    sentences = (*(sentence for each in besides for sentence in each), *verdict["sentences"])
    if lead is None:
        lead = next((place for place, each in enumerate(sentences) if not _UNTOLD.search(each)), 0) if besides else 0
    if not 0 <= lead < len(sentences):
        raise DataError(f"'{study}' says {len(sentences)} sentences, numbered from 0; --lead={lead} is none of them.")
    last = finished[-1]
    kept = {name: _each([record["versions"].get(name) for record in finished]) for name in _LIBRARIES}
    return Result(
        study=study,
        title=verdict["title"],
        question=verdict["question"],
        sentences=sentences,
        lead=lead,
        answers=tuple(_answer(answer) for answer in verdict["answers"]),
        missing=tuple(verdict["missing"]),
        rehearsal=bool(verdict["rehearsal"]),
        confidence=verdict["confidence"],
        changed=_changed(last["command_line_parameters"]),
        processor=last["processor"],
        versions=kept,
        commit=_each([record["git_commit"] for record in finished]) or None,
        wall_minutes=round(sum(map(_minutes, records)), 1),
        run_minutes=round(sum(map(_run_minutes, sorted(outputs.glob("*/results.parquet")))), 1),
        figures=(),
        killed=sum(_is_killed(record) for record in records),
    )


def _answer(answer: Mapping[str, Any]) -> Answer:
    standings = tuple(_standing(each) for each in answer["standings"][:_MOST_STANDINGS])
    chosen = answer["best"]["candidate"]["name"] if answer["best"] else ""
    return Answer(answer["images"], answer["condition"], answer["measure"], chosen, standings)


def _standing(standing: Mapping[str, Any]) -> Standing:
    estimate, difference = standing["estimate"] or {}, standing["difference"] or {}
    return Standing(
        name=standing["candidate"]["name"],
        pipeline=standing["candidate"]["pipeline"],
        **{name: estimate.get(name) for name in ("value", "low", "high", "seeds", "images")},
        difference=difference.get("value"),
        difference_low=difference.get("low"),
        difference_high=difference.get("high"),
        says=difference.get("says"),
    )


def _each(values: Sequence[str | None]) -> str:
    """Different ones, in their order."""
    return ", ".join(dict.fromkeys(value for value in values if value))


def _changed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        path: value
        for path, value in flatten(dict(parameters)).items()
        if not any(path == name or path.startswith(f"{name}.") for name in _NO_BUDGET)
    }


def _is_killed(record: Mapping[str, Any]) -> bool:
    return not record.get("finished_at")


def _minutes(record: Mapping[str, Any]) -> float:
    if _is_killed(record):
        return 0.0
    started, finished = (datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds() / 60


def _run_minutes(table: Path) -> float:
    return float(pd.read_parquet(table, columns=["seconds"])["seconds"].sum()) / 60


def write_result(project: Path, result: Result, figures: Sequence[str] | None, folder: Path = RESULTS) -> Path:
    """Keep a result and its figures; an earlier one of the study is replaced.

    Args:
        project: folder of the project.
        result: as `result_of` gives it.
        figures: `<pipeline>/<name>` of two at most; None: the main ones of its pipelines.
        folder: of the results.

    Raises:
        DataError: a figure is missing, too large, or one too many.
    """
    reports = project / "data/08_reporting" / result.study
    if figures is None:
        there = [
            f"{pipeline}/{name}" for pipeline, name in _FIGURES.items() if (reports / pipeline / f"{name}.svg").exists()
        ]
        figures = [each for each in there if (reports / f"{each}.svg").stat().st_size <= LARGEST_FIGURE][:MOST_FIGURES]
    sources = [reports / f"{each}.svg" for each in figures]
    wrong = [each.stem for each in sources if not each.exists() or each.stat().st_size > LARGEST_FIGURE] or list(
        figures[MOST_FIGURES:]
    )
    if wrong:
        raise DataError(
            f"--figures: {wrong[0]} is not kept; name at most {MOST_FIGURES} SVG files of the study, of "
            f"{LARGEST_FIGURE // 1000} kB at most, as in cifar_resnet/comparison."
        )
    for old in folder.glob(f"{result.study}.*.svg"):
        old.unlink()
    names = [f"{result.study}.{each.parent.name}.{each.name}" for each in sources]
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in zip(sources, names, strict=True):
        shutil.copyfile(source, folder / name)
    file = folder / f"{result.study}.json"
    content = {**asdict(result), "figures": names}
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep the result of a study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="environments, joined by +")
    parser.add_argument("--project", type=Path, default=ROOT, help="folder of the project in which it ran")
    parser.add_argument("--lead", type=int, help="number of the sentence that says most, from 0; they are printed")
    parser.add_argument("--figures", nargs="*", help="<pipeline>/<name> of two figures at most")
    given = parser.parse_args(arguments)
    try:
        result = result_of(given.project, given.study, given.lead)
        if result.rehearsal:
            raise DataError(f"'{given.study}' is a rehearsal, and answers nothing: it is not kept.")
        file = write_result(given.project, result, given.figures)
    except VisionStudiesError as error:
        parser.error(str(error))
    for place, sentence in enumerate(result.sentences):
        print(f"{'->' if place == result.lead else '  '} {place}: {sentence}")
    print(f"{file.relative_to(ROOT)}; now: python -m scripts.docs_tools.findings --write")


if __name__ == "__main__":
    main()
