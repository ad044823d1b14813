"""All families of classifiers, by name, from simple to complex."""

from collections.abc import Mapping

import numpy as np

from vision_studies.classifiers.closed_form import LinearDiscriminant, NearestClassMean, Ridge
from vision_studies.classifiers.family import Family, Fitted
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.classifiers.logistic import BalancedLogistic, Logistic
from vision_studies.classifiers.majority import Majority
from vision_studies.classifiers.neighbours import Neighbours, NeighboursClassifier
from vision_studies.errors import CheckpointError

_ALL: tuple[Family, ...] = (
    Majority(),
    NearestClassMean(),
    LinearDiscriminant(),
    Ridge(),
    Logistic(),
    BalancedLogistic(),
    Neighbours(),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}


def fitted_from(tensors: Mapping[str, np.ndarray]) -> Fitted:
    """The classifier whose `tensors` these are.

    Raises:
        CheckpointError: they are of none.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.registry import FAMILIES, fitted_from
        >>> x = np.array([[0.0], [1.0], [9.0], [10.0]], dtype=np.float32)
        >>> fitted = FAMILIES["lda"].fit(x, np.array([0, 0, 1, 1]), {"shrinkage": 0.5}, classes=2)
        >>> fitted_from(fitted.tensors()).probabilities(np.array([[2.0], [8.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    match sorted(tensors):
        case ["bias", "weight"]:
            return LinearClassifier(**tensors)
        case ["examples", "labels", "size"]:
            k, classes = (int(number) for number in tensors["size"])
            return NeighboursClassifier(tensors["examples"], tensors["labels"], k, classes)
    raise CheckpointError(f"The arrays {sorted(tensors)} are no classifier's; fit it again.")
