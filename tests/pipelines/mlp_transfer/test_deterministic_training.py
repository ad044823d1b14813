import pytest
import torch
from safetensors.torch import load_file
from tests.pipelines.mlp_transfer.test_mlp_transfer_settings import settings

from vision_studies.pipelines.mlp_transfer.settings import HYPERPARAMETERS, MlpRunSettings
from vision_studies.pipelines.mlp_transfer.work import train_stack
from vision_studies.training.runtime import deterministic

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # on a GPU the switch decides
VALUES = dict(zip(HYPERPARAMETERS, (3e-3, 0.9, 0.99, 1e-8, 1e-3, 0.3, 0.05), strict=True))


@pytest.fixture(autouse=True)
def any_algorithm_afterwards():
    benchmark = torch.backends.cudnn.benchmark
    yield
    deterministic(False)
    torch.backends.cudnn.benchmark = benchmark


def train(data, folder, *, seeds, switched):
    """Weights of each seed, and what torch was allowed to use while they were trained."""
    study = settings(
        {
            "training": {"epochs": 4, "batch_size": 64, "validation_schedule": [{"until_epoch": None, "interval": 1}]},
            "stack": {"deterministic": switched},
        }
    )
    run = MlpRunSettings.model_validate(study.run((16, 8), VALUES))
    seen = set()

    def look(_member, _epoch, _loss):
        seen.add(torch.are_deterministic_algorithms_enabled())
        return False

    folder.mkdir()
    train_stack(
        [(run, seed) for seed in seeds],
        data,
        folder,
        DEVICE,
        study.stack,
        on_end=lambda *_: None,
        weights_file=lambda member: folder / f"{member}.safetensors",
        prune=look,
    )
    return [load_file(folder / f"{member}.safetensors") for member in range(len(seeds))], seen


def equal(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_switch_reaches_torch_and_the_same_seeds_give_the_same_bits(digits, tmp_path):
    first, allowed = train(digits, tmp_path / "first", seeds=(1, 2), switched=True)
    again, _ = train(digits, tmp_path / "again", seeds=(1, 2), switched=True)
    assert allowed == {True}
    assert all(equal(*pair) for pair in zip(first, again, strict=True))
    assert not equal(*first)
    _, allowed = train(digits, tmp_path / "switched off", seeds=(1, 2), switched=False)
    assert allowed == {False}
