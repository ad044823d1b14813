import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vision_studies.data.image_set import ImageSet
from vision_studies.pipelines.reporting.mistakes import gallery_data
from vision_studies.predictions import Predictions
from vision_studies.stored_predictions import write_predictions

LABELS = np.array([0, 1, 2] * 4)


@pytest.fixture
def study(tmp_path):
    """Images, and a function that stores a run which is wrong on some of the test images 0 to 5 (and, held out, on 6 to 11)."""
    images = np.zeros((12, 4, 4, 1), np.uint8)
    image_set = ImageSet.create("cells", images, LABELS, ["cat", "dog", "owl"], np.zeros(12, bool), {})
    image_set.save(tmp_path / "primary/cells-1/image_set")

    class Study:
        models, primary, fingerprint, rows = tmp_path / "models", tmp_path / "primary", image_set.fingerprint, []

        def store(self, variant, wrong, *, labels=LABELS, held_out=None, **columns):
            folder = self.models / "stacking/runs" / variant
            folder.mkdir(parents=True)
            (folder / "run.json").write_text(json.dumps({"data_fingerprint": "d", "variant": variant}))
            for split, indices, errors in (("test", range(6), wrong), ("validation", range(6, 12), held_out)):
                if errors is not None:
                    write_predictions(folder, self.said(split, np.array(indices), labels, errors))
            row = {"pipeline": "stacking", "variant": variant, "run_fingerprint": variant, "seed": 0}
            self.rows.append(row | {"validation_accuracy": 0.9, "test_accuracy": 0.5} | columns)

        def said(self, split, indices, labels, wrong):
            right = labels[indices]
            predicted = np.where(np.isin(indices, wrong), (right + 1) % 3, right)
            scores = np.full((len(indices), 3), 0.1)
            scores[np.arange(len(indices)), predicted] = 0.8
            return replace(Predictions.of(split, indices, right, scores), data_fingerprint="d")

        def gallery(self):
            found = gallery_data(pd.DataFrame(self.rows), self.models, self.primary, self.fingerprint)
            return None if found is None else json.loads(found)

    return Study()


def test_the_best_variants_are_shown_first_and_labels_are_doubted_by_held_out_images(study):
    study.store("worse", [0, 1], validation_accuracy=0.7)
    study.store("best", [1, 2], held_out=[7])
    study.store("unscored", [0], test_accuracy=np.nan)
    content = study.gallery()
    assert [one["name"] for one in content["classifiers"]] == ["best", "worse"]
    assert {entry["index"] for entry in content["entries"]} == {0, 1, 2, 7}
    assert content["discordant"] == [[0, 1], [1, 0]]
    [doubtful] = [content["entries"][place] for place in content["doubtful"]["entries"]]
    assert (doubtful["index"], doubtful["label"], doubtful["held_out"]) == (7, 1, [2, 80])
    assert doubtful["says"] == [None, None]


def test_a_damaged_file_of_one_variant_leaves_the_others(study):
    study.store("broken", [0])
    study.store("whole", [1])
    (study.models / "stacking/runs/broken/predictions_test.parquet").write_bytes(b"PAR1")
    assert [one["name"] for one in study.gallery()["classifiers"]] == ["whole"]


def test_predictions_of_other_images_are_not_shown(study):
    study.store("other", [0], labels=np.roll(LABELS, 1))
    assert study.gallery() is None


@pytest.mark.parametrize("gone", ["images", "predictions", "mistakes"])
def test_without_images_predictions_or_mistakes_there_is_no_gallery(study, gone):
    study.store("plain", [] if gone == "mistakes" else [1])
    if gone == "images":
        (study.primary / "cells-1/image_set/image_set.json").write_text("{")
    if gone == "predictions":
        (study.models / "stacking/runs/plain/predictions_test.parquet").unlink()
    assert study.gallery() is None
