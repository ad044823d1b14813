import numpy as np
import pandas as pd
import pytest

from vision_studies.config.study import ReportingSettings
from vision_studies.pipelines.clustering.layer_ranks import layers_table, rank_layers
from vision_studies.pipelines.clustering.nodes import summarise_scores
from vision_studies.pipelines.transfer_cuts.rankings import repeats_needed

LAYERS = ("input", "conv0", "conv1")
REPORTING = ReportingSettings.model_construct(confidence=0.95, interval="t")


def scores(repeats=12, methods=("agglomerative",), classes=("fine_tuning",)):
    """Repeats differ more than layers, of which the last is always the best."""
    base = np.random.default_rng(0).normal(0.3, 0.1, max(repeats, 5))
    return pd.DataFrame(
        [
            {
                **{"method": method, "classes": name, "layer": layer, "fraction": fraction, "repeat": repeat},
                **{"ari": base[repeat] + 0.02 * place * (1 + repeat / 100), "samples": round(1000 * fraction)},
                **{"accuracy": 0.5, "precision": 0.4, "recall": 0.25, "channel": -1},
            }
            for place, layer in enumerate(LAYERS)
            for method in methods
            for name in classes
            for fraction in (0.01, 0.5)
            for repeat in range(repeats if fraction < 0.5 else 5)
        ]
    )


def test_layers_are_ranked_by_the_repeats_that_they_share():
    ranks = rank_layers(scores(), confidence=0.95).set_index(["fraction", "layer"])
    assert ranks.loc[0.01, "rank"].to_dict() == {"input": 3, "conv0": 2, "conv1": 1}
    assert ranks.loc[0.01, "can_be_significant"].all()
    assert not ranks.loc[0.5, "can_be_significant"].any()  # five repeats
    assert set(ranks["repeats_needed"]) == {repeats_needed(3, 0.95)} == {7}


def test_the_summary_has_a_rank_for_every_method_set_of_classes_share_and_layer():
    table = scores(methods=("agglomerative", "kmeans_vectors"), classes=("pretraining", "fine_tuning"))
    table.loc[table["method"] == "kmeans_vectors", "ari"] *= -1
    summary = summarise_scores(REPORTING, table)
    assert len(summary) == 2 * 2 * 2 * 3
    best = summary[(summary["fraction"] == 0.01) & (summary["rank"] == 1)]
    assert set(zip(best["method"], best["layer"], strict=True)) == {
        ("agglomerative", "conv1"),
        ("kmeans_vectors", "input"),
    }


def test_channels_count_by_their_mean():
    one = scores()
    two = pd.concat([one.assign(ari=one["ari"] + 0.05, channel=0), one.assign(ari=one["ari"] - 0.05, channel=1)])
    columns = ["layer", "fraction", "mean_ari", "rank"]
    pd.testing.assert_frame_equal(summarise_scores(REPORTING, one)[columns], summarise_scores(REPORTING, two)[columns])


def test_the_table_has_ranks_or_says_how_many_repeats_they_need():
    table = layers_table(summarise_scores(REPORTING, scores()), "Agglomerative", "tab:x")
    assert [(row["Images"], row["Layer"], row["Rank"]) for row in table.rows] == [
        ("1 % (10)", "input", "3"),
        ("", "conv0", "2"),
        ("", "conv1", "1"),
        ("50 % (500)", "input", "needs 7 repeats"),
        ("", "conv0", "needs 7 repeats"),
        ("", "conv1", "needs 7 repeats"),
    ]
    assert table.bold == [(2, "Adjusted Rand index"), (5, "Adjusted Rand index")]
    first = table.rows[0]
    values = scores().query("layer == 'input' and fraction == 0.01")["ari"]
    assert first["Adjusted Rand index"] == f"{values.mean():.3f} ± {values.std():.3f}"
    assert (first["Accuracy (%)"], first["Precision (%)"], first["Recall (%)"]) == ("50.00", "40.00", "25.00")
    assert r"\label{tab:x}" in table.latex()


@pytest.mark.parametrize("repeats", [1, 2])
def test_hardly_any_repeats_leave_no_rank(repeats):
    summary = summarise_scores(REPORTING, scores(repeats).query("fraction == 0.01"))
    ranks = [row["Rank"] for row in layers_table(summary, "Few", "tab:x").rows]
    assert ranks == ["needs 7 repeats"] * 3
