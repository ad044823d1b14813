"""The page on which images are dropped, as its server gives it; in a browser it is looked at by tests/browser."""

import io
import json
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from tests.test_base_parameters import base_run
from torch import nn

from vision_studies.data.loaders import Normalisation
from vision_studies.errors import ParameterError
from vision_studies.serving import try_page
from vision_studies.serving.calibration import Calibration
from vision_studies.serving.image_classifier import Predictor
from vision_studies.serving.try_page import MOST_BYTES, TryServer
from vision_studies.training.classifier import ImageClassifier, ImageFormat


class Brightness(nn.Module):
    """Says that an image is bright when its normalised mean is above 0."""

    def forward(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([-mean, mean], dim=1)


CLASSIFIER = ImageClassifier(
    Path("model"),
    Brightness(),
    ImageFormat(("dark", "<b>bright</b>"), 4, 1, Normalisation((127.5,), (50.0,))),
    base_run({"training": {"precision": "fp32"}}).training,
)
ABOUT = {"name": "brightness", "facts": ["two classes"]}


def picture(level):
    file = io.BytesIO()
    Image.new("L", (9, 7), level).save(file, "PNG")
    return file.getvalue()


@contextmanager
def running(calibration=None):
    with TryServer(Predictor(CLASSIFIER, torch.device("cpu")), calibration, ABOUT, 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


def asked(server, method, path, body=None, **headers):
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_a_dropped_image_is_predicted_as_the_command_predicts_it(server):
    for level in (0, 140, 255):
        status, body, _ = asked(server, "POST", "/predict", picture(level))
        said = json.loads(body)
        expected = Predictor(CLASSIFIER, torch.device("cpu"))(np.full((1, 4, 4, 1), level, np.uint8))[0]
        assert status == 200
        assert {row["class"]: row["confidence"] for row in said["classes"]} == pytest.approx(
            dict(zip(CLASSIFIER.images.class_names, expected.tolist(), strict=True))
        )
        assert said["classes"][0]["class"] == CLASSIFIER.images.class_names[int(expected.argmax())]
        assert said["likeness"] is said["unlike"] is said["classes"][0]["probability"] is None


def test_with_validation_images_it_says_how_probable_and_how_unlike():
    logits = np.stack([[-1.0, 1.0], [1.0, -1.0]] * 20).astype(np.float32)
    logits += np.random.default_rng(0).normal(0, 0.1, logits.shape).astype(np.float32)
    calibration = Calibration.fitted(logits, logits.argmax(axis=1), logits)
    with running(calibration) as server:
        usual, strange = (json.loads(asked(server, "POST", "/predict", picture(level))[1]) for level in (178, 255))
    assert (usual["unlike"], strange["unlike"]) == (False, True)
    assert strange["likeness"] == 0
    assert sum(row["probability"] for row in usual["classes"]) == pytest.approx(1)


def test_the_page_and_the_model_come_with_headers_that_let_nothing_else_in(server):
    status, page, headers = asked(server, "GET", "/")
    assert status == 200
    assert b"<title>" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"http" not in page  # nothing is fetched from elsewhere
    assert json.loads(asked(server, "GET", "/model")[1]) == ABOUT
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("request_of", "status", "message"),
    [
        (lambda: ("POST", "/predict", b"no image", {}), 422, "cannot be read: no image."),
        (lambda: ("POST", "/predict", b"", {}), 422, "cannot be read: empty file."),
        (lambda: ("POST", "/predict", None, {"Content_Length": str(MOST_BYTES + 1)}), 413, "more than the 50 MB"),
        (lambda: ("POST", "/predict", None, {"Content_Length": "-1"}), 411, "size of the image is missing"),
        (lambda: ("POST", "/elsewhere", picture(0), {}), 404, "nothing here"),
        (lambda: ("GET", "/../../etc/passwd", None, {}), 404, "nothing here"),
        (lambda: ("GET", "/", None, {"Host": "evil.example"}), 403, "by the address that the command shows"),
        (lambda: ("POST", "/predict", picture(0), {"Origin": "http://evil.example"}), 403, "of this command alone"),
    ],
)
def test_what_is_no_image_of_this_page_is_refused_in_a_sentence(server, request_of, status, message):
    method, path, body, headers = request_of()
    found, answer, _ = asked(server, method, path, body, **headers)
    assert found == status
    assert message in json.loads(answer)["error"]
    assert asked(server, "POST", "/predict", picture(3))[0] == 200  # and goes on


def test_a_port_that_is_taken_is_told(server):
    with pytest.raises(ParameterError, match=f"--port={server.server_port} cannot be listened to .*name another"):
        TryServer(Predictor(CLASSIFIER, torch.device("cpu")), None, ABOUT, server.server_port)


def test_a_client_that_sends_less_than_it_says_is_let_go(server, monkeypatch):
    monkeypatch.setattr(try_page._Handler, "timeout", 0.2)
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"little")
    assert asked(server, "POST", "/predict", picture(3))[0] == 200
    assert connection.sock.recv(100) == b""
    connection.close()
