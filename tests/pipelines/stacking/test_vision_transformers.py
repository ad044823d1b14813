"""The study of stacks with a pretrained vision transformer, with torchvision's own network at toy size on small images."""

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.pipelines.stacking.conftest import SMALL

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.merge import merge_settings
from vision_studies.models.statistics import count_parameters
from vision_studies.outcomes import COMPLETE
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.outputs import metrics_on_test
from vision_studies.pipelines.stacking.settings import StackingSettings
from vision_studies.pipelines.stacking.stages import STACK, plan_entries
from vision_studies.pipelines.stacking.work import Job
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.torchvision_compat import torchvision_module
from vision_studies.training.checkpoints import load_state

CPU = torch.device("cpu")
MODELS = torchvision_module("torchvision.models")


def toy(weights=None, **options):
    assert weights is None
    return MODELS.VisionTransformer(
        image_size=16, patch_size=8, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16, **options
    )


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    """A file of weights for ImageNet's classes, of a network that torchvision names from now on."""
    monkeypatch.setattr(toy, "__module__", MODELS.VisionTransformer.__module__)
    monkeypatch.setitem(MODELS._api.BUILTIN_MODELS, "vit_toy", toy)
    torch.manual_seed(5)
    weights = toy(num_classes=1000).state_dict()
    weights = {name: value + torch.randn_like(value) / 10 for name, value in weights.items()}
    torch.save(weights, tmp_path / "vit_toy.pth")
    return tmp_path / "vit_toy.pth"


def study(pretrained) -> StackingSettings:
    """The published study, with smaller networks in the table of networks and a short training."""
    transformer = {"model": {"name": "torchvision", "network": "vit_toy", "stem": "imagenet", "resize": 16}}
    transformer |= {"weights_file": str(pretrained), "frozen_blocks": 0}
    networks = {
        name: merge_settings(SMALL, {"model": {"stem_width": 4 + n}})
        for n, name in enumerate(("resnet9", "resnet18", "resnet34"))
    }
    networks |= {"vit_b_16": transformer, "vit_b_16_frozen": transformer | {"frozen_blocks": 2}}
    changes = {
        "networks": networks,
        "run": {
            "meta_learner": {"image_features": {"dimension": 4, "widths": [4, 4]}},
            "training": {"epochs": 1, "batch_size": 16, "precision": "fp32", "optimizer": {"learning_rate": 1e-3}},
        },
    }
    loader = StudyConfigLoader(ROOT / "conf", "vit_study", {"stacking": changes}, **CONFIG_LOADER_ARGS)
    return StackingSettings.model_validate(loader["parameters"]["stacking"])


@pytest.mark.slow
def test_every_stack_of_the_study_learns_from_the_pretrained_transformer_and_is_scored(
    tmp_path, counting_data, pretrained
):
    settings = study(pretrained)
    entries = [entry for entry in plan_entries(settings, counting_data, {}) if entry.role == STACK]
    assert [entry.name for entry in entries] == [
        *("diverse_stack", "lightweight_stack", "all_finetune", "partial_freeze", "deep_meta", "lightweight_meta")
    ]
    first = torch.load(pretrained, weights_only=True)
    for entry in entries:
        folder = tmp_path / entry.name
        untrained = stacking.build(entry.run, 0, counting_data)
        transformer = untrained.base_learners[0].network
        assert {name for name, value in transformer.state_dict().items() if not value.equal(first[name])} == {
            "heads.head.weight",
            "heads.head.bias",
        }, "all but the classifier comes from the file"
        assert entry.parts[0]["parameters"] == count_parameters(untrained.base_learners[0])
        trained = stacking.train(Job(entry.run, 0, counting_data, folder, CPU))
        assert trained.status == COMPLETE
        outputs = stacking.outputs_on_test(Job(entry.run, 0, counting_data, folder, CPU))
        np.testing.assert_array_equal(outputs.indices, counting_data.splits.test)
        assert outputs.logits.shape[1] == 4
        assert np.isfinite(outputs.logits).all()
        assert {"test_accuracy", "other_metrics"} <= metrics_on_test(outputs).keys()
        learned = load_state(folder / WEIGHTS_FILE)
        stayed = {
            name for name in first if learned[f"base_learners.0.network.{name}"].equal(transformer.state_dict()[name])
        }
        blocks = (
            "conv_proj.",
            "class_token",
            "encoder.pos_embedding",
            "encoder.layers.encoder_layer_0.",
            "encoder.layers.encoder_layer_1.",
        )
        frozen = {name for name in first if name.startswith(blocks)}
        assert stayed == (frozen if entry.name == "partial_freeze" else set())


@pytest.mark.slow
def test_the_opponents_of_the_study_are_its_networks_alone_and_their_average(counting_data, pretrained):
    entries = plan_entries(study(pretrained), counting_data, {})
    alone = {entry.name for entry in entries if entry.role == "alone"}
    assert {"vit_b_16 alone, 1", "vit_b_16_frozen alone, 1", "resnet9 alone, 2", "resnet34 alone, 3"} <= alone
    assert {entry.role for entry in entries} == {STACK, "alone", "average"}
