"""A gallery of mistakes: the images that classifiers get wrong most surely, confuse most, or tell apart from each other.

It holds at most `MOST_IMAGES` images, as one picture of thumbnails, and what every classifier has said of each; how often
something happens is counted over all images.
"""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from PIL import Image

from vision_studies.statistics.label_errors import label_errors

MOST_IMAGES = 360
MOST_CLASSIFIERS = 6
_SIDE = 64  # pixels of a thumbnail at most
_EACH = 60  # images of a list
_CONFUSIONS = 12
_COLUMNS = 20


@dataclass(frozen=True, eq=False)
class Judged:
    """What a classifier has said of images.

    Attributes:
        name: of the classifier.
        indices: int64 [N], positions in the image set, ascending.
        labels: int64 [N], classes by the label, positions in `class_names`.
        predicted: int64 [N], likewise.
        probabilities: float32 [N, C]; None where they are not kept.
    """

    name: str
    indices: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None

    @property
    def wrong(self) -> np.ndarray:
        """bool [N]."""
        differs: np.ndarray = self.predicted != self.labels
        return differs

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, float [N]; NaN where it is not kept."""
        if self.probabilities is None:
            return np.full(len(self.indices), np.nan)
        rows: np.ndarray = self.probabilities[np.arange(len(self.indices)), self.predicted]
        return rows


def confusions(judged: Judged) -> list[tuple[int, int, int]]:
    """The most frequent pairs of a true class and another that is predicted instead, with their number of images."""
    wrong = judged.wrong
    pairs, counts = np.unique(np.stack([judged.labels[wrong], judged.predicted[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_CONFUSIONS]
    return [(int(pairs[0, place]), int(pairs[1, place]), int(counts[place])) for place in order]


def gallery(
    test: Sequence[Judged], held_out: Judged | None, images: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any] | None:
    """What the page needs to show mistakes; None where there is none.

    Args:
        test: classifiers that were scored on the same test images, the best first.
        held_out: what one has said of images that it has not learnt from, for labels that are probably wrong; None where no
            probabilities are kept.
        images: uint8 [M, H, W, C], the image set.
        class_names: one name a label.

    Returns:
        `classes`; `classifiers` (name, images, wrong, confusions); `discordant[A][B]`, how many images A has right and B
        wrong; `doubtful` (entries whose label is probably wrong, and how many there are); `entries` (index, label, says: class
        and confidence in percent of every classifier); `sprite`, address of the thumbnails, `side` and `columns`.
    """
    suspects = np.zeros(0, dtype=np.int64)
    if held_out is not None and held_out.probabilities is not None:
        suspects = label_errors(held_out.labels, held_out.probabilities).positions
    chosen = list(_chosen(test, [] if held_out is None else held_out.indices[suspects][:_EACH].tolist()))
    if not chosen:
        return None
    place_of = {index: place for place, index in enumerate(chosen)}
    of_test = [{int(index): place for place, index in enumerate(judged.indices)} for judged in test]
    confidences = [judged.confidence for judged in test]
    of_held_out = {} if held_out is None else {int(index): place for place, index in enumerate(held_out.indices)}
    entries = []
    for index in chosen:
        says: list[list[int | None] | None] = [
            _said(judged, confidence, places[index]) if index in places else None
            for judged, confidence, places in zip(test, confidences, of_test, strict=True)
        ]
        place = next((places[index] for places in of_test if index in places), None)
        label = test[0].labels[place] if place is not None else held_out.labels[of_held_out[index]]  # type: ignore[union-attr]
        entry: dict[str, Any] = {"index": index, "label": int(label), "says": says}
        if held_out is not None and index in of_held_out:
            entry["held_out"] = _said(held_out, held_out.confidence, of_held_out[index])
        entries.append(entry)
    return {
        "classes": list(class_names),
        "classifiers": [
            {
                "name": judged.name,
                "images": len(judged.indices),
                "wrong": int(judged.wrong.sum()),
                "confusions": confusions(judged),
            }
            for judged in test
        ],
        "discordant": [[int((~first.wrong & other.wrong).sum()) for other in test] for first in test],
        "doubtful": {
            "entries": []
            if held_out is None
            else [place_of[int(i)] for i in held_out.indices[suspects] if i in place_of],
            "total": len(suspects),
            "images": 0 if held_out is None else len(held_out.indices),
        },
        "entries": entries,
        **_sprite(images, chosen),
    }


def as_json(content: dict[str, Any]) -> str:
    """A gallery as compact JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _said(judged: Judged, confidence: np.ndarray, place: int) -> list[int | None]:
    sure = confidence[place]
    return [int(judged.predicted[place]), None if np.isnan(sure) else round(100 * float(sure))]


def _chosen(test: Sequence[Judged], suspects: Sequence[int]) -> Iterator[int]:
    """Images of all lists by turns, each once, until there are enough of them."""
    lists: list[Sequence[int]] = [suspects]
    for judged in test:
        wrong = np.flatnonzero(judged.wrong)
        lists.append(
            judged.indices[wrong[np.argsort(-np.nan_to_num(judged.confidence[wrong]), kind="stable")]].tolist()
        )
        for label, taken_for, _ in confusions(judged)[:4]:
            pair = (judged.labels == label) & (judged.predicted == taken_for)
            lists.append(judged.indices[pair].tolist())
        lists += [other.indices[~judged.wrong & other.wrong].tolist() for other in test if other is not judged]
    chosen: dict[int, None] = {}
    for turn in zip_longest(*(each[:_EACH] for each in lists)):
        for index in turn:
            if index is not None and len(chosen) < MOST_IMAGES:
                chosen[int(index)] = None
    yield from chosen


def _sprite(images: np.ndarray, chosen: Sequence[int]) -> dict[str, Any]:
    side = min(_SIDE, max(images.shape[1:3]))
    columns = min(_COLUMNS, len(chosen))
    sheet = Image.new("RGB", (columns * side, -(-len(chosen) // columns) * side))
    for place, index in enumerate(chosen):
        pixels = np.asarray(images[index])
        shown = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
        if max(shown.size) > side:
            shown.thumbnail((side, side))
        row, column = divmod(place, columns)
        left, top = (side - shown.width) // 2, (side - shown.height) // 2
        sheet.paste(shown, (column * side + left, row * side + top))
    file = io.BytesIO()
    sheet.save(file, "webp", lossless=side <= 32, quality=80, method=2)
    address = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"sprite": address, "side": side, "columns": columns}
