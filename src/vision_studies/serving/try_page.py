"""A page on this machine on which one drops images and sees what a model says of them: the standard library's server alone.

It listens to this machine and to nothing else, and keeps no image.
"""

import json
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Lock
from typing import Any

import numpy as np

from vision_studies.data.image_source import ImageSource
from vision_studies.errors import ParameterError, VisionStudiesError
from vision_studies.page_theme import page_theme
from vision_studies.serving.calibration import ACCEPTED, Calibration
from vision_studies.serving.image_classifier import Predictor
from vision_studies.serving.image_predictions import PredictedBatch, predictions

HOST = "127.0.0.1"
MOST_BYTES = 50_000_000
"""Of one image."""

_SHOWN_CLASSES = 5
_COLOURS = "/* colours */"  # where they are put in the page
_SECONDS_A_REQUEST = 30
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class TryServer(ThreadingHTTPServer):
    """Serves the page, what it says of the model (`/model`), and predictions (`/predict`).

    Args:
        predictor: says what an image shows; it is asked for one image at a time.
        calibration: of its model; None where there are no validation images.
        about: facts of the model that the page shows: name, and others that may be there.
        port: 0 for any that is free.

    Raises:
        ParameterError: the port is taken, or this user may not listen to it.
    """

    daemon_threads = True

    def __init__(self, predictor: Predictor, calibration: Calibration | None, about: dict[str, Any], port: int) -> None:
        self.predictor, self.calibration, self.about = predictor, calibration, about
        self.lock = Lock()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            reason = f"--port={port} cannot be listened to ({error.strerror})"
            raise ParameterError(f"{reason}; name another, or 0 for any that is free.") from error

    @property
    def address(self) -> str:
        """What a browser is given."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> Sequence[str]:
        """What a request may call this server; others come by a name that somebody else has made up for it."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"

    def answer(self, content: bytes) -> dict[str, Any]:
        """What is said of an image in a file's bytes. Raises DataError where it cannot be read."""
        with self.lock:
            (batch,) = predictions(
                self.predictor, ImageSource(["The image"], [content]), lambda _: None, self.calibration
            )
        return answer_of(batch, self.predictor.classifier.images.class_names)


def answer_of(batch: PredictedBatch, class_names: Sequence[str]) -> dict[str, Any]:
    """What the page shows of one image: its most probable classes with probability and confidence, likeness and unlike; None in
    place of what only a calibration tells.
    """
    said = batch.probabilities[0]
    calibrated = None if batch.calibrated is None else batch.calibrated[0]
    classes = [
        {
            "class": class_names[label],
            "confidence": float(said[label]),
            "probability": None if calibrated is None else float(calibrated[label]),
        }
        for label in np.argsort(-said, kind="stable")[:_SHOWN_CLASSES]
    ]
    likeness = None if batch.likeness is None else float(batch.likeness[0])
    return {"classes": classes, "likeness": likeness, "unlike": None if likeness is None else likeness < 1 - ACCEPTED}


class _Handler(BaseHTTPRequestHandler):
    server: TryServer
    timeout = _SECONDS_A_REQUEST
    server_version, sys_version = "vision-studies", ""

    def do_GET(self) -> None:
        if not self._is_ours():
            self._send_error(HTTPStatus.FORBIDDEN, "This page is opened by the address that the command shows.")
        elif self.path == "/":
            page = files("vision_studies.serving").joinpath("pages/try.html").read_text(encoding="utf-8")
            self._send(HTTPStatus.OK, page.replace(_COLOURS, page_theme()).encode(), "text/html; charset=utf-8")
        elif self.path == "/model":
            self._send_json(HTTPStatus.OK, self.server.about)
        else:
            self._send_error(HTTPStatus.NOT_FOUND, "There is nothing here; the page is at /.")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._is_ours():
            self._send_error(HTTPStatus.FORBIDDEN, "Images are taken from the page of this command alone.")
        elif self.path != "/predict":
            self._send_error(HTTPStatus.NOT_FOUND, "There is nothing here; images go to /predict.")
        elif not length.isascii() or not length.isdigit():
            self._send_error(HTTPStatus.LENGTH_REQUIRED, "The size of the image is missing.")
        elif int(length) > MOST_BYTES:
            limit = (
                f"The file has {int(length) / 1e6:,.0f} MB, more than the {MOST_BYTES / 1e6:,.0f} MB that are taken."
            )
            self._send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limit)
        else:
            self._predict(self.rfile.read(int(length)))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing in the terminal."""

    def _predict(self, content: bytes) -> None:
        try:
            answer = self.server.answer(content)
        except VisionStudiesError as error:
            self._send_error(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            self._send_json(HTTPStatus.OK, answer)

    def _is_ours(self) -> bool:
        """Whether a request is from this machine's own page: no other site's can reach it by a name or a form of its own."""
        origin = self.headers.get("Origin")
        known = self.headers.get("Host") in self.server.hosts
        return known and (origin is None or origin.removeprefix("http://") in self.server.hosts)

    def _send_error(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True  # what it sends after this is not read
        self._send_json(status, {"error": message})

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, json.dumps(value, ensure_ascii=False).encode(), "application/json; charset=utf-8")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
