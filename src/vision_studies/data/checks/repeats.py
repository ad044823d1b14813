"""What is found where one picture stands in a source several times."""

from typing import NamedTuple

import numpy as np

from vision_studies.data.checks.copies import near_copies
from vision_studies.data.checks.findings import Finding
from vision_studies.data.checks.survey import Survey
from vision_studies.data.checks.wording import counted
from vision_studies.data.groups import joined_groups, links_of, same_groups

_LEAST_SIDE = 16  # pixels: of smaller images too little is known to tell near copies from others of a kind


class Repeats(NamedTuple):
    """Images that are copies of one picture.

    Attributes:
        exact: int64 [N], number of the group of equal files or pixels; -1 of none.
        groups: int64 [N], of exact and near copies together.
    """

    exact: np.ndarray
    groups: np.ndarray


def find_repeats(survey: Survey, *, near: bool) -> Repeats:
    """Groups of copies. Blank images are copies of nothing.

    Args:
        survey: of all images.
        near: whether near copies are looked for, too.
    """
    count = len(survey.names)
    shown = survey.readable & ~survey.blank
    pixels = same_groups([key if seen else "" for key, seen in zip(survey.pixel_keys, shown, strict=True)])
    files = same_groups([key if seen else "" for key, seen in zip(survey.file_keys, shown, strict=True)])
    exact = joined_groups(count, links_of(pixels), links_of(files))
    if not near:
        return Repeats(exact, exact)
    # Of exact copies one is enough to look for others by.
    first = np.ones(count, bool)
    places = np.flatnonzero(exact >= 0)
    first[places] = False
    first[places[np.unique(exact[places], return_index=True)[1]]] = True
    looked_at = np.flatnonzero(shown & first & (survey.sides.min(axis=1) >= _LEAST_SIDE))
    pairs = near_copies(survey.thumbnails[looked_at])
    return Repeats(exact, joined_groups(count, links_of(exact), (looked_at[pairs.first], looked_at[pairs.second])))


def repeat_findings(survey: Survey, repeats: Repeats) -> list[Finding]:
    """What is to be said of copies."""
    exact, groups = repeats
    findings = [
        *_copies(survey, "copies", exact, "the same picture"),
        *_copies(survey, "near_copies", _beyond(groups, exact), "nearly the same picture"),
    ]
    across = _members(groups, _groups_with(groups, survey.splits == "test", survey.splits != "test"))
    in_test = across[survey.splits[across] == "test"]
    if len(in_test):
        total = int((survey.splits == "test").sum())
        stand = "stands" if len(in_test) == 1 else "stand"
        of_all = f"{len(in_test):,} of {counted(total, 'test image')}"
        message = f"{of_all} {stand} in training, too, or nearly so{_example(survey, across)}."
        findings.append(Finding("copies_across_splits", message, _names(survey, across)))
    same = _members(exact, _groups_of_two_labels(exact, survey.labels))
    if len(same):
        name = "copies_disagree" if survey.published else "copies_with_two_labels"
        message = (
            f"{counted(len(same), 'image')} of {_pictures(exact, same)} {_stand_in_two_classes(survey, exact, same)}."
        )
        findings.append(Finding(name, message, _names(survey, same)))
    nearly = np.setdiff1d(_members(groups, _groups_of_two_labels(groups, survey.labels)), same)
    if len(nearly) and not (len(same) and survey.published):
        told = _stand_in_two_classes(survey, groups, nearly)
        message = f"{counted(len(nearly), 'image')} of nearly {_pictures(groups, nearly)} {told}."
        findings.append(Finding("copies_disagree", message, _names(survey, nearly)))
    return findings


def _copies(survey: Survey, name: str, groups: np.ndarray, what: str) -> list[Finding]:
    members = _members(groups, np.unique(groups[groups >= 0]))
    if not len(members):
        return []
    pictures = len(np.unique(groups[members]))
    some = f"{counted(len(members), 'image')} show {what} as others"
    message = f"{some}, {counted(pictures, 'picture')} in all{_example(survey, members)}."
    return [Finding(name, message, _names(survey, members))]


def _beyond(groups: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Groups that hold more than exact copies of one picture."""
    near = groups.copy()
    order = _members(groups, np.unique(groups))
    if len(order):
        starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0])
        lowest, highest = (reduce.reduceat(exact[order], starts) for reduce in (np.minimum, np.maximum))
        only_exact = groups[order[starts]][(lowest == highest) & (lowest >= 0)]
        near[np.isin(groups, only_exact)] = -1
    return near


def _groups_with(groups: np.ndarray, some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Numbers of groups that have members of both kinds."""
    return np.intersect1d(groups[(groups >= 0) & some], groups[(groups >= 0) & others])


def _groups_of_two_labels(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    grouped = groups >= 0
    pairs = np.unique(np.stack([groups[grouped], labels[grouped]]), axis=1)
    numbers, counts = np.unique(pairs[0], return_counts=True)
    return numbers[counts > 1]


def _members(groups: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Places of the members of some groups, group by group."""
    places = np.flatnonzero(np.isin(groups, numbers) & (groups >= 0))
    return places[np.argsort(groups[places], kind="stable")]


def _names(survey: Survey, places: np.ndarray) -> tuple[str, ...]:
    return tuple(survey.names[place] for place in places)


def _pictures(groups: np.ndarray, members: np.ndarray) -> str:
    count = len(np.unique(groups[members]))
    return "the same picture" if count == 1 else f"the same {count:,} pictures"


def _example(survey: Survey, members: np.ndarray) -> str:
    return f" ({survey.names[members[0]]} and {survey.names[members[1]]}, for example)"


def _stand_in_two_classes(survey: Survey, groups: np.ndarray, members: np.ndarray) -> str:
    of_first = members[groups[members] == groups[members[0]]]
    first = of_first[0]
    second = of_first[survey.labels[of_first] != survey.labels[first]][0]
    one, other = (survey.class_names[survey.labels[place]] for place in (first, second))
    return (
        f"stand in two classes ({survey.names[first]} in '{one}' and {survey.names[second]} in '{other}', for example)"
    )
