"""Everything that is checked of a source, in one go."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vision_studies.config.data_prep import source_name
from vision_studies.data.checks.findings import KINDS, Finding, Severity
from vision_studies.data.checks.pictures import picture_findings
from vision_studies.data.checks.repeats import Repeats, find_repeats, repeat_findings
from vision_studies.data.checks.shortcuts import shortcut_findings
from vision_studies.data.checks.survey import Progress, Survey, survey_arrays, survey_listing
from vision_studies.data.image_set import check_labels
from vision_studies.data.sources.decoding import Decoding
from vision_studies.data.sources.image_facts import best_background, decoding_of
from vision_studies.data.sources.listing import Listing
from vision_studies.data.sources.raw import RawImages
from vision_studies.errors import DataError, ParameterError, guess

_ORDER = tuple(Severity)


@dataclass(frozen=True)
class Check:
    """What a check of a source has found.

    Attributes:
        findings: the worst first.
        survey: of all images.
        repeats: which of them are copies of one picture.
        decoding: how encoded images are to be decoded, by what all of them are like.
        seen: image files of the source in all.
    """

    findings: tuple[Finding, ...]
    survey: Survey
    repeats: Repeats
    decoding: Decoding
    seen: int

    def to_json(self) -> dict[str, Any]:
        """Counts and findings, as a JSON value."""
        survey = self.survey
        return {
            "source": survey.source,
            "images": int(survey.readable.sum()),
            "seen": self.seen,
            "classes": len(survey.class_names),
            "findings": [finding.to_json() for finding in self.findings],
        }


def check_found(
    found: Listing | RawImages,
    source: str,
    wanted: Decoding,
    *,
    skip_corrupt: bool,
    near: bool = True,
    progress: Progress | None = None,
) -> Check:
    """Look at all images of a source and say what is to be said of them.

    Args:
        found: what lies in the source, from `sources.read.list_source`.
        source: as it is named in messages.
        wanted: size, resize and background as the parameters have them.
        skip_corrupt: whether images that cannot be read are left out.
        near: whether near copies are looked for, too.
        progress: is told how many images have been looked at.

    Raises:
        DataError: there are no images, or labels lie outside the classes.
    """
    if isinstance(found, Listing):
        background = wanted.background or "white"
        survey = survey_listing(found, background, progress)
        decoding = replace(decoding_of(survey.facts, wanted), background=best_background(survey.facts, background))
        seen = max(found.seen, len(survey.names))
    else:
        survey, decoding, seen = survey_arrays(found, source), wanted, len(found.labels)
        background = wanted.background or "white"
    if not len(survey.names) and found.findings:
        nothing = np.zeros(0, np.int64)
        return Check(in_order(found.findings), survey, Repeats(nothing, nothing), decoding, seen)
    if not len(survey.names):
        raise DataError(f"{source} holds no readable images; check data_prep.source.")
    check_labels(source_name(source), survey.labels, survey.class_names)
    repeats = find_repeats(survey, near=near)
    findings = [
        *found.findings,
        *picture_findings(survey, decoding, background, skip_corrupt=skip_corrupt),
        *repeat_findings(survey, repeats),
        *shortcut_findings(survey),
    ]
    return Check(in_order(findings), survey, repeats, decoding, seen)


def stored_findings(check: Mapping[str, Any] | None) -> tuple[Finding, ...]:
    """What a check had found, from what `Check.to_json` gave; nothing where there was no check.

    Findings that this version does not know are left out.
    """
    told = check["findings"] if check is not None else []
    names = ("name", "message", "mend")
    return tuple(
        Finding(**{name: one[name] for name in names}, files=tuple(one["files"]))
        for one in told
        if one["name"] in KINDS
    )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first, and otherwise as they come."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.kind.severity)))


def check_accept(accept: Collection[str]) -> None:
    """Refuse names in `data_prep.accept` that no finding has.

    Raises:
        ParameterError: there is no such finding.
    """
    for name in accept:
        if name not in KINDS:
            wrong = [kind for kind, content in KINDS.items() if content.severity == Severity.WRONG]
            raise ParameterError(
                f"data_prep.accept has '{name}', and no finding is called that.{guess(name, [*KINDS])} Those that stop are "
                f"{', '.join(wrong)}."
            )
