"""All families of classifiers, by name, from simple to complex."""

from collections.abc import Mapping

import numpy as np

from vision_studies.classifiers.alpha_networks import AlphaNet
from vision_studies.classifiers.closed_form import LinearDiscriminant, NearestClassMean, Ridge
from vision_studies.classifiers.family import Family, Fitted
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.classifiers.logistic import BalancedLogistic, Logistic
from vision_studies.classifiers.long_tail import AdjustedLogits, AdjustedLoss, TauNormalised
from vision_studies.classifiers.majority import Majority
from vision_studies.classifiers.neighbours import Neighbours, NeighboursClassifier
from vision_studies.classifiers.perceptron import GradientFamily, PerceptronClassifier
from vision_studies.errors import CheckpointError

_ALL: tuple[Family, ...] = (
    Majority(),
    NearestClassMean(),
    LinearDiscriminant(),
    Ridge(),
    Logistic(),
    BalancedLogistic(),
    Neighbours(),
    GradientFamily(
        "perceptron",
        "Small multilayer perceptron",
        "Rumelhart, Hinton and Williams 1986, Learning Representations by Back-Propagating Errors",
        hidden=64,
        is_balanced=False,
    ),
    AdjustedLoss(),
    AdjustedLogits(),
    TauNormalised(),
    AlphaNet(),
    GradientFamily(
        "crt",
        "Linear classifier retrained with balanced classes (cRT)",
        "Kang et al. 2020, Decoupling Representation and Classifier for Long-Tailed Recognition",
        hidden=0,
        is_balanced=True,
    ),
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
        case ["first", "first_bias", "second", "second_bias"]:
            return PerceptronClassifier(**tensors)
    raise CheckpointError(f"The arrays {sorted(tensors)} are no classifier's; fit it again.")
