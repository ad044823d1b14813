import io
import zipfile

import pytest
import torch

from vision_studies.errors import CheckpointError, DataError
from vision_studies.models.initialisation import load_pretrained
from vision_studies.models.torch_files import is_plain_tensor, load_torch_file
from vision_studies.pipelines.alphanet.work.original_format import LINEAR, read_classifier


def packed(file, size):
    """A file of torch.save whose zeros are compressed."""
    saved = io.BytesIO()
    torch.save({"weight": torch.zeros(size)}, saved)
    with zipfile.ZipFile(saved) as plain, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in plain.infolist():
            archive.writestr(member.filename, plain.read(member))


def test_zeros_that_are_packed_are_not_unpacked(tmp_path):
    packed(tmp_path / "bomb.pth", 1 << 20)
    assert (tmp_path / "bomb.pth").stat().st_size < 50_000
    with pytest.raises(ValueError, match=r"compressed, which torch\.save never does"):
        load_torch_file(tmp_path / "bomb.pth")
    with pytest.raises(DataError, match=r"bomb\.pth is damaged or holds more than weights"):
        read_classifier(tmp_path / "bomb.pth", LINEAR)
    with pytest.raises(CheckpointError, match=r"bomb\.pth cannot be read"):
        load_pretrained(torch.nn.Linear(2, 3), tmp_path / "bomb.pth")


REPEATED = torch.zeros(1).expand(1 << 20, 1 << 20)
ODD = {
    "repeated": REPEATED,
    "sparse": torch.eye(3).to_sparse(),
    "complex": torch.zeros(3, 2, dtype=torch.complex64),
    "meta": torch.empty(1 << 20, 1 << 20, device="meta"),
}


@pytest.mark.parametrize("kind", ODD)
def test_tensors_without_numbers_are_refused(tmp_path, kind):
    file = tmp_path / "weights.pth"
    torch.save({"weight": ODD[kind], "bias": torch.zeros(3)}, file)
    assert file.stat().st_size < 50_000
    assert not is_plain_tensor(ODD[kind])
    with pytest.raises(
        DataError, match=r"weights\.pth holds a tensor that is sparse, or larger|holds more than weights"
    ):
        read_classifier(file, LINEAR)
    with pytest.raises(CheckpointError, match=r"weights\.pth (holds more or other things than named|cannot be read)"):
        load_pretrained(torch.nn.Linear(2, 3), file)


@pytest.mark.parametrize("content", [[1], {"weight": [1, 2]}, {1: torch.zeros(2)}, torch.zeros(2)])
def test_what_is_not_named_tensors_is_one_sentence(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"weights\.pth holds more or other things than named tensors"):
        load_pretrained(torch.nn.Linear(2, 3), tmp_path / "weights.pth")


def test_plain_weights_are_read(tmp_path):
    network = torch.nn.Linear(2, 3)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    assert load_pretrained(torch.nn.Linear(2, 3), tmp_path / "weights.pth").weight.equal(network.weight)
    assert is_plain_tensor(network.weight.T)
