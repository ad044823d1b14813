"""Precision, recall and F1 of every class: of one network, or of several as means over them."""

from collections.abc import Sequence

import pandas as pd

from vision_studies.errors import ParameterError
from vision_studies.serving.run_scores import SplitPredictions

SCORES = ("precision", "recall", "f1")
MEAN = "mean of the classes"


def class_report(predicted: SplitPredictions) -> pd.DataFrame:
    """One row a class, and one for the mean of all: class, images, precision, recall and f1 (fractions).

    The precision of a class that is never predicted counts as 0, and so does its F1.
    """
    from sklearn.metrics import precision_recall_fscore_support

    labels = range(len(predicted.class_names))
    scores = precision_recall_fscore_support(
        predicted.labels, predicted.probabilities.argmax(axis=1), labels=list(labels), zero_division=0.0
    )
    report = pd.DataFrame(
        {"class": predicted.class_names, "images": scores[3], **dict(zip(SCORES, scores, strict=False))}
    )
    mean = {"class": MEAN, "images": report["images"].sum(), **report[list(SCORES)].mean()}
    return pd.concat([report, pd.DataFrame([mean])], ignore_index=True)


def mean_report(reports: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Means over networks, and their sample standard deviations: the columns of `class_report`, `<score>_deviation` and n.

    Where networks were scored on different numbers of images, the largest stands for all.

    Raises:
        ParameterError: the networks tell different classes apart.
    """
    names = reports[0]["class"].tolist()
    other = next((report["class"].tolist() for report in reports if report["class"].tolist() != names), None)
    if other is not None:
        raise ParameterError(
            f"The runs tell different classes apart ({', '.join(names[:-1])}; {', '.join(other[:-1])}); name runs of one "
            "division of the classes."
        )
    together = pd.concat(reports, ignore_index=True).groupby("class", sort=False)
    spread = together[list(SCORES)].std(ddof=1).add_suffix("_deviation")
    images = together["images"].max()
    return together[list(SCORES)].mean().join(spread).assign(images=images, n=len(reports)).reset_index()
