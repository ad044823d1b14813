"""What AlphaNet's networks are given; and AlphaNet class by class, as it is described: what the fast form is tested and timed
against.

Source: Chang, Koushik, Tarr, Hebert and Wang, "Alpha Net: Adaptation with Composition in Classifier Space" (2020), and the
project "alphanet".
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.classifiers.alpha_networks import first_layers
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.pipelines.alphanet.settings import AlphaNetworkSettings
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours


def source_matrix(classifier: LinearClassifier, neighbours: Neighbours) -> Tensor:
    """Own classifier of each few class, then its neighbours', side by side, float32 [F, (k + 1) * d]."""
    few = torch.from_numpy(neighbours.classes)[:, None]
    rows = torch.cat([few, torch.from_numpy(neighbours.labels)], dim=1)
    return torch.from_numpy(classifier.weight)[rows].flatten(1)


class LiteralAlphaNet(nn.Module):
    """A few class's classifier is its own plus a learnt combination of its neighbours'; the sizes of coefficients sum to 1.

    One small network, shared by all few classes, finds the coefficients of a class from its own and its neighbours'
    classifiers. Classifiers of base classes, and all biases, stay as they are.

    Args:
        classifier: of all classes.
        neighbours: of the few classes.
        settings: widths and activation of the network.
        prediction_scale: what scores are multiplied by.
        seed: of the network's first weights.
    """

    def __init__(
        self,
        classifier: LinearClassifier,
        neighbours: Neighbours,
        settings: AlphaNetworkSettings,
        *,
        prediction_scale: float,
        seed: int,
    ) -> None:
        super().__init__()
        weight, bias = torch.from_numpy(classifier.weight), torch.from_numpy(classifier.bias)
        self.few = torch.from_numpy(neighbours.classes)
        self.base = torch.from_numpy(np.setdiff1d(np.arange(len(bias)), neighbours.classes))
        few = neighbours.classes[:, None]
        # Parameters, as in the original: they take gradients that nobody uses.
        self.sources = nn.ParameterList(
            nn.Parameter(weight[torch.from_numpy(rows)]) for rows in np.concatenate([few, neighbours.labels], axis=1)
        )
        self.layers = nn.ModuleList(first_layers(weight.shape[1], neighbours.number, settings.hidden, seed))
        self.activation = getattr(F, settings.activation)
        self.prediction_scale = prediction_scale
        self.few_bias, self.base_weight, self.base_bias = bias[self.few], weight[self.base], bias[self.base]

    def coefficients(self, source: Tensor) -> Tensor:
        """Coefficients of one class's neighbours, [k], from its own and their classifiers, [k + 1, d]."""
        hidden = self.layers[0](source[None, None]).flatten()
        for layer in self.layers[1:]:
            hidden = layer(self.activation(hidden))
        return hidden / hidden.abs().sum()

    def few_weight(self) -> Tensor:
        """Classifiers of the few classes, [few, d]."""
        return torch.stack([source[0] + self.coefficients(source) @ source[1:] for source in self.sources])

    def forward(self, features: Tensor) -> Tensor:
        """Scores of all classes, [N, classes], of features [N, d]."""
        few = features @ self.few_weight().T + self.few_bias
        base = features @ self.base_weight.T + self.base_bias
        order = torch.argsort(torch.cat([self.few, self.base]))
        return torch.cat([few, base], dim=1)[:, order] * self.prediction_scale
