"""How many directions a matrix uses."""

import numpy as np
from scipy.special import entr

from vision_studies.errors import DataError


def effective_rank(matrix: np.ndarray) -> float:
    """Exponential of the entropy of the normalised singular values (Roy and Vetterli 2007).

    It is the rank of a matrix whose singular values are equal, and less the more they differ.

    Args:
        matrix: [rows, columns], or a convolution's weights [out, in, height, width], which are seen as the matrix
            [out, in * height * width] that takes a patch to the outputs.

    Returns:
        From 1 to the rank; NaN for a matrix of zeros, whose singular values cannot be normalised.

    Raises:
        DataError: if `matrix` has fewer than two axes or a value that is not finite.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.pipelines.clustering.effective_rank import effective_rank
        >>> round(effective_rank(np.eye(3)), 3), round(effective_rank(np.ones((3, 3))), 3)
        (3.0, 1.0)
    """
    if matrix.ndim < 2 or not matrix.size or not np.isfinite(matrix).all():
        raise DataError(
            f"The effective rank needs a matrix of finite numbers, not values of shape {list(matrix.shape)}."
        )
    values = np.linalg.svd(matrix.reshape(len(matrix), -1).astype(np.float64), compute_uv=False)
    total = values.sum()
    return float(np.exp(entr(values / total).sum())) if total > 0 else float("nan")
