"""A verdict in words and as a table: sentences from templates, for the terminal, the page, the study card and trackers.

Each sentence is made from numbers of the verdict alone. `docs/verdict.md` says which is said when.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vision_studies.outcomes import ABSENT, STOPPED_EARLY
from vision_studies.reports.formatting import MISSING, count, duration
from vision_studies.reports.standings import Picture, picture
from vision_studies.reports.table import Table
from vision_studies.statistics.looks import half_of
from vision_studies.statistics.simultaneous import Difference, Needs
from vision_studies.statistics.two_way import Estimate
from vision_studies.statistics.verdict import (
    VERSION,
    Answer,
    Candidate,
    Chooser,
    Standing,
    Verdict,
    as_json,
    cost_ratio,
)

FEW_IMAGES = 100
"""Of fewer test images each is more than a point."""

FEW_OF_A_CLASS = 10
"""Of fewer test images of a class little can be said, which is told."""

MOST_SEEDS, MOST_IMAGES = 100, 20
"""Further seeds, and times as many test images, beyond which nobody will go to tell two candidates apart."""

MOST_LESS = 3
"""Margins that a candidate may lie below the best to be named for what it costs."""

_TERMINAL_ROWS = 20
_NAMED = 3  # of those that cannot be told from the best, as many as are named
_BY = {
    "validation_accuracy": "validation",
    "validation_balanced_accuracy": "validation, as a mean over the classes",
    "validation_loss": "validation loss",
}
_PARTS = {
    **{2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh"},
    **{8: "an eighth", 9: "a ninth", 10: "a tenth"},
}
_COSTS = {"operations": "of the operations for a prediction", "training": "of the training time"}
_REHEARSAL = "This is a rehearsal: it shows that everything works, and its numbers answer no question."


def sentences(verdict: Verdict) -> list[str]:
    """All that the verdict says: that it is a rehearsal, every answer, what is missing, and what is doubtful of the images."""
    said = [_REHEARSAL] if verdict.rehearsal else []
    for answer in verdict.answers:
        named = heading(answer) if len(verdict.answers) > 1 else ""
        own = answer_sentences(answer, verdict.confidence, verdict.margin)
        said += [f"{named}: {own[0]}" if named else own[0], *own[1:]]
    if not verdict.answers:
        said.append("Nothing stood beside each other in this study that could be taken.")
    said += [f"Missing: {one}" for one in verdict.missing]
    return said + [f"Doubtful of the images: {one}" for one in verdict.findings]


def headline(verdict: Verdict) -> str:
    """The first sentence of the first answer, with the mark of a rehearsal; for lists of studies."""
    if not verdict.answers:
        return ""
    first = answer_sentences(verdict.answers[0], verdict.confidence, verdict.margin)[0]
    return f"Rehearsal: {first}" if verdict.rehearsal else first


def heading(answer: Answer) -> str:
    """Which pipelines and condition an answer is of."""
    names = ", ".join(answer.pipelines)
    return f"{names}, {answer.condition}" if answer.condition else names


def answer_sentences(answer: Answer, confidence: float, margin: float) -> list[str]:
    """What is said of candidates that stood beside each other, the recommendation first."""
    if not answer.standings:
        return ["Nothing can be recommended: no run has a test result.", *_left_out(answer)]
    if answer.best is None:
        return [*_without_choice(answer, confidence), *_cautions(answer), *_left_out(answer)]
    return [
        *_choice(answer, answer.best, confidence, margin),
        *_differences(answer, answer.best, confidence, margin),
        *_others(answer, answer.best, margin),
        *_costs(answer),
        *_classes(answer, answer.best),
        *_needs(answer),
        *_looks(answer),
        *_cautions(answer),
        *_left_out(answer),
    ]


def _choice(answer: Answer, best: Standing, confidence: float, margin: float) -> Iterator[str]:
    """What to take, what it reaches, and by what it was chosen."""
    take = answer.take or best
    is_said = "baseline" in take.candidate.title.lower()
    role = ", a baseline" if take.candidate.is_baseline and not is_said else ""
    named = f"Take {_called(take, answer)}{role}"
    reached = f"{_reached(answer)} ({_interval(take, confidence)})"
    if take is not best:
        cost = _cost(take.candidate, best.candidate)
        yield f"{named}: as good as the best, with {cost}. {_sentence(f'it names {_share(take.estimate.value)} {reached}')}."
        difference = take.difference
        assert difference is not None  # noqa: S101 - of all but the best
        yield (
            f"The best by {_by(answer)} is {_called(best, answer)}, with {_share(best.estimate.value)}; "
            f"the difference is {_signed_points(-difference.value)} ({_difference_interval(difference, confidence)}), and less "
            f"than {_points(margin)} counts as none."
        )
        return
    yield f"{named}: it names {_share(take.estimate.value)} {reached}."
    scored = [one for one in answer.standings if not math.isnan(one.validation)]
    if len(answer.standings) == 1:
        yield "It stood alone: there is nothing to compare it with."
    elif len(scored) == 1:
        yield "It alone has a validation result; the others cannot be chosen."
    else:
        yield from _chosen(answer, best, scored)


def _chosen(answer: Answer, best: Standing, scored: Sequence[Standing]) -> Iterator[str]:
    equal = [one for one in scored if one is not best and one.validation == best.validation]
    by = f"by {_by(answer)} ({_validation(best, answer.chooser)})"
    if all(one.estimate.value == 1 for one in answer.standings):
        all_of_them = "Both" if len(answer.standings) == 2 else f"All {len(answer.standings)}"
        yield (
            f"{all_of_them} name every test image rightly: these images cannot tell them apart. "
            f"It is the best of {len(scored)} {by}{', of equal ones the one that costs least' if equal else ''}."
        )
    elif equal:
        yield (
            f"It is the best of {len(scored)} {by}, together with {_few(equal, answer)}; of equal ones the one that costs "
            "least is taken."
        )
    else:
        yield f"It is the best of {len(scored)} {by}."
    if best.candidate.is_baseline and any(not one.candidate.is_baseline for one in scored):
        yield "So the baseline wins: nothing that was to beat it is better on validation."


def _without_choice(answer: Answer, confidence: float) -> Iterator[str]:
    highest = max(answer.standings, key=lambda one: one.estimate.value)
    reached = f"{_share(highest.estimate.value)} {_reached(answer)} ({_interval(highest, confidence)})"
    yield "Nothing can be recommended: no run has a validation result, and test images that choose would flatter the choice."
    if len(answer.standings) == 1:
        yield f"{_sentence(_called(highest, answer))} names {reached}."
    else:
        yield f"The highest of {len(answer.standings)} on the test images is {_called(highest, answer)}, which names {reached}."


def _differences(answer: Answer, best: Standing, confidence: float, margin: float) -> Iterator[str]:
    """The next by validation, and the best of the other side, against the chosen one."""
    shown = [] if answer.cheapest is None else [answer.cheapest]
    if answer.runner_up is not None and answer.runner_up not in shown:
        yield _against(answer, best, answer.runner_up, "the next by validation", confidence, margin)
    if answer.rival is not None and answer.rival not in shown:
        side = "the best of what was to beat it" if best.candidate.is_baseline else "the best of the baselines"
        yield _against(answer, best, answer.rival, side, confidence, margin)


def _against(answer: Answer, best: Standing, other: Standing, side: str, confidence: float, margin: float) -> str:
    difference = other.difference
    assert difference is not None  # noqa: S101 - of all but the best
    name, size = f"{side}, {_called(other, answer)}", _points(abs(difference.value))
    signed = _signed_points(-difference.value)
    it = "It" if answer.cheapest is None else _sentence(_called(best, answer))
    numbers = _difference_interval(difference, confidence)
    if other.is_as_good:
        return (
            f"{_sentence(name)}, is as good: the difference is {signed} ({numbers}), and less than {_points(margin)} counts "
            "as none."
        )
    match difference.says:
        case "worse":
            return f"{it} is better than {name}, by {size} ({numbers})."
        case "better":
            return (
                f"On the test images {name}, is better by {size} ({numbers}). Validation chose otherwise, and stays with its "
                "choice: test images that choose would flatter it."
            )
    if math.isnan(difference.value):
        return f"{it} cannot be told from {name}: they share no seed."
    return f"{it} cannot be told from {name}: the difference is {signed} ({numbers})."


def _others(answer: Answer, best: Standing, margin: float) -> Iterator[str]:
    """What is as good, what cannot be told from the best, and what test images show to be better, but for those named."""
    told = [one for one in (answer.cheapest, answer.runner_up, answer.rival) if one is not None]
    others = [one for one in answer.standings if one is not best and one not in told]
    it = "it" if answer.cheapest is None else _called(best, answer)
    better = [one for one in others if one.is_better]
    if better:
        yield (
            f"Test images show {_few(better, answer)} to be better than {it} as well; they do not choose, for that would "
            "flatter the choice."
        )
    good = [one for one in others if one.is_as_good]
    if good:
        yield f"As good as {it}: {_few(good, answer)}."
    open_ones = [one for one in others if one.is_open]
    if open_ones:
        told_before = any(one.is_open for one in told)
        start = "Nor can it" if told_before and it == "it" else f"{_sentence(it)} cannot"
        yield f"{start} be told from {_few(open_ones, answer)}."
    if answer.cheapest is None:
        yield from _cheaper(answer, best, margin)


def _cheaper(answer: Answer, best: Standing, margin: float) -> Iterator[str]:
    """What cannot be told from the best, does not lie far below it, and costs least."""
    told = [one for one in answer.alike if one.difference is not None and not math.isnan(one.difference.low)]
    known = [one for one in told if one.difference is not None and one.difference.value >= -MOST_LESS * margin]
    ratios = [(one, cost_ratio(one.candidate, best.candidate)) for one in known]
    cheaper = [(ratio[1] != "operations", ratio[0], one) for one, ratio in ratios if ratio is not None and ratio[0] < 1]
    if cheaper:
        *_, least = min(cheaper, key=lambda one: one[:2])
        assert least.difference is not None  # noqa: S101 - chosen among those that have one
        yield (
            f"Where cost counts, look at {_called(least, answer)}: it cannot be told from the best "
            f"({_signed(least.difference.value)} points), and takes {_cost(least.candidate, best.candidate)}."
        )


def _costs(answer: Answer) -> Iterator[str]:
    assert answer.take is not None  # noqa: S101 - asked for where there is a best
    candidate = answer.take.candidate
    parts = []
    if candidate.training_seconds > 0:
        parts.append(f"training takes {duration(candidate.training_seconds)} a seed")
    if candidate.macs > 0:
        parts.append(f"a prediction {'takes ' if not parts else ''}{count(candidate.macs)} operations")
    if parts:
        yield _sentence(", ".join(parts)) + (
            f"; without {candidate.costs_without}." if candidate.costs_without else "."
        )


def _classes(answer: Answer, best: Standing) -> Iterator[str]:
    it = "It" if answer.cheapest is None else _sentence(_called(best, answer))
    if answer.weakest:
        named = [
            f"{_quoted(one.name)} ({_share(one.value)} of {one.images:,} image{'s' * (one.images != 1)}, "
            f"{_range(one.low, one.high)}" + (f"; mostly taken for {_quoted(one.taken_for)})" if one.taken_for else ")")
            for one in answer.weakest
        ]
        yield f"{it} is weakest on {_list(named)}."
    if answer.untested:
        names, more = [_quoted(name) for name in answer.untested[:_NAMED]], len(answer.untested) - _NAMED
        shown = _list([*names, f"{more} more"] if more > 0 else names)
        yield f"No test image shows {shown}: what becomes of {'it' if len(answer.untested) == 1 else 'them'} is not known."


def _needs(answer: Answer) -> Iterator[str]:
    if answer.needs is None or answer.runner_up is None or answer.best is None:
        return
    needs, ways = (
        answer.needs,
        list(_ways(answer.needs, answer.needs_seconds, answer.test_images, answer.best.candidate)),
    )
    images = "images" if answer.best.candidate.folds else "test images"
    both, size = f"{_called(answer.best, answer)} and {_called(answer.runner_up, answer)}", _points(needs.of)
    of = f"the {size} seen" if needs.is_seen else f"a difference of {size}"
    if not ways:
        yield f"No number of seeds or {images} that is within reach would tell {of} between {both}."
    elif needs.is_seen:
        yield f"If {both} differ by {of}, about {' or '.join(ways)} would tell."
    else:
        yield f"To tell {of} between {both} takes about {' or '.join(ways)}."


def _ways(needs: Needs, seconds: float, images: int | None, best: Candidate) -> Iterator[str]:
    """What would tell, as far as somebody could do it."""
    if needs.seeds is not None and needs.seeds <= MOST_SEEDS:
        of_folds = " of folds" if best.evidence is not None and best.evidence.divides_anew else ""
        time = "" if math.isnan(seconds) else f" {'for' if of_folds else 'of'} both (about {duration(seconds)})"
        yield f"{needs.seeds:,} more seed{'s' * (needs.seeds != 1)}{of_folds}{time}"
    if needs.images is not None and images is not None and needs.images <= MOST_IMAGES * images:
        yield f"{needs.images:,} more {'' if best.folds else 'test '}image{'s' * (needs.images != 1)}"


def _looks(answer: Answer) -> Iterator[str]:
    """How many seeds it took where they were added until enough was known, and why it ended."""
    for look in answer.looks:
        start = f"Seeds are added by what validation images say: {look.seeds} of at most {look.looks.most}"
        if look.widest is None:
            yield f"{start}, and nothing could be compared on them."
            continue
        wide, asked, half = look.widest, _points(look.asked), half_of(look.widest)
        known = f"{_quoted(wide.first)} is known to {_points(half)} either way"
        known = f"{_quoted(wide.first)} has no interval" if math.isnan(half) else known
        too_wide = f"{known}, {_points(half - look.asked)} more than asked for" if half > look.asked else known
        images = f"{wide.images:,} validation images alone leave {_points(look.of_widest)} either way"
        ends = {
            "precise": f"each difference from {_quoted(wide.second)} is known well enough; {known}, and {asked} were asked for",
            "as good as": f"all are as good as {_quoted(wide.second)}: differences are less than {_points(look.margin)}",
            "at most": f"it ends still too wide; {too_wide}",
            "images": f"further ones would not do; {known}, and {images}, where {asked} were asked for",
            "unfinished": f"runs are missing or have failed, with which the same command goes on; {known}",
            "wide": f"it is not over, and the same command goes on; {too_wide}",
        }
        yield f"{start}, and {ends[look.reason]}."
        if look.looks.number > 1:
            yield (
                "Intervals and p are corrected for seeds that ended by what they show, after up to "
                f"{look.looks.number} looks at validation images; tables and figures over seeds alone are not."
            )


def _cautions(answer: Answer) -> Iterator[str]:
    """What makes the numbers less than they look."""
    images = answer.test_images
    folds = sorted({one.candidate.folds for one in answer.standings} - {0})
    if folds:
        number = " or ".join(map(str, folds))
        yield (
            f"Cross-validated: every image was predicted once, by a network that had not seen it ({number} folds). Folds share "
            "training images, for which intervals are wider."
        )
    if images is not None and images < FEW_IMAGES:
        few = f"{images} test images are few" if images > 1 else "One test image is too few"
        yield f"{few}: each of them is {_points(1 / images)}."
    of_class = _fewest_of_a_class(answer)
    if of_class is not None and of_class < FEW_OF_A_CLASS:
        yield f"Of one class there {'is' if of_class == 1 else 'are'} only {of_class} test image{'s' * (of_class != 1)}."
    covered = {one.estimate.covers for one in answer.standings}
    if answer.best is not None and answer.best.estimate.seeds == 1:
        yield "One seed: how much it varies from training to training is not known." + (
            " Further ones make the intervals of folds narrower." if answer.best.candidate.folds else ""
        )
    if "seeds" in covered or "nothing" in covered:
        only = [one for one in answer.standings if one.candidate.seeds_only]
        if only:
            reason = only[0].candidate.seeds_only.rstrip(".")
            who = "all" if len(only) == len(answer.standings) else _few(only, answer)
            yield f"Intervals of {who} cover seeds only, not test images: {reason}."
    for label in dict.fromkeys(label for one in answer.standings for label in one.candidate.labels):
        marked = [one for one in answer.standings if label in one.candidate.labels]
        yield f"Marked '{label}': {'all' if len(marked) == len(answer.standings) else _few(marked, answer)}."
    unchosen = [one for one in answer.standings if math.isnan(one.validation)]
    if unchosen and answer.best is not None:
        yield f"Not to be chosen, without a validation result: {_few(unchosen, answer)}."


def _fewest_of_a_class(answer: Answer) -> int | None:
    """Test images of the class that has fewest, of those that have some; None where images are not known one by one."""
    evidence = next((one.candidate.evidence for one in answer.standings if one.candidate.test_images), None)
    return None if evidence is None else min(Counter(evidence.labels.tolist()).values())


def _left_out(answer: Answer) -> Iterator[str]:
    """What has no result, or lacks some of its runs."""
    stopped = 0
    for candidate in answer.left_out:
        early = bool(candidate.problems) and all(STOPPED_EARLY in problem for problem in candidate.problems)
        stopped += early
        if early and stopped > _NAMED:
            continue
        yield f"{_sentence(_name(candidate, answer))} has no result: {'; '.join(candidate.problems) or 'it was not run'}."
    if stopped > _NAMED:
        more = f"{stopped - _NAMED} more {'were' if stopped - _NAMED > 1 else 'was'}"
        yield f"{more} {STOPPED_EARLY}, as others were clearly better on validation images."
    absent = 0
    for standing in answer.standings:
        problems = standing.candidate.problems
        only_absent = bool(problems) and all(ABSENT in problem for problem in problems)
        absent += only_absent
        if problems and (not only_absent or absent <= _NAMED):
            yield f"{_sentence(_called(standing, answer))} is not whole: {'; '.join(problems)}."
    if absent > _NAMED:
        yield f"{absent - _NAMED} more are not whole, with seeds {ABSENT}: the table says how many each has."


def table(answer: Answer, confidence: float) -> Table:
    """Everything that stood beside each other, best validation first: value, interval, and how many seeds and images stand
    behind it.
    """
    several, folds = len(answer.pipelines) > 1, any(one.candidate.folds for one in answer.standings)
    rows = []
    for standing in answer.standings:
        candidate, estimate, difference = standing.candidate, standing.estimate, standing.difference
        mark = "chosen" if standing is answer.best else ("take" if standing is answer.cheapest else "")
        role = "baseline" if candidate.is_baseline else ""
        words = [word for word in (mark, role, *candidate.labels) if word]
        row = {
            **({"Pipeline": candidate.pipeline} if several else {}),
            "Variant": " ".join([candidate.title, *(f"[{word}]" for word in words)]),
            "Validation": _validation(standing, answer.chooser),
            _MEASURES[answer.measure]: _share(estimate.value),
            f"{100 * confidence:g} % interval": _estimate_range(estimate),
            "Minus chosen (points)": MISSING if difference is None else _signed(difference.value),
            "Says": "" if difference is None else difference.says,
            "Test images": f"{estimate.images:,}" if estimate.images else MISSING,
            "Seeds": f"{estimate.seeds:,}",
            **({"Folds": str(candidate.folds or MISSING)} if folds else {}),
            "Training a seed": duration(candidate.training_seconds),
            "Operations": count(candidate.macs),
        }
        rows.append(row)
    texts = 2 if several else 1
    columns = list(rows[0]) if rows else []
    align = "".join("l" if number < texts or name == "Says" else "r" for number, name in enumerate(columns))
    return Table(rows, heading(answer), align=align)


@dataclass(frozen=True)
class AnswerBlock:
    """What a page shows of an answer: its heading, its sentences, the recommendation first, its table, of which the columns
    `texts` are aligned to the left, and its picture, None where there is nothing to compare.
    """

    heading: str
    sentences: Sequence[str]
    headings: Sequence[str]
    texts: Sequence[str]
    rows: Sequence[Mapping[str, str]]
    answer: Answer
    picture: Picture | None


@dataclass(frozen=True)
class VerdictBlock:
    """What a page shows of a verdict; `rehearsal` is the sentence that says so, or empty. Findings stand elsewhere."""

    rehearsal: str
    answers: Sequence[AnswerBlock]
    missing: Sequence[str]
    verdict: Verdict

    @property
    def headline(self) -> str:
        """Its first sentence; see `headline`."""
        return headline(self.verdict)


def verdict_block(verdict: Verdict) -> VerdictBlock:
    """What `templates/verdict.html` draws, with the numbers behind it for figures."""
    blocks = []
    for answer in verdict.answers:
        shown = table(answer, verdict.confidence)
        texts = [name for name, side in zip(shown.headings, shown.alignment, strict=True) if side == "l"]
        said = answer_sentences(answer, verdict.confidence, verdict.margin)
        blocks.append(AnswerBlock(heading(answer), said, shown.headings, texts, shown.rows, answer, picture(answer)))
    return VerdictBlock(_REHEARSAL if verdict.rehearsal else "", blocks, verdict.missing, verdict)


def terminal_lines(verdict: Verdict, width: int = 100) -> list[str]:
    """The verdict for a terminal: each answer below its heading with its table, then what is missing and doubtful."""
    lines = [_REHEARSAL, ""] if verdict.rehearsal else []
    for answer in verdict.answers:
        lines += [f"{heading(answer)}:"] if len(verdict.answers) > 1 else []
        lines += _bulleted(answer_sentences(answer, verdict.confidence, verdict.margin), width)
        shown = brief_table(answer, verdict.confidence)
        if shown.rows:
            cut = replace(shown, title="", rows=shown.rows[:_TERMINAL_ROWS])
            more = len(shown.rows) - _TERMINAL_ROWS
            lines += ["", cut.terminal(), *([f"({more} more in the report)"] if more > 0 else [])]
        lines.append("")
    if not verdict.answers:
        lines += ["Nothing stood beside each other in this study that could be taken.", ""]
    said = [
        *(f"Missing: {one}" for one in verdict.missing),
        *(f"Doubtful of the images: {one}" for one in verdict.findings),
    ]
    return [*lines, *said]


def summary(verdict: Verdict, conclusions: Mapping[str, Sequence[str]], width: int = 100) -> str:
    """What a study found, for the terminal: its verdict, and what its pipelines answer besides (pipeline -> sentences)."""
    lines = terminal_lines(verdict, width)
    for pipeline, said in conclusions.items():
        more = [f"    ({len(said) - 1} more in the report)"] if len(said) > 1 else []
        lines += [
            *([""] if lines and lines[-1] else []),
            f"{pipeline} says besides:",
            *_bulleted(said[:1], width),
            *more,
        ]
    return "\n".join(lines).rstrip()


def _bulleted(said: Sequence[str], width: int) -> list[str]:
    return [textwrap.fill(f"  {one}", width, subsequent_indent="    ") for one in said]


def brief_table(answer: Answer, confidence: float) -> Table:
    """The table for a terminal: without costs, and with what is said of a difference beside it."""
    whole = table(answer, confidence)
    rows = []
    for row in whole.rows:
        said = f"{row['Minus chosen (points)']} {row['Says']}".strip()
        names = {"Pipeline", "Variant", "Validation", *_MEASURES.values(), f"{100 * confidence:g} % interval"}
        kept = {name: value for name, value in row.items() if name in names}
        folds = {"Folds": row["Folds"]} if "Folds" in row else {}
        rows.append(kept | {"Against chosen": said, "Images": row["Test images"], "Seeds": row["Seeds"]} | folds)
    texts = ("Pipeline", "Variant", "Against chosen")
    align = "".join("l" if name in texts else "r" for name in (rows[0] if rows else ()))
    return replace(whole, rows=rows, align=align)


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Content of `verdict.json`: the verdict's fields, and with them its version, headline, sentences and tags for trackers."""
    words = {
        "version": VERSION,
        "headline": headline(verdict),
        "sentences": sentences(verdict),
        "tags": tags(verdict),
    }
    content = as_json(verdict)
    for own, answer in zip(content["answers"], verdict.answers, strict=True):
        own["heading"] = heading(answer)
        own["sentences"] = answer_sentences(answer, verdict.confidence, verdict.margin)
        own["take"] = None if answer.take is None else answer.take.candidate.name
    return words | content


def markdown(verdict: Verdict) -> str:
    """The study card: what a study asked, what to take, how sure that is, and everything that stood beside it."""
    from vision_studies.reports.model_card import literal

    lines = [f"# {literal(verdict.title)}", ""]
    lines += [f"> {literal(_REHEARSAL)}", ""] if verdict.rehearsal else []
    lines += [literal(verdict.question), ""] if verdict.question else []
    lines += ["## Verdict", ""]
    for answer in verdict.answers:
        if len(verdict.answers) > 1:
            lines += [f"### {literal(heading(answer))}", ""]
        lines += [f"- {literal(one)}" for one in answer_sentences(answer, verdict.confidence, verdict.margin)]
        lines += ["", table(answer, verdict.confidence).markdown(), ""]
    if not verdict.answers:
        lines += ["Nothing stood beside each other in this study that could be taken.", ""]
    for title, said in (("Missing", verdict.missing), ("Doubtful of the images", verdict.findings)):
        lines += [f"## {title}", "", *(f"- {literal(one)}" for one in said), ""] if said else []
    lines += [
        f"Study `{verdict.study}`. Intervals hold with {100 * verdict.confidence:g} % confidence; differences of less than "
        f"{_points(verdict.margin)} count as none. What is to be taken was chosen by validation images, never by test images.",
        "",
    ]
    return "\n".join(lines)


def tags(verdict: Verdict) -> dict[str, str]:
    """What a tracker shows of it: `verdict`, and of the first answer `verdict.take`, `.value`, `.interval`, `.seeds` and
    `.test_images`.
    """
    found = {"verdict": headline(verdict)} | ({"verdict.rehearsal": "yes"} if verdict.rehearsal else {})
    take = verdict.answers[0].take if verdict.answers else None
    if take is not None:
        found |= {
            "verdict.take": take.candidate.name,
            "verdict.value": f"{take.estimate.value:.4f}",
            "verdict.interval": _estimate_range(take.estimate),
            "verdict.seeds": str(take.estimate.seeds),
            "verdict.test_images": str(take.estimate.images),
        }
    return {name: value for name, value in found.items() if value}


_MEASURES = {"accuracy": "Test accuracy", "balanced_accuracy": "Balanced test accuracy"}


def _called(standing: Standing, answer: Answer) -> str:
    return _name(standing.candidate, answer)


def _name(candidate: Candidate, answer: Answer) -> str:
    return _quoted(candidate.title) + (f" of {candidate.pipeline}" if len(answer.pipelines) > 1 else "")


def _quoted(name: str) -> str:
    return f"'{name}'"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _list(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _few(standings: Sequence[Standing], answer: Answer) -> str:
    """Some names, and how many more there are."""
    names = [_called(one, answer) for one in standings[:_NAMED]]
    more = len(standings) - _NAMED
    return _list([*names, f"{more} more"] if more > 0 else names)


def _reached(answer: Answer) -> str:
    return "of the test images rightly" + (", as a mean over the classes" * (answer.measure == "balanced_accuracy"))


def _by(answer: Answer) -> str:
    assert answer.chooser is not None  # noqa: S101 - asked for where there is a best
    return _BY[answer.chooser]


def _validation(standing: Standing, chooser: Chooser | None) -> str:
    if math.isnan(standing.validation):
        return MISSING
    return f"{standing.validation:.4f}" if chooser == "validation_loss" else _share(standing.validation)


def _share(value: float) -> str:
    """A fraction as percent with a decimal, and with more where it would else read as none or all."""
    return MISSING if math.isnan(value) else f"{_decimals(value)} %"


def _decimals(value: float) -> str:
    if value in (0, 1):
        return f"{100 * value:.0f}"
    return next(
        (text for places in range(1, 5) if float(text := f"{100 * value:.{places}f}") not in (0, 100)),
        f"{100 * value:.5g}",
    )


def _range(low: float, high: float) -> str:
    return f"{_decimals(low)} to {_share(high)}"


def _estimate_range(estimate: Estimate) -> str:
    return MISSING if math.isnan(estimate.low) else _range(estimate.low, estimate.high)


def _interval(standing: Standing, confidence: float) -> str:
    """The interval of a value, and over what it is: the seeds and images that stand behind it, and the folds."""
    estimate, folds = standing.estimate, standing.candidate.folds
    seeds = f"{estimate.seeds:,} seed{'s' * (estimate.seeds != 1)}"
    images = f"{estimate.images:,} test image{'s' * (estimate.images != 1)}"
    images = f"{estimate.images:,} images, cross-validated in {folds} folds" if folds else images
    behind = f"{seeds}, {images}" if estimate.images else seeds
    if estimate.covers == "nothing" or math.isnan(estimate.low):
        return f"{behind}; no interval can be given"
    return f"{100 * confidence:g} % interval {_range(estimate.low, estimate.high)}; {behind}"


def _points(value: float) -> str:
    size = 100 * value
    if 0 < abs(size) < 0.05:
        return "less than 0.1 points"
    return f"{size:.1f}".removesuffix(".0") + (" point" if f"{size:.1f}" == "1.0" else " points")


def _signed(value: float) -> str:
    return MISSING if math.isnan(value) else f"{100 * value:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")


def _signed_points(value: float) -> str:
    return f"{_signed(value)} points"


def _difference_interval(difference: Difference, confidence: float) -> str:
    """Interval and p of a difference, which come from one correction: without signs where the sentence says who is better, else
    as what the chosen one has more.
    """
    if math.isnan(difference.low):
        return "no interval can be given"
    if difference.says in ("better", "worse") and not difference.within_margin:
        ends = sorted((abs(difference.low), abs(difference.high)))
        ends_text = f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
    else:
        ends_text = f"{_signed(-difference.high)} to {_signed(-difference.low)}"
    p = "" if math.isnan(difference.p) else f"; p = {difference.p:.2g}"
    return f"{100 * confidence:g} % interval {ends_text}{p}"


def _cost(cheap: Candidate, dear: Candidate) -> str:
    """By how much less the first costs: "a ninth of the operations for a prediction"."""
    found = cost_ratio(cheap, dear)
    assert found is not None  # noqa: S101 - asked for of what costs less
    ratio, kind = found
    times = 1 / ratio
    part = f"{100 * ratio:.0f} %" if times < 1.75 else _PARTS.get(round(times), f"1/{times:,.0f}")
    return f"{part} {_COSTS[kind]}"
