"""Networks of the published project as what a cut study starts from, and its draw of any images."""

import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from tests.hostile_pickles import Call
from tests.pipelines.test_transfer_cuts_plan import data, place
from torch import nn
from torch.nn import functional as F

from vision_studies.errors import DataError, ParameterError, VisionStudiesError
from vision_studies.pipelines.clustering.stages import _subsets
from vision_studies.pipelines.transfer_cuts import stages
from vision_studies.pipelines.transfer_cuts.nodes import evaluate_networks, fine_tune_networks, pretrain_networks
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, read_pretraining
from vision_studies.pipelines.transfer_cuts.stages import pretraining_runs, study_cells
from vision_studies.pipelines.transfer_cuts.work import any_images, draw_subset, subset
from vision_studies.studies.method import WEIGHTS_FILE, StoredNetwork, networks_of
from vision_studies.training.checkpoints import load_state

__all__ = ["data"]

FIRST = ("shirt", "coat", "dress", "bag")


class CustomCNN(nn.Module):
    """The published network, written out: layers in a row under its names, log-probabilities in the end."""

    def __init__(self, channels=(4, 4), classes=4, size=8, every=2):
        super().__init__()
        before = 1
        for number, width in enumerate(channels):
            self.add_module(f"conv{number}", nn.Conv2d(before, width, 3, padding=1))
            self.add_module(f"act{number}", nn.ReLU())
            if (number + 1) % every == 0:
                self.add_module(f"pool{number}", nn.AvgPool2d(2, 2))
                size //= 2
            before = width
        self.fc = nn.Linear(before * size * size, classes)

    def forward(self, images):
        for name, layer in self.named_children():
            images = images.flatten(1) if name == "fc" else images
            images = layer(images)
        return F.log_softmax(images, dim=1)


@pytest.fixture
def published(tmp_path):
    """Two networks of the project, and the files that it would have left of them."""
    files, networks = [], []
    for seed in (7, 8):
        torch.manual_seed(seed)
        networks.append(CustomCNN().eval())
        files.append(str(tmp_path / f"regular_classes_{seed}.pth"))
        torch.save(OrderedDict(networks[-1].state_dict()), files[-1])
    return networks, files


def imported(data, folder, files, **changes):
    return place(data, folder, pretraining={"weights_files": files}, **changes)


@pytest.mark.slow
def test_a_study_starts_from_published_networks_and_scores_them(data, tmp_path, published, monkeypatch):
    networks, files = published
    monkeypatch.setattr("vision_studies.pipelines.transfer_cuts.work.pretrain", lambda *_: pytest.fail("it is trained"))
    study = imported(data, tmp_path, files, modes=["freeze"], cuts=[0, 1])
    pretraining, histories = pretrain_networks(study)
    names = data.image_set.class_names
    test = data.splits.test[np.isin(data.image_set.labels[data.splits.test], [names.index(name) for name in FIRST])]
    pixels = torch.from_numpy(data.image_set.images[test]).permute(0, 3, 1, 2).float() / 127.5 - 1
    for network, row in zip(networks, pretraining.to_dict("records"), strict=True):
        right = network(pixels).argmax(1).numpy() == data.image_set.labels[test]
        assert row["test_accuracy"] == pytest.approx(right.mean())
        assert row["status"] == "complete"
        assert row["parameters"] == sum(each.numel() for each in network.parameters())
    assert histories["validation_accuracy"].tolist() == pretraining["validation_accuracy"].tolist()
    table, _ = fine_tune_networks(study, pretraining)
    _, accuracies = evaluate_networks(study, table)
    assert accuracies["test_accuracy"].notna().all()
    # Repeat r starts from file r modulo their number: its frozen convolution is that of the file.
    for cell in study_cells(study):
        if cell.cut == 1:
            first = pretraining_runs(study)[cell.run.seed % 2]
            assert cell.run.configuration["pretrained"] == first.fingerprint
            kept = load_state(study.runs.path(first, WEIGHTS_FILE))
            assert torch.equal(kept["conv0.weight"], networks[cell.run.seed % 2].conv0.weight)
    # And `kedro models` can use it.
    run = pretraining_runs(study)[1]
    stored = StoredNetwork(study.runs.path(run), run.description)
    classifier = networks_of("transfer_cuts").rebuild(stored, data)
    assert classifier.images.class_names == FIRST
    assert torch.allclose(classifier.network(pixels).log_softmax(1), networks[1](pixels), atol=1e-6)


def test_what_trains_networks_is_no_part_of_one_from_a_file(data, tmp_path, published):
    _, files = published
    runs = pretraining_runs(imported(data, tmp_path, files))
    assert [run.seed for run in runs] == [0, 1]
    assert runs[0].fingerprint != runs[1].fingerprint
    other = imported(data, tmp_path, files, network={"every": 1})
    assert pretraining_runs(other)[0].fingerprint != runs[0].fingerprint
    longer = place(data, tmp_path, pretraining={"weights_files": files, "seeds": [4], "training": {"epochs": 9}})
    assert [run.fingerprint for run in pretraining_runs(longer)] == [run.fingerprint for run in runs]
    assert read_pretraining(runs[0].configuration).training.precision == "fp32"
    assert stages.most_runs(imported(data, tmp_path, files).settings) == 2 + (1 + 3 + 3) * 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (CustomCNN(classes=3).state_dict(), r"fc.weight is \[3, 64\], and .* with 4 classes has \[4, 64\]"),
        (CustomCNN(channels=(4, 5)).state_dict(), r"conv1.weight is \[5, 4, 3, 3\]"),
        ({**CustomCNN().state_dict(), "fc_2.bias": torch.zeros(4)}, "fc_2.bias is .4., .* has nothing of that name"),
        ({"fc.weight": torch.zeros(4, 64)}, "conv0.weight is missing"),
        ({"model": CustomCNN().state_dict()}, "more or other things than named tensors"),
        ({"conv0.weight": Call(os.system, "touch run")}, "cannot be read"),
        ({**CustomCNN().state_dict(), "fc.bias": torch.full((4,), torch.nan)}, "no finite numbers"),
    ],
)
def test_a_file_of_something_else_is_refused_in_a_sentence(data, tmp_path, monkeypatch, content, told):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "other.pth")
    with pytest.raises(VisionStudiesError, match=told) as error:
        pretrain_networks(imported(data, tmp_path, ["other.pth"]))
    assert "transfer_cuts.pretraining.weights_files" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_not_there_is_told_before_anything_is_done(data, tmp_path):
    with pytest.raises(ParameterError, match=r"weights_files has none.pth, which does not exist"):
        study_cells(imported(data, tmp_path, ["none.pth"]))


def test_any_images_are_the_originals_draw_and_nested():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    torch.manual_seed(5)
    original = torch.randperm(100)[: int(100 * 0.2)].numpy()
    assert np.array_equal(any_images(100, 0.2, 5), original)
    by_class = draw_subset(labels, 0.2, 5, balanced=False)
    assert sorted(np.concatenate(by_class)) == sorted(original)
    assert all((labels[places] == label).all() for label, places in enumerate(by_class))
    more = draw_subset(labels, 0.5, 5, balanced=False)
    assert all(set(few) <= set(many) for few, many in zip(by_class, more, strict=True))
    assert list(map(len, draw_subset(labels, 0.3, 5, balanced=True))) == [10, 10, 10]


@pytest.mark.parametrize("validation", ["counted", "whole"])
def test_rare_classes_stay_rare_where_subsets_are_not_balanced(data, tmp_path, validation):
    options = {"balanced": False, "fine_tuning": {"validation": validation}}
    study = place(data, tmp_path, subsets=[{"fraction": 0.2, "repeats": 3}], modes=["freeze"], cuts=[1], **options)
    new = [data.image_set.class_names.index(name) for name in ("sandal", "sneaker", "boot")]
    pool = data.splits.train[np.isin(data.image_set.labels[data.splits.train], new)]
    sizes = set()
    for cell in study_cells(study):
        settings = CutRunSettings.model_validate(cell.run.configuration)
        assert not settings.balanced
        learns, validates = subset(settings, cell.run.seed, data)
        drawn = pool[any_images(len(pool), 0.2, cell.run.seed)]
        chosen = np.concatenate([learns, validates]) if validation == "counted" else learns
        assert sorted(chosen) == sorted(drawn)
        sizes.add((len(learns), len(validates)))
    assert len(sizes) == 1  # those of a stack learn side by side
    pretraining, _ = pretrain_networks(study)
    table, _ = fine_tune_networks(study, pretraining)
    _, accuracies = evaluate_networks(study, table)
    assert accuracies["test_accuracy"].notna().all()


def test_a_share_without_any_image_is_refused(data, tmp_path):
    study = place(data, tmp_path, balanced=False, subsets=[{"fraction": 0.01, "repeats": 1}])
    with pytest.raises(DataError, match=r"fraction of 0.01 of 76 training images is 0, and two images"):
        stages.check_subsets(data, [cell.run for cell in study_cells(study)])


def test_clusters_are_of_the_images_that_are_drawn(data, tmp_path):
    settings = place(data, tmp_path, balanced=False, subsets=[{"fraction": 0.5, "repeats": 2}]).settings
    labels = np.arange(60) % 3
    subsets = _subsets(settings, labels, 0)
    assert [each.positions.tolist() for each in subsets] == [sorted(any_images(60, 0.5, repeat)) for repeat in (0, 1)]


def test_runs_that_are_balanced_say_nothing_of_it_and_so_keep_their_fingerprints(data, tmp_path):
    runs = {balanced: study_cells(place(data, tmp_path, balanced=balanced))[0].run for balanced in (True, False)}
    assert "balanced" not in runs[True].configuration
    assert CutRunSettings.model_validate(runs[True].configuration).balanced
    assert runs[False].configuration == {**runs[True].configuration, "balanced": False}
