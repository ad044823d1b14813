"""How differently the members of an ensemble err (Kuncheva and Whitaker 2003)."""

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
    first, second = np.triu_indices(len(predictions), 1)
    right = predictions == labels
    one, other = right[first], right[second]
    both, neither = (one & other).mean(axis=1), (~one & ~other).mean(axis=1)
    only_one, only_other = (one & ~other).mean(axis=1), (~one & other).mean(axis=1)
    agreeing, differing = both * neither, only_one * only_other
    spread = np.sqrt((both + only_one) * (neither + only_other) * (both + only_other) * (neither + only_one))
    with np.errstate(invalid="ignore"):  # a measure that does not exist is nought by nought
        measures = {
            "disagreement": (predictions[first] != predictions[second]).mean(axis=1),
            "q_statistic": (agreeing - differing) / (agreeing + differing),
            "error_correlation": (agreeing - differing) / spread,
        }
    existing = {name: values[~np.isnan(values)] for name, values in measures.items()}
    return {name: float(values.mean()) if len(values) else float("nan") for name, values in existing.items()}
