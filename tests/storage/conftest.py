import logging
from types import SimpleNamespace

import numpy as np
import pytest

from vision_studies.data.image_set import ImageSet
from vision_studies.storage.kept_data import KeptData
from vision_studies.storage.layout import data_places, study_places
from vision_studies.storage.store import Store

ONCE = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
"""Options of s3fs with which a server that is gone is told of at once."""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def s3(monkeypatch):
    """An S3-compatible server with an empty bucket, `studies`; `requests` are the lines of its log."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    import fsspec
    from moto.server import ThreadedMotoServer

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    requests: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: requests.append(record.getMessage())
    log = logging.getLogger("werkzeug")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    options = {"endpoint_url": "http://{}:{}".format(*server.get_host_and_port())}
    files = fsspec.filesystem("s3", use_listings_cache=False, **options)
    files.mkdir("studies")
    # One server serves all tests of a process: moto keeps its buckets beyond it.
    yield SimpleNamespace(url="s3://studies/kept", options=options, files=files, requests=requests, server=server)
    if files.exists("studies"):
        files.rm("studies", recursive=True)
    server.stop()
    log.removeHandler(handler)


@pytest.fixture
def store(tmp_path) -> Store:
    """A store in a folder, as on a file server."""
    (tmp_path / "server").mkdir()
    return Store(f"file://{tmp_path}/server", {})


def machine(root, store: Store) -> KeptData:
    """The data folder of another machine, with a study and a data set that are kept in `store`."""
    return KeptData.of(root / "data", (*study_places("study"), *data_places("digits-1")), store)


def write_run(kept: KeptData, name: str = "abc", accuracy: float = 0.5, **stages: str):
    """A run's folder as a finished training leaves it."""
    import json

    folder = kept.root / "06_models/study/cifar_resnet/runs" / name
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text('{"seed": 0}')
    (folder / "weights.safetensors").write_bytes(name.encode() * 1000 + bytes([round(100 * accuracy)]))
    (folder / "checkpoints/epoch_0002.safetensors").write_bytes(b"numbered")
    (folder / "checkpoints/final.safetensors").write_bytes(b"state of the optimiser")
    (folder / ".lock").touch()
    for stage, status in (stages or {"training": "complete"}).items():
        (folder / f"{stage}.json").write_text(
            json.dumps({"stage": stage, "metrics": {"accuracy": accuracy}, "status": status})
        )
    return folder


def write_images(kept: KeptData, count: int = 300) -> ImageSet:
    """A prepared image set, opened from its folder."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(count) % 3
    folder = kept.root / "03_primary/digits-1/image_set"
    ImageSet.create("random", images, labels, ("a", "b", "c"), np.zeros(count, bool), {}).save(folder)
    return ImageSet.open(folder)
