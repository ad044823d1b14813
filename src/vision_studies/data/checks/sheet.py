"""The images that findings concern, small, for a sheet of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vision_studies.data.checks.check import Check
from vision_studies.data.checks.findings import Finding, Severity
from vision_studies.data.image_set import ImageSet
from vision_studies.data.sources.decoding import CorruptImageError, decode_image, quiet
from vision_studies.data.sources.listing import Listing
from vision_studies.data.sources.raw import RawImages

_SIDE = 64  # pixels of a picture on a sheet
_SHOWN = 12  # of a finding
_NOT_SHOWN = ("turned", "cmyk", "no_suffix", "wrong_suffix", "shortcut")  # nothing is to be seen in single images


class SheetRow(NamedTuple):
    """What a sheet shows of a finding.

    Attributes:
        title: of the finding.
        severity: wrong, doubtful or note.
        total: how many it concerns.
        names: of the images shown.
        images: uint8 [H, W, 1 or 3] each.
    """

    title: str
    severity: str
    total: int
    names: tuple[str, ...]
    images: tuple[np.ndarray, ...]


def shown_names(findings: Sequence[Finding]) -> set[str]:
    """Names of the images that a sheet of these findings shows, where they are images."""
    return {name for finding in findings if finding.name not in _NOT_SHOWN for name in finding.files[:_SHOWN]}


def rows_of(findings: Sequence[Finding], pictures: Mapping[str, np.ndarray]) -> list[SheetRow]:
    """A row for each finding of which there are pictures, the worst first."""
    rows = []
    for finding in findings:
        if finding.name in _NOT_SHOWN:
            continue
        names = tuple(name for name in finding.files[:_SHOWN] if name in pictures)
        if names:
            images = tuple(pictures[name] for name in names)
            rows.append(SheetRow(finding.kind.title, str(finding.kind.severity), len(finding.files), names, images))
    return rows


def pictures_of(check: Check, found: Listing | RawImages) -> dict[str, np.ndarray]:
    """The images that a check's findings concern, by name, 64 pixels high and wide or as large as they are."""
    wanted = shown_names(check.findings)
    if isinstance(found, RawImages):
        return {name: image for name, image in zip(check.survey.names, found.images, strict=True) if name in wanted}
    decoding = replace(
        check.decoding, image_size=_SIDE, resize="squash" if check.decoding.resize == "squash" else "letterbox"
    )
    pictures = {}
    with quiet():
        for item in found.items():
            if item.name in wanted:
                with suppress(CorruptImageError):
                    pictures[item.name] = decode_image(item.content, decoding)
    return pictures


def prepared_pictures(image_set: ImageSet, findings: Sequence[Finding]) -> dict[str, np.ndarray]:
    """The same of prepared images; those that were left out are not among them."""
    wanted = shown_names(findings)
    names = (
        [f"image {place}" for place in range(len(image_set.labels))]
        if image_set.items is None
        else image_set.items["name"]
    )
    return {name: np.asarray(image_set.images[place]) for place, name in enumerate(names) if name in wanted}


def worth_a_sheet(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that stand in a report: what is not merely noted, and copies."""
    return [one for one in findings if one.kind.severity != Severity.NOTE or one.name in ("copies", "near_copies")]
