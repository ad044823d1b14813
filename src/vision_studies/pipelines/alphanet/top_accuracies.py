"""Accuracy of the first k guesses for any k, computed anew from the features and classifiers that a study has kept."""

from pathlib import Path

import numpy as np
import pandas as pd

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.networks import scores_of
from vision_studies.run_folders import read_description
from vision_studies.studies.method import StoredNetwork


def with_top_accuracies(accuracies: pd.DataFrame, results: pd.DataFrame, runs: Path, k: int) -> pd.DataFrame:
    """The table of accuracies with a column `top_<k>`.

    Args:
        accuracies: of one study; see `long_tail`.
        results: table of its results: variant, seed and run_fingerprint of every experiment and repeat.
        runs: folder of its runs.
        k: guesses.

    Raises:
        ParameterError: there are not more than k classes, so that every image's class is among them.
        DataError: features, classifiers or runs are gone.
    """
    from vision_studies.pipelines.alphanet.work.accuracy import split_accuracies, top_k_hits

    found: dict[tuple[str, int, str], float] = {}
    fingerprints = results.set_index(["variant", "seed"])["run_fingerprint"]
    for experiment, repeat in accuracies[["experiment", "repeat"]].drop_duplicates().itertuples(index=False):
        if (experiment, repeat) not in fingerprints.index:
            raise DataError(f"'{experiment}', repeat {repeat}, is no run of the study any more; run the study again.")
        folder = runs / fingerprints[experiment, repeat]
        try:
            run = StoredNetwork(folder, read_description(folder))
        except FileNotFoundError as error:
            raise DataError(f"{folder} is gone; run the study again.") from error
        scores, group, splits = scores_of(run, "test")
        if scores.shape[1] <= k:
            raise ParameterError(
                f"--top={k}: with {scores.shape[1]} classes, every class is among the first {k} guesses."
            )
        by_split = split_accuracies(top_k_hits(scores, group.labels, k), group.labels, splits)
        found |= {(experiment, repeat, split): value for split, value in by_split.items()}
    keys = accuracies[["experiment", "repeat", "split"]].itertuples(index=False, name=None)
    return accuracies.assign(**{f"top_{k}": [found.get(key, np.nan) for key in keys]})
