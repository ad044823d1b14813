import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.data.conftest import make_image_set

from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.data.data_card import channel_statistics
from vision_studies.data.ffcv import FfcvLoader, check_beton, write_beton
from vision_studies.data.loaders import DeviceLoader, Share, augmentation_generator
from vision_studies.errors import DataError, MissingDependencyError

CPU = torch.device("cpu")
needs_ffcv = pytest.mark.skipif(
    find_spec("ffcv") is None, reason="FFCV is not installed (its system packages were missing at set-up)"
)


def mirror_some(images, generator, _):
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def options(image_set, **changes):
    everything = np.arange(len(image_set.labels))
    values = {"batch_size": 7, "normalisation": channel_statistics(image_set, everything), "device": CPU, "seed": 3}
    return values | changes


def indices(loader, epoch):
    return [index for batch in loader.epoch(epoch) for index in batch.indices.tolist()]


def test_an_unshuffled_loader_gives_every_image_once_in_order(image_set):
    loader = DeviceLoader(image_set, np.arange(5, 60), **options(image_set))
    assert indices(loader, 0) == indices(loader, 9) == list(range(5, 60))
    assert [len(batch.labels) for batch in loader.epoch(0)] == [7] * 7 + [6]
    assert len(loader) == 8
    assert len(DeviceLoader(image_set, np.arange(5, 60), drop_last=True, **options(image_set))) == 7


def test_images_are_normalised_and_belong_to_their_labels(image_set):
    loader = DeviceLoader(image_set, np.arange(60), **options(image_set))
    mean = np.array(loader_normalisation(image_set).mean)
    std = np.array(loader_normalisation(image_set).std)
    for batch in loader.epoch(0):
        expected = (image_set.images[batch.indices] - mean) / std
        np.testing.assert_allclose(batch.images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
        np.testing.assert_array_equal(batch.labels.numpy(), image_set.labels[batch.indices])
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def loader_normalisation(image_set):
    return channel_statistics(image_set, np.arange(len(image_set.labels)))


def test_order_and_augmentation_depend_on_seed_and_epoch_alone(image_set):
    def batches(seed, epoch):
        loader = DeviceLoader(
            image_set, np.arange(60), shuffle=True, augmentation=mirror_some, **options(image_set, seed=seed)
        )
        return [batch.images for batch in loader.epoch(epoch)], indices(loader, epoch)

    images, order = batches(1, 4)
    again, same_order = batches(1, 4)
    assert order == same_order
    assert all(torch.equal(first, second) for first, second in zip(images, again, strict=True))
    assert sorted(order) == list(range(60))
    assert order != batches(1, 5)[1] != batches(2, 4)[1]


def test_a_batch_is_the_same_whether_or_not_earlier_ones_were_read(image_set):
    settings = options(image_set, shuffle=True, augmentation=mirror_some)
    whole = list(DeviceLoader(image_set, np.arange(60), **settings).epoch(2))
    other = DeviceLoader(image_set, np.arange(60), **settings)
    next(other.epoch(0))
    again = list(other.epoch(2))
    assert all(torch.equal(first.images, second.images) for first, second in zip(whole, again, strict=True))


def test_augmentation_differs_between_batches_and_epochs():
    drawn = {
        torch.rand(1, generator=augmentation_generator(seed, epoch, batch)).item()
        for seed in range(4)
        for epoch in range(4)
        for batch in range(4)
    }
    assert len(drawn) == 64


def test_bfloat16_batches_are_rounded_float32_ones(image_set):
    plain = DeviceLoader(image_set, np.arange(60), **options(image_set))
    rounded = DeviceLoader(image_set, np.arange(60), dtype=torch.bfloat16, **options(image_set))
    for first, second in zip(plain.epoch(0), rounded.epoch(0), strict=True):
        assert torch.equal(first.images.bfloat16(), second.images)


@pytest.mark.slow
@needs_ffcv
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_both_loaders_give_the_same_batches_bit_by_bit(tmp_path, channels, shuffle):
    image_set = make_image_set(channels=channels)
    chosen = np.arange(3, 58)
    write_beton(image_set, chosen, tmp_path / "set.beton")
    settings = options(image_set, shuffle=shuffle, augmentation=mirror_some)
    device = DeviceLoader(image_set, chosen, **settings)
    ffcv = FfcvLoader(tmp_path / "set.beton", **settings)
    assert len(device) == len(ffcv)
    for epoch in (0, 7, 1):  # FFCV counts epochs itself; ours may be asked for in any order
        assert sorted(indices(ffcv, epoch)) == sorted(indices(device, epoch)) == chosen.tolist()
        for first, second in zip(device.epoch(epoch), ffcv.epoch(epoch), strict=True):
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))


STEPS = [
    {"name": "random_crop", "padding": 1, "mode": "reflect"},
    {"name": "alternating_flip"},
    {"name": "rand_augment", "num_ops": 2, "magnitude": 9, "num_magnitude_bins": 31},
    {"name": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    {"name": "random_erasing", "probability": 0.5, "scale": [0.1, 0.3], "ratio": [0.5, 2.0]},
]


@pytest.mark.parametrize("processes", [2, 3])
def test_shares_of_processes_together_are_the_batches_of_one(image_set, processes):
    augmentation = AugmentationSettings.model_validate({"steps": STEPS}).build((9, 9, 9))
    settings = options(image_set, batch_size=8, shuffle=True, augmentation=augmentation)
    chosen = np.arange(3, 53)  # 50 images: the last batch has 2, and none for the last process
    shares = [DeviceLoader(image_set, chosen, share=Share(rank, processes), **settings) for rank in range(processes)]
    whole = DeviceLoader(image_set, chosen, **settings)
    assert {(len(share), share.num_samples) for share in shares} == {(7, 50)}
    for batch, *parts in zip(whole.epoch(4), *(share.epoch(4) for share in shares), strict=True):
        for ours, *theirs in zip(batch, *parts, strict=True):
            assert torch.equal(ours, torch.cat(theirs))


@pytest.mark.slow
@needs_ffcv
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_a_process_reads_its_share_of_a_file_alone(tmp_path, image_set, shuffle):
    chosen = np.arange(3, 53)
    write_beton(image_set, chosen, tmp_path / "set.beton")
    settings = options(image_set, batch_size=8, shuffle=shuffle, augmentation=mirror_some)
    for rank in range(3):
        device = DeviceLoader(image_set, chosen, share=Share(rank, 3), **settings)
        ffcv = FfcvLoader(tmp_path / "set.beton", share=Share(rank, 3), **settings)
        assert len(ffcv._sample_order(1)) == {0: 20, 1: 19, 2: 13}[rank]  # one more stands for an empty batch
        for first, second in zip(device.epoch(1), ffcv.epoch(1), strict=True):
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))


@needs_ffcv
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_a_part_of_a_file_gives_the_batches_of_these_images(tmp_path, image_set, shuffle):
    chosen = np.arange(3, 58)
    positions = np.array([0, 2, 3, 10, 11, 12, 13, 14, 50, 54])
    write_beton(image_set, chosen, tmp_path / "set.beton")
    settings = options(image_set, batch_size=4, shuffle=shuffle, augmentation=mirror_some)
    part = FfcvLoader(tmp_path / "set.beton", positions=positions, **settings)
    device = DeviceLoader(image_set, chosen[positions], **settings)
    assert (part.num_samples, len(part)) == (10, 3)
    for epoch in (0, 1):
        assert sorted(indices(part, epoch)) == chosen[positions].tolist()
        for first, second in zip(device.epoch(epoch), part.epoch(epoch), strict=True):
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))


@pytest.mark.slow
@needs_ffcv
def test_reading_and_writing_leave_the_threads_of_torch_alone(tmp_path):
    script = f"""
import numpy as np, torch
from tests.conftest import ROOT
from tests.data.conftest import make_image_set
from tests.data.test_loaders import options
torch.set_num_threads(2)
from vision_studies.data.ffcv import write_beton
from vision_studies.data.ffcv import FfcvLoader
image_set = make_image_set()
write_beton(image_set, np.arange(60), __import__("pathlib").Path({str(tmp_path / "set.beton")!r}))
threads = [torch.get_num_threads()]
loader = FfcvLoader(__import__("pathlib").Path({str(tmp_path / "set.beton")!r}), **options(image_set))
for batch in loader.epoch(0):
    threads.append(torch.get_num_threads())
print(set(threads))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "{2}"


@pytest.mark.slow
@needs_ffcv
def test_an_epoch_that_is_not_read_to_its_end_leaves_no_thread_behind(tmp_path, image_set):
    write_beton(image_set, np.arange(60), tmp_path / "set.beton")
    settings = options(image_set, batch_size=3, shuffle=True)
    loader = FfcvLoader(tmp_path / "set.beton", **settings)
    expected = indices(DeviceLoader(image_set, np.arange(60), **settings), 2)
    before = threading.active_count()
    for _ in range(3):
        begun = loader.epoch(2)
        assert next(begun).indices.tolist() == expected[:3]
        begun.close()
    assert indices(loader, 2) == expected
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


@needs_ffcv
def test_ffcv_leaves_out_the_last_partial_batch_on_demand(tmp_path, image_set):
    write_beton(image_set, np.arange(60), tmp_path / "set.beton")
    loader = FfcvLoader(tmp_path / "set.beton", drop_last=True, **options(image_set))
    assert len(loader) == 8
    assert [len(batch.labels) for batch in loader.epoch(0)] == [7] * 8


@needs_ffcv
def test_batches_of_both_loaders_are_equal_in_bfloat16(tmp_path, image_set):
    write_beton(image_set, np.arange(60), tmp_path / "set.beton")
    settings = options(image_set, shuffle=True, augmentation=mirror_some, dtype=torch.bfloat16)
    device = DeviceLoader(image_set, np.arange(60), **settings)
    for first, second in zip(device.epoch(3), FfcvLoader(tmp_path / "set.beton", **settings).epoch(3), strict=True):
        assert first.images.dtype == torch.bfloat16
        assert torch.equal(first.images, second.images)


@needs_ffcv
def test_a_set_smaller_than_a_batch_is_one_batch(tmp_path, image_set):
    write_beton(image_set, np.arange(4), tmp_path / "set.beton")
    loader = FfcvLoader(tmp_path / "set.beton", **options(image_set, batch_size=64))
    assert [len(batch.labels) for batch in loader.epoch(0)] == [4]


@needs_ffcv
@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.999])
def test_a_truncated_beton_is_one_sentence_and_no_crash(tmp_path, image_set, keep):
    path = tmp_path / "set.beton"
    write_beton(image_set, np.arange(60), path)
    assert check_beton(path) == 60
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match=r"set\.beton is truncated"):
        FfcvLoader(path, **options(image_set))


@needs_ffcv
def test_another_file_is_no_beton(tmp_path, image_set):
    path = tmp_path / "set.beton"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(DataError, match=r"is not a \.beton file"):
        FfcvLoader(path, **options(image_set))
    with pytest.raises(DataError, match="is missing"):
        FfcvLoader(tmp_path / "none.beton", **options(image_set))


def test_without_ffcv_one_sentence_names_the_packages(tmp_path, image_set, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ffcv", None)
    with pytest.raises(MissingDependencyError, match=r"libturbojpeg0-dev.*loader=device"):
        FfcvLoader(tmp_path / "set.beton", **options(image_set))
