import os
import pickle

import numpy as np
import pytest
import torch
from tests.hostile_pickles import Call

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.work.original_format import COMBINED, LINEAR, read_classifier

WEIGHT = torch.tensor(np.random.default_rng(0).normal(size=(5, 3)))
BIAS = torch.arange(5.0)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "crt.pth"


def save_experts(folder, number, *, width=3):
    """A list of experts in `folder/ride.pth` that lie in `folder/experts`."""
    (folder / "experts").mkdir()
    generator = torch.Generator().manual_seed(0)
    experts = []
    for expert in range(number):
        weight, bias = torch.randn(5, width, generator=generator), torch.randn(5, generator=generator)
        torch.save({"weight": weight, "bias": bias}, folder / f"experts/{expert}.pth")
        experts.append((weight, bias))
    entries = [{"classifier_loader": LINEAR, "classifier_file": f"experts/{expert}.pth"} for expert in range(number)]
    torch.save(entries, folder / "ride.pth")
    return folder / "ride.pth", experts


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_classifier_is_read_from_both_forms_of_torch(file, dtype, zipped):
    weight = WEIGHT.to(dtype)
    content = {"weight": torch.nn.Parameter(weight), "bias": BIAS.to(dtype)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    classifier = read_classifier(file, LINEAR)
    assert (classifier.weight.dtype, classifier.bias.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(classifier.weight, weight.float().numpy())
    np.testing.assert_array_equal(classifier.bias, BIAS.numpy())


def test_a_state_dictionary_of_torch_is_a_classifier(file):
    layer = torch.nn.Linear(3, 5)
    torch.save(layer.state_dict(), file)
    features = torch.randn(4, 3)
    scores = read_classifier(file, LINEAR).scores(features.numpy())
    np.testing.assert_allclose(scores, layer(features).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_no_bias_is_a_bias_of_zeros(file):
    torch.save({"weight": WEIGHT, "bias": None}, file)
    assert read_classifier(file, LINEAR).bias.tolist() == [0.0] * 5


@pytest.mark.parametrize("number", [1, 3])
def test_scores_of_combined_classifiers_are_means_of_the_experts(tmp_path, number):
    file, experts = save_experts(tmp_path, number)
    classifier = read_classifier(file, COMBINED)
    assert classifier.weight.shape == (5, 3 * number)
    features = torch.randn(8, 3 * number)
    parts = features.split(3, dim=1)
    scores = [part @ weight.T + bias for part, (weight, bias) in zip(parts, experts, strict=True)]
    expected = torch.stack(scores).mean(dim=0)
    np.testing.assert_allclose(classifier.scores(features.numpy()), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_an_expert_may_have_a_whole_path(tmp_path, file):
    torch.save({"weight": WEIGHT, "bias": BIAS}, file)
    (tmp_path / "elsewhere").mkdir()
    entry = {"classifier_loader": LINEAR, "classifier_file": str(file)}
    torch.save([entry], tmp_path / "elsewhere/ride.pth")
    classifier = read_classifier(tmp_path / "elsewhere/ride.pth", COMBINED)
    np.testing.assert_array_equal(classifier.weight, WEIGHT.float().numpy())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no dictionary of the tensors 'weight' and 'bias'; check its classifier_loader"),
        ({"weight": WEIGHT}, "holds no dictionary of the tensors"),
        ({"weight": WEIGHT.tolist(), "bias": BIAS}, "holds no dictionary of the tensors"),
        ({"weight": WEIGHT, "bias": BIAS[1:]}, r"a weight of the shape \[5, 3\] and a bias of \[4\]"),
        ({"weight": WEIGHT, "bias": BIAS.tolist()}, "a bias of list"),
        ({"weight": WEIGHT[0], "bias": BIAS}, r"a weight of the shape \[3\]"),
        ({"weight": torch.tensor(1.0), "bias": None}, r"a weight of the shape \[\]"),
        ({"weight": WEIGHT * np.nan, "bias": BIAS}, "holds a number that is not finite"),
        ({"weight": WEIGHT, "bias": BIAS / 0}, "holds a number that is not finite"),
    ],
)
def test_what_is_no_classifier_is_named(file, content, message):
    torch.save(content, file)
    with pytest.raises(DataError, match=f"crt.pth .*{message}|crt.pth has {message}"):
        read_classifier(file, LINEAR)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": WEIGHT, "bias": BIAS}, "holds no list of experts' classifiers"),
        ([], "holds no list of experts' classifiers"),
        ([{"classifier_loader": LINEAR}], "names no classifier_file for expert 1"),
        (["a.pth"], "names no classifier_file for expert 1"),
        ([{"classifier_loader": COMBINED, "classifier_file": "crt.pth"}], f"has the classifier_loader '{COMBINED}'"),
        ([{"classifier_loader": LINEAR, "classifier_file": "other.pth"}], "other.pth is missing"),
    ],
)
def test_what_is_no_list_of_experts_is_named(file, content, message):
    torch.save(content, file)
    with pytest.raises(DataError, match=message):
        read_classifier(file, COMBINED)


def test_experts_of_different_shapes_are_refused(tmp_path):
    file, _ = save_experts(tmp_path, 2)
    torch.save({"weight": torch.zeros(5, 4), "bias": None}, tmp_path / "experts/1.pth")
    with pytest.raises(DataError, match=r"have weights of the shapes \[\[5, 3\], \[5, 4\]\]"):
        read_classifier(file, COMBINED)


@pytest.mark.parametrize("content", [b"", b"no file of torch", b"PK\x03\x04 and no more"])
def test_a_damaged_file_is_told(file, content):
    file.write_bytes(content)
    with pytest.raises(DataError, match="crt.pth is damaged or holds more than weights and was not read"):
        read_classifier(file, LINEAR)


@pytest.mark.parametrize("override", [False, True])
@pytest.mark.parametrize("loader", [LINEAR, COMBINED])
@pytest.mark.parametrize("form", ["zipped", "legacy", "pickle"])
def test_a_hostile_file_is_not_run(tmp_path, file, monkeypatch, form, loader, override):
    if override:  # the variable with which torch would unpickle all
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "something was run"
    hostile = [{"weight": WEIGHT, "bias": Call(os.mkdir, str(marker))}]
    if form == "pickle":
        file.write_bytes(pickle.dumps(hostile))
    else:
        torch.save(hostile, file, _use_new_zipfile_serialization=form == "zipped")
    with pytest.raises(DataError, match="crt.pth is damaged or holds more than weights"):
        read_classifier(file, loader)
    assert not marker.exists()
    if form != "pickle":
        # The file's content is this test's own, a folder that is made: without the bait nothing above would be shown.
        torch.load(file, weights_only=False)
        assert marker.exists()


def test_a_hostile_expert_is_not_run(tmp_path):
    file, _ = save_experts(tmp_path, 2)
    marker = tmp_path / "something was run"
    torch.save({"weight": WEIGHT, "bias": Call(os.mkdir, str(marker))}, tmp_path / "experts/1.pth")
    with pytest.raises(DataError, match="1.pth is damaged or holds more than weights"):
        read_classifier(file, COMBINED)
    assert not marker.exists()


def test_a_whole_module_is_more_than_weights(file):
    torch.save(torch.nn.Linear(3, 5), file)
    with pytest.raises(DataError, match="write it with torch.save as a dictionary"):
        read_classifier(file, LINEAR)
