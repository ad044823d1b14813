from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.test_base_parameters import base_run
from torch import nn

from vision_studies.config.training import TrainingSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.image_source import ImageSource, open_images
from vision_studies.data.loaders import Normalisation
from vision_studies.data.prepared import PreparedData
from vision_studies.data.sources.decoding import Decoding
from vision_studies.data.splits import Splits
from vision_studies.errors import DataError, ParameterError
from vision_studies.serving.image_classifier import PixelsToProbabilities, Predictor
from vision_studies.serving.image_predictions import predictions, score, write_left_out
from vision_studies.serving.opened_models import data_description, open_model_file
from vision_studies.serving.prediction_tables import TableForm, write_predictions
from vision_studies.training.checkpoints import save_state
from vision_studies.training.classifier import ImageClassifier, ImageFormat

CPU = torch.device("cpu")
TRAINING: TrainingSettings = base_run({"training": {"precision": "fp32"}}).training
IMAGES = ImageFormat(("dark", "bright, or so"), 4, 1, Normalisation((127.5,), (50.0,)))


class Brightness(nn.Module):
    """Says that an image is bright when its normalised mean is above 0."""

    def forward(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([-mean, mean], dim=1)


@pytest.fixture
def classifier():
    return ImageClassifier(Path("model"), Brightness(), IMAGES, TRAINING, batch_size=8, padding=1, seed=0)


def told(classifier, source, seen=None):
    advance = (lambda more: None) if seen is None else seen.append
    return predictions(Predictor(classifier, CPU), source, advance)


def test_images_are_normalised_as_in_training_and_alike_with_normalisation_inside(classifier):
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1), dtype=np.uint8)
    plain = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    expected = Brightness()((plain - 127.5) / 50).softmax(dim=1).numpy()
    np.testing.assert_allclose(Predictor(classifier, CPU)(images), expected, atol=1e-6)
    np.testing.assert_allclose(PixelsToProbabilities(classifier)(plain / 255).numpy(), expected, atol=1e-6)


def test_views_of_an_image_that_looks_the_same_from_everywhere_agree(classifier):
    even = np.full((3, 4, 4, 1), 200, np.uint8)
    np.testing.assert_allclose(Predictor(classifier, CPU, views=5)(even), Predictor(classifier, CPU)(even), atol=1e-6)


def test_images_of_another_shape_are_refused(classifier):
    with pytest.raises(ParameterError, match=r"wants images of 4 x 4 pixels with 1 channels, not \[9, 9, 3\]"):
        Predictor(classifier, CPU)(np.zeros((2, 9, 9, 3), np.uint8))


def test_the_table_has_every_image_that_can_be_read_under_its_name(classifier, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    levels = np.linspace(0, 255, 21).astype(int)
    for level in levels:
        Image.new("L", (6, 6), int(level)).save(folder / f"{level:03d}.png")
    (folder / "bad.png").write_bytes(b"\x89PNG")
    source, seen = open_images(folder), []
    corrupt, counted = write_predictions(
        told(classifier, source, seen), source, IMAGES.class_names, tmp_path / "t.csv", TableForm()
    )
    assert [source.names[place] for place in corrupt] == ["bad.png"]
    assert not counted["unlike"]  # nobody asked
    assert sum(seen) == 22
    table = pd.read_csv(tmp_path / "t.csv")
    assert list(table.columns) == ["file", "class", "confidence"]
    assert table["file"].tolist() == [f"{level:03d}.png" for level in levels]
    assert (table["class"] == np.where(levels > 127, "bright, or so", "dark")).all()
    assert table["confidence"].iloc[-1] == pytest.approx(1 / (1 + np.exp(-2 * 127.5 / 50)), abs=1e-4)
    write_predictions(
        told(classifier, source), source, IMAGES.class_names, tmp_path / "s.csv", TableForm(submission=True)
    )
    submitted = pd.read_csv(tmp_path / "s.csv")
    assert submitted.to_dict("list") == {"ID": table["file"].tolist(), "Labels": (levels > 127).astype(int).tolist()}


def test_names_that_are_no_text_come_out_as_they_are(classifier, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("L", (4, 4)).save(bytes(folder) + b"/\xff.png")
    source = open_images(folder)
    write_predictions(told(classifier, source), source, IMAGES.class_names, tmp_path / "t.csv", TableForm())
    assert b"\n\xff.png,dark," in (tmp_path / "t.csv").read_bytes()


def test_where_no_image_can_be_read_there_is_a_sentence_and_no_table(classifier, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"\x89PNG")
    source = open_images(folder)
    with pytest.raises(DataError, match=r"None of the 2 images can be read; the first one, a.png: no image."):
        write_predictions(told(classifier, source), source, IMAGES.class_names, tmp_path / "t.csv", TableForm())
    (folder / "b.png").unlink()
    with pytest.raises(DataError, match=r"^a.png cannot be read: no image.$"):
        list(told(classifier, open_images(folder)))
    assert list(tmp_path.iterdir()) == [folder]


def test_a_decompression_bomb_is_skipped_without_a_second_word(classifier, tmp_path, recwarn):
    Image.new("L", (4, 4)).save(tmp_path / "small.png")
    Image.new("1", (9600, 9600)).save(tmp_path / "warned.png")
    Image.new("1", (14_000, 14_000)).save(tmp_path / "refused.png")
    source = open_images(tmp_path)
    (batch,) = told(classifier, source)
    assert {source.names[place]: why for place, why in batch.corrupt.items()} == {
        "refused.png": "over 178,956,970 pixels, more than the 64,000,000 that are read",
        "warned.png": "9,600 x 9,600 pixels, more than the 64,000,000 that are read",
    }
    assert not recwarn.list


def test_scores_are_those_of_the_whole_and_of_each_class():
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.4, 0.6, 0], [0.3, 0.7, 0]], np.float32)
    found = score(probabilities, np.array([0, 0, 0, 1]), ("a", "b", "c"))
    assert (found["images"], found["correct"], found["accuracy"]) == (4, 2, 0.5)
    # Wilson 1927, by hand: n = 4, p = 0.5, z = 1.959964
    assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx((0.1500, 0.8500), abs=1e-4)
    assert found["loss"] == pytest.approx(-np.log([0.9, 0.2, 0.4, 0.7]).mean(), abs=1e-6)
    first, second = found["classes"]
    assert (first["class"], first["images"], first["correct"], first["mistaken_for"]) == ("a", 3, 1, "b")
    assert (second["class"], second["accuracy"], second["mistaken_for"]) == ("b", 1.0, None)
    assert second["accuracy_high"] == 1.0


def test_images_are_decoded_as_those_that_the_network_was_trained_on(classifier, tmp_path):
    """A white shape in the alpha channel alone is dark over black, and bright over white; half of a wide image is cut off."""
    clear = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    clear.putpixel((0, 0), (255, 255, 255, 255))
    clear.save(tmp_path / "clear.png")
    wide = Image.new("L", (12, 4), 255)
    wide.paste(0, (4, 0, 8, 4))
    wide.save(tmp_path / "wide.png")
    Image.fromarray(np.full((4, 4), 4000, np.uint16)).save(tmp_path / "xray.png")
    source = open_images(tmp_path)
    for decoding, expected in (
        (Decoding(4, "crop", "white", (0, 4095)), [1, 0, 1]),
        (Decoding(4, "squash", "black", (0, 65535)), [0, 1, 0]),
    ):
        own = replace(classifier, images=replace(IMAGES, decoding=decoding))
        (batch,) = told(own, source)
        assert batch.probabilities.argmax(axis=1).tolist() == expected


def test_a_model_file_says_how_its_images_were_decoded(tmp_path):
    decoding = Decoding(4, "letterbox", "#102030", (0, 4095))
    image_set = replace(
        ImageSet.create(
            "grey", np.zeros((6, 4, 4, 1), np.uint8), np.arange(6) % 2, ("a", "b"), np.zeros(6, bool), origin={}
        ),
        decoding=decoding,
    )
    data = PreparedData(image_set, Splits(np.arange(2), np.arange(2, 4), np.arange(4, 6)), {})
    run = base_run(
        {"model": {"stem_width": 8, "widths": [8], "blocks": [1], "strides": [1], "squeeze_reduction": None}}
    )
    weights = run.model.build(**data.sizes).state_dict()
    described = data_description(data)
    state = {"weights": weights, "configuration": run.model_dump(mode="json"), "data": described}
    save_state(tmp_path / "new.safetensors", state)
    assert open_model_file(tmp_path / "new.safetensors").images.decoding == decoding
    del described["decoding"]  # as before there was a choice
    save_state(tmp_path / "old.safetensors", state)
    assert open_model_file(tmp_path / "old.safetensors").images.decoding == Decoding()


def test_all_that_is_left_out_is_written_with_its_reason(tmp_path):
    source = ImageSource(["a.png", "b, or so.png"], [Path("a.png"), Path("b, or so.png")])
    write_left_out({1: "no image"}, source, tmp_path / "left_out.csv")
    assert pd.read_csv(tmp_path / "left_out.csv").to_dict("records") == [{"file": "b, or so.png", "reason": "no image"}]
