"""Which layer's clusters follow the classes best: ranks over the repeats, and tables of them."""

import pandas as pd

from vision_studies.pipelines.transfer_cuts.ranking_texts import BoldRow, grouped, share_and_images
from vision_studies.pipelines.transfer_cuts.rankings import compare_pairs, rank_cuts
from vision_studies.reports.formatting import MISSING, number, spread
from vision_studies.reports.table import Table

_NOTE = (
    "Mean ± standard deviation over repeats. Bold: highest mean adjusted Rand index of a share. Rank: 1 + number of layers "
    "that are significantly better (signed ranks, corrected for the number of pairs)."
)


def rank_layers(repeats: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Rank of every layer at its share of the images, as those of cuts: by adjusted Rand indices of the same repeats.

    Args:
        repeats: of one way of clustering and one set of classes: fraction, layer, repeat, ari.
        confidence: one minus it is the level of significance.

    Returns:
        One row a fraction and layer: fraction, layer, rank, can_be_significant, repeats_needed.
    """
    layers = list(repeats["layer"].unique())
    table = repeats.assign(
        mode="layers", cut=repeats["layer"].map(layers.index), train_accuracy=float("nan"), test_accuracy=repeats["ari"]
    )
    ranks = rank_cuts(table, compare_pairs(table, confidence=confidence))
    named = ranks.assign(layer=[layers[number] for number in ranks["cut"]])
    return named[["fraction", "layer", "rank", "can_be_significant", "repeats_needed"]]


def layers_table(summary: pd.DataFrame, title: str, label: str) -> Table:
    """Scores and rank of every layer and share.

    Args:
        summary: from `nodes.summarise_scores`, of one way of clustering and one set of classes.
    """
    best = summary.groupby("fraction")["mean_ari"].max()
    rows: list[BoldRow] = []
    for layer in summary.sort_values("fraction", kind="stable").to_dict("records"):
        few = MISSING if pd.isna(layer["repeats_needed"]) else f"needs {layer['repeats_needed']:.0f} repeats"
        row = {
            "Images": share_and_images(layer["fraction"], layer["samples"]),
            "Layer": layer["layer"],
            "Repeats": number(layer["n"]),
            "Adjusted Rand index": spread(layer["mean_ari"], layer["standard_deviation"], decimals=3),
            "Adjusted mutual information": spread(layer["ami"], None, decimals=3),
            "Accuracy (%)": spread(100 * layer["accuracy"], None),
            "Precision (%)": spread(100 * layer["precision"], None),
            "Recall (%)": spread(100 * layer["recall"], None),
            "Rank": str(layer["rank"]) if layer["can_be_significant"] else few,
        }
        rows.append((row, "Adjusted Rand index" if layer["mean_ari"] == best[layer["fraction"]] else None))
    return grouped(rows, title, label, _NOTE)
