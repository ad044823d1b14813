"""Scores that tell the best cut without training, and how well they rank the cuts of a mode."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import weightedtau
from torch.nn.functional import adaptive_avg_pool2d

from vision_studies.classifiers.registry import FAMILIES
from vision_studies.classifiers.transferability import SCORES, transfer_score
from vision_studies.data.subsets import class_data
from vision_studies.pipelines.transfer_cuts.cut_networks import CutNet, load_pretrained, pixel_tensor
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, Pretraining, read_pretraining
from vision_studies.pipelines.transfer_cuts.stages import Cuts, pretraining_runs, study_cells
from vision_studies.pipelines.transfer_cuts.work import subset
from vision_studies.statistics.interval_kinds import Interval
from vision_studies.statistics.intervals import summary
from vision_studies.studies.method import WEIGHTS_FILE

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

logger = logging.getLogger(__name__)

SCORED = ("score", "cut", "fraction", "repeat", "images", "value", "seconds")
RANKED = ("mode", "fraction", "score", "n", "tau", "low", "high", "regret", "seconds")
_FEWEST_CUTS = 3  # that can be ranked well or badly
_MOST_IMAGES = 1000  # of a subset that are scored; a draw of it beyond
_IMAGES_AT_ONCE = 256
_SIDE = 4  # of maps that stand for all pixels
_LEAST = 2  # classes, and images of each


def score_cuts(context: Cuts) -> pd.DataFrame:
    """Every score that the study asks for, of the features at every cut, and of the images of every subset.

    Features are the means of the maps that the layers before a cut hand on; where the network's dense layer sees every pixel,
    the means of sixteen parts of them. Cuts before which there is no layer have none.

    Returns:
        The columns `SCORED`, one row a score, cut, fraction and repeat; subsets without two images of two classes have none.
        Seconds are those of the score alone; the features of all cuts are one pass over the images.
    """
    rows: list[dict[str, Any]] = []
    runs = pretraining_runs(context) if context.settings.scores else []
    for number, run in enumerate(runs):
        settings = read_pretraining(run.configuration)
        weights = context.runs.path(run, WEIGHTS_FILE)
        network = load_pretrained(settings.network, context.images, settings.classes, weights).to(context.device)
        draws = _draws(context, number, len(runs))
        if not draws:
            continue
        is_probed = any(SCORES[name].needs_source for name in context.settings.scores)
        source = _first_images(context.images, settings) if is_probed else None
        wanted = np.unique(np.concatenate([*draws.values(), *([] if source is None else [source])]))
        cuts = [cut for cut in context.settings.cut_points("freeze") if cut]
        side = _SIDE if getattr(settings.network, "head", "global_average") == "flatten" else 1
        for cut, features in _features(network, context.images, wanted, cuts, side, context.device).items():
            logger.info("scores of cut %d, network %d", cut, run.seed)
            probe = None
            if source is not None:
                probe = _probe(features[np.searchsorted(wanted, source)], source, context.images)
            for (fraction, repeat), positions in draws.items():
                x, labels = features[np.searchsorted(wanted, positions)], context.images.image_set.labels[positions]
                place = {"cut": cut, "fraction": fraction, "repeat": repeat, "images": len(labels)}
                rows += [place | score for score in _scores(context.settings.scores, x, labels, probe)]
    return pd.DataFrame(rows, columns=list(SCORED))


def _draws(context: Cuts, number: int, networks: int) -> dict[tuple[float, int], np.ndarray]:
    """Positions of the images of every subset that starts from this network, of classes with two images at least."""
    found: dict[tuple[float, int], np.ndarray] = {}
    labels = context.images.image_set.labels
    for cell in study_cells(context):
        key = (cell.fraction, cell.run.seed)
        if cell.run.seed % networks != number or key in found:
            continue
        settings = CutRunSettings.model_validate(cell.run.configuration)
        learnt, validated = subset(settings, cell.run.seed, context.images)
        counted = settings.fine_tuning.validation == "counted"
        positions = np.concatenate([learnt, validated]) if counted else learnt
        if len(positions) > _MOST_IMAGES:
            positions = np.random.default_rng(cell.run.seed).permutation(positions)[:_MOST_IMAGES]
        _classes, of_class, counts = np.unique(labels[positions], return_inverse=True, return_counts=True)
        kept = counts >= _LEAST
        if np.count_nonzero(kept) >= _LEAST:
            found[key] = positions[kept[of_class]]
    return found


def _first_images(data: "PreparedData", settings: Pretraining) -> np.ndarray:
    """Positions of training images of the classes that the network has learnt first."""
    images = class_data(data, settings.classes, published=settings.protocol == "published").train
    return np.random.default_rng(0).permutation(images)[:_MOST_IMAGES]


def _probe(features: np.ndarray, positions: np.ndarray, data: "PreparedData") -> Any:
    """A linear classifier of the first classes, on features of their images."""
    classes, labels = np.unique(data.image_set.labels[positions], return_inverse=True)
    family = FAMILIES["lda"]
    return family.fit(features, labels, family.grid(len(labels), features.shape[1], len(classes))[0], len(classes))


@torch.inference_mode()
def _features(
    network: CutNet, data: "PreparedData", positions: np.ndarray, cuts: Sequence[int], side: int, device: torch.device
) -> Mapping[int, np.ndarray]:
    """Cut -> float32 [N, D], what the layers before it hand on, averaged to maps of so many pixels a side at most."""
    parts: dict[int, list[torch.Tensor]] = {cut: [] for cut in cuts}
    for start in range(0, len(positions), _IMAGES_AT_ONCE):
        images = pixel_tensor(data, positions[start : start + _IMAGES_AT_ONCE], torch.float32, device)
        for layers, maps in network.handed_on(images):
            if layers in parts:
                fewer = adaptive_avg_pool2d(maps, min(side, *maps.shape[2:]))
                parts[layers].append(fewer.flatten(1).cpu())
    return {cut: torch.cat(own).numpy() for cut, own in parts.items()}


def _scores(names: Sequence[str], x: np.ndarray, labels: np.ndarray, probe: Any) -> list[dict[str, Any]]:
    y = np.unique(labels, return_inverse=True)[1]
    rows = []
    for name in names:
        started = time.perf_counter()
        source = probe.probabilities(x) if SCORES[name].needs_source else None
        value = transfer_score(name, x, y, source)
        seconds = time.perf_counter() - started
        rows.append({"score": name, "value": value, "seconds": seconds})
    return rows


def rank_scores(
    scores: pd.DataFrame, accuracies: pd.DataFrame, mode: str, *, confidence: float = 0.95, interval: Interval = "t"
) -> pd.DataFrame:
    """How well each score ranks the cuts of a mode by test accuracy, which it does not know.

    Args:
        accuracies: columns mode, cut, fraction, repeat and test_accuracy.

    Returns:
        The columns `RANKED`: mean over repeats of the weighted tau of Kendall (Vigna 2015), -1 to 1, which counts the best cuts
        most, with its interval; mean test accuracy of the best cut less that of the cut with the highest score; and
        seconds of all cuts of a repeat. None where fewer than three cuts are scored.
    """
    own = accuracies.loc[accuracies["mode"] == mode, ["cut", "fraction", "repeat", "test_accuracy"]]
    both = scores.merge(own.dropna(), on=["cut", "fraction", "repeat"])
    rows: list[dict[str, Any]] = []
    for (fraction, name), of_score in both.groupby(["fraction", "score"], sort=False):
        repeats = [of_one for _, of_one in of_score.groupby("repeat") if len(of_one) >= _FEWEST_CUTS]
        if not repeats:
            continue
        taus = [float(weightedtau(of_one["value"], of_one["test_accuracy"]).statistic) for of_one in repeats]
        regrets = [
            float(of_one["test_accuracy"].max() - of_one.loc[of_one["value"].idxmax(), "test_accuracy"])
            for of_one in repeats
        ]
        told = summary(taus, confidence=confidence, interval=interval)
        rows.append(
            {
                "mode": mode,
                "fraction": fraction,
                "score": name,
                "n": told.n,
                "tau": told.mean,
                "low": max(told.low, -1.0) if told.low == told.low else told.low,
                "high": min(told.high, 1.0) if told.high == told.high else told.high,
                "regret": float(np.mean(regrets)),
                "seconds": float(np.mean([of_one["seconds"].sum() for of_one in repeats])),
            }
        )
    return pd.DataFrame(rows, columns=list(RANKED))
