"""What is to be said of classes, labels and their division before any image is decoded."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.checks.findings import Finding
from vision_studies.data.checks.wording import counted, named
from vision_studies.data.sources.listing import SplitName
from vision_studies.data.splits import NAMES, Divided, divide, units_of
from vision_studies.errors import DataError

Row = tuple[int, SplitName | None, str | None]
"""Label, split and group of an image."""

_FEW_TEST = 5  # images of a class: with fewer, one more or less right moves its accuracy by more than 20 points
_FEW_TRAIN = 3


def name_key(name: str) -> str:
    """Equal for names that differ in case, in how accents are written (NFC, NFD), or in spaces alone.

    Examples:
        >>> from vision_studies.data.sources.labels import name_key
        >>> name_key("New  York") == name_key("new_york"), name_key("Bar") == name_key("Bär")
        (True, False)
    """
    return "".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


def division_findings(
    name: str, class_names: Sequence[str], rows: Sequence[Row], settings: SplitSettings
) -> Iterator[Finding]:
    """Names of classes that are too similar, and what each class gets of each split.

    Args:
        name: of the source.
        class_names: one name a label.
        rows: of each image; a division depends on nothing else but its copies.
        settings: how they are divided.
    """
    yield from _similar_names(class_names)
    labels = np.array([label for label, _, _ in rows], np.int64)
    split = np.array([split or "" for _, split, _ in rows], "U10")
    groups = pd.Series([group for _, _, group in rows], dtype=object)
    if not len(labels) or not 0 <= labels.min() <= labels.max() < len(class_names):
        return
    yield from _groups_across(split, groups)
    try:
        splits = divide(Divided(name, labels, tuple(class_names), split, units_of(groups, None)), settings)
    except DataError as error:
        yield Finding("cannot_be_split", str(error))
        return
    counts = {part: np.bincount(labels[getattr(splits, part)], minlength=len(class_names)) for part in NAMES}
    yield from _missing(class_names, counts)
    yield from _few(class_names, counts)


def _similar_names(class_names: Sequence[str]) -> Iterator[Finding]:
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for name in class_names:
        by_key[name_key(name)].append(name)
    similar = [names for names in by_key.values() if len(names) > 1]
    if similar:
        told = named([" and ".join(map(_shown, names)) for names in similar])
        yield Finding(
            "similar_class_names", f"Names of classes that are nearly the same: {told}.", tuple(chain(*similar))
        )


def _shown(name: str) -> str:
    """With accents told apart that are written as signs of their own."""
    return f"'{name}'" if unicodedata.is_normalized("NFC", name) else f"'{name}' (written as {name!a})"


def _groups_across(split: np.ndarray, groups: pd.Series) -> Iterator[Finding]:
    known = pd.DataFrame({"split": split, "group": groups})[split != ""].dropna()
    across = sorted(known.groupby("group")["split"].nunique().loc[lambda number: number > 1].index)
    if across:
        told = f"{counted(len(across), 'group')} stand in several of the splits that the source says ({named(across)})."
        yield Finding("group_across_splits", told, tuple(across))


def _missing(class_names: Sequence[str], counts: dict[str, np.ndarray]) -> Iterator[Finding]:
    total = np.sum([*counts.values()], axis=0)
    gone = {part: [int(label) for label in np.flatnonzero(counts[part] == 0)] for part in NAMES}
    told = [
        f"{counted(len(labels), 'class', 'classes')} without an image for {part} ("
        + named([f"'{class_names[label]}' with {total[label]} in all" for label in labels])
        + ")"
        for part, labels in gone.items()
        if labels
    ]
    if told:
        concerned = sorted({label for labels in gone.values() for label in labels})
        yield Finding("class_missing_in_split", f"{'; '.join(told)}.", tuple(class_names[label] for label in concerned))


def _few(class_names: Sequence[str], counts: dict[str, np.ndarray]) -> Iterator[Finding]:
    few = np.flatnonzero((counts["test"] < _FEW_TEST) | (counts["train"] < _FEW_TRAIN))
    if not len(few):
        return
    rarest = few[np.argsort(np.sum([*counts.values()], axis=0)[few], kind="stable")]
    told = named(
        [
            f"'{class_names[label]}' has {counts['train'][label]} to learn from, {counts['validation'][label]} to choose by "
            f"and {counts['test'][label]} to test"
            for label in rarest
        ]
    )
    tested = int(counts["test"][rarest[0]])
    moves = (
        f"one test image more or less right moves the accuracy of '{class_names[rarest[0]]}' by {100 / tested:.0f} points"
        if tested
        else f"how well '{class_names[rarest[0]]}' is recognised will not be known"
    )
    yield Finding(
        "few_images",
        f"{counted(len(few), 'class', 'classes')} of few images: {told}; {moves}.",
        tuple(class_names[label] for label in rarest),
    )
