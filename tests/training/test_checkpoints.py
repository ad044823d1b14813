import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vision_studies.errors import CheckpointError
from vision_studies.training.checkpoints import load_state, load_weights, save_state, save_weights

STATE = {
    "numbers": [1, 2.5, -0.1, float("inf"), True, None, "text"],
    "nested": {0: {"momentum_buffer": torch.randn(2, 3)}, "betas": (0.9, 0.999)},
    "kinds": [
        torch.arange(4),
        torch.tensor(1.5, dtype=torch.float64),
        torch.tensor([True]),
        torch.ones(3).bfloat16(),
        torch.empty(0),
        torch.get_rng_state(),
    ],
    "empty": {},
}


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for left, right in zip(ours, theirs, strict=True):
            assert_same(left, right)
    else:
        assert ours == theirs


def test_a_nested_state_comes_back_as_it_was(tmp_path):
    save_state(tmp_path / "state.safetensors", STATE)
    assert_same(load_state(tmp_path / "state.safetensors"), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_tensors_that_share_memory_or_are_strided_are_saved(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    state = [base, base, base.T, base[1], torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)]
    save_state(tmp_path / "state.safetensors", state)
    assert_same(load_state(tmp_path / "state.safetensors"), state)


def test_a_nan_survives(tmp_path):
    save_state(tmp_path / "state.safetensors", {"loss": float("nan")})
    loaded = load_state(tmp_path / "state.safetensors")["loss"]
    assert loaded != loaded  # noqa: PLR0124 - the property of NaN


def test_what_is_no_plain_value_is_refused_and_the_older_file_kept(tmp_path):
    path = tmp_path / "state.safetensors"
    save_state(path, {"epoch": 1})
    with pytest.raises(TypeError, match="object"):
        save_state(path, {"epoch": object()})
    assert load_state(path) == {"epoch": 1}


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other", "missing"])
def test_a_damaged_file_gives_one_sentence(tmp_path, damage):
    path = tmp_path / "state.safetensors"
    save_state(path, STATE)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other":
        from safetensors.torch import save_file

        save_file({"weight": torch.ones(2)}, path)
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello" * 100}[damage])
    with pytest.raises(CheckpointError, match=r"state\.safetensors") as error:
        load_state(path)
    assert "\n" not in str(error.value)


def test_weights_come_back(tmp_path):
    first, second = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    save_weights(first, tmp_path / "weights.safetensors")
    assert load_weights(second, tmp_path / "weights.safetensors") is second
    assert_same(dict(second.state_dict()), dict(first.state_dict()))


@pytest.mark.parametrize("other", [nn.Linear(4, 2), nn.Linear(3, 2, bias=False), nn.Sequential(nn.Linear(3, 2))])
def test_weights_of_another_architecture_give_one_sentence(tmp_path, other):
    path = tmp_path / "weights.safetensors"
    save_weights(nn.Linear(3, 2), path)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match="another network") as error:
        load_weights(other, path)
    assert "\n" not in str(error.value)
    assert before.keys() == other.state_dict().keys()


def test_equal_states_are_equal_files(tmp_path):
    state = {"weights": {"a": torch.arange(3.0), "b": torch.ones(2)}, "seed": 3}
    for number in range(20):
        save_state(tmp_path / str(number), state)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("checksum", ["right", "wrong", None])
def test_files_of_earlier_releases_are_read_and_checked(tmp_path, checksum):
    described = '{"dict": [["weights", {"tensor": "0"}], ["seed", 3]]}'
    tensors = {"0": torch.arange(3.0)}
    metadata = {"state": described}
    if checksum is not None:
        digest = hashlib.sha256(described.encode() + b"0 torch.float32 [3]" + tensors["0"].numpy().tobytes())
        metadata["sha256"] = digest.hexdigest() if checksum == "right" else "0" * 64
    save_file(tensors, tmp_path / "old.safetensors", metadata=metadata)
    if checksum == "wrong":
        with pytest.raises(CheckpointError, match="has changed since it was written"):
            load_state(tmp_path / "old.safetensors")
        return
    state = load_state(tmp_path / "old.safetensors")
    assert torch.equal(state["weights"], tensors["0"])
    assert state["seed"] == 3
