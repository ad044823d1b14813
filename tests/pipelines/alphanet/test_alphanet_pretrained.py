"""Classifiers on the features of a pretrained network, which is used as it is."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.special import softmax
from sklearn.datasets import load_digits
from tests.pipelines.alphanet.test_alphanet_settings import alphanet_settings
from tests.rounding import in_float32
from tests.studies.contexts import context_of

from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.merge import merge_settings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import Splits, make_splits
from vision_studies.errors import VisionStudiesError
from vision_studies.pipelines.alphanet import nodes, rebuilding
from vision_studies.pipelines.alphanet.networks import NETWORKS, scores_of
from vision_studies.pipelines.alphanet.plan import Plan
from vision_studies.run_folders import read_description
from vision_studies.serving.image_classifier import Predictor
from vision_studies.studies.method import StoredNetwork

PRETRAINED = {"backbone": "efficientnet_lite0", "pixels": 32}
OWN = {
    "pretrained": PRETRAINED,
    "long_tail": {"profile": "exponential", "factor": 4.0, "seed": 3, "reverse": False},
    "tails": "each_repeat",
    "splits": {"few_below": 12, "many_above": 20},
    "repeats": 2,
    "neighbours": [2],
    "rhos": [1.0],
    "classifiers": [
        {"label": "own", "method": {"name": "own"}},
        {"label": "NCM", "method": {"name": "ncm", "metric": "cosine"}},
    ],
    "improved": ["own"],
    "training": {"epochs": 2, "minimum_epochs": 1, "batch_size": 16},
}


@pytest.fixture(scope="module", autouse=True)
def float32():
    with in_float32():
        yield


@pytest.fixture(scope="module")
def images():
    """Thirty each of five digits, of which twenty-four learn and validate."""
    pixels, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:30] for digit in range(5)])
    grey = (pixels[chosen] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    image_set = ImageSet.create("digits", grey, labels[chosen], tuple("01234"), np.zeros(len(chosen), bool), {})
    split = SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    return image_set, make_splits(image_set, split).to_table()


@pytest.fixture(scope="module")
def study(images, tmp_path_factory):
    """A study that has run: its plan, features, results, and rows of classifiers."""
    context = context_of(
        "alphanet", alphanet_settings(**OWN), images, tmp_path_factory.mktemp("project") / "a/b/c/d/e/runs"
    )
    backbones, _ = nodes.train_backbones(context)
    features, _ = nodes.extract_features(context, backbones)
    classifiers = nodes.fit_classifiers(context, features)
    training, _ = nodes.learn_combinations(context, features, classifiers)
    return Plan(context), backbones, features, nodes.evaluate_experiments(context, training)[0]


@pytest.mark.slow
def test_nothing_is_trained_but_classifiers_and_every_image_goes_through_the_network_once(study):
    plan, backbones, features, results = study
    assert backbones.empty
    assert features["features"].tolist() == [1280, 1280]
    assert set(results["status"]) == {"complete"}
    assert len(results) == 2 * 2 + 2
    assert results.loc[results["variant"] == "own", "test_accuracy"].min() > 0.5
    [kept] = (plan.source_folder(0).parent / "pretrained").glob("*/features.npy")
    assert len(np.load(kept)) == len(plan.context.images.image_set.labels)
    assert plan.feature_costs()[0].units == pytest.approx(150 / 2)


@pytest.mark.parametrize("variant", ["own", "NCM", "own, rho 1"])
def test_a_run_classifies_images_as_it_has_classified_their_features(study, variant):
    plan, *_ = study
    experiment = next(each for each in (*plan.classifiers(), *plan.experiments()) if each.run.variant == variant)
    folder = plan.runs.path(experiment.run)
    run = StoredNetwork(folder, read_description(folder))
    data = plan.prepared(experiment.repeat)
    classifier = NETWORKS.rebuild(run, data)
    positions = rebuilding.positions(run, data, "test")
    said = Predictor(classifier, torch.device("cpu"))(data.image_set.images[positions])
    scores, group, _ = scores_of(run, "test")
    assert group.labels.tolist() == data.image_set.labels[positions].tolist()
    np.testing.assert_allclose(said, softmax(scores, axis=1), atol=0.06)  # features are kept in 16 bits


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pretrained": {"backbone": "efficientnet_lite9"}},
            r"There is no backbone 'efficientnet_lite9'.* There are: ",
        ),
        ({"pretrained": {"backbone": "torchvision/resnet18"}}, r"The weights of torchvision/resnet18 are not here"),
        ({"pretrained": {"backbone": "run:nobody"}}, "nobody"),
    ],
)
def test_a_backbone_that_cannot_be_used_is_told_before_anything_is_done(images, tmp_path, monkeypatch, changes, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vision_studies.models.library_backbones.fetch_file", _unreachable)
    context = context_of("alphanet", alphanet_settings(**merge_settings(OWN, changes)), images, tmp_path / "runs")
    with pytest.raises(VisionStudiesError, match=said) as told:
        nodes.train_backbones(context)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "runs").exists()


def _unreachable(*_, **__):
    raise OSError("no network")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"imported": {"registry": "a.toml", "data_set": "b"}, "tails": "one"}, "imported and pretrained are both set"),
        (
            {"classifiers": [{"label": "own", "method": {"name": "multi_expert", "of": "own", "crt": None}}]},
            "pretrained is one network",
        ),
        ({"pretrained": {"pixels": 8}}, "greater than or equal to 16"),
    ],
)
def test_what_contradicts_a_pretrained_network_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        alphanet_settings(**merge_settings(OWN, changes))


def test_splits_that_leave_images_out_leave_them_out_of_the_features(images, tmp_path):
    """One tail that is cut for all repeats: what it leaves out is not shown to the network."""
    settings = alphanet_settings(**{**OWN, "tails": "one", "backbone": {"seeds": [0]}})
    plan = Plan(context_of("alphanet", settings, images, tmp_path))
    data: PreparedData = plan.prepared()
    left = sum(map(len, (data.splits.train, data.splits.validation, data.splits.test)))
    assert left < len(data.image_set.labels)
    assert isinstance(data.splits, Splits)
    assert plan.feature_costs()[0].units == left
    assert len(plan.source_folders) == 1
