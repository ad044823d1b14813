import subprocess
import sys

import pytest

from vision_studies.torchvision_compat import torchvision_module

SCRIPT = """
from vision_studies.torchvision_compat import torchvision_module
import torch
transforms = torchvision_module("torchvision.transforms.v2")
assert transforms.functional.horizontal_flip(torch.tensor([[[1, 2]]])).tolist() == [[[2, 1]]]
assert torchvision_module("torchvision.datasets").MNIST.resources
assert torchvision_module("torchvision.models").resnet18(num_classes=3).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
import torchvision  # the usual way works, too, once ours has been gone
"""


@pytest.mark.slow
def test_torchvision_is_there_beside_any_torch():
    # In a process of its own: another test may have imported torchvision here already.
    command = [sys.executable, "-W", "error::UserWarning", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_module_that_does_not_exist_is_said_to_be_missing():
    with pytest.raises(ModuleNotFoundError, match=r"torchvision\.nothing"):
        torchvision_module("torchvision.nothing")
