"""Which classes are neighbours of which, for counting what is mistaken for what: by features, and by meaning.

Neighbours by meaning are classes whose synsets stand close to each other in WordNet 3.0 (Miller 1995). Only WordNet's file
data.noun is read, which Debian (wordnet-base) and NLTK install; no library is needed.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.plan import Plan, original_data_set
from vision_studies.pipelines.alphanet.settings import AlphanetSettings
from vision_studies.project_folders import in_project
from vision_studies.studies.method import Context

logger = logging.getLogger(__name__)

_HYPERNYMS = ("@", "@i")  # of a class and of an instance
_SYNSET = re.compile(r"n(\d{8})\s+(\S.*)")


def relate_classes(
    context: Context[AlphanetSettings], classes: pd.DataFrame, _classifiers: pd.DataFrame
) -> pd.DataFrame:
    """Neighbours of all classes, by the features of the first repeat and, where it is asked for, by meaning.

    Returns:
        classifier, kind, label, neighbour, distance; kinds are `base` (the nearest base classes), `few` (the nearest few
        ones), `all` (the nearest of any) and, where WordNet is installed, `semantic`, whose distances are steps. Of several
        numbers of neighbours or distances the first counts.
    """
    from vision_studies.pipelines.alphanet.work.features import class_means
    from vision_studies.pipelines.alphanet.work.neighbours import nearest

    plan, settings = Plan(context), context.settings
    distance = next((name for name in settings.distances if name != "random"), "euclidean")
    parts = []
    for label in settings.improved:
        features = plan.features(label, 0)
        means = class_means(features.groups["train"], features.num_classes)
        everything = np.arange(features.num_classes)
        for kind, among in (("base", features.splits.base), ("few", features.splits.few), ("all", everything)):
            near = nearest(means, everything, among, settings.neighbours[0], distance)
            pairs = {"label": np.repeat(everything, near.number), "neighbour": near.labels.ravel()}
            pairs["distance"] = near.distances.ravel()
            parts.append(pd.DataFrame({"classifier": label, "kind": kind, **pairs}))
    if settings.semantic is not None:
        by_meaning = neighbours_by_meaning(
            in_project(settings.semantic), list(classes["name"]), settings.semantic_level
        )
        parts += [by_meaning.assign(classifier=label, kind="semantic") for label in settings.improved]
    return pd.concat(parts, ignore_index=True)


def find_wordnet() -> Path | None:
    """WordNet's data.noun in the folder of Debian's package or of NLTK's corpora; None where it is not installed."""
    homes = [Path(home) for home in os.environ.get("NLTK_DATA", "").split(os.pathsep) if home]
    homes += [in_project("~/nltk_data"), Path("/usr/share/nltk_data"), Path("/usr/local/share/nltk_data")]
    folders = [Path("/usr/share/wordnet"), *(home / "corpora/wordnet" for home in homes)]
    return next((folder / "data.noun" for folder in folders if (folder / "data.noun").is_file()), None)


def outside_files(settings: AlphanetSettings) -> list[Path]:
    """WordNet, and the files that the description of imported features names."""
    wordnet = find_wordnet() if settings.semantic is not None else None
    files = [] if wordnet is None else [wordnet]
    if settings.imported is None:
        return files  # and no torch is imported to find that out
    from vision_studies.pipelines.alphanet.work.sources import source_files

    with suppress(DataError):  # which the first node tells of
        if (original := original_data_set(settings.imported)) is not None:
            files += source_files(original)
    return files


def wordnet_or_reason() -> tuple[Path | None, str]:
    """The file that `find_wordnet` finds with an empty reason, or None with a sentence why semantic neighbours are left out."""
    missing = (
        "Semantic neighbours are left out, as WordNet is not installed: install Debian's package wordnet-base, or unpack "
        "NLTK's corpus wordnet into ~/nltk_data/corpora/wordnet."
    )
    file = find_wordnet()
    return file, "" if file else missing


def read_hypernyms(file: Path) -> dict[int, list[int]]:
    """Read which synsets stand directly above each.

    Args:
        file: data.noun in WordNet's format (its manual page wndb(5)).

    Returns:
        For the offset of every noun those of its hypernyms and instance hypernyms, in the order of the file.

    Raises:
        DataError: the file cannot be read, or is not in WordNet's format.
    """
    try:
        with file.open(encoding="latin-1") as lines:  # glosses hold a few letters that are not ASCII
            hypernyms = dict(
                _parse(line, file, number)
                for number, line in enumerate(lines, start=1)
                if line.strip() and not line.startswith("  ")  # the licence is indented
            )
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); install WordNet 3.0 anew.") from error
    if not hypernyms:
        raise DataError(f"{file} holds no synset; install WordNet 3.0 anew.")
    return hypernyms


def path_distances(offsets: Sequence[int], hypernyms: Mapping[int, Sequence[int]]) -> np.ndarray:
    """Length of the shortest path between synsets over a hypernym of both (Rada et al. 1989; WordNet's path distance).

    Args:
        offsets: C synsets.
        hypernyms: from `read_hypernyms`.

    Returns:
        float32 [C, C], symmetric: steps up from both to a common hypernym (a synset is its own), at the least; infinite
        where they share none.

    Raises:
        DataError: a synset is not in WordNet.
    """
    shared: dict[int, tuple[list[int], list[int]]] = {}  # ancestor: classes below it, and their steps up
    for position, offset in enumerate(offsets):
        if offset not in hypernyms:
            raise DataError(
                f"Synset n{offset:08d} is not in WordNet's data.noun; classes and WordNet must be of one version (3.0)."
            )
        for ancestor, steps in _ancestors(offset, hypernyms).items():
            below, up = shared.setdefault(ancestor, ([], []))
            below.append(position)
            up.append(steps)
    distances = np.full((len(offsets), len(offsets)), np.inf, dtype=np.float32)
    for below, up in shared.values():
        steps_up = np.asarray(up, dtype=np.float32)
        block = np.ix_(below, below)
        distances[block] = np.minimum(distances[block], steps_up[:, None] + steps_up)
    return distances


def semantic_neighbours(distances: np.ndarray, level: float) -> pd.DataFrame:
    """Classes that stand at most so far from each other.

    Args:
        distances: [C, C], from `path_distances`.
        level: largest distance of a neighbour.

    Returns:
        One row a pair, sorted: label, neighbour (int), distance. A class is not its own neighbour, and may have none.
    """
    labels, neighbours = np.nonzero((distances <= level) & ~np.eye(len(distances), dtype=bool))
    return pd.DataFrame({"label": labels, "neighbour": neighbours, "distance": distances[labels, neighbours]})


def read_synsets(labels_full_file: Path, class_names: Sequence[str]) -> list[int]:
    """Read the synset of every class.

    Args:
        labels_full_file: a line a class in the order of the labels: `nXXXXXXXX name, another name, ...`.
        class_names: one name a label; each has to be one of its line's names, all of them, or nXXXXXXXX.

    Returns:
        Offset of every class's synset.

    Raises:
        DataError: the file cannot be read, has another number of lines, or a line is of another form or another class.
    """
    try:
        lines = labels_full_file.read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{labels_full_file} cannot be read as text ({error}); give another file of synsets."
        ) from error
    if len(lines) != len(class_names):
        raise DataError(
            f"{labels_full_file} has {len(lines)} lines for {len(class_names)} classes; it needs one a class, in the order "
            "of the labels."
        )
    offsets = []
    for number, (line, name) in enumerate(zip(lines, class_names, strict=True), start=1):
        match = _SYNSET.fullmatch(line.strip())
        if match is None:
            raise DataError(f"Line {number} of {labels_full_file} is '{line}'; it has to be 'nXXXXXXXX name, ...'.")
        offset, names = match.groups()
        allowed = {f"n{offset}", *(_plain(one) for one in (names, *names.split(",")))}
        if _plain(name) not in allowed:
            raise DataError(
                f"Line {number} of {labels_full_file} is of '{names}', but the class there is '{name}'; bring the lines into "
                "the order of the labels."
            )
        offsets.append(int(offset))
    return offsets


def neighbours_by_meaning(labels_full_file: Path, class_names: Sequence[str], level: int) -> pd.DataFrame:
    """Classes of which WordNet says that they stand at most so many steps from each other, as from `semantic_neighbours`.

    None, with a word why, where WordNet is not installed.

    Raises:
        DataError: WordNet or the list of synsets cannot be read, or they do not fit each other or the classes.
    """
    file, reason = wordnet_or_reason()
    if file is None:
        logger.warning(reason)
        return semantic_neighbours(np.zeros((0, 0), dtype=np.float32), level)
    offsets = read_synsets(labels_full_file, class_names)
    return semantic_neighbours(path_distances(offsets, read_hypernyms(file)), level)


def _parse(line: str, file: Path, number: int) -> tuple[int, list[int]]:
    """Offset and hypernyms: fields are offset, file, type, count of words (hexadecimal), words with a number each, count
    of pointers, and four fields a pointer (symbol, offset, part of speech, words).
    """
    fields = line.split(" | ", maxsplit=1)[0].split()
    try:
        start = 4 + 2 * int(fields[3], 16)
        pointers = int(fields[start])
        ends = start + 1 + 4 * pointers
        symbols, targets = fields[start + 1 : ends : 4], fields[start + 2 : ends : 4]
        above = [int(target) for symbol, target in zip(symbols, targets, strict=True) if symbol in _HYPERNYMS]
        if len(targets) != pointers:
            raise ValueError
        return int(fields[0]), above
    except (IndexError, ValueError) as error:
        raise DataError(
            f"Line {number} of {file} is not in the format of WordNet's data.noun; install WordNet 3.0 anew."
        ) from error


def _ancestors(offset: int, hypernyms: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Every synset above one, and the synset itself, with the fewest steps up to it."""
    ancestors, front = {offset: 0}, [offset]
    while front:
        above = {synset for below in front for synset in hypernyms.get(below, ())}
        steps = ancestors[front[0]] + 1
        front = sorted(above - ancestors.keys())
        ancestors |= dict.fromkeys(front, steps)
    return ancestors


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().casefold()
