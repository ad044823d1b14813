import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.test_base_parameters import base_run

from vision_studies import errors
from vision_studies.data.loaders import Normalisation
from vision_studies.data.sources.decoding import Decoding
from vision_studies.errors import MissingDependencyError, ParameterError
from vision_studies.serving import model_export
from vision_studies.serving.calibration import Calibration
from vision_studies.serving.image_classifier import Predictor
from vision_studies.serving.model_export import FORMATS, export_model, read_exported
from vision_studies.training.classifier import ImageClassifier, ImageFormat

IMAGES = ImageFormat(
    ("cat", "Hündin", "c"), 8, 3, Normalisation((120.0, 100.0, 80.0), (60.0, 50.0, 70.0)), Decoding(8, "squash", "grey")
)


@pytest.fixture(scope="module")
def classifier():
    small = {"widths": [4], "blocks": [1], "strides": [1], "stem_width": 4, "squeeze_reduction": 2}
    settings = base_run({"model": small, "training": {"precision": "fp32"}})
    torch.manual_seed(0)
    network = settings.model.build(in_channels=3, num_classes=3, image_size=8).eval()
    return ImageClassifier(Path("model"), network, IMAGES, settings.training, 16, 1, 0)


CALIBRATED = ("temperature", "temperature_images", "calibrated")


def metadata_of(path, kind):
    if kind == "onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    files = dict.fromkeys(("class_names", "image_size", "decoding", "study", *CALIBRATED), "")
    load = torch.jit.load if kind == "torchscript" else torch.export.load
    load(str(path), **{"_extra_files" if kind == "torchscript" else "extra_files": files})
    return {name: text if isinstance(text, str) else text.decode() for name, text in files.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_the_file_says_what_the_classifier_says_for_any_number_of_images(classifier, tmp_path, kind):
    path = tmp_path / f"model{FORMATS[kind]}"
    images = np.random.default_rng(5).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    predictor = Predictor(classifier, torch.device("cpu"))
    logits, features = predictor.features(images, 5)
    calibration = Calibration.fitted(logits[0], np.array([0, 1, 2, 0, 1]), features)
    assert export_model(classifier, kind, path, {"study": "demo"}, calibration) <= 1e-5
    assert list(tmp_path.iterdir()) == [path]
    expected = predictor(images)
    exported = read_exported(path, kind)
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2) / 255, dtype=np.float32)
    np.testing.assert_allclose(exported(pixels), expected, atol=1e-5)
    assert exported(pixels[:1]).shape == (1, 3)
    known = metadata_of(path, kind)
    assert json.loads(known["class_names"]) == ["cat", "Hündin", "c"]
    assert (known["image_size"], known["study"]) == ("8", "demo")
    powers = exported(pixels) ** (1 / float(known["temperature"]))
    calibrated = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(calibrated, calibration.probabilities(logits), atol=1e-4)
    assert known["temperature_images"] == "5"
    assert known["calibrated"].startswith("probabilities ** (1 / temperature)")
    assert Decoding.from_json(json.loads(known["decoding"])) == IMAGES.decoding


def test_a_network_that_differs_is_refused_and_leaves_no_file(classifier, tmp_path, monkeypatch):
    read = model_export.read_exported

    def shifted(*given):
        reloaded = read(*given)
        return lambda images: reloaded(images) + np.float32(2e-4)

    monkeypatch.setattr(model_export, "read_exported", shifted)
    (tmp_path / "model.pt").write_text("earlier")
    with pytest.raises(ParameterError, match=r"differ from the original's by up to 0.0002 \(0.0001 is allowed\)"):
        export_model(classifier, "torchscript", tmp_path / "model.pt", {})
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier"]


def test_numbers_that_are_none_are_refused(classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(model_export._WRITERS, "onnx", lambda *given: None)
    monkeypatch.setattr(model_export, "read_exported", lambda *given: lambda images: np.float32(np.nan))
    with pytest.raises(ParameterError, match="by up to nan"):
        export_model(classifier, "onnx", tmp_path / "model.onnx", {})


def test_missing_libraries_are_named_with_what_installs_them(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(MissingDependencyError, match=r"needs onnxscript, which is not.*`pip install \.\[export\]`"):
        export_model(classifier, "onnx", tmp_path / "model.onnx", {})
