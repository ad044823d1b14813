"""What is found in single images: what cannot be read, transparency, depth, several pictures in a file, size, and nothing."""

from collections.abc import Iterable, Sequence

import numpy as np

from vision_studies.data.checks.findings import Finding
from vision_studies.data.checks.survey import Survey
from vision_studies.data.checks.wording import counted, named
from vision_studies.data.sources.decoding import MOST_PIXELS, Decoding
from vision_studies.data.sources.image_facts import SEEN_FROM, ImageFacts

_LARGE_PIXELS = 16_000_000
_SMALL_SIDE = 8
_SMALL_SHARE = 8  # a side so many times smaller than the middle one of all images
_NAMED_REASONS = 3


def picture_findings(
    survey: Survey, decoding: Decoding, wanted_background: str, *, skip_corrupt: bool
) -> list[Finding]:
    """What is to be said of the images of a source.

    Args:
        survey: of all of them.
        decoding: how they are decoded; background and ranges are those that suit all of them.
        wanted_background: what `data_prep.background` says.
        skip_corrupt: whether images that cannot be read are left out.
    """
    findings = [*_unreadable(survey, skip_corrupt=skip_corrupt), *_blank(survey)]
    if survey.facts:
        findings += [*_transparent(survey, decoding, wanted_background), *_depth(survey, decoding)]
        findings += _of_the_files(survey)
    return findings


def _named(survey: Survey, chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(survey.names[place] for place in np.flatnonzero(chosen).tolist())


def _where(survey: Survey, facts: Iterable[bool]) -> tuple[str, ...]:
    return _named(survey, np.fromiter(facts, bool, len(survey.facts)))


def _unreadable(survey: Survey, *, skip_corrupt: bool) -> list[Finding]:
    findings = []
    unknown = _where(survey, (facts.error_kind == "not_read" for facts in survey.facts))
    if unknown:
        formats = sorted({str(facts.format) for facts in survey.facts if facts.error_kind == "not_read"})
        findings.append(
            Finding(
                "unknown_format",
                f"{counted(len(unknown), 'file')} in a format that is not read ({', '.join(formats)}).",
                unknown,
            )
        )
    broken = [facts.error is not None and facts.error_kind != "not_read" for facts in survey.facts]
    files = _where(survey, broken)
    if files:
        reasons = _reasons(facts for facts, is_broken in zip(survey.facts, broken, strict=True) if is_broken)
        some, names = counted(len(files), "image"), named(files)
        if skip_corrupt:
            findings.append(
                Finding(
                    "skipped", f"{some} cannot be read and {_are(len(files))} left out ({names}): {reasons}.", files
                )
            )
        else:
            findings.append(Finding("unreadable", f"{some} cannot be read ({names}): {reasons}.", files))
    lost = [
        name
        for label, name in enumerate(survey.class_names)
        if (survey.labels == label).any() and not survey.readable[survey.labels == label].any()
    ]
    if lost:
        findings.append(Finding("class_left_out", f"No file of {_classes(lost)} can be read.", tuple(lost)))
    return findings


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_NAMED_REASONS])
    more = f" and {len(names) - _NAMED_REASONS} more" if len(names) > _NAMED_REASONS else ""
    return f"the {'class' if len(names) == 1 else 'classes'} {shown}{more}"


def _reasons(facts: Iterable[ImageFacts]) -> str:
    """The most frequent reasons, with how often each is met."""
    counts: dict[str, int] = {}
    for each in facts:
        reason = str(each.error).partition(" (")[0]
        counts[reason] = counts.get(reason, 0) + 1
    most = sorted(counts.items(), key=lambda pair: -pair[1])
    told = [reason if len(counts) == 1 else f"{reason}: {count:,}" for reason, count in most[:_NAMED_REASONS]]
    return ", ".join(told) + (", ..." if len(most) > _NAMED_REASONS else "")


def _blank(survey: Survey) -> list[Finding]:
    findings = []
    seen = survey.readable & ~survey.blank
    classes = [label for label in np.unique(survey.labels[survey.blank]) if not seen[survey.labels == label].any()]
    if classes:
        names = [survey.class_names[label] for label in classes]
        findings.append(Finding("class_blank", f"All images of {_classes(names)} are blank.", tuple(names)))
    others = survey.blank & ~np.isin(survey.labels, classes)
    if others.any():
        count = int(others.sum())
        findings.append(Finding("blank", f"{counted(count, 'image')} {_are(count)} blank.", _named(survey, others)))
    return findings


def _transparent(survey: Survey, decoding: Decoding, wanted: str) -> list[Finding]:
    files = _where(survey, (facts.alpha for facts in survey.facts))
    if not files:
        return []
    some = f"{counted(len(files), 'image')} {'has' if len(files) == 1 else 'have'} transparent parts and"
    over = f"{_are(len(files))} laid over {decoding.background}"
    if decoding.background == wanted or decoding.background is None:
        return [Finding("transparent", f"{some} {over}.", files)]
    hidden = sum(
        facts.alpha and facts.contrast[wanted] < SEEN_FROM <= max(facts.contrast.values()) for facts in survey.facts
    )
    message = f"{some} {over}: over {wanted}, {counted(hidden, 'of them', 'of them')} would be blank."
    return [
        Finding(
            "background_chosen",
            message,
            files,
            mend=f"Set data_prep.background={decoding.background} to agree, or another colour.",
        )
    ]


def _depth(survey: Survey, decoding: Decoding) -> list[Finding]:
    findings = []
    deep = [facts.integers is not None for facts in survey.facts]
    decimal = [facts.decimals is not None for facts in survey.facts]
    kinds: tuple[tuple[str, list[bool], tuple[float, float] | None, str], ...] = (
        ("deep_grey", deep, decoding.integers, "more than 8 bits"),
        ("float_values", decimal, decoding.decimals, "decimal numbers"),
    )
    for name, chosen, ends, what in kinds:
        files = _where(survey, chosen)
        if files and ends is not None:
            have = "has" if len(files) == 1 else "have"
            message = (
                f"{counted(len(files), 'image')} {have} {what}: {ends[0]:,g} becomes 0 and {ends[1]:,g} becomes 255."
            )
            findings.append(Finding(name, message, files))
    shallow = sum(facts.error is None for facts in survey.facts) - sum(deep) - sum(decimal)
    some_deep = sum(deep) + sum(decimal)
    if shallow and some_deep:
        few = [
            facts.error is None and (is_deep or is_decimal) == (some_deep <= shallow)
            for facts, is_deep, is_decimal in zip(survey.facts, deep, decimal, strict=True)
        ]
        message = f"{counted(some_deep, 'image')} of more than 8 bits beside {shallow:,} of 8 bits."
        findings.append(Finding("mixed_depth", message, _where(survey, few)))
    return findings


def _of_the_files(survey: Survey) -> list[Finding]:
    facts = survey.facts
    findings = []
    frames = _where(survey, (each.frames > 1 for each in facts))
    if frames:
        blank = sum(each.first_frame_blank for each in facts)
        more = f"; in {blank:,} of them the first one is blank and a later one is not" if blank else ""
        message = f"{counted(len(frames), 'file')} of several pictures, of which the first is read{more}."
        findings.append(Finding("several_frames", message, frames))
    simple = (
        ("cmyk", [each.mode == "CMYK" for each in facts], "in printing colours"),
        ("turned", [each.exif == "turned" for each in facts], "turned upright"),
        (
            "damaged_exif",
            [each.exif == "damaged" for each in facts],
            "with damaged notes of the camera, taken as they lie",
        ),
    )
    for name, chosen, what in simple:
        files = _where(survey, chosen)
        if files:
            findings.append(Finding(name, f"{counted(len(files), 'image')} {what}.", files))
    width, height = survey.sides.T
    pixels = width * height
    large = survey.readable & (pixels > _LARGE_PIXELS)
    if large.any():
        count = int(large.sum())
        message = f"{counted(count, 'image')} of more than {_LARGE_PIXELS / 1e6:.0f} million pixels"
        whole = int((pixels[large] > MOST_PIXELS).sum())
        more = f", {whole:,} of them read at a part of {'its' if whole == 1 else 'their'} size" if whole else ""
        findings.append(Finding("very_large", f"{message}{more}.", _named(survey, large)))
    shorter = survey.sides.min(axis=1)
    if survey.readable.any():
        usual = float(np.median(shorter[survey.readable]))
        small = survey.readable & (shorter < min(max(_SMALL_SIDE, usual / _SMALL_SHARE), usual))
        if small.any():
            most = int(shorter[small].max())
            message = f"{counted(int(small.sum()), 'image')} of {most} pixels or less to a side; most have {usual:.0f}."
            findings.append(Finding("very_small", message, _named(survey, small)))
    return findings
