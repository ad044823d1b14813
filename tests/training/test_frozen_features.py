import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tests.conftest import ROOT

from vision_studies.models.backbones import open_backbone
from vision_studies.training import feature_store, frozen_features
from vision_studies.training.feature_store import feature_key, joined_features, read_features, stored_features
from vision_studies.training.precision import has_fast_bfloat16

NAME = "efficientnet_lite0"
TOLERANCE = 0.15 if has_fast_bfloat16("cpu") else 1e-4
"""Relative to the largest feature: three digits of bfloat16 through some fifty layers."""


@pytest.fixture(scope="module")
def images():
    """Smooth waves, uint8 [7, 40, 40, 3], no two of them alike."""
    rows, columns = np.mgrid[:40, :40]
    waves = [
        np.sin(rows / (2 + index)) * np.cos(columns / (6 - colour) + index) for index in range(7) for colour in range(3)
    ]
    return (128 + 100 * np.stack(waves)).astype(np.uint8).reshape(7, 3, 40, 40).transpose(0, 2, 3, 1)


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(feature_store, "BLOCK", 2)


def plainly(images, pixels, mirror):
    """Features by Pillow and the network as it is."""
    from PIL import Image

    network = open_backbone(NAME).network
    rows = []
    for image in images:
        picture = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).convert("RGB")
        pixels_of_it = np.array(picture.resize((pixels, pixels), Image.Resampling.BICUBIC), np.float32)
        values = torch.from_numpy((pixels_of_it - 127) / 128).permute(2, 0, 1)[None]
        views = [values, values.flip(3)] if mirror else [values]
        with torch.no_grad():
            rows.append(torch.cat([network(view) for view in views]).mean(dim=0).numpy())
    return np.stack(rows)


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("pixels", "mirror", "threads"), [(32, False, 1), (32, True, 2), (64, True, 1), (40, False, 2)]
)
def test_features_are_those_of_the_plain_network_on_images_that_pillow_resized(images, pixels, mirror, threads):
    features = frozen_features.frozen_features(images, NAME, pixels, mirror=mirror, threads=threads)
    expected = plainly(images, pixels, mirror)
    assert features.dtype == np.float32
    # A pixel that is rounded the other way moves a feature a little.
    assert np.abs(features - expected).max() <= max(TOLERANCE, 0.01) * np.abs(expected).max()
    assert np.abs(features - expected).mean() <= max(TOLERANCE, 0.01) * np.abs(expected).mean()


def test_grey_images_are_three_equal_channels(images):
    grey = images[:, :, :, :1]
    coloured = np.repeat(grey, 3, axis=3)
    given = [frozen_features.frozen_features(each, NAME, 32, mirror=False) for each in (grey, coloured)]
    np.testing.assert_allclose(*given, atol=1e-3)


def test_threads_of_torch_are_what_they_were_and_progress_is_told(images, monkeypatch):
    monkeypatch.setattr(frozen_features, "_PIXELS_AT_ONCE", 2 * 32 * 32)
    told, before = [], torch.get_num_threads()
    frozen_features.frozen_features(images, NAME, 32, mirror=False, threads=2, progress=told.append)
    assert told == [2, 4, 6, 7]
    assert torch.get_num_threads() == before


def test_features_are_computed_once(images, tmp_path, monkeypatch):
    first = stored_features(tmp_path, images, "one", NAME, 32)
    monkeypatch.setattr(feature_store, "FeatureExtractor", None)  # which would fail
    np.testing.assert_array_equal(stored_features(tmp_path, images, "one", NAME, 32), first)
    key = feature_key("one", NAME, open_backbone(NAME).weights, 32)
    np.testing.assert_array_equal(read_features(tmp_path, key, len(images)), first)


@pytest.mark.parametrize(
    "change", [{"fingerprint": "two"}, {"pixels": 33}, {"mirror": False}, {"backbone": "efficientnet_lite2"}]
)
def test_each_thing_that_decides_features_has_features_of_its_own(change, tmp_path):
    given = {"fingerprint": "one", "pixels": 32, "mirror": True, "backbone": NAME}

    def folder(fingerprint, backbone, pixels, mirror):
        return feature_key(fingerprint, backbone, open_backbone(backbone).weights, pixels, mirror=mirror).folder(
            tmp_path
        )

    assert folder(**given) != folder(**given | change)


def test_a_call_that_was_stopped_goes_on_where_it_was(images, tmp_path, few_at_once, monkeypatch):
    def stop(done):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored_features(tmp_path, images, "one", NAME, 32, progress=stop)
    computed = []
    extract = frozen_features.FeatureExtractor.__call__
    monkeypatch.setattr(
        frozen_features.FeatureExtractor,
        "__call__",
        lambda self, block, progress=None: computed.append(len(block)) or extract(self, block, progress),
    )
    features = stored_features(tmp_path, images, "one", NAME, 32)
    assert sum(computed) == len(images) - 2  # the first block was written, the second was stopped before it was
    expected = frozen_features.frozen_features(images, NAME, 32)
    np.testing.assert_allclose(features, expected, atol=max(TOLERANCE, 1e-3) * np.abs(expected).max())
    [folder] = tmp_path.iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["features.npy", "key.json"]


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_damaged_features_are_computed_again(images, tmp_path, content):
    first = stored_features(tmp_path, images, "one", NAME, 32)
    [file] = tmp_path.glob("*/features.npy")
    file.write_bytes(content)
    np.testing.assert_allclose(stored_features(tmp_path, images, "one", NAME, 32), first, atol=1e-3)


@pytest.mark.slow
def test_a_kill_loses_a_block_at_most(tmp_path, monkeypatch):
    script = (
        "import numpy as np, pathlib, sys\n"
        "from vision_studies.training import feature_store\n"
        "feature_store.BLOCK = 8\n"
        "images = np.random.default_rng(0).integers(0, 256, (200, 20, 20, 3), dtype=np.uint8)\n"
        "print('ready', flush=True)\n"
        f"feature_store.stored_features(pathlib.Path(sys.argv[1]), images, 'one', {NAME!r}, 64)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    while len(list(tmp_path.glob("*/block_*.npy"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    monkeypatch.setattr(feature_store, "BLOCK", 8)
    images = np.random.default_rng(0).integers(0, 256, (200, 20, 20, 3), dtype=np.uint8)
    features = stored_features(tmp_path, images, "one", NAME, 64)
    chosen = [0, 8, 63, 64, 199]
    expected = frozen_features.frozen_features(images[chosen], NAME, 64)
    np.testing.assert_allclose(features[chosen], expected, atol=max(TOLERANCE, 1e-3) * np.abs(expected).max())
    [folder] = tmp_path.iterdir()
    assert not list(folder.glob("block_*"))


def test_joined_features_stand_side_by_side_and_none_outweighs_another():
    parts = [np.full((3, 4), 0.01, np.float32), np.full((3, 2), 7, np.float32), np.zeros((3, 1), np.float32)]
    joined = joined_features(parts)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined, np.tile([1, 1, 1, 1, 1, 1, 0], (3, 1)), rtol=1e-5)
