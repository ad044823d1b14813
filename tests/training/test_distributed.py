import math
import os
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.training.joint_work import (
    CPU,
    RECIPES,
    batch_norm,
    first_weights,
    killed_after,
    train_all,
    train_recipe,
    write_files,
)
from tests.training.refusing_work import refuse_in_one

from vision_studies.data.loaders import WHOLE, Share
from vision_studies.errors import DataError, ParameterError
from vision_studies.training.distributed import TogetherError, require_devices, require_equal_shares, train_together

HAS_FFCV = find_spec("ffcv") is not None


def assert_same(together, alone, tolerance=1e-9):
    timing = ["seconds", "images_per_second", "peak_memory_mb"]
    ours, theirs = (result.history.drop(columns=timing) for result in (together, alone))
    assert list(ours.columns) == list(theirs.columns)
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), atol=tolerance, rtol=tolerance)
    assert together.best_epoch == alone.best_epoch
    for kind in ("weights", "final_weights"):
        ours, theirs = getattr(together, kind), getattr(alone, kind)
        assert ours.keys() == theirs.keys() != set()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], atol=tolerance, rtol=tolerance, msg=name)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folders of a training that lost its first process, and of one that lost its caller, after two epochs each."""
    folders = [tmp_path_factory.mktemp(name) for name in ("process", "caller")]
    with pytest.raises(TogetherError, match=r"process 1 of 2 was killed \(SIGKILL\); the same command continues"):
        train_together(partial(killed_after, 2, 0, folders[0]), 2, CPU)
    script = folders[1] / "caller.py"
    call = f"outlive(Path({str(folders[1] / 'processes')!r}), Path({str(folders[1])!r}))"
    script.write_text(
        "from pathlib import Path\nfrom tests.training.joint_work import outlive\n"
        f"if __name__ == '__main__':\n    {call}\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], env=environment, timeout=300, check=False)
    assert done.returncode == -9
    return folders


@pytest.fixture(scope="module")
def together(tmp_path_factory, killed):
    """What two processes gave, all in one start, and the rows that the calling process was told."""
    folder = tmp_path_factory.mktemp("together")
    jobs = {name: (name, "device", folder) for name in RECIPES}
    jobs |= {f"killed {own.name[:6]}": ("momentum", "device", own) for own in killed}
    if HAS_FFCV:
        write_files("muon", folder)
        jobs["ffcv"] = ("muon", "ffcv", folder)
    rows = []
    results, norms = train_together(partial(train_all, list(jobs.values())), 2, CPU, rows.append)
    return dict(zip(jobs, results, strict=True)), norms, rows, folder


@pytest.mark.parametrize("recipe", ["momentum", "muon", "adamw"])
def test_two_processes_give_the_numbers_of_one(recipe, together, tmp_path):
    alone = train_recipe(recipe, "device", tmp_path, WHOLE, CPU, None)
    assert len(alone.history) == 4
    assert_same(together[0][recipe], alone)


def test_in_bfloat16_two_processes_learn_what_one_learns(together, tmp_path):
    """Muon and the network round to bfloat16, each process its own part: numbers differ, what is learnt does not.

    A logit passes through three layers, each of which rounds its inputs, its weights and its outputs: nine roundings, of
    2^-8 of their size each. The mean loss moves by twice what logits move by in the mean
    at most, and their mean size is below 1.
    An update turns by less than 45 degrees; those of other first weights are at right angles.
    """
    alone, ours = (train_recipe("in_bfloat16", "device", tmp_path, WHOLE, CPU, None), together[0]["in_bfloat16"])
    losses = [result.history[["train_loss", "validation_loss"]].to_numpy() for result in (ours, alone)]
    np.testing.assert_allclose(*losses, rtol=0, atol=2 * 9 * 2**-8)
    first = first_weights("in_bfloat16")
    updates = [
        torch.cat([(result.final_weights[name] - value).flatten() for name, value in first.items()])
        for result in (ours, alone)
    ]
    assert torch.nn.functional.cosine_similarity(*updates, dim=0) > math.sqrt(0.5)
    assert not torch.equal(*updates)  # it was rounded in other places


@pytest.mark.skipif(not HAS_FFCV, reason="FFCV is not installed (its system packages were missing at set-up)")
def test_images_read_by_ffcv_give_the_same_numbers(together):
    results = together[0]
    assert_same(results["ffcv"], results["muon"], tolerance=0)


@pytest.mark.parametrize("what", ["proces", "caller"])
def test_a_killed_training_is_continued_with_the_same_numbers(what, together):
    results = together[0]
    assert_same(results[f"killed {what}"], results["momentum"], tolerance=0)


def test_the_caller_hears_of_every_epoch(together):
    rows = together[2]
    whole, continued = [1, 2, 3, 4], [3, 4]
    assert [row["epoch"] for row in rows] == whole * len(RECIPES) + continued * 2 + whole * HAS_FFCV
    assert all(math.isfinite(row["train_loss"]) for row in rows)


def test_checkpoints_of_two_processes_are_continued_by_one(together):
    results, _, _, folder = together
    own = folder / "momentum_device_2"
    (own / "final.safetensors").unlink()
    (own / "epoch_0004.safetensors").unlink()
    own.rename(folder / "momentum_device_1")
    rows = []
    continued = train_recipe("momentum", "device", folder, WHOLE, CPU, rows.append)
    assert [row["epoch"] for row in rows] == [4]
    assert_same(results["momentum"], continued)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["images", "features", "none for one process"])
def test_a_batch_norm_sees_the_whole_batch(number, together):
    expected = batch_norm([(7, 4, 3, 3), (9, 4), (2, 4, 3, 3)][number], WHOLE)
    for ours, theirs in zip(together[1][number], expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


def test_no_process_outlives_its_caller(killed):
    numbers = [int(line) for line in (killed[1] / "processes").read_text().split()]
    assert len(numbers) == 2
    deadline = time.monotonic() + 20
    while any(map(running, numbers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(running, numbers))


def running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_sentence_of_one_process_is_the_training_s():
    with pytest.raises(DataError, match=r"^the images of one process are gone\.$"):
        train_together(refuse_in_one, 2, CPU)


def test_batches_that_cannot_be_divided_are_refused():
    require_equal_shares(128, 4)
    with pytest.raises(
        ParameterError, match=r"batch_size=100 cannot .*processes_per_run=3 processes; choose 99 or another"
    ):
        require_equal_shares(100, 3)


def test_too_few_gpus_are_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_devices(2, torch.device("cuda"))
    with pytest.raises(ParameterError, match=r"processes_per_run=3 .* torch finds 2 here"):
        require_devices(3, torch.device("cuda"))


@pytest.mark.parametrize("batch_size", [1, 5, 8])
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("images", [1, 8, 13])
def test_shares_have_every_image_once(images, processes, batch_size):
    parts = [Share(rank, processes).positions(batch_size, images) for rank in range(processes)]
    assert sorted(torch.cat(parts).tolist()) == list(range(images))
