"""Ten small studies and what their verdicts say, for `docs/verdict.md`: `python -m scripts.docs_tools.verdict_branches`.

Test images are right or wrong as drawn here; everything else is what a study does with them.
"""

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vision_studies.reports.verdict import sentences
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.verdict import Candidate, verdict

PAGE = Path(__file__).parents[2] / "docs" / "verdict.md"
START, END = "<!-- ten studies -->\n", "<!-- end of ten studies -->"
CLASSES = ("cat", "dog", "eel")
STUDY = "made up"


def said(accuracy: float, *, images: int = 600, seeds: int = 3, flips: float = 0.02, draw: int = 0) -> Evidence:
    """Evidence in which all seeds agree but on a few images.

    Args:
        accuracy: share of the images that are right, before some are turned round.
        images: how many test images there are.
        seeds: how many runs.
        flips: share of the images on which a seed is of another mind.
        draw: which images are easy is drawn by this number.
    """
    random = np.random.default_rng(draw)
    labels = np.arange(images) % len(CLASSES)
    order = np.random.default_rng(9).permutation(images)  # most images are as hard for every variant
    order = np.where(random.random(images) < 0.15, random.permutation(images), order)
    correct = np.tile(order < round(accuracy * images), (seeds, 1)) ^ (random.random((seeds, images)) < flips)
    predicted = np.where(correct, labels, (labels + 1) % len(CLASSES))
    return Evidence.of_images("", np.arange(seeds), np.arange(images), labels, predicted=predicted)


def candidate(name: str, evidence: Evidence | None, validation: float, **changes: Any) -> Candidate:
    """A variant of `cifar_resnet`, or what `changes` say."""
    plain = Candidate(
        name=name,
        title=name,
        pipeline="cifar_resnet",
        condition="",
        images="animals",
        evidence=None if evidence is None else replace(evidence, name=name),
        training_seconds=90.0,
        macs=4e6,
        parameters=1e5,
        statuses={"complete": 3},
        is_baseline=False,
        validation={} if math.isnan(validation) else {"validation_accuracy": validation},
    )
    return replace(plain, **changes)


def _two(first: Evidence, second: Evidence, **of_study: Any) -> list[str]:
    return _sentences([candidate("wide", first, 0.91), candidate("plain", second, 0.88)], **of_study)


def _sentences(candidates: list[Candidate], **of_study: Any) -> list[str]:
    return sentences(verdict(candidates, study=STUDY, class_names=CLASSES, **of_study))


def _baseline_wins() -> list[str]:
    return _sentences(
        [
            candidate("cRT", said(0.91), 0.92, pipeline="alphanet", is_baseline=True),
            candidate("AlphaNet", said(0.84, draw=1), 0.86, pipeline="alphanet"),
        ]
    )


def _without_eels() -> list[str]:
    def cut(evidence: Evidence) -> Evidence:
        there = evidence.labels < 2
        images, labels = np.flatnonzero(there), evidence.labels[there]
        assert evidence.predicted is not None  # noqa: S101 - of all that is made here
        return Evidence.of_images("", evidence.seeds, images, labels, predicted=evidence.predicted[:, there])

    return _two(cut(said(0.92)), cut(said(0.8, draw=1)))


def _cheaper() -> list[str]:
    large, small = said(0.9, images=20_000), said(0.9, images=20_000, draw=1)
    return _sentences([candidate("big", large, 0.91, macs=36e6), candidate("small", small, 0.905)])


def _diverged() -> list[str]:
    lost = candidate("deep", None, math.nan, problems=("seeds 0, 1 and 2 diverged (the loss became NaN in epoch 3)",))
    partly = candidate("wide", said(0.9, seeds=2), 0.91, problems=("seed 2 diverged (the loss became NaN in epoch 7)",))
    return _sentences([partly, candidate("plain", said(0.8, draw=1), 0.85), lost])


_HALF_DONE = (
    "stacking has no results yet: 7 of at most 36 runs have ended; `kedro run --env=demo --pipeline=stacking` goes on from "
    "there."
)

BRANCHES: dict[str, Callable[[], list[str]]] = {
    "A clear winner": lambda: _two(said(0.9), said(0.8, draw=1)),
    "The baseline wins": _baseline_wins,
    "A tie": lambda: _two(said(0.88), said(0.845, draw=1)),
    "As good, and cheaper": _cheaper,
    "One seed": lambda: _two(said(0.9, seeds=1), said(0.8, seeds=1, draw=1)),
    "Thirteen test images": lambda: _two(said(0.77, images=13, flips=0.0), said(0.7, images=13, flips=0.0, draw=1)),
    "A class without test images": _without_eels,
    "All at 100 %": lambda: _two(said(1.0, flips=0.0), said(1.0, flips=0.0, draw=1)),
    "Runs whose loss became NaN": _diverged,
    "An interrupted study": lambda: _two(said(0.9), said(0.8, draw=1), missing=[_HALF_DONE]),
}
"""What a study came to -> what makes its sentences."""


def branches() -> str:
    """What each of the studies says, as Markdown: a heading each, and its sentences as a list."""
    return "\n".join(
        f"### {title}\n\n" + "".join(f"- {sentence}\n" for sentence in make()) for title, make in BRANCHES.items()
    )


def page() -> str:
    """The page with these in their place."""
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), flags=re.DOTALL)
    return pattern.sub(lambda _: f"{START}\n{branches()}\n{END}", text)


def main() -> None:
    """Print them or, with `--write`, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/verdict.md")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(branches())


if __name__ == "__main__":
    main()
