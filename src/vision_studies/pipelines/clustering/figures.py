"""Nodes of `clustering` that draw."""

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.pipelines.transfer_cuts.figures import notice
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings


def plot_scores(cuts: TransferCutsSettings, scores: pd.DataFrame, ranks: pd.DataFrame) -> tuple[Figure, Figure, Figure]:
    """Scores by layer, scores by share of the images, and effective ranks."""
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.clustering.plots import cluster_box_plot, effective_rank_bars, score_lines

    return stamped((cluster_box_plot(scores), score_lines(scores), effective_rank_bars(ranks)), notice(cuts))


def plot_details(cuts: TransferCutsSettings, scores: pd.DataFrame, image_map: pd.DataFrame) -> dict[str, Figure]:
    """Scores of single channels, scores other than the adjusted Rand index, and images in the plane."""
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.clustering.plots import channel_box_plot, cluster_box_plot, scatter

    figures = {score: cluster_box_plot(scores, score) for score in ("accuracy", "precision", "recall")}
    if (scores["method"] == "kmeans_channels").any():
        figures["channels"] = channel_box_plot(scores)
    for (classes, layer), own in image_map.groupby(["classes", "layer"], sort=False):
        names = sorted(own["class_name"].unique())
        labels = own["class_name"].map(names.index).to_numpy()
        title = f"{layer}, {'first' if classes == 'pretraining' else 'new'} classes"
        figures[f"tsne/{classes}_{layer}"] = scatter(own[["x", "y"]].to_numpy(), labels, names, title)
    return stamped(figures, notice(cuts))
