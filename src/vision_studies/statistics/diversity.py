"""How differently the members of an ensemble err (Kuncheva and Whitaker 2003)."""

from itertools import combinations

import numpy as np


def diversity(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean over all pairs of members of three measures; NaN where there are fewer than two members.

    Args:
        predictions: int [members, N], predicted classes.
        labels: int [N].

    Returns:
        disagreement: share of images that two members classify differently; q_statistic: Yule's Q of being right, 1 for
        members that err on the same images, 0 for independent ones; error_correlation: correlation of being wrong. Pairs
        for which a measure does not exist (a member without errors) do not count in it.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.diversity import diversity
        >>> predictions = np.array([[0, 1, 1, 0], [0, 1, 0, 1]])  # two members, four images
        >>> diversity(predictions, labels=np.array([0, 1, 1, 1]))["disagreement"]
        0.5
    """
    right = predictions == labels
    found: dict[str, list[float]] = {"disagreement": [], "q_statistic": [], "error_correlation": []}
    for first, second in combinations(range(len(predictions)), 2):
        both = float(np.mean(right[first] & right[second]))
        neither = float(np.mean(~right[first] & ~right[second]))
        only_first = float(np.mean(right[first] & ~right[second]))
        only_second = float(np.mean(~right[first] & right[second]))
        found["disagreement"].append(float(np.mean(predictions[first] != predictions[second])))
        agreeing, differing = both * neither, only_first * only_second
        if agreeing + differing > 0:
            found["q_statistic"].append((agreeing - differing) / (agreeing + differing))
        spread = np.sqrt((both + only_first) * (neither + only_second) * (both + only_second) * (neither + only_first))
        if spread > 0:
            found["error_correlation"].append(float((agreeing - differing) / spread))
    return {name: float(np.mean(values)) if values else float("nan") for name, values in found.items()}
