"""Nodes of `clustering` that compute."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vision_studies.config.clustering import ClusteringSettings, MethodSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.config.transfer_cuts import PretrainingRunSettings, TransferCutsSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.files import atomic_file, hash_json
from vision_studies.pipelines.transfer_cuts.nodes import workplace
from vision_studies.pipelines.transfer_cuts.work import Workplace
from vision_studies.stored_tables import read_table, write_table
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import share
from vision_studies.studies.stages import run_folder

if TYPE_CHECKING:
    from vision_studies.data.subsets import ClassData
    from vision_studies.methods.clustering import Subset
    from vision_studies.models.convnet import ConvNet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clustering:
    """What one method finds in one network.

    Attributes:
        run: the network.
        number: its place among the pretrained ones.
        classes: whose images are clustered.
        method: how.
        file: where the scores are kept.
    """

    run: Run
    number: int
    classes: str
    method: MethodSettings
    file: Path


_VERSION = 1  # raised when scores change: those of the older version are then computed again
_CHANNELS = "kmeans_channels"


def cluster_activations(
    cuts: TransferCutsSettings,
    settings: ClusteringSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
    pretraining: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cluster what the layers of every pretrained network give for every subset; keep the scores beside the network.

    Returns:
        The results table of the networks looked into, and scores: the columns of `methods.clustering.cluster_subsets`, with
        classes (`pretraining` or `fine_tuning`) and split.
    """
    place = workplace(cuts, study, execution, image_set, splits, runs_folder)
    asked = clusterings(place, settings)
    for own in asked if fresh else ():
        own.file.unlink(missing_ok=True)
    reused = sum(own.file.exists() for own in asked)
    if reused:
        logger.info("%d of %d clusterings are finished and reused", reused, len(asked))
    share({own.file: partial(_keep_clusters, place, own, settings.split) for own in asked}, "clustering")
    tables = [read_table(own.file, "delete it and run the study again") for own in asked]
    scores = pd.concat(tables, ignore_index=True)
    if scores.empty:
        raise DataError(
            "No subset has two images of each class to be clustered; raise the fractions of transfer_cuts.subsets."
        )
    return pretraining.assign(pipeline="clustering", variant="pretrained network"), scores


def clusterings(place: Workplace, settings: ClusteringSettings) -> list[Clustering]:
    """All that is clustered, network by network."""
    cuts = place.settings
    subsets = [subset.model_dump(mode="json") for subset in cuts.subsets]
    found = []
    for (number, run), classes, method in product(
        enumerate(place.pretraining_runs()), settings.classes, settings.methods
    ):
        asked = [method.model_dump(mode="json"), settings.split, classes, place.classes]
        key = hash_json([_VERSION, *asked, subsets, number, len(cuts.pretraining.seeds)])
        file = run_folder(place.folder, run) / f"clusters-{key[:12]}.parquet"
        found.append(Clustering(run, number, classes, method, file))
    return found


def _keep_clusters(place: Workplace, asked: Clustering, split: str) -> None:
    table = _cluster(place, asked.method, split, asked.run, asked.number, asked.classes)
    with atomic_file(asked.file) as temporary:
        write_table(table, temporary)


def compute_effective_ranks(
    cuts: TransferCutsSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
    _pretraining: pd.DataFrame,
) -> pd.DataFrame:
    """Effective rank of every layer's weights, after pretraining and before it.

    Returns:
        Columns layer, network, effective_rank, largest.
    """
    from vision_studies.methods.activations import effective_ranks
    from vision_studies.methods.cut_networks import pretraining_network

    place = workplace(cuts, study, execution, image_set, splits, runs_folder)
    rows = []
    for run in place.pretraining_runs():
        settings = PretrainingRunSettings.model_validate(run.configuration)
        networks = {
            f"pretrained, seed {run.seed}": _network(place, run),
            f"random, seed {run.seed}": pretraining_network(settings, place.data, run.seed),
        }
        for name, network in networks.items():
            for layer, (rank, largest) in effective_ranks(network).items():
                rows.append({"layer": layer, "network": name, "effective_rank": rank, "largest": largest})
    return pd.DataFrame(rows)


def map_images(
    cuts: TransferCutsSettings,
    settings: ClusteringSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
    _pretraining: pd.DataFrame,
) -> pd.DataFrame:
    """Where t-SNE puts images by what a layer of the first network gives; empty where none was asked for.

    Returns:
        Columns classes, layer, x, y, class_name.
    """
    from vision_studies.methods.activations import layer_activations, layer_names
    from vision_studies.methods.clustering import scatter_positions
    from vision_studies.training.runtime import select_device

    columns = ["classes", "layer", "x", "y", "class_name"]
    if settings.tsne is None:
        return pd.DataFrame(columns=columns)
    place = workplace(cuts, study, execution, image_set, splits, runs_folder)
    network = _network(place, place.pretraining_runs()[0])
    unknown = [layer for layer in settings.tsne.layers if layer not in layer_names(network)]
    if unknown:
        raise DataError(
            f"clustering.tsne.layers has '{unknown[0]}', which the network does not have; it has "
            f"{', '.join(layer_names(network))}."
        )
    device = select_device(execution.device)
    parts = []
    for classes in settings.classes:
        own, images, labels = _images(place, settings.split, classes)
        drawn = np.random.default_rng(settings.tsne.seed).permutation(len(images))[: settings.tsne.samples]
        names = np.asarray(place.data.image_set.class_names)[own.classes[labels[drawn]]]
        for layer in settings.tsne.layers:
            maps = layer_activations(network.to(device), place.data, images[drawn], layer, device)
            places = scatter_positions(maps, perplexity=settings.tsne.perplexity, seed=settings.tsne.seed)
            columns_of = {"classes": classes, "layer": layer, "x": places[:, 0], "y": places[:, 1], "class_name": names}
            parts.append(pd.DataFrame(columns_of))
    return pd.concat(parts, ignore_index=True)[columns]


def _cluster(place: Workplace, method: MethodSettings, split: str, run: Run, number: int, classes: str) -> pd.DataFrame:
    from vision_studies.methods.activations import channel_means, layer_activations, layer_names
    from vision_studies.methods.clustering import Subset, capped, cluster_subsets
    from vision_studies.training.runtime import select_device

    device = select_device(place.execution.device)
    network = _network(place, run).to(device)
    _, images, labels = _images(place, split, classes)
    subsets = [capped(subset, method.max_samples) for subset in _subsets(place, labels, number)]
    if not subsets:
        return pd.DataFrame()
    logger.info("%s of %d subsets, %s classes, network %d", method.name, len(subsets), classes, run.seed)
    wanted = np.unique(np.concatenate([subset.positions for subset in subsets]))
    moved = [Subset(each.fraction, each.repeat, np.searchsorted(wanted, each.positions)) for each in subsets]
    layers: Iterable[tuple[str, np.ndarray]]
    if method.name == _CHANNELS:
        layers = (
            (layer, layer_activations(network, place.data, images[wanted], layer, device))
            for layer in layer_names(network)
        )
    else:
        layers = channel_means(network, place.data, images[wanted], device).items()
    found = cluster_subsets(layers, labels[wanted], moved, [method], n_jobs=-1)
    return found.assign(classes=classes, split=split)


def _images(place: Workplace, split: str, classes: str) -> "tuple[ClassData, np.ndarray, np.ndarray]":
    """Positions and labels of the images that subsets are drawn from."""
    from vision_studies.data.subsets import class_data

    names = place.classes[0 if classes == "pretraining" else 1]
    own = class_data(place.data, names, published=place.settings.protocol == "published")
    images = own.train if split == "train" else own.test
    return own, images, own.labels(place.data, images)


def _subsets(place: Workplace, labels: np.ndarray, number: int) -> "Sequence[Subset]":
    """The draws of the cut study that start from this network, where two images of each class are among them."""
    from vision_studies.data.subsets import balanced_subset
    from vision_studies.methods.clustering import Subset

    networks = len(place.settings.pretraining.seeds)
    found = []
    for subset in place.settings.subsets:
        for repeat in range(number, subset.repeats, networks):
            drawn = balanced_subset(labels, subset.fraction, repeat)
            if min(map(len, drawn)) < 2:
                logger.warning(
                    "%.4g %% of these images are fewer than two a class: not clustered", 100 * subset.fraction
                )
                break
            found.append(Subset(subset.fraction, repeat, np.sort(np.concatenate(drawn))))
    return found


def _network(place: Workplace, run: Run) -> "ConvNet":
    from vision_studies.methods.cut_networks import WEIGHTS_FILE, load_pretrained

    settings = PretrainingRunSettings.model_validate(run.configuration)
    return load_pretrained(settings.network, place.data, settings.classes, run_folder(place.folder, run) / WEIGHTS_FILE)
