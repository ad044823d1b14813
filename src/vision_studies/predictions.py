"""What a trained network has said of the images of a split, and in how much detail a run keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PredictedSplit = Literal["test", "validation", "out_of_fold"]
"""`out_of_fold`: training images, each predicted by networks that have not learnt from it."""

Detail = Literal["full", "top", "correct"]
"""`full`: the probability of every class; `top`: of the five most probable ones, where there are more; `correct`: the predicted
class alone."""

CalibratorName = Literal["temperature", "vector", "isotonic"]
"""What makes probabilities of those that a network says, fitted to held-out images; see `statistics.calibrators`."""

TOP_CLASSES = 5


@dataclass(frozen=True, eq=False)
class TopClasses:
    """The most probable classes of images: `classes` int64 [N, k], the most probable one first, and their `probabilities`
    float32 [N, k].
    """

    classes: "np.ndarray"
    probabilities: "np.ndarray"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network has said of the images of a split; `Predictions.of` makes one.

    Attributes:
        split: whose images they are.
        indices: int64 [N], positions in the image set, ascending.
        labels: int64 [N], the right classes, numbered from 0 as the network's outputs are.
        predicted: int64 [N], the most probable ones, likewise; found before probabilities are rounded.
        num_classes: outputs of the network, C.
        probabilities: float32 [N, C]; None where they are not kept, or the classifier gives none.
        top: the most probable classes, where they alone are kept.
        classes: int64 [C], label in the image set of every output; None where they are the same.
        views: how many test-time views were averaged; 1: the plain image.
        marks: further facts of every image, bool [N], by name.
        data_fingerprint: of what the run learnt from; the store of runs fills it in.
        folds: int64 [N], in which fold of a cross-validation each image was held out, from 1; None where there is one split.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.predictions import Predictions
        >>> said = np.array([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]])
        >>> predictions = Predictions.of("test", np.array([7, 3, 5]), np.array([1, 1, 1]), said)
        >>> predictions.indices.tolist(), predictions.correct.tolist()
        ([3, 5, 7], [False, True, True])
        >>> predictions.at("correct").probabilities is None
        True
    """

    split: PredictedSplit
    indices: "np.ndarray"
    labels: "np.ndarray"
    predicted: "np.ndarray"
    num_classes: int
    probabilities: "np.ndarray | None" = None
    top: TopClasses | None = None
    classes: "np.ndarray | None" = None
    views: int = 1
    marks: "Mapping[str, np.ndarray]" = field(default_factory=dict)
    data_fingerprint: str = ""
    folds: "np.ndarray | None" = None

    @classmethod
    def of(
        cls,
        split: PredictedSplit,
        indices: "np.ndarray",
        labels: "np.ndarray",
        scores: "np.ndarray",
        *,
        are_probabilities: bool = True,
        predicted: "np.ndarray | None" = None,
        classes: "np.ndarray | None" = None,
        views: int = 1,
        marks: "Mapping[str, np.ndarray] | None" = None,
    ) -> "Predictions":
        """Predictions from the scores [N, C] of images in any order.

        Args:
            split: see the attributes, likewise indices, labels, classes, views and marks.
            scores: probabilities, or other numbers of which the largest decides where not `are_probabilities`.
            predicted: the classes that were counted as predicted; None: those with the largest score, the first of equals.
        """
        import numpy as np

        order = np.argsort(indices, kind="stable")
        return cls(
            split,
            np.asarray(indices, dtype=np.int64)[order],
            np.asarray(labels, dtype=np.int64)[order],
            np.asarray(scores.argmax(axis=1) if predicted is None else predicted, dtype=np.int64)[order],
            scores.shape[1],
            scores.astype(np.float32)[order] if are_probabilities else None,
            classes=None if classes is None else np.asarray(classes, dtype=np.int64),
            views=views,
            marks={name: np.asarray(values, dtype=bool)[order] for name, values in (marks or {}).items()},
        )

    @property
    def correct(self) -> "np.ndarray":
        """bool [N]: whether the right class was predicted."""
        right: np.ndarray = self.predicted == self.labels
        return right

    @property
    def accuracy(self) -> float:
        """Share of the images whose class was predicted rightly."""
        return float(self.correct.mean())

    @property
    def detail(self) -> Detail:
        """How much of them there is."""
        if self.probabilities is not None:
            return "full"
        return "correct" if self.top is None else "top"

    def table(self) -> "pd.DataFrame":
        """One row an image: index, label, prediction, correct and, where all are kept, one probability column a class."""
        import pandas as pd

        table = pd.DataFrame({"index": self.indices, "label": self.labels})
        table["prediction"], table["correct"] = self.predicted, self.correct
        if self.probabilities is None:
            return table
        columns = [f"probability_{label}" for label in range(self.num_classes)]
        return pd.concat([table, pd.DataFrame(self.probabilities, columns=columns)], axis=1)

    def at(self, detail: Detail) -> "Predictions":
        """As much of them as `detail` says, or less where there is less."""
        import numpy as np

        if self.probabilities is None or detail == "full":
            return replace(self, top=None) if detail == "correct" else self
        if detail == "correct":
            return replace(self, probabilities=None)
        if self.num_classes <= TOP_CLASSES:
            return self
        # The predicted class comes first, whatever else is as probable.
        ranked = self.probabilities.copy()
        np.put_along_axis(ranked, self.predicted[:, None], np.inf, axis=1)
        order = np.argsort(-ranked, axis=1, kind="stable")[:, :TOP_CLASSES]
        top = TopClasses(order, np.take_along_axis(self.probabilities, order, axis=1))
        return replace(self, probabilities=None, top=top)
