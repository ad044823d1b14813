"""Classes that can be told apart by what has nothing to do with what their images show."""

import re
from pathlib import Path

import numpy as np

from vision_studies.data.checks.findings import Finding
from vision_studies.data.checks.survey import Survey

_MOST_IMAGES = 5000
_FOLDS = 5
_LEAST_OF_A_CLASS = 10
_LEAST_GAIN = {"mean colour": 0.8, "file size": 0.8}
_USUAL_GAIN = 0.6
"""Share of a class that is recognised less the share of the others that is taken for it (Youden's J), at least.

A snow field is lighter than a forest, and is a smaller JPEG file, so that colour and bytes must tell nearly all by themselves;
size and format should tell nothing.
"""

_LOSSY = ("JPEG", "WEBP", "AVIF", "HEIC")
_Z = 3.0  # standard errors by which the gain lies above this
_NUMBER = re.compile(r"(\d+)\D*$")
_NAMED = 3


def shortcut_findings(survey: Survey) -> list[Finding]:
    """One finding for each property of files by which a shallow tree recognises images of a class that it has not seen.

    The tree is asked for images of five folds that it was not grown from. A class counts as recognised where its gain lies
    three standard errors above the threshold, so that a few images that happen to be alike do not.
    """
    chosen = np.flatnonzero(survey.readable)
    labels, counts = survey.labels, np.bincount(survey.labels[chosen], minlength=len(survey.class_names))
    chosen = chosen[counts[labels[chosen]] >= _LEAST_OF_A_CLASS]
    if len(chosen) > _MOST_IMAGES:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, _MOST_IMAGES, replace=False))
        enough = np.bincount(labels[chosen], minlength=len(survey.class_names)) >= _FOLDS
        chosen = chosen[enough[labels[chosen]]]
    if len(np.unique(labels[chosen])) < 2:
        return []
    findings = []
    for name, values in _properties(survey, chosen).items():
        if (values == values[0]).all():
            continue
        classes = _recognised(values, labels[chosen], _LEAST_GAIN.get(name, _USUAL_GAIN))
        if classes:
            findings.append(_finding(survey, name, classes))
    return findings


def _finding(survey: Survey, name: str, classes: dict[int, tuple[float, float]]) -> Finding:
    label, (seen, wrong) = max(classes.items(), key=lambda item: item[1][0] - item[1][1])
    shown = ", ".join(f"'{survey.class_names[each]}'" for each in list(classes)[:_NAMED])
    more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
    one = len(classes) == 1
    message = (
        f"The {'class' if one else 'classes'} {shown}{more} can be told from the others by {name} alone: of '"
        f"{survey.class_names[label]}' {seen:.0%} are recognised, and {wrong:.0%} of the others are taken for it."
    )
    return Finding("shortcut", message, tuple(survey.class_names[each] for each in classes))


def _properties(survey: Survey, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> float64 [N, columns]."""
    width, height = survey.sides[chosen].T.astype(np.float64)
    properties = {
        "size in pixels": np.stack([width, height, width * height], axis=1),
        "aspect ratio": (width / np.maximum(height, 1))[:, None],
        "mean colour": survey.mean_colours[chosen].astype(np.float64),
    }
    if survey.facts:
        facts = [survey.facts[place] for place in chosen]
        kinds = [f"{each.format} {each.mode}" for each in facts]
        properties["file format"] = np.array(
            [[kind == one for one in sorted(set(kinds))[:64]] for kind in kinds], np.float64
        )
        if all(
            each.format in _LOSSY for each in facts
        ):  # the size of others says how much is to be seen, and nothing else
            size = np.array([each.size_bytes for each in facts], np.float64)
            properties["file size"] = np.stack([size, size / np.maximum(width * height, 1)], axis=1)
        numbers = [_number(survey.paths[place]) for place in chosen]
        if all(number is not None for number in numbers):
            properties["number in the file's name"] = np.array(numbers, np.float64)[:, None]
    return properties


def _number(path: Path | None) -> float | None:
    found = _NUMBER.search(path.stem) if path is not None else None
    return float(found[1][-15:]) if found else None


def _recognised(values: np.ndarray, labels: np.ndarray, least: float) -> dict[int, tuple[float, float]]:
    """Label -> share of its images that are recognised, and share of the others that are taken for it."""
    from sklearn import config_context
    from sklearn.model_selection import StratifiedKFold
    from sklearn.tree import DecisionTreeClassifier

    classes = np.unique(labels)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=max(8, min(64, 2 * len(classes))),
        min_samples_leaf=3,
        class_weight="balanced",
        random_state=0,
    )
    told = np.empty_like(labels)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    # What `cross_val_predict` does takes several times as long: it asks again and again whether all is as it should be.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for seen, unseen in folds.split(values, labels):
            told[unseen] = tree.fit(values[seen], labels[seen]).predict(values[unseen])
    found = {}
    for label in classes:
        own, others = told[labels == label] == label, told[labels != label] == label
        error = np.sqrt(_variance(own) + _variance(others))
        if own.mean() - others.mean() - _Z * error >= least:
            found[int(label)] = (float(own.mean()), float(others.mean()))
    return found


def _variance(right: np.ndarray) -> float:
    """Of a share, with one success and one failure added, so that three of three is no certainty."""
    share = (right.sum() + 1) / (len(right) + 2)
    return float(share * (1 - share) / len(right))
