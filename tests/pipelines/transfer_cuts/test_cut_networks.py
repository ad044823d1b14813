"""Networks before they are cut and after it, tensor by tensor."""

import numpy as np
import pytest
import torch
from tests.pipelines.transfer_cuts.test_transfer_cuts_settings import transfer_settings
from tests.rounding import BFLOAT16, bfloat16_bound

from vision_studies.errors import CheckpointError
from vision_studies.pipelines.transfer_cuts.cut_networks import (
    FrozenLayers,
    build_network,
    cut_network,
    load_pretrained,
    pixel_tensor,
    pretraining_network,
    tensor_data,
)
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, CutRunSettings, PretrainingRunSettings
from vision_studies.training.checkpoints import save_weights
from vision_studies.training.ensemble import initial_network

CPU = torch.device("cpu")
DEPTH = 4
NETWORK = {"name": "convnet", "channels": [6, 8, 5, 7], "every": 2}  # maps of 8, 4 and 2 pixels
FIRST, NEW = ("0", "1", "2", "3", "4", "5"), ("6", "7", "8", "9")
MODES = ("freeze_reinit", "freeze", "reinit", "fine_tune", "freeze_truncate")
POINTS = [(BASELINE, 0)] + [(mode, cut) for mode in MODES for cut in range(DEPTH + 1)]
# With one dense layer, with two that are new, and with the first of two kept, which no truncated network can have.
DENSE_POINTS = [(*point, *dense) for point in POINTS for dense in ((None, True), (9, True))]
DENSE_POINTS += [(mode, cut, 9, False) for mode, cut in POINTS if mode != "freeze_truncate"]
FP32 = transfer_settings(fine_tuning={"training": {"precision": "fp32"}}).fine_tuning.training
BF16 = FP32.model_copy(update={"precision": "bf16"})


def run_settings(mode, cut, *, reinit_both_dense=True, **network):
    own = transfer_settings(
        network=NETWORK | network,
        modes=[mode] if mode in MODES else ["freeze"],
        reinit_both_dense=reinit_both_dense,
    )
    return CutRunSettings.model_validate(own.run(mode, cut, 0.1, NEW, "fingerprint"))


def pretrained_network(data, **network):
    """As if it had learnt something: weights that no seed of these tests gives."""
    own = transfer_settings(network=NETWORK | network)
    settings = PretrainingRunSettings.model_validate(own.pretraining_run(FIRST))
    return pretraining_network(settings, data, 1234)


def expected_layers(mode, cut):
    """Which convolutions there are, which of them are pretrained and which learn, as the source says it."""
    layers = range(cut) if mode == "freeze_truncate" else range(DEPTH)
    kept = {layer for layer in layers if mode in ("freeze", "fine_tune") or (mode != BASELINE and layer < cut)}
    fixed = {layer for layer in layers if mode in ("freeze_reinit", "freeze", "freeze_truncate") and layer < cut}
    return {f"conv{layer}" for layer in layers}, {f"conv{n}" for n in kept}, {f"conv{n}" for n in fixed}


@pytest.mark.parametrize(("mode", "cut", "hidden", "both"), DENSE_POINTS)
def test_every_tensor_is_pretrained_or_new_and_learns_or_not(digits, mode, cut, hidden, both):
    pretrained = pretrained_network(digits, hidden=hidden)
    settings = run_settings(mode, cut, reinit_both_dense=both, hidden=hidden)
    network = cut_network(settings, digits, 3, pretrained, start=0)
    there, kept, fixed = expected_layers(mode, cut)
    if hidden and not both and kept:
        kept = kept | {"fc"}
    dense = {"fc"} if hidden is None else {"fc", "fc_2"}
    assert {name for name, _ in network.named_children()} == there | dense
    learns = {name: value.requires_grad for name, value in network.named_parameters()}
    assert {name for name, own in learns.items() if not own} == {
        f"{n}.{kind}" for n in fixed for kind in ("weight", "bias")
    }
    earlier = pretrained.state_dict()
    for name, value in network.state_dict().items():
        known = earlier[name].shape == value.shape and torch.equal(earlier[name], value)
        assert known == (name.split(".")[0] in kept), name
    if "fc_2" in dense:
        assert network.fc_2.out_features == len(NEW)
    else:
        assert network.fc.out_features == len(NEW)


@pytest.mark.parametrize(("mode", "cut"), POINTS)
def test_a_network_from_its_cut_on_is_the_end_of_the_whole(digits, mode, cut):
    pretrained = pretrained_network(digits)
    settings = run_settings(mode, cut)
    whole = cut_network(settings, digits, 3, pretrained, start=0)
    rest = cut_network(settings, digits, 3, pretrained)
    assert rest.start == len(expected_layers(mode, cut)[2])
    assert all(parameter.requires_grad for parameter in rest.parameters())
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in rest.state_dict().items())
    images = pixel_tensor(digits, digits.splits.train[:20], torch.float32, CPU)
    features = FrozenLayers(pretrained, settings.cut.frozen, FP32, CPU).features(digits, digits.splits.train[:20])
    torch.testing.assert_close(rest(features), whole(images))


def state(digits, mode, cut, seed=3, start=0, **options):
    return cut_network(run_settings(mode, cut, **options), digits, seed, pretrained_network(digits), start).state_dict()


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("seed", [0, 3])
def test_a_cut_before_everything_is_a_network_that_was_never_cut(digits, seed):
    build = initial_network(
        lambda: build_network(transfer_settings(network=NETWORK).network, digits, len(NEW)), seed
    ).state_dict()
    for mode in (BASELINE, "freeze_reinit", "reinit"):
        assert_same(state(digits, mode, 0, seed), build)
        assert_same(cut_network(run_settings(mode, 0), digits, seed, None).state_dict(), build)
    alone = cut_network(run_settings("freeze_truncate", 0), digits, seed, None)
    assert alone.fc.in_features == 64
    assert [*alone.state_dict()] == ["fc.weight", "fc.bias"]


def test_a_cut_behind_everything_is_one_network(digits):
    probe = state(digits, "freeze_reinit", DEPTH)
    assert_same(probe, state(digits, "freeze", DEPTH))
    assert_same(probe, state(digits, "freeze_truncate", DEPTH))
    assert_same(state(digits, "reinit", DEPTH), state(digits, "fine_tune", 0))
    assert_same(state(digits, "freeze", 0), state(digits, "fine_tune", 0))


def test_new_layers_come_from_the_seed_and_are_the_same_in_every_mode(digits):
    first, again, other = (state(digits, "freeze_reinit", 2, seed) for seed in (3, 3, 4))
    assert_same(first, again)
    new = {name for name in first if name.split(".")[0] in ("conv2", "conv3", "fc")}
    assert {name for name in first if not torch.equal(first[name], other[name])} == new
    assert_same(first, state(digits, "reinit", 2))
    assert_same(state(digits, "freeze", 1), state(digits, "freeze", 3))


def test_weights_of_an_earlier_network_must_be_given(digits):
    with pytest.raises(ValueError, match="conv0.weight of an earlier one"):
        cut_network(run_settings("freeze_reinit", 1), digits, 0, None, start=0)


def test_a_network_made_of_a_pretrained_one_leaves_it_as_it_was(digits):
    pretrained = pretrained_network(digits)
    kept = {name: value.clone() for name, value in pretrained.state_dict().items()}
    network = cut_network(run_settings("fine_tune", 0), digits, 0, pretrained)
    with torch.no_grad():
        network.conv0.weight.zero_()
    assert_same(pretrained.state_dict(), kept)


def test_a_pretrained_network_is_read_frozen_or_told_apart(digits, tmp_path):
    pretrained = pretrained_network(digits)
    save_weights(pretrained, tmp_path / "w.safetensors")
    settings = transfer_settings(network=NETWORK).network
    found = load_pretrained(settings, digits, FIRST, tmp_path / "w.safetensors")
    assert_same(found.state_dict(), pretrained.state_dict())
    assert not any(parameter.requires_grad for parameter in found.parameters())
    with pytest.raises(CheckpointError):
        load_pretrained(settings, digits, FIRST, tmp_path / "missing.safetensors")
    with pytest.raises(CheckpointError):
        load_pretrained(settings, digits, NEW, tmp_path / "w.safetensors")


def test_pixels_are_scaled_as_the_original_scales_them(digits):
    positions = np.r_[digits.splits.train[:300], 0, 0]
    found = pixel_tensor(digits, positions, torch.float32, CPU)
    expected = (digits.image_set.images[positions].transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (float(found.min()), float(found.max())) == (-1, 1)
    assert found.is_contiguous(memory_format=torch.channels_last)
    rough = pixel_tensor(digits, positions, torch.bfloat16, CPU)
    assert torch.equal(rough, found.bfloat16())
    assert pixel_tensor(digits, positions[:0], torch.float32, CPU).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("layers", range(DEPTH + 1))
def test_frozen_layers_give_what_the_network_gives_there(digits, layers):
    pretrained = pretrained_network(digits)
    positions = digits.splits.train[::-1][:300]  # more than are computed at a time
    frozen = FrozenLayers(pretrained, layers, FP32, CPU)
    found = frozen.features(digits, positions)
    expected = pretrained.features(pixel_tensor(digits, positions, torch.float32, CPU), stop=layers)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert frozen.bytes(digits, positions) == found.numel() * 4
    rough = FrozenLayers(pretrained, layers, BF16, CPU)
    assert rough.features(digits, positions).dtype == torch.bfloat16
    assert rough.bytes(digits, positions) == found.numel() * 2
    assert rough.identity() != frozen.identity() != FrozenLayers(pretrained, layers + 1, FP32, CPU).identity()
    bound = bfloat16_bound(layers) * found.abs().max().item()
    torch.testing.assert_close(rough.features(digits, positions).float(), found, rtol=BFLOAT16, atol=bound)


def test_features_of_no_images_are_refused(digits):
    with pytest.raises(ValueError, match="no images"):
        FrozenLayers(pretrained_network(digits), 2, FP32, CPU).features(digits, digits.splits.train[:0])


def test_rows_go_with_their_labels():
    features = torch.arange(12.0).view(3, 1, 2, 2)
    data = tensor_data(features, np.array([2, 0, 1]), np.array([2, 0]), np.array([1]), CPU)
    assert data.take(data.train)[:, 0, 0, 0].tolist() == [8, 0]
    assert data.labels[data.train].tolist() == [1, 2]
    assert data.validation.tolist() == [1]
