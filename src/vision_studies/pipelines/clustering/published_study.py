"""Cluster scores in the files of the project "mp-tl-study", in its newer and its older layout."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.pipelines.clustering.stages import CHANNELS
from vision_studies.pipelines.transfer_cuts.published_files import channel_values, cluster_values
from vision_studies.pipelines.transfer_cuts.published_study import LAYOUT, PROJECT, data_folder
from vision_studies.studies.published import Published, StoredStudy

Rows = list[dict[str, Any]]

_SCORES = [
    "method",
    "classes",
    "split",
    "fraction",
    "repeat",
    "samples",
    "layer",
    "ari",
    "precision",
    "recall",
    "accuracy",
]
_NEWER = "agglomerative"  # the method of the newer layout; K-means by channels is that of the older one
_OLDER = {"Pretrain": "pretrained", "Finetune": "finetuned"}


def cluster_rows(scores: pd.DataFrame) -> dict[str, Rows]:
    """Method -> what stands in its file, in the older layout by channels and in the newer one else."""
    datasets = {"pretraining": "Pretrain", "fine_tuning": "Finetune"}
    named = scores.assign(dataset=scores["classes"].map(datasets), split=scores["split"].str.capitalize())
    files = {}
    for method, rows in named.groupby("method", sort=False):
        if method == CHANNELS:
            keys = ["fraction", "repeat", "samples", "layer", "dataset", "split"]
            channels = rows.groupby(keys, sort=False)["ari"].agg(max_ari="max", mean_ari="mean").reset_index()
            files[str(method)] = channel_values(channels)
        else:
            files[str(method)] = cluster_values(rows.dropna(subset=["ari", "precision", "recall"]))
    return files


def write_study(study: StoredStudy, folder: Path) -> None:
    """Write `<classes>_cluster.json`, `ari_scores_<classes seen>.json`, and beside them what the project has no file for."""
    rows = cluster_rows(study.table("scores.parquet", _SCORES))
    written = max(
        (study.outputs / LAYOUT).glob("*_cluster_*.json"), key=lambda file: file.stat().st_mtime_ns, default=None
    )
    label = study.file(written or study.outputs / LAYOUT / "*_cluster_*.json").stem.rpartition("_cluster_")[0]
    place = folder / data_folder(study)
    for method, values in rows.items():
        for dataset, name in _OLDER.items():
            of_dataset = [row for row in values if row["Dataset"] == dataset]
            if method == CHANNELS:
                _write(place / f"results_jsons/ari/ari_scores_{name}.json", of_dataset)
            else:
                others = ([] if method == _NEWER else [method]) + ([] if dataset == "Finetune" else [name])
                _write(place / f"results/{'_'.join([label, 'cluster', *others])}.json", of_dataset)


def _write(path: Path, rows: Rows) -> None:
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=2), encoding="utf-8")


PUBLISHED = Published(PROJECT, write_study)
