"""What AlphaNet's scores need of images, computed once: classifiers of base classes, and of neighbours, never change.

A few class's score is its own logit and a combination of its neighbours' logits. So training needs, of every image, the
logits of few classes and of their neighbours, and what the scores of all base classes amount to in the softmax; evaluation
needs the highest of these scores. Features are read once, in parts, and need not fit in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, row_blocks
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours

TOP = 5


@dataclass(frozen=True)
class CachedLogits:
    """Logits of the images of one split; all scores are multiplied by the prediction scale.

    Attributes:
        few_baseline: float32 [N, F], scores of the few classes by their own classifiers.
        neighbour: float32 [N, U], logits (without bias) of the base classes in `columns`.
        columns: int64 [U], labels, sorted.
        base_log_sum_exp: float32 [N], of the scores of all base classes.
        base_score: float32 [N], score of the image's own class where that is a base class, else 0.
        base_top: float32 [N, T], highest base scores, the highest first; T is 5 or the number of base classes.
        base_top_label: int64 [N], class with the highest base score.
        labels: int64 [N].
        few_column: int64 [N], column of the image's class in `few_baseline`; -1 where it is a base class.
        few: int64 [F], labels of the few classes.
        splits: few, medium and many classes.
    """

    few_baseline: Tensor
    neighbour: Tensor
    columns: np.ndarray
    base_log_sum_exp: Tensor
    base_score: Tensor
    base_top: Tensor
    base_top_label: Tensor
    labels: Tensor
    few_column: Tensor
    few: Tensor
    splits: ClassSplits

    def to(self, device: torch.device) -> "CachedLogits":
        """The same on a device."""
        tensors: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})

    def neighbour_columns(self, neighbours: Neighbours) -> Tensor:
        """Columns of neighbours in `neighbour`, int64 [F, k].

        Raises:
            KeyError: one of them is not cached.
        """
        columns = np.searchsorted(self.columns, neighbours.labels)
        if (columns >= len(self.columns)).any() or (self.columns[columns] != neighbours.labels).any():
            raise KeyError("a neighbour's logits are not cached")
        return torch.from_numpy(columns).to(self.neighbour.device)


def cache_logits(
    group: FeatureGroup,
    classifier: LinearClassifier,
    splits: ClassSplits,
    neighbours: Sequence[Neighbours],
    prediction_scale: float,
) -> CachedLogits:
    """Score the images of a split once, with all neighbours that will be asked for; scores are multiplied by the scale."""
    base = splits.base
    columns = np.unique(np.concatenate([near.labels.ravel() for near in neighbours]))
    weight = torch.from_numpy(np.ascontiguousarray(classifier.weight.T))
    bias = torch.from_numpy(classifier.bias)
    few_columns, base_columns, neighbour_columns = map(torch.from_numpy, (splits.few, base, columns))
    few_column = np.full(len(classifier.bias), -1)
    few_column[splits.few] = np.arange(len(splits.few))
    parts: dict[str, list[Tensor]] = {}
    for block in row_blocks(len(group.labels)):
        rows = torch.from_numpy(np.array(group.features[block], dtype=np.float32))
        labels = torch.from_numpy(group.labels[block].astype(np.int64))
        logits = rows @ weight
        scores = prediction_scale * (logits + bias)
        of_base = scores[:, base_columns]
        top, top_columns = of_base.topk(min(TOP, len(base)), dim=1)
        is_few = torch.from_numpy(few_column)[labels] >= 0
        part = {
            "few_baseline": scores[:, few_columns],
            "neighbour": prediction_scale * logits[:, neighbour_columns],
            "base_log_sum_exp": of_base.logsumexp(dim=1),
            "base_score": scores.gather(1, labels[:, None])[:, 0].masked_fill(is_few, 0.0),
            "base_top": top,
            "base_top_label": base_columns[top_columns[:, 0]],
            "labels": labels,
        }
        for name, value in part.items():
            parts.setdefault(name, []).append(value)
    joined = {name: torch.cat(values) for name, values in parts.items()}
    return CachedLogits(
        **joined,
        columns=columns,
        few_column=torch.from_numpy(few_column)[joined["labels"]],
        few=few_columns,
        splits=splits,
    )


def few_scores(baseline: Tensor, neighbour: Tensor, coefficients: Tensor) -> Tensor:
    """Scores [..., N, F] of the few classes.

    They are made of the scores by their own classifiers, [..., N, F], of the logits of their neighbours, [..., N, F, k], and
    of coefficients [..., F, k].
    """
    return baseline + torch.einsum("...nfk,...fk->...nf", neighbour, coefficients)


def cross_entropy(few: Tensor, base_log_sum_exp: Tensor, base_score: Tensor, few_column: Tensor) -> Tensor:
    """Mean cross-entropy [...] over all classes of a batch, in nats.

    Of scores of the few classes [..., N, F], and of [..., N] as `CachedLogits` has them; `few_column`, int64, is -1 for images
    of base classes.
    """
    everything = torch.logaddexp(base_log_sum_exp, few.logsumexp(dim=-1))
    few_score = few.gather(-1, few_column.clamp_min(0)[..., None])[..., 0]
    return (everything - torch.where(few_column >= 0, few_score, base_score)).mean(dim=-1)


@torch.no_grad()
def predict(cached: CachedLogits, neighbours: Neighbours, coefficients: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Predicted classes, int64 [N], and whether an image's own class is among the five with the highest scores, bool [N].

    Coefficients [F, k] are of the neighbours; as many images as `rows` are scored at a time.
    """
    columns = cached.neighbour_columns(neighbours)
    combination = torch.zeros(len(cached.columns), len(columns), device=coefficients.device)
    combination[columns, torch.arange(len(columns), device=columns.device)[:, None]] = coefficients
    predictions, among_top = [], []
    for start in range(0, len(cached.labels), rows):
        part = slice(start, start + rows)
        few = cached.few_baseline[part] + cached.neighbour[part] @ combination
        best, column = few.max(dim=1)
        base_best = cached.base_top[part, 0]
        base_label, few_label = cached.base_top_label[part], cached.few[column]
        # Of equal scores the lower label is predicted, as argmax over all classes would.
        few_wins = (best > base_best) | ((best == base_best) & (few_label < base_label))
        predictions.append(torch.where(few_wins, few_label, base_label))
        few_column = cached.few_column[part]
        score = few.gather(1, few_column.clamp_min(0)[:, None])[:, 0]
        score = torch.where(few_column >= 0, score, cached.base_score[part])[:, None]
        higher = (few > score).sum(dim=1) + (cached.base_top[part] > score).sum(dim=1)
        among_top.append(higher < TOP)
    return torch.cat(predictions), torch.cat(among_top)
