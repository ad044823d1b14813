"""The steps of `clustering`: those that compute, sum up, write down and draw."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.study import ReportingSettings
from vision_studies.errors import DataError
from vision_studies.figures.style import stamped
from vision_studies.pipelines.clustering import plots
from vision_studies.pipelines.clustering.published_study import cluster_rows
from vision_studies.pipelines.clustering.stages import (
    CHANNELS,
    CLUSTERING,
    NO_SUBSET,
    Clusters,
    clusterings,
    cuts_of,
    images_of,
    pretrained_network,
)
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings, read_pretraining
from vision_studies.pipelines.transfer_cuts.stages import pretraining_runs, share_name
from vision_studies.stored_tables import read_table
from vision_studies.studies.method import run_stages

_METHODS = {
    CHANNELS: "K-means of single channels (their mean)",
    "kmeans_vectors": "K-means of channel means",
    "agglomerative": "Agglomerative clustering of channel means",
    "spectral": "Spectral clustering of channel means",
    "gaussian_mixture": "A Gaussian mixture of channel means",
    "hdbscan": "HDBSCAN of channel means",
}
_CLASSES = {"pretraining": "the classes learnt first", "fine_tuning": "the new classes"}


def cluster_activations(context: Clusters, pretraining: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cluster what the layers of every pretrained network give for every subset; keep the scores beside the network.

    Returns:
        The results table of the networks looked into, and scores: the columns of `work.cluster_subsets`, with classes
        (`pretraining` or `fine_tuning`) and split.
    """
    run_stages(context, CLUSTERING)
    tables = [read_table(artifact.file, "delete it and run the study again") for artifact in clusterings(context)]
    scores = pd.concat(tables, ignore_index=True)
    if scores.empty:
        raise DataError(NO_SUBSET)
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
        settings = read_pretraining(run.configuration)
        networks = {
            f"pretrained, seed {run.seed}": pretrained_network(context, run),
            f"random, seed {run.seed}": pretraining_network(settings, context.images, run.seed),
        }
        for name, network in networks.items():
            rows += [(layer, name, *ranks) for layer, ranks in effective_ranks(network).items()]
    return pd.DataFrame(rows, columns=["layer", "network", "effective_rank", "largest"])


def measure_class_distances(context: Clusters, _pretraining: pd.DataFrame) -> pd.DataFrame:
    """How far apart images of one class, and of different classes, lie in what every convolution gives.

    Returns:
        Columns classes, network, layer, within, between: mean cosine distances of channel means.
    """
    from vision_studies.pipelines.clustering.activations import channel_means
    from vision_studies.pipelines.clustering.scores import class_distances

    asked, device = context.settings.clustering.distances, context.device
    rows = []
    for run in pretraining_runs(cuts_of(context)):
        network = pretrained_network(context, run).to(device)
        for classes in context.settings.clustering.classes:
            _, images, labels = images_of(context, classes)
            chosen = np.random.default_rng(asked.seed).permutation(len(images))[: asked.samples]
            for layer, means in channel_means(network, context.images, images[chosen], device).items():
                rows.append((classes, f"seed {run.seed}", layer, *class_distances(means, labels[chosen])))
    return pd.DataFrame(rows, columns=["classes", "network", "layer", "within", "between"])


def map_images(context: Clusters, _pretraining: pd.DataFrame) -> pd.DataFrame:
    """Where t-SNE puts images by what a layer of the first network gives; empty where none was asked for.

    Returns:
        Columns classes, layer, x, y, class_name.
    """
    from vision_studies.pipelines.clustering.activations import layer_activations, layer_names, require_layers
    from vision_studies.pipelines.clustering.work import scatter_positions

    settings, tsne, data = context.settings.clustering, context.settings.clustering.tsne, context.images
    if tsne is None:
        return pd.DataFrame(columns=["classes", "layer", "x", "y", "class_name"])
    device = context.device
    network = pretrained_network(context, pretraining_runs(cuts_of(context))[0]).to(device)
    require_layers(tsne.layers, layer_names(network))
    parts = []
    for classes in settings.classes:
        class_data, images, labels = images_of(context, classes)
        chosen = np.random.default_rng(tsne.seed).permutation(len(images))[: tsne.samples]
        names = np.asarray(data.image_set.class_names)[class_data.classes[labels[chosen]]]
        for layer in tsne.layers:
            maps = layer_activations(network, data, images[chosen], layer, device)
            x, y = scatter_positions(maps, perplexity=tsne.perplexity, seed=tsne.seed).T
            parts.append(pd.DataFrame({"classes": classes, "layer": layer, "x": x, "y": y, "class_name": names}))
    return pd.concat(parts, ignore_index=True)


def summarise_scores(reporting: ReportingSettings, scores: pd.DataFrame) -> pd.DataFrame:
    """Mean scores of every method, set of classes, fraction and layer over the repeats.

    Returns:
        Columns method, classes, fraction, layer, n, samples, mean_ari, standard_deviation, low, high (of the interval of the
        mean), ami, accuracy, precision, recall, rank, can_be_significant, repeats_needed (of the layer among those of its
        share). A repeat of K-means by channels counts by the mean over its channels.
    """
    from vision_studies.pipelines.clustering.layer_ranks import rank_layers
    from vision_studies.statistics.intervals import summary

    keys, others = ["method", "classes", "fraction", "layer"], ["ami", "accuracy", "precision", "recall"]
    scores = scores.assign(ami=scores.get("ami", np.nan))  # of tables of older versions
    repeats = scores.groupby([*keys, "repeat"], sort=False)[["ari", *others, "samples"]].mean().reset_index()
    rows: list[dict[str, Any]] = []
    for names, runs in repeats.groupby(keys, sort=False):
        numbers = asdict(summary(runs["ari"], confidence=reporting.confidence, interval=reporting.interval))
        start = {"n": numbers.pop("n"), "samples": runs["samples"].max(), "mean_ari": numbers.pop("mean")}
        rows.append(dict(zip(keys, names, strict=True)) | start | numbers | runs[others].mean().to_dict())
    ranks = [
        rank_layers(of_both, confidence=reporting.confidence).assign(method=method, classes=classes)
        for (method, classes), of_both in repeats.groupby(["method", "classes"], sort=False)
    ]
    return pd.DataFrame(rows).merge(pd.concat(ranks), on=keys, how="left", validate="one_to_one")


def tabulate_clusters(cuts: TransferCutsSettings, summary: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """Scores and ranks of all layers in Markdown and in LaTeX: a table for each method and set of classes."""
    from vision_studies.pipelines.clustering.layer_ranks import layers_table

    notice = f" ({cuts.notice})" if cuts.notice else ""
    tables = {
        f"{method}_{classes}": layers_table(
            rows, f"{_METHODS[method]}, {_CLASSES[classes]}{notice}", f"tab:{method}_{classes}"
        )
        for (method, classes), rows in summary.groupby(["method", "classes"], sort=False)
    }
    markdown = {name: table.markdown() for name, table in tables.items()}
    return markdown, {name: table.latex() for name, table in tables.items()}


def conclude_clustering(reporting: ReportingSettings, summary: pd.DataFrame) -> list[str]:
    """At which convolution clusters follow the classes best, in a sentence for each method and set of classes."""
    conclusions = []
    for (method, classes), rows in summary.groupby(["method", "classes"], sort=False):
        convolutions = rows[rows["layer"].str.startswith(("conv", "block"))].dropna(subset=["mean_ari"])
        at = []
        for fraction, layers in convolutions.groupby("fraction"):
            best = layers.loc[layers["mean_ari"].idxmax()]
            interval = f", {best['low']:.3f} to {best['high']:.3f}" if best["n"] > 1 else ", one draw"
            at.append(f"{best['layer']} with {share_name(fraction)} ({best['mean_ari']:.3f}{interval})")
        if at:
            conclusions.append(
                f"{_METHODS[method]} follows {_CLASSES[classes]} best at {'; at '.join(at)}. In brackets: adjusted Rand "
                f"index and {100 * reporting.confidence:g} % interval over draws; each is the highest of "
                f"{convolutions['layer'].nunique()} {'blocks' if 'block0' in set(convolutions['layer']) else 'convolutions'}."
            )
    return conclusions


def write_cluster_layout(cuts: TransferCutsSettings, scores: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Scores in the layouts of the project "mp-tl-study": one file a method; by channels, the older layout."""
    return {f"{cuts.classes.label}_cluster_{method}": rows for method, rows in cluster_rows(scores).items()}


def plot_scores(cuts: TransferCutsSettings, scores: pd.DataFrame, ranks: pd.DataFrame) -> tuple[Figure, Figure, Figure]:
    """Scores by layer, scores by share of the images, and effective ranks."""
    figures = (plots.cluster_box_plot(scores), plots.score_lines(scores), plots.effective_rank_bars(ranks))
    return stamped(figures, cuts.notice)


def plot_details(
    cuts: TransferCutsSettings, scores: pd.DataFrame, distances: pd.DataFrame, image_map: pd.DataFrame
) -> dict[str, Figure]:
    """Scores of single channels, scores other than the adjusted Rand index, distances of classes, and images in the plane."""
    figures = {
        score: plots.cluster_box_plot(scores, score)
        for score in ("ami", "accuracy", "precision", "recall")
        if score in scores
    }
    figures["class_distances"] = plots.distance_lines(distances)
    if (scores["method"] == CHANNELS).any():
        figures["channels"] = plots.channel_box_plot(scores)
    for (classes, layer), images in image_map.groupby(["classes", "layer"], sort=False):
        names = sorted(images["class_name"].unique())
        labels = images["class_name"].map(names.index).to_numpy()
        title = f"{layer}, {'first' if classes == 'pretraining' else 'new'} classes"
        figures[f"tsne/{classes}_{layer}"] = plots.scatter(images[["x", "y"]].to_numpy(), labels, names, title)
    return stamped(figures, cuts.notice)
