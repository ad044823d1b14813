import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from vision_studies.reports.gallery import MOST_IMAGES, Judged, as_json, confusions, gallery
from vision_studies.statistics.label_errors import label_errors

NAMES = ["cat", "dog", "owl"]


def judged(name="a", labels=(0, 1, 2, 0), predicted=(0, 2, 2, 1), sure=(0.9, 0.6, 0.8, 0.95), first=0):
    """A classifier whose probabilities are `sure` of what it predicts, and share the rest."""
    labels, predicted = np.array(labels), np.array(predicted)
    probabilities = np.tile(((1 - np.array(sure)) / 2)[:, None], 3).astype(np.float32)
    probabilities[np.arange(len(labels)), predicted] = sure
    return Judged(name, np.arange(first, first + len(labels)), labels, predicted, probabilities)


def images(count=12, side=4):
    """Image i is of the brightness 20 i."""
    return np.tile((20 * np.arange(count, dtype=np.uint8))[:, None, None, None], (1, side, side, 3))


def test_the_most_confident_errors_come_first_and_are_told_with_what_each_classifier_says():
    other = judged("b", predicted=(1, 1, 2, 1))
    content = gallery([judged(), other], None, images(), NAMES)
    assert [one["wrong"] for one in content["classifiers"]] == [2, 2]
    entries = {entry["index"]: entry for entry in content["entries"]}
    assert set(entries) == {0, 1, 3}  # image 2 is right by both
    assert content["entries"][0]["index"] == 3
    assert entries[3]["says"] == [[1, 95], [1, 95]]
    assert entries[1] == {"index": 1, "label": 1, "says": [[2, 60], [1, 60]]}
    assert content["discordant"] == [[0, 1], [1, 0]]  # a has 0 right and b has not; b has 1 right and a has not
    assert json.loads(as_json(content))["entries"] == content["entries"]


def test_pairs_are_counted_over_all_images():
    one = judged(labels=(0, 0, 0, 1, 2), predicted=(1, 1, 2, 0, 2), sure=[0.9] * 5)
    assert confusions(one) == [(0, 1, 2), (0, 2, 1), (1, 0, 1)]


def test_thumbnails_lie_in_one_picture_in_the_order_of_the_entries():
    content = gallery([judged()], None, images(), NAMES)
    data = base64.b64decode(content["sprite"].removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(data)) as sprite:
        pixels = np.asarray(sprite.convert("RGB"))
    assert content["side"] == 4
    for place, entry in enumerate(content["entries"]):
        row, column = divmod(place, content["columns"])
        assert pixels[4 * row + 2, 4 * column + 2].tolist() == [20 * entry["index"]] * 3


def test_a_gallery_is_bounded_and_its_thumbnails_are_small():
    count = 3 * MOST_IMAGES
    wrong = judged(labels=[0] * count, predicted=[1] * count, sure=[0.9] * count)
    others = [
        judged(f"{k}", [0] * count, np.roll([1, 0, 0], k).tolist() * (count // 3), [0.9] * count) for k in range(3)
    ]
    content = gallery([wrong, *others], None, np.zeros((count, 100, 80, 3), np.uint8), NAMES)
    assert len(content["entries"]) <= MOST_IMAGES
    assert content["side"] == 64
    assert content["classifiers"][0]["wrong"] == count


def test_without_probabilities_errors_are_shown_without_confidence():
    bare = Judged("a", np.arange(2), np.array([0, 1]), np.array([1, 1]), None)
    content = gallery([bare], bare, images(), NAMES)
    assert content["entries"] == [{"index": 0, "label": 0, "says": [[1, None]], "held_out": [1, None]}]
    assert content["doubtful"]["entries"] == []


def test_where_all_is_right_there_is_no_gallery():
    assert gallery([judged(predicted=(0, 1, 2, 0))], None, images(), NAMES) is None


def test_wrong_labels_are_found_among_held_out_images():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 600)
    labels = truth.copy()
    flipped = generator.choice(600, 30, replace=False)
    labels[flipped] = (labels[flipped] + 1) % 3
    logits = 3 * np.eye(3)[truth] + generator.normal(0, 0.7, (600, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = label_errors(labels, probabilities).positions
    assert len(set(found) & set(flipped)) >= 22
    assert set(found[:20]) <= set(flipped)
    held_out = Judged("a", np.arange(600), labels, probabilities.argmax(axis=1), probabilities.astype(np.float32))
    content = gallery([], held_out, images(1)[np.zeros(600, int)], NAMES)
    shown = [content["entries"][place]["index"] for place in content["doubtful"]["entries"]]
    assert shown == found[:60].tolist()
    assert content["doubtful"]["total"] == len(found)


def test_a_class_without_images_makes_no_label_doubtful():
    assert label_errors(np.array([0, 0]), np.array([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]])).positions == pytest.approx([])
