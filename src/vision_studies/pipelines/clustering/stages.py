"""What `clustering` makes: scores of clusters in the layers of networks that `transfer_cuts` has pretrained."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from vision_studies.costs import Costs
from vision_studies.errors import DataError
from vision_studies.files import atomic_file, hash_json
from vision_studies.pipelines.clustering.settings import ClusteringSettings, MethodSettings
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings, read_pretraining
from vision_studies.pipelines.transfer_cuts.stages import PRETRAINING, Cuts, pretraining_runs, study_classes
from vision_studies.pipelines.transfer_cuts.stages import check as check_cuts
from vision_studies.processors import processors
from vision_studies.stored_tables import write_table
from vision_studies.studies.method import WEIGHTS_FILE, Context
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Artifact, Artifacts, Known, Steps

if TYPE_CHECKING:
    from vision_studies.data.subsets import ClassData
    from vision_studies.pipelines.clustering.work import Subset
    from vision_studies.pipelines.transfer_cuts.cut_networks import CutNet

logger = logging.getLogger(__name__)


class ClusteringStudy(NamedTuple):
    """Settings that decide what is clustered: those of the networks, and those of the clusters."""

    cuts: TransferCutsSettings
    clustering: ClusteringSettings


Clusters = Context[ClusteringStudy]

CLUSTERING = "clustering"
NO_SUBSET = "No subset has two images of each class to be clustered; raise the fractions of transfer_cuts.subsets."
CHANNELS = "kmeans_channels"
_VERSION = 1  # raised when scores change: those of the older version are then computed again


def cuts_of(context: Clusters) -> Cuts:
    """The context of the study whose networks are looked into."""
    from vision_studies.pipelines.transfer_cuts.method import METHOD

    return replace(context, method=METHOD, settings=context.settings.cuts)  # type: ignore[arg-type, return-value]


def check(context: Clusters) -> None:
    """What the networks need that are looked into, and two images of each class in one subset at least.

    Raises:
        DataError: as `transfer_cuts.stages.check`, or no subset has two images of each class.
        ParameterError: as there.
    """
    from vision_studies.data.subsets import balanced_subset

    cuts = context.settings.cuts
    check_cuts(cuts_of(context))
    _check_layers(context)
    for classes in context.settings.clustering.classes:
        _, _, labels = images_of(context, classes)
        if any(min(map(len, balanced_subset(labels, subset.fraction, 0))) > 1 for subset in cuts.subsets):
            return
    raise DataError(NO_SUBSET)


def _check_layers(context: Clusters) -> None:
    """Refuse layers that a pretrained network does not have before it is looked into. Raises DataError."""
    from vision_studies.pipelines.clustering.activations import layer_names, require_layers
    from vision_studies.pipelines.transfer_cuts.cut_networks import build_network

    tsne, network = context.settings.clustering.tsne, context.settings.cuts.whole_network
    if tsne is not None and network.name == "backbone":
        require_layers(tsne.layers, layer_names(build_network(network, context.images, 2)))


def stages(context: Clusters, _: Known) -> Steps:
    """Every method on every pretrained network."""
    check(context)
    yield Artifacts(CLUSTERING, "cluster", clusterings(context))


def most_runs(settings: ClusteringStudy) -> int:
    """How many clusterings there are, counted without data."""
    return settings.cuts.networks * len(settings.clustering.classes) * len(settings.clustering.methods)


def clusterings(context: Clusters) -> list[Artifact]:
    """All that is clustered, network by network; each is a table of scores beside its network."""
    settings, cuts = context.settings.clustering, context.settings.cuts
    subsets = [subset.model_dump(mode="json") for subset in cuts.subsets]
    both = study_classes(context, cuts)
    artifacts = []
    for (number, run), classes, method in product(
        enumerate(pretraining_runs(cuts_of(context))), settings.classes, settings.methods
    ):
        asked: list[Any] = [method.model_dump(mode="json"), settings.split, classes, both]
        asked += [] if cuts.balanced else ["any images"]
        key = hash_json([_VERSION, *asked, subsets, number, cuts.networks])
        file = context.runs.path(run, f"clusters-{key[:12]}.parquet")
        earlier = any(file.parent.glob("clusters-*.parquet"))
        artifacts.append(
            Artifact(
                name=f"{method.name} of {classes} classes, network {run.seed}",
                file=file,
                make=partial(_write_scores, file, context, method, run, number, classes),
                cost=partial(_costs, context, method, run, number, classes),
                lock=file.with_name(f".{file.stem}.lock"),
                needs=[(run, PRETRAINING)],
                waits="when its network has been pretrained",
                new="no such clustering of this network yet" if earlier else "not clustered yet",
                remove=file,
            )
        )
    return artifacts


def pretrained_network(context: Clusters, run: Run) -> "CutNet":
    """The network that a run of `transfer_cuts` has pretrained."""
    from vision_studies.pipelines.transfer_cuts.cut_networks import load_pretrained

    settings = read_pretraining(run.configuration)
    weights = context.runs.path(run, WEIGHTS_FILE)
    return load_pretrained(settings.network, context.images, settings.classes, weights)


def images_of(context: Clusters, classes: str) -> "tuple[ClassData, np.ndarray, np.ndarray]":
    """Positions and labels of the images that subsets are drawn from."""
    from vision_studies.data.subsets import class_data

    cuts, split = context.settings.cuts, context.settings.clustering.split
    names = study_classes(context, cuts)[0 if classes == "pretraining" else 1]
    data = class_data(context.images, names, published=cuts.protocol == "published")
    images = data.train if split == "train" else data.test
    return data, images, data.labels(context.images, images)


def _write_scores(file: Path, *asked: Any) -> None:
    table = _scores(*asked)
    with atomic_file(file) as temporary:
        write_table(table, temporary)


def _scores(context: Clusters, method: MethodSettings, run: Run, number: int, classes: str) -> pd.DataFrame:
    from vision_studies.pipelines.clustering.activations import channel_means, layer_activations, layer_names
    from vision_studies.pipelines.clustering.work import capped, cluster_subsets

    device, data = context.device, context.images
    network = pretrained_network(context, run).to(device)
    _, positions, labels = images_of(context, classes)
    subsets = [capped(subset, method.max_samples) for subset in _subsets(context.settings.cuts, labels, number)]
    if not subsets:
        return pd.DataFrame()
    logger.info("%s of %d subsets, %s classes, network %d", method.name, len(subsets), classes, run.seed)
    wanted = np.unique(np.concatenate([subset.positions for subset in subsets]))
    images = positions[wanted]
    moved = [replace(subset, positions=np.searchsorted(wanted, subset.positions)) for subset in subsets]
    layers: Iterable[tuple[str, np.ndarray]]
    if method.name == CHANNELS:
        layers = ((name, layer_activations(network, data, images, name, device)) for name in layer_names(network))
    else:
        layers = channel_means(network, data, images, device).items()
    scores = cluster_subsets(layers, labels[wanted], moved, [method], n_jobs=processors())
    return scores.assign(classes=classes, split=context.settings.clustering.split)


def _costs(context: Clusters, method: MethodSettings, run: Run, number: int, classes: str) -> Costs:
    from vision_studies.pipelines.clustering.costs import clustering_costs
    from vision_studies.pipelines.clustering.work import capped

    _, positions, labels = images_of(context, classes)
    subsets = [capped(subset, method.max_samples) for subset in _subsets(context.settings.cuts, labels, number)]
    if not subsets:
        return ()
    pretraining = read_pretraining(run.configuration)
    return clustering_costs(
        method, pretraining, context.images, context.device, positions, labels, subsets, processors()
    )


def _subsets(cuts: TransferCutsSettings, labels: np.ndarray, number: int) -> "Sequence[Subset]":
    """The draws of the cut study that start from this network, where two images of each class are among them."""
    from vision_studies.pipelines.clustering.work import Subset
    from vision_studies.pipelines.transfer_cuts.work import draw_subset

    subsets = []
    for settings in cuts.subsets:
        for repeat in range(number, settings.repeats, cuts.networks):
            draws = draw_subset(labels, settings.fraction, repeat, balanced=cuts.balanced)
            if min(map(len, draws)) < 2:
                logger.warning(
                    "%.4g %% of these images are fewer than two a class: not clustered", 100 * settings.fraction
                )
                if cuts.balanced:  # all repeats have as many
                    break
                continue
            subsets.append(Subset(settings.fraction, repeat, np.sort(np.concatenate(draws))))
    return subsets
