"""The verdict of a study, as data: which of all that stood beside each other to take, how sure that is, and what is missing.

What is to be taken is chosen by validation. Test images measure the chosen one, and what stood beside it; they never choose.
`reports.verdict` puts a verdict into words.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

import numpy as np

from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.looks import Look
from vision_studies.statistics.simultaneous import Difference, Needs, compare
from vision_studies.statistics.two_way import Estimate, intervals

VERSION = 1
"""Of `verdict.json`; raised where a name in it changes its meaning or goes."""

Measure = Literal["accuracy", "balanced_accuracy"]
"""What test images measure: the share that is named rightly, or the mean over classes of this share."""

Chooser = Literal["validation_accuracy", "validation_balanced_accuracy", "validation_loss"]
"""What validation images measure, by which the method selects; of the loss, lower is better."""

WEAKEST = 3
"""Classes that are named as the weakest."""


@dataclass(frozen=True)
class Candidate:
    """Something that a study could recommend: a variant, a baseline or an opponent, with all of its runs.

    Attributes:
        name: of the variant.
        title: how sentences call it.
        pipeline: whose it is.
        condition: what else it shares with those that it stands beside, such as a share of the images; empty: nothing.
        images: what its training and test images are called; candidates of other images do not stand beside it.
        evidence: what its scored runs say of the test images; None where none is scored.
        training_seconds: mean time of a run; NaN where it is not known.
        macs: multiply-accumulate operations of a prediction; NaN where they are not known.
        parameters: likewise.
        statuses: status of a run -> how many have it.
        is_baseline: whether it is what others are to beat.
        classes: labels of the image set that it tells apart, as its evidence numbers them; None: all.
        measure: what the method reports.
        choosers: by what it selects, what it prefers first.
        validation: chooser -> mean over seeds, of those that are known.
        folds: of a cross-validation; 0 where there is one test split.
        costs_without: what its costs leave out, such as the network whose features it takes; empty: nothing.
        labels: what must be said of its numbers wherever they stand, such as the protocol that they follow.
        problems: what is missing of it, in words that follow its name.
        seeds_only: why its test images are not known one by one; empty where they are.
    """

    name: str
    title: str
    pipeline: str
    condition: str
    images: str
    evidence: Evidence | None
    training_seconds: float
    macs: float
    parameters: float
    statuses: Mapping[str, int]
    is_baseline: bool
    classes: tuple[int, ...] | None = None
    measure: Measure = "accuracy"
    choosers: tuple[Chooser, ...] = ("validation_accuracy", "validation_loss")
    validation: Mapping[Chooser, float] = field(default_factory=dict)
    folds: int = 0
    costs_without: str = ""
    labels: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    seeds_only: str = ""

    @property
    def test_images(self) -> int:
        """How many are known one by one."""
        return 0 if self.evidence is None else len(self.evidence.images)


@dataclass(frozen=True)
class Standing:
    """A candidate among those that it stood beside.

    Attributes:
        candidate: it.
        estimate: its value on the test images, with an interval.
        validation: what chooses, mean over seeds; NaN where there is none.
        difference: its value minus that of the chosen one; None of the chosen one, and where none is chosen.
    """

    candidate: Candidate
    estimate: Estimate
    validation: float
    difference: Difference | None

    @property
    def is_as_good(self) -> bool:
        """Whether all of its difference's interval is less than counts."""
        return self.difference is not None and self.difference.within_margin

    @property
    def is_open(self) -> bool:
        """Whether it cannot be told from the chosen one."""
        return self.difference is not None and self.difference.says == "cannot tell"

    @property
    def is_better(self) -> bool:
        """Whether test images show it to be better than the chosen one, by more than counts as none."""
        return self.difference is not None and self.difference.says == "better" and not self.is_as_good


@dataclass(frozen=True)
class ClassAccuracy:
    """How often images of a class are named rightly.

    Attributes:
        name: of the class.
        images: how many test images of it there are.
        value: share that is named rightly, mean over seeds; NaN where there are no images. With `low` and `high`, Wilson's
            interval for so many images.
        taken_for: the class that its images are most often taken for; empty where none is.
    """

    name: str
    images: int
    value: float
    low: float
    high: float
    taken_for: str


@dataclass(frozen=True)
class Answer:
    """What is said of candidates that stood beside each other: of one set of images and one condition.

    Attributes:
        images, condition: which.
        measure: what `Estimate` and `Difference` are of.
        chooser: by which of the validation results the choice was made; None where no candidate has one.
        best: the best by validation; None where nothing can choose.
        runner_up: the next by validation; None where there is none.
        rival: where `best` is a baseline, the best by validation of those that were to beat it, else the best of the baselines;
            None where there is none, or it is the runner-up.
        standings: all that are scored, best validation first, those without one last.
        alike: those that are as good as the best, or cannot be told from it.
        cheapest: of those that are as good as the best, the one that costs least, where that is less than the best costs.
        overtaking: those that test images show to be better than the best.
        weakest: of the best, the classes named rightly least often, the weakest first.
        untested: names of the classes of which no test image is there.
        test_images: how many there are; None where it is not known.
        pipelines: of the candidates, each once.
        needs: what would tell the best from the runner-up; None where nothing is needed, or nothing within reach would.
        needs_seconds: time that the seeds of `needs` would take; NaN where it is not known.
        left_out: candidates without a test result.
        looks: of the pipelines that added seeds until enough was known, the last look at validation images. Intervals and p are
            then corrected for that.
    """

    images: str
    condition: str
    measure: Measure
    chooser: Chooser | None
    best: Standing | None
    runner_up: Standing | None
    rival: Standing | None
    standings: tuple[Standing, ...]
    alike: tuple[Standing, ...]
    cheapest: Standing | None
    overtaking: tuple[Standing, ...]
    weakest: tuple[ClassAccuracy, ...]
    untested: tuple[str, ...]
    test_images: int | None
    pipelines: tuple[str, ...]
    needs: Needs | None
    needs_seconds: float
    left_out: tuple[Candidate, ...]
    looks: tuple[Look, ...] = ()

    @property
    def take(self) -> Standing | None:
        """What is recommended: the best, or what is as good and costs less."""
        return self.cheapest or self.best


@dataclass(frozen=True)
class Verdict:
    """What a person takes away from a study.

    Attributes:
        study, title, question: of the study.
        answers: one a set of images and condition, in the order of the candidates.
        findings: sentences on the images with which all of it must be taken.
        missing: sentences on what the study lacks: runs that failed or were not done, pipelines that were left out.
        rehearsal: whether numbers only show that everything works.
        confidence: of the intervals.
        margin: differences below it count as none, a fraction.
    """

    study: str
    title: str
    question: str
    answers: tuple[Answer, ...]
    findings: tuple[str, ...]
    missing: tuple[str, ...]
    rehearsal: bool
    confidence: float
    margin: float


def verdict(
    candidates: Sequence[Candidate],
    *,
    study: str,
    title: str = "",
    question: str = "",
    findings: Sequence[str] = (),
    missing: Sequence[str] = (),
    rehearsal: bool = False,
    class_names: Sequence[str] = (),
    confidence: float = 0.95,
    margin: float = 0.01,
    looks: Mapping[str, Look] | None = None,
) -> Verdict:
    """Say which candidate to take, for each set of images and condition in which some stood beside each other.

    Args:
        candidates: all of the study, in its order.
        study: its name; see `Verdict` for the others.
        class_names: of the image set, by label.
        looks: pipeline that added seeds until enough was known -> the last look.
    """
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault((candidate.images, candidate.condition), []).append(candidate)
    answers = [
        answer(
            group,
            class_names,
            confidence=confidence,
            margin=margin,
            looks=[look for name, look in (looks or {}).items() if any(one.pipeline == name for one in group)],
        )
        for group in groups.values()
    ]
    return Verdict(
        study=study,
        title=title or study,
        question=question,
        answers=tuple(answers),
        findings=tuple(findings),
        missing=tuple(missing),
        rehearsal=rehearsal,
        confidence=confidence,
        margin=margin,
    )


def answer(
    candidates: Sequence[Candidate],
    class_names: Sequence[str] = (),
    *,
    confidence: float = 0.95,
    margin: float = 0.01,
    looks: Sequence[Look] = (),
) -> Answer:
    """What is said of candidates of one set of images and condition; see `Answer`.

    Args:
        candidates: at least one.
        class_names: of the image set, by label.
        confidence: of the intervals.
        margin: differences below it count as none.
        looks: the last one of each pipeline that added seeds until enough was known.
    """
    scored = [candidate for candidate in candidates if candidate.evidence is not None]
    measure, chooser = _measure(scored), _chooser(scored)
    ranked = sorted(scored, key=lambda candidate: _rank(candidate, chooser))
    known = _paired(ranked)
    each = min((look.looks.final_level(1 - confidence) for look in looks), default=1 - confidence)
    estimates = intervals(known, measure, 1 - each) if ranked else []
    has_best = bool(ranked) and chooser is not None
    differences: list[Difference | None] = [None] * len(ranked)
    if has_best and len(ranked) > 1:
        compared = compare(known, 0, 1 - each, margin, metric=measure)
        differences = [None, *(_corrected(one, looks) for one in compared)]
    standings = tuple(
        Standing(candidate, estimate, _validation(candidate, chooser), difference)
        for candidate, estimate, difference in zip(ranked, estimates, differences, strict=True)
    )
    best = standings[0] if has_best else None
    runner_up = next((one for one in standings[1:] if has_best and not math.isnan(one.validation)), None)
    evidence = None if best is None else best.candidate.evidence
    known_names = [] if best is None else _known_names(best.candidate, class_names)
    alike = tuple(one for one in standings if one.is_as_good or one.is_open)
    needs = runner_up.difference.needs if runner_up is not None and runner_up.difference is not None else None
    return Answer(
        images=candidates[0].images,
        condition=candidates[0].condition,
        measure=measure,
        chooser=chooser,
        best=best,
        runner_up=runner_up,
        rival=None if best is None else _rival(best, runner_up, standings),
        standings=standings,
        alike=alike,
        cheapest=None if best is None else _cheapest(best, alike),
        overtaking=tuple(one for one in standings if one.is_better),
        weakest=() if evidence is None else weakest_classes(evidence, known_names, confidence=confidence),
        untested=() if evidence is None else untested_classes(evidence, known_names),
        test_images=_test_images(scored),
        pipelines=tuple(dict.fromkeys(candidate.pipeline for candidate in candidates)),
        needs=needs,
        needs_seconds=_seconds_of(needs, best, runner_up),
        left_out=tuple(candidate for candidate in candidates if candidate.evidence is None),
        looks=tuple(looks),
    )


def cost_ratio(first: Candidate, second: Candidate) -> tuple[float, Literal["operations", "training"]] | None:
    """Costs of the first over those of the second: operations of a prediction, or time of training where those are alike or not
    known. None where neither can be compared, or both are alike.
    """
    if first.costs_without != second.costs_without:
        return None
    if _differ(first.macs, second.macs, 0):
        return first.macs / second.macs, "operations"
    if _differ(first.training_seconds, second.training_seconds, _SHORT):
        return first.training_seconds / second.training_seconds, "training"
    return None


def weakest_classes(
    evidence: Evidence, class_names: Sequence[str] = (), *, confidence: float = 0.95, number: int = WEAKEST
) -> tuple[ClassAccuracy, ...]:
    """The classes whose test images are named rightly least often, the weakest first; classes without a mistake are left out.

    Args:
        evidence: of one candidate.
        class_names: by label.
        confidence: of the intervals.
        number: how many classes at most.
    """
    found = []
    for label in np.unique(evidence.labels).tolist():
        of_class = evidence.labels == label
        images, value = int(of_class.sum()), float(evidence.correct[:, of_class].mean())
        if value == 1:
            continue
        taken_for = ""
        if evidence.predicted is not None:
            predicted = evidence.predicted[:, of_class]
            counts = np.bincount(predicted[predicted != label])
            taken_for = _class_name(int(counts.argmax()), class_names)
        low, high = wilson(value, images, confidence)
        found.append(ClassAccuracy(_class_name(label, class_names), images, value, low, high, taken_for))
    return tuple(sorted(found, key=lambda one: one.value)[:number])


def untested_classes(evidence: Evidence, class_names: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes of which there is no test image; none where images are not known one by one."""
    if not len(evidence.labels):
        return ()
    there = set(np.unique(evidence.labels).tolist())
    return tuple(name for label, name in enumerate(class_names) if label not in there)


def wilson(share: float, number: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share of `number` images.

    Examples:
        >>> from vision_studies.statistics.verdict import wilson
        >>> [round(end, 3) for end in wilson(0.5, 10, 0.95)]
        [0.237, 0.763]
    """
    from scipy.stats import norm

    square = float(norm.ppf(0.5 + confidence / 2)) ** 2
    middle = (share + square / (2 * number)) / (1 + square / number)
    half = math.sqrt(square * (share * (1 - share) / number + square / (4 * number**2))) / (1 + square / number)
    return (0.0 if share == 0 else max(0.0, middle - half)), (1.0 if share == 1 else min(1.0, middle + half))


def as_json(value: Any) -> Any:
    """A verdict, or a part of it, as JSON has it: evidence is left out, and what is not a number is null."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name: getattr(value, one.name) for one in fields(value)}
        return {name: as_json(entry) for name, entry in named.items() if not isinstance(entry, Evidence)}
    if isinstance(value, Mapping):
        return {str(name): as_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


_ALIKE = 1.25  # costs that differ by less are alike
_SHORT = 1.0  # seconds: below, time does not count


def _differ(first: float, second: float, least: float) -> bool:
    """Whether two costs are known, at least one of them counts, and they are not alike."""
    known = first > 0 and second > 0 and max(first, second) > least
    return known and not 1 / _ALIKE < first / second < _ALIKE


def _measure(scored: Sequence[Candidate]) -> Measure:
    """The mean over classes where a method reports it, and the images of all are known one by one."""
    wanted = any(candidate.measure == "balanced_accuracy" for candidate in scored)
    return "balanced_accuracy" if wanted and all(one.test_images for one in scored) else "accuracy"


def _chooser(scored: Sequence[Candidate]) -> Chooser | None:
    """Of what all methods prefer, or else of what is compared across methods, the first that the most candidates have."""
    preferred = {candidate.choosers for candidate in scored}
    choosers: Iterable[Chooser] = preferred.pop() if len(preferred) == 1 else ("validation_accuracy", "validation_loss")
    having = {
        chooser: sum(not math.isnan(_validation(candidate, chooser)) for candidate in scored) for chooser in choosers
    }
    most = max(having.values(), default=0)
    return next((chooser for chooser, number in having.items() if number == most), None) if most else None


def _validation(candidate: Candidate, chooser: Chooser | None) -> float:
    return math.nan if chooser is None else candidate.validation.get(chooser, math.nan)


def _rank(candidate: Candidate, chooser: Chooser | None) -> tuple[bool, float, float, float]:
    """What candidates are sorted by: validation, and of equal ones the cost; those without validation come last."""
    value = _validation(candidate, chooser)
    merit = value if chooser == "validation_loss" else -value
    costs = (math.inf if math.isnan(cost) else cost for cost in (candidate.macs, candidate.training_seconds))
    return (math.isnan(value), 0.0 if math.isnan(value) else merit, *costs)  # type: ignore[return-value]


def _corrected(difference: Difference, looks: Sequence[Look]) -> Difference:
    """With p corrected as its interval is, where validation images have told how many seeds there are."""
    p = max((look.looks.final_p(difference.p) for look in looks), default=difference.p)
    return replace(difference, p=p)


def _paired(candidates: Sequence[Candidate]) -> list[Evidence]:
    """Evidence of all, with seeds numbered by their place among those of their pipeline: those of different pipelines have
    nothing in common but that they are as many draws, and may be paired in any order.
    """
    evidence = [(one.pipeline, one.evidence) for one in candidates if one.evidence is not None]
    seeds: dict[str, np.ndarray] = {}
    for pipeline, own in evidence:
        seeds[pipeline] = np.union1d(seeds.get(pipeline, own.seeds), own.seeds)
    if len(seeds) < 2:
        return [own for _, own in evidence]
    return [replace(own, seeds=np.searchsorted(seeds[pipeline], own.seeds)) for pipeline, own in evidence]


def _rival(best: Standing, runner_up: Standing | None, standings: Sequence[Standing]) -> Standing | None:
    others = (one for one in standings[1:] if not math.isnan(one.validation))
    first = next((one for one in others if one.candidate.is_baseline != best.candidate.is_baseline), None)
    return None if first is runner_up else first


def _cheapest(best: Standing, alike: Sequence[Standing]) -> Standing | None:
    """The least costly of those that are as good as the best and cost less."""
    cheaper = []
    for standing in alike:
        ratio = cost_ratio(standing.candidate, best.candidate)
        if standing.is_as_good and ratio is not None and ratio[0] < 1:
            cheaper.append((ratio[1] != "operations", ratio[0], standing))
    return min(cheaper, key=lambda one: one[:2])[2] if cheaper else None


def _test_images(scored: Sequence[Candidate]) -> int | None:
    """How many there are; None where no candidate knows."""
    return max((candidate.test_images for candidate in scored), default=0) or None


def _seconds_of(needs: Needs | None, best: Standing | None, runner_up: Standing | None) -> float:
    """Time that the further seeds of both would take."""
    if needs is None or needs.seeds is None or best is None or runner_up is None:
        return math.nan
    return needs.seeds * (best.candidate.training_seconds + runner_up.candidate.training_seconds)


def _known_names(candidate: Candidate, names: Sequence[str]) -> list[str]:
    """Names of the classes that a candidate tells apart, as its evidence numbers them."""
    return list(names) if candidate.classes is None else [_class_name(label, names) for label in candidate.classes]


def _class_name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else f"class {label}"
