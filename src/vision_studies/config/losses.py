"""Losses for classes of uneven size: what each is, where it comes from and what its one knob is.

All are one form: cross-entropy of logits that are scaled, shifted and, for the right class, lowered by a margin, weighted by
class and by how wrong an image still is. A loss says what these numbers are for given numbers of training images, so that
networks (`training.losses`) and many classifiers at once (`alphanet`) compute with the same few lines.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from vision_studies.settings_base import Kind, one_of

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class LossForm:
    """The numbers of a loss: w_y (1 - p_y)^gamma times the cross-entropy of smoothed labels with p.

    p is the softmax of `scale * (multiply_c * z_c + add_c - margin_y [c = y])` of logits z and the class y of an image.

    Attributes:
        multiply, add, margin, weight: float64 [classes].
        gamma: how much images count that are right already; 0: as all others.
        smoothing: probability of the labels that is spread evenly over all classes.
        scale: of all logits.
        weight_from: share of the training after which the weights count; before, all are 1.
    """

    multiply: "np.ndarray"
    add: "np.ndarray"
    margin: "np.ndarray"
    weight: "np.ndarray"
    gamma: float = 0.0
    smoothing: float = 0.0
    scale: float = 1.0
    weight_from: float = 0.0


class Loss(Kind):
    """A loss for classes of uneven size."""

    title: ClassVar[str]
    source: ClassVar[str]
    knob: ClassVar[str | None]
    """The field that is tuned; None where the loss has nothing to tune."""

    @abstractmethod
    def form(self, counts: "np.ndarray") -> LossForm:
        """The loss where class c has `counts[c]` training images, int [classes].

        A class without an image counts as one of a single image where a prior or a margin is asked for, and has the weight 0.
        """


class CrossEntropyLoss(Loss):
    """Plain cross-entropy."""

    title = "Cross-entropy"
    source = "Good 1952, Rational Decisions"
    knob = None
    name: Literal["cross_entropy"] = Field(description="every image counts alike")

    def form(self, counts: "np.ndarray") -> LossForm:
        """Nothing is changed."""
        return _form(counts)


class WeightedLoss(Loss):
    """Cross-entropy in which a class counts by a power of its number of images."""

    title = "Weighted cross-entropy"
    source = "King and Zeng 2001, Logistic Regression in Rare Events Data"
    knob = "power"
    name: Literal["weighted"] = Field(description="weights are the classes' numbers of images to the power of -power")
    power: float = Field(ge=0, description="1: every class counts alike; 0: every image")

    def form(self, counts: "np.ndarray") -> LossForm:
        """w_c ~ n_c^-power."""
        return _form(counts, weight=_weights(counts, _at_least_one(counts) ** -self.power))


class ClassBalancedLoss(Loss):
    """Cross-entropy weighted by the effective number of images of a class."""

    title = "Class-balanced cross-entropy"
    source = "Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples"
    knob = "beta"
    name: Literal["class_balanced"] = Field(description="weights are (1 - beta) / (1 - beta^n)")
    beta: float = Field(ge=0, lt=1, description="0: every image counts alike; towards 1: every class")

    def form(self, counts: "np.ndarray") -> LossForm:
        """w_c ~ (1 - beta) / (1 - beta^n_c)."""
        return _form(counts, weight=_effective(counts, self.beta))


class FocalLoss(Loss):
    """Cross-entropy in which images that are right already count less."""

    title = "Focal loss"
    source = "Lin et al. 2017, Focal Loss for Dense Object Detection (its softmax form)"
    knob = "gamma"
    name: Literal["focal"] = Field(
        description="cross-entropy times (1 - p)^gamma, p the probability of the right class"
    )
    gamma: float = Field(ge=0, description="0: plain cross-entropy")

    def form(self, counts: "np.ndarray") -> LossForm:
        """(1 - p_y)^gamma."""
        return _form(counts, gamma=self.gamma)


class LdamLoss(Loss):
    """Larger margins for smaller classes, and weights late in training (LDAM-DRW)."""

    title = "LDAM-DRW"
    source = "Cao et al. 2019, Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss"
    knob = "margin"
    name: Literal["ldam"] = Field(description="margins proportional to n^(-1/4), and late weights")
    margin: float = Field(ge=0, description="of the smallest class; 0.5 as published")
    scale: float = Field(
        gt=0,
        description="of logits and margins: 30 as published, for cosines of features and weights; 1 for plain logits",
    )
    beta: float = Field(ge=0, lt=1, description="of the class-balanced weights that count late; 0 for no weights")
    weights_from: float = Field(ge=0, le=1, description="share of the training without weights; 0.8 as published")

    def form(self, counts: "np.ndarray") -> LossForm:
        """m_c = margin * (n_min / n_c)^(1/4)."""
        images = _at_least_one(counts)
        margins = self.margin * (images.min() / images) ** 0.25
        weight = _effective(counts, self.beta)
        return _form(counts, margin=margins, weight=weight, scale=self.scale, weight_from=self.weights_from)


class BalancedSoftmaxLoss(Loss):
    """Cross-entropy of logits to which the logarithm of the classes' numbers of images is added while training."""

    title = "Balanced softmax"
    source = "Ren et al. 2020, Balanced Meta-Softmax for Long-Tailed Visual Recognition"
    knob = None
    name: Literal["balanced_softmax"] = Field(description="log n is added to the logits; as logit_adjusted with tau 1")

    def form(self, counts: "np.ndarray") -> LossForm:
        """z_c + log n_c."""
        import numpy as np

        return _form(counts, add=np.log(_at_least_one(counts)))


class LogitAdjustedLoss(Loss):
    """Cross-entropy of logits to which tau times the logarithm of the classes' shares is added while training."""

    title = "Logit-adjusted loss"
    source = "Menon et al. 2021, Long-Tail Learning via Logit Adjustment"
    knob = "tau"
    name: Literal["logit_adjusted"] = Field(description="tau log pi is added to the logits")
    tau: float = Field(ge=0, description="0: plain cross-entropy; 1: every class counts alike in the end")

    def form(self, counts: "np.ndarray") -> LossForm:
        """z_c + tau log pi_c."""
        return _form(counts, add=self.tau * log_priors(counts))


class VectorScalingLoss(Loss):
    """Logits are shifted as in logit adjustment and divided by a power of how much smaller a class is than the largest."""

    title = "Vector scaling (VS)"
    source = "Kini et al. 2021, Label-Imbalanced and Group-Sensitive Classification under Overparameterization"
    knob = "gamma"
    name: Literal["vector_scaling"] = Field(description="z (n / n_max)^gamma + tau log pi")
    gamma: float = Field(ge=0, description="power of the factor; 0: logit adjustment")
    tau: float = Field(ge=0, description="of the shift; 0: factors alone")

    def form(self, counts: "np.ndarray") -> LossForm:
        """(n_c / n_max)^gamma z_c + tau log pi_c."""
        images = _at_least_one(counts)
        factors = (images / images.max()) ** self.gamma
        return _form(counts, multiply=factors, add=self.tau * log_priors(counts))


class OverSmoothedLoss(Loss):
    """Label smoothing so strong that the right class has hardly more probability than the others (LOS)."""

    title = "Label over-smoothing (LOS)"
    source = (
        "Sun et al. 2025, Rethinking Classifier Re-Training in Long-Tailed Recognition: Label Over-Smooth Can Balance"
    )
    knob = "smoothing"
    name: Literal["over_smoothed"] = Field(description="labels are 1 - smoothing + smoothing / K and smoothing / K")
    smoothing: float = Field(ge=0, lt=1, description="0.98 or so; 0: plain cross-entropy")

    def form(self, counts: "np.ndarray") -> LossForm:
        """Labels (1 - smoothing) [c = y] + smoothing / K."""
        return _form(counts, smoothing=self.smoothing)


LOSSES: tuple[type[Loss], ...] = (
    CrossEntropyLoss,
    WeightedLoss,
    ClassBalancedLoss,
    FocalLoss,
    LdamLoss,
    BalancedSoftmaxLoss,
    LogitAdjustedLoss,
    VectorScalingLoss,
    OverSmoothedLoss,
)
LossSettings = one_of(LOSSES)

SamplerName = Literal["instance", "square_root", "class_aware", "progressive"]
"""How likely an image is drawn: as every other; by the square root of its class's size; its class as likely as every other;
from the first to the last of these in the course of the training (Kang et al. 2020)."""


def class_shares(counts: "np.ndarray", sampler: SamplerName, progress: float) -> "np.ndarray":
    """Chance that a drawn image is of each class, float64 [classes]; 0 for classes without an image.

    n_c^q / sum of n^q with q = 1 for instance, 1/2 for square_root (Mahajan et al. 2018) and 0 for class_aware (Shen et al.
    2016); progressive: (1 - t) of the first and t of the last (Kang et al. 2020).

    Args:
        counts: int [classes], training images.
        sampler: its name.
        progress: t, the share of the training that is done, from 0 to 1.
    """
    import numpy as np

    if sampler == "progressive":
        first, last = (class_shares(counts, name, progress) for name in ("instance", "class_aware"))
        return (1 - progress) * first + progress * last
    power = {"instance": 1.0, "square_root": 0.5, "class_aware": 0.0}[sampler]
    shares = np.where(counts > 0, _at_least_one(counts) ** power, 0.0)
    return np.asarray(shares / shares.sum())


def log_priors(counts: "np.ndarray") -> "np.ndarray":
    """Logarithms of the classes' shares of the training images, float64 [classes]; of none, as of one image."""
    import numpy as np

    images = _at_least_one(counts)
    return np.asarray(np.log(images / max(counts.sum(), 1)))


def _at_least_one(counts: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return np.maximum(np.asarray(counts, dtype=np.float64), 1)


def _weights(counts: "np.ndarray", weights: "np.ndarray") -> "np.ndarray":
    """Weights whose mean over the classes that have images is 1, as Cui et al. 2019 have it; 0 for the others."""
    import numpy as np

    present = np.where(counts > 0, weights, 0.0)
    return np.asarray(present * (counts > 0).sum() / present.sum())


def _effective(counts: "np.ndarray", beta: float) -> "np.ndarray":
    return _weights(counts, (1 - beta) / (1 - beta ** _at_least_one(counts)))


def _form(counts: "np.ndarray", **numbers: Any) -> LossForm:
    import numpy as np

    if not (counts > 0).any():
        raise ValueError("no class has a training image")
    plain = {"multiply": np.ones, "add": np.zeros, "margin": np.zeros, "weight": np.ones}
    return LossForm(**{name: make(len(counts)) for name, make in plain.items()} | numbers)
