"""What cross-validation adds to the variance of a mean, in two parts.

Networks of k folds share most of their training images. What these have in common moves the results of all folds together, and
no variance over images or folds shows it: no estimate of it is unbiased (Bengio and Grandvalet 2004). The first part stands for
it: the variance that images have is multiplied by `OVERLAP`, whatever the number of folds. Simulations of real classifiers bear
the factor out (docs/intervals.md); it is no theorem.

The second part is what the networks of folds differ by more than their images explain, as networks do that another draw of
their weights makes better or worse: the mean square between folds less that within them, by analysis of variance. Folds of
several seeds that divide the images anew tell of it with as many more degrees of freedom (after Bouckaert and Frank 2004).

The corrected resampled test (Nadeau and Bengio 2003) has one part in place of two, with the degrees of freedom of the folds
alone: it needs differences two to three times as large.
"""

from dataclasses import dataclass

import numpy as np

OVERLAP = 1.25


@dataclass(frozen=True)
class BetweenFolds:
    """The second part.

    Attributes:
        excess: that part of the variance of the mean; below 0 where folds differ less than their images would make them.
        degrees: of freedom that tell of it; 0 where nothing does.
        divisions: ways in which the images are divided: 1 where all seeds have the same folds.
    """

    excess: float
    degrees: int
    divisions: int


def between_folds(scores: np.ndarray, folds: np.ndarray) -> BetweenFolds:
    """The second part of the variance of the mean of scores.

    Args:
        scores: [S, N], of each seed and image.
        folds: int64 [S, N], in which each image was held out.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.between_folds import between_folds
        >>> right = np.array([[True, True, True, False, False, False]])
        >>> between_folds(right, np.array([[0, 0, 0, 1, 1, 1]]))
        BetweenFolds(excess=0.25, degrees=1, divisions=1)
    """
    divisions, of_seed = np.unique(folds, axis=0, return_inverse=True)
    of_seed = of_seed.reshape(-1)
    excess, degrees = 0.0, 0
    for number, division in enumerate(divisions):
        values = scores[of_seed == number].mean(axis=0, dtype=np.float64)
        _, fold, sizes = np.unique(division, return_inverse=True, return_counts=True)
        between, within = len(sizes) - 1, len(values) - len(sizes)
        if not between or not within:
            continue
        means = np.bincount(fold, weights=values) / sizes
        square_between = float(sizes @ np.square(means - values.mean())) / between
        square_within = float(np.square(values - means[fold]).sum()) / within
        excess += (square_between - square_within) / len(values)
        degrees += between
    return BetweenFolds(excess / len(divisions) ** 2, degrees, len(divisions))
