"""Nodes of `clustering` that sum up and write down."""

from typing import Any

import pandas as pd

from vision_studies.config.reporting import ReportingSettings
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings

_METHODS = {
    "kmeans_channels": "K-means of single channels (their mean)",
    "kmeans_vectors": "K-means of channel means",
    "agglomerative": "Agglomerative clustering of channel means",
}
_CLASSES = {"pretraining": "the classes learnt first", "fine_tuning": "the new classes"}


def summarise_scores(reporting: ReportingSettings, scores: pd.DataFrame) -> pd.DataFrame:
    """Mean scores of every method, set of classes, fraction and layer over the repeats.

    Returns:
        Columns method, classes, fraction, layer, n, samples, mean_ari, standard_deviation, low, high (of the interval of the
        mean), accuracy, precision, recall. A repeat of K-means by channels counts by the mean over its channels.
    """
    from vision_studies.statistics.intervals import summary

    keys = ["method", "classes", "fraction", "layer"]
    values = ["ari", "accuracy", "precision", "recall"]
    repeats = scores.groupby([*keys, "repeat"], sort=False)[[*values, "samples"]].mean().reset_index()
    rows: list[dict[str, Any]] = []
    for names, own in repeats.groupby(keys, sort=False):
        found = summary(own["ari"], confidence=reporting.confidence)
        rows.append(
            {
                **dict(zip(keys, names, strict=True)),
                "n": found.n,
                "samples": own["samples"].max(),
                "mean_ari": found.mean,
                "standard_deviation": found.standard_deviation,
                "low": found.low,
                "high": found.high,
                **own[values[1:]].mean().to_dict(),
            }
        )
    return pd.DataFrame(rows)


def conclude_clustering(reporting: ReportingSettings, summary: pd.DataFrame) -> list[str]:
    """At which convolution clusters follow the classes best, in a sentence for each method and set of classes."""
    said = []
    for (method, classes), of_both in summary.groupby(["method", "classes"], sort=False):
        convolutions = of_both[of_both["layer"].str.startswith("conv")].dropna(subset=["mean_ari"])
        found = []
        for fraction, own in convolutions.groupby("fraction"):
            best = own.loc[own["mean_ari"].idxmax()]
            interval = f", {best['low']:.3f} to {best['high']:.3f}" if best["n"] > 1 else ", one draw"
            found.append(f"{best['layer']} with {100 * float(str(fraction)):.4g} % ({best['mean_ari']:.3f}{interval})")
        if found:
            said.append(
                f"{_METHODS[method]} follows {_CLASSES[classes]} best at {'; at '.join(found)}. In brackets: adjusted Rand "
                f"index and {100 * reporting.confidence:g} % interval over draws; each is the highest of "
                f"{convolutions['layer'].nunique()} convolutions."
            )
    return said


def write_cluster_layout(cuts: TransferCutsSettings, scores: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Scores in the layouts of the project "mp-tl-study": one file a method; by channels, the older layout."""
    from vision_studies.pipelines.transfer_cuts.published_files import channel_values, cluster_values

    datasets = {"pretraining": "Pretrain", "fine_tuning": "Finetune"}
    named = scores.assign(dataset=scores["classes"].map(datasets), split=scores["split"].str.capitalize())
    files = {}
    for method, own in named.groupby("method", sort=False):
        name = f"{cuts.classes.label}_cluster_{method}"
        if method != "kmeans_channels":
            files[name] = cluster_values(own.dropna(subset=["ari", "precision", "recall"]))
            continue
        keys = ["fraction", "repeat", "samples", "layer", "dataset", "split"]
        channels = own.groupby(keys, sort=False)["ari"].agg(max_ari="max", mean_ari="mean").reset_index()
        files[name] = channel_values(channels)
    return files
