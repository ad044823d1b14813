"""Which classes are neighbours of which, for counting what is mistaken for what."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from vision_studies.pipelines.alphanet.plan import Plan
from vision_studies.pipelines.alphanet.settings import AlphanetSettings
from vision_studies.studies.method import Context

logger = logging.getLogger(__name__)

_SEMANTIC_LEVEL = 4  # steps between two synsets, as the paper has it


def relate_classes(
    context: Context[AlphanetSettings], classes: pd.DataFrame, _classifiers: pd.DataFrame
) -> pd.DataFrame:
    """Neighbours of all classes, by the features of the first repeat and, where it is asked for, by meaning.

    Returns:
        classifier, kind, label, neighbour; kinds are `base` (the nearest base classes), `few` (the nearest few ones), `all`
        (the nearest of any) and, where WordNet is installed, `semantic`. Of several numbers of neighbours or distances
        the first counts.
    """
    from vision_studies.pipelines.alphanet.work.features import class_means
    from vision_studies.pipelines.alphanet.work.neighbours import nearest

    plan, settings = Plan(context), context.settings
    distance = next((own for own in settings.distances if own != "random"), "euclidean")
    parts = []
    for label in settings.improved:
        features = plan.features(label, 0)
        means = class_means(features.groups["train"], features.num_classes)
        everything = np.arange(features.num_classes)
        for kind, among in (("base", features.splits.base), ("few", features.splits.few), ("all", everything)):
            found = nearest(means, everything, among, settings.neighbours[0], distance)
            pairs = {"label": np.repeat(everything, found.number), "neighbour": found.labels.ravel()}
            parts.append(pd.DataFrame({"classifier": label, "kind": kind, **pairs}))
    if settings.semantic is not None:
        found_by_meaning = _semantic(settings.semantic, list(classes["name"]))
        parts += [found_by_meaning.assign(classifier=label, kind="semantic") for label in settings.improved]
    return pd.concat(parts, ignore_index=True)


def _semantic(labels_file: Path, names: list[str]) -> pd.DataFrame:
    """Neighbours by meaning; none, with a word why, where WordNet is not installed."""
    from vision_studies.pipelines.alphanet import wordnet

    file, reason = wordnet.wordnet_or_reason()
    if file is None:
        logger.warning(reason)
        return pd.DataFrame({"label": [], "neighbour": []}, dtype=np.int64)
    offsets = wordnet.read_synsets(labels_file, names)
    distances = wordnet.path_distances(offsets, wordnet.read_hypernyms(file))
    return wordnet.semantic_neighbours(distances, _SEMANTIC_LEVEL)
