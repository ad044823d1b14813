"""Nodes of `clustering` that compute."""

import numpy as np
import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.clustering.stages import (
    CLUSTERING,
    Clusters,
    clusterings,
    cuts_of,
    images_of,
    pretrained_network,
)
from vision_studies.pipelines.transfer_cuts.plan import pretraining_runs
from vision_studies.pipelines.transfer_cuts.settings import PretrainingRunSettings
from vision_studies.stored_tables import read_table
from vision_studies.studies.method import run_stages


def cluster_activations(context: Clusters, pretraining: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cluster what the layers of every pretrained network give for every subset; keep the scores beside the network.

    Returns:
        The results table of the networks looked into, and scores: the columns of `methods.clustering.cluster_subsets`, with
        classes (`pretraining` or `fine_tuning`) and split.
    """
    run_stages(context, CLUSTERING)
    tables = [read_table(artifact.file, "delete it and run the study again") for artifact in clusterings(context)]
    scores = pd.concat(tables, ignore_index=True)
    if scores.empty:
        raise DataError(
            "No subset has two images of each class to be clustered; raise the fractions of transfer_cuts.subsets."
        )
    return pretraining.assign(pipeline="clustering", variant="pretrained network"), scores


def compute_effective_ranks(context: Clusters, _pretraining: pd.DataFrame) -> pd.DataFrame:
    """Effective rank of every layer's weights, after pretraining and before it.

    Returns:
        Columns layer, network, effective_rank, largest.
    """
    from vision_studies.pipelines.clustering.activations import effective_ranks
    from vision_studies.pipelines.transfer_cuts.cut_networks import pretraining_network

    rows = []
    for run in pretraining_runs(cuts_of(context)):
        settings = PretrainingRunSettings.model_validate(run.configuration)
        networks = {
            f"pretrained, seed {run.seed}": pretrained_network(context, run),
            f"random, seed {run.seed}": pretraining_network(settings, context.images, run.seed),
        }
        for name, network in networks.items():
            for layer, (rank, largest) in effective_ranks(network).items():
                rows.append({"layer": layer, "network": name, "effective_rank": rank, "largest": largest})
    return pd.DataFrame(rows)


def map_images(context: Clusters, _pretraining: pd.DataFrame) -> pd.DataFrame:
    """Where t-SNE puts images by what a layer of the first network gives; empty where none was asked for.

    Returns:
        Columns classes, layer, x, y, class_name.
    """
    from vision_studies.pipelines.clustering.activations import layer_activations, layer_names
    from vision_studies.pipelines.clustering.work import scatter_positions
    from vision_studies.training.runtime import select_device

    columns, settings, data = ["classes", "layer", "x", "y", "class_name"], context.settings.clustering, context.images
    if settings.tsne is None:
        return pd.DataFrame(columns=columns)
    network = pretrained_network(context, pretraining_runs(cuts_of(context))[0])
    unknown = [layer for layer in settings.tsne.layers if layer not in layer_names(network)]
    if unknown:
        raise DataError(
            f"clustering.tsne.layers has '{unknown[0]}', which the network does not have; it has "
            f"{', '.join(layer_names(network))}."
        )
    device = select_device(context.execution.device)
    parts = []
    for classes in settings.classes:
        class_data, images, labels = images_of(context, classes)
        drawn = np.random.default_rng(settings.tsne.seed).permutation(len(images))[: settings.tsne.samples]
        names = np.asarray(data.image_set.class_names)[class_data.classes[labels[drawn]]]
        for layer in settings.tsne.layers:
            maps = layer_activations(network.to(device), data, images[drawn], layer, device)
            positions = scatter_positions(maps, perplexity=settings.tsne.perplexity, seed=settings.tsne.seed)
            table = {
                "classes": classes,
                "layer": layer,
                "x": positions[:, 0],
                "y": positions[:, 1],
                "class_name": names,
            }
            parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True)[columns]
