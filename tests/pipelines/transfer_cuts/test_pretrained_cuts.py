"""A pretrained network that is cut between its blocks, and looked into by clusters."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from tests.pipelines.clustering.test_clustering_settings import settings as clustering_settings
from tests.pipelines.transfer_cuts.test_transfer_cuts_settings import transfer_settings
from tests.studies.contexts import context_of

from vision_studies.classifiers.transferability import SCORES, transfer_score
from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.merge import merge_settings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.errors import VisionStudiesError
from vision_studies.pipelines.clustering import nodes as clusters
from vision_studies.pipelines.transfer_cuts.nodes import evaluate_networks, fine_tune_networks, pretrain_networks
from vision_studies.pipelines.transfer_cuts.scores import score_cuts
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings
from vision_studies.pipelines.transfer_cuts.stages import check, most_runs, pretraining_runs, study_cells
from vision_studies.pipelines.transfer_cuts.work import subset
from vision_studies.run_folders import read_description
from vision_studies.serving.image_classifier import Predictor
from vision_studies.studies.method import StoredNetwork, networks_of
from vision_studies.training.frozen_features import frozen_features

pytestmark = pytest.mark.slow  # its study trains networks

OWN = {
    "pretrained": {"backbone": "efficientnet_lite0", "pixels": 32},
    "classes": {"label": "digits", "pretraining": ["0", "1", "2"], "fine_tuning": ["3", "4", "5"]},
    "modes": ["freeze", "freeze_truncate"],
    "cuts": [14, 18],
    "subsets": [{"fraction": 1.0, "repeats": 2}],
    "fine_tuning": {
        "optimizer": {"learning_rate": 0.01},
        "training": {"epochs": 3, "steps_per_epoch": 2, "batch_size": 16, "precision": "fp32"},
    },
    "pretraining": {"training": {"precision": "fp32"}},
}
CLUSTERS = {
    "methods": [{"name": "kmeans_vectors", "restarts": 2, "max_samples": None, "seed": 0}],
    "classes": ["fine_tuning"],
    "split": "train",
    "distances": {"samples": 20, "seed": 0},
    "tsne": {"layers": ["block17"], "samples": 20, "perplexity": 5, "seed": 0},
}


@pytest.fixture(scope="module")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:30] for digit in range(6)])
    grey = (pixels[chosen] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    image_set = ImageSet.create("digits", grey, labels[chosen], tuple("012345"), np.zeros(len(chosen), bool), {})
    split = SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    return PreparedData(image_set, make_splits(image_set, split), {})


def place(digits, folder, **changes):
    settings = transfer_settings(**merge_settings(OWN, changes))
    return context_of("transfer_cuts", settings, (digits.image_set, digits.splits.to_table()), folder)


@pytest.fixture(scope="module")
def study(digits, tmp_path_factory):
    """A study that has run: context, pretraining, and accuracies."""
    context = place(digits, tmp_path_factory.mktemp("project") / "a/b/c/d/e/runs")
    pretraining, _ = pretrain_networks(context)
    training, _ = fine_tune_networks(context, pretraining)
    return context, pretraining, evaluate_networks(context, training)[1]


def test_the_network_is_taken_as_it_is_and_every_cut_learns(study, digits):
    context, pretraining, accuracies = study
    assert len(pretraining) == 1
    assert pretraining["test_accuracy"][0] > 0.6  # logistic regression of the first classes
    assert pretraining["best_epoch"][0] == 0
    assert set(accuracies["status"]) == {"complete"}
    assert most_runs(context.settings) == 1 + 5 * 2
    assert len({cell.run.fingerprint for cell in study_cells(context)}) == 2 * 4  # at 18 both modes are a linear probe
    probes = accuracies[(accuracies["mode"] == "freeze") & (accuracies["cut"] == 18)]
    assert probes["test_accuracy"].mean() > 0.5


def test_a_cut_network_says_of_images_what_was_said_of_features(study, digits):
    context, _, accuracies = study
    cell = next(cell for cell in study_cells(context) if (cell.mode, cell.cut) == ("freeze", 14))
    folder = context.runs.path(cell.run)
    run, networks = StoredNetwork(folder, read_description(folder)), networks_of("transfer_cuts")
    assert networks.title(run.configuration) == "efficientnet_lite0"
    classifier = networks.rebuild(run, digits)
    positions = networks.positions(run, digits, "test")
    said = Predictor(classifier, torch.device("cpu"))(digits.image_set.images[positions]).argmax(axis=1)
    row = accuracies[(accuracies["mode"] == "freeze") & (accuracies["cut"] == 14) & (accuracies["repeat"] == 0)]
    assert (said == digits.image_set.labels[positions] - 3).mean() == pytest.approx(row["test_accuracy"].item())


def test_clusters_look_into_its_blocks(study, digits):
    context, pretraining, _ = study
    own = clustering_settings(CLUSTERS)
    images = (digits.image_set, digits.splits.to_table())
    looking = context_of("clustering", (context.settings, own), images, context.runs.folder)
    results, scores = clusters.cluster_activations(looking, pretraining)
    blocks = [f"block{number}" for number in range(18)]
    assert scores["layer"].unique().tolist() == blocks
    assert len(results) == 1
    ranks = clusters.compute_effective_ranks(looking, pretraining)
    assert ranks["layer"].unique().tolist() == [*blocks, "fc"]
    distances = clusters.measure_class_distances(looking, pretraining)
    assert (distances["within"] < distances["between"]).mean() > 0.8
    shown = clusters.map_images(looking, pretraining)
    assert set(shown["layer"]) == {"block17"}
    assert isinstance(shown, pd.DataFrame)


def test_features_behind_all_blocks_are_the_backbone_s(study, digits):
    from vision_studies.pipelines.clustering.activations import channel_means
    from vision_studies.pipelines.clustering.stages import pretrained_network

    context, _, _ = study
    network = pretrained_network(context, pretraining_runs(context)[0])
    positions = np.arange(6)
    own = channel_means(network, digits, positions, torch.device("cpu"))["block17"]
    expected = frozen_features(digits.image_set.images[positions], "efficientnet_lite0", 32, mirror=False)
    assert (
        np.abs(own - expected).mean() < 0.1 * np.abs(expected).mean()
    )  # resized to whole numbers or not, and bfloat16


def test_features_at_every_cut_are_scored_without_training(study, digits):
    context, _, _ = study
    own = place(digits, context.runs.folder, cuts=[0, 1, 9, 18], scores=list(SCORES))
    scores = score_cuts(own)
    assert len(scores) == len(SCORES) * 3 * 2  # before the cut at 0 there is no layer
    assert np.isfinite(scores["value"]).all()
    probes = scores[scores["score"] == "linear_probe"].groupby("cut")["value"].mean()
    assert probes[18] > probes[1] > 0.3
    first = scores[(scores["score"] == "nearest_neighbours") & (scores["cut"] == 18) & (scores["repeat"] == 1)]
    learnt, validated = subset(CutRunSettings.model_validate(study_cells(own)[1].run.configuration), 1, digits)
    positions = np.concatenate([learnt, validated])  # validation images are part of the fraction
    assert first["images"].item() == len(positions)
    features = frozen_features(digits.image_set.images[positions], "efficientnet_lite0", 32, mirror=False)
    expected = transfer_score("nearest_neighbours", features, digits.image_set.labels[positions] - 3)
    assert first["value"].item() == pytest.approx(expected, abs=0.06)
    assert score_cuts(context).empty


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pretrained": {"backbone": "efficientnet_lite9"}}, "There is no backbone 'efficientnet_lite9'"),
        ({"cuts": [0, 19]}, "transfer_cuts.cuts has 19, but efficientnet_lite0 has 18 blocks"),
        ({"pretrained": {"backbone": "run:nobody"}}, "nobody"),
        ({"scores": ["log_me"]}, "transfer_cuts.scores has 'log_me', which is no score. Did you mean 'logme'?"),
    ],
)
def test_what_cannot_be_cut_is_told_before_anything_is_done(digits, tmp_path, monkeypatch, changes, said):
    monkeypatch.chdir(tmp_path)
    context = place(digits, tmp_path / "runs", **changes)
    with pytest.raises(VisionStudiesError, match=said) as told:
        check(context)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "runs").exists()


def test_layers_that_it_does_not_have_are_told_before_anything_is_clustered(digits, tmp_path):
    from vision_studies.pipelines.clustering.stages import check as check_clusters

    own = clustering_settings(CLUSTERS | {"tsne": {"layers": ["conv2"]}})
    images = (digits.image_set, digits.splits.to_table())
    with pytest.raises(VisionStudiesError, match="clustering.tsne.layers has 'conv2'.* it has input, block0, "):
        check_clusters(context_of("clustering", (transfer_settings(**OWN), own), images, tmp_path))
