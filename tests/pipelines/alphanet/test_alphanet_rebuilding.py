"""Classifiers of images out of the runs of `alphanet`: what they say is what their runs said of the features."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from tests.test_base_parameters import base_run

from vision_studies.config.data_prep import LongTailSettings
from vision_studies.errors import CheckpointError
from vision_studies.files import write_json
from vision_studies.pipelines.alphanet import rebuilding
from vision_studies.pipelines.alphanet.networks import NETWORKS
from vision_studies.pipelines.alphanet.plan import (
    CLASSIFIER_FILE,
    COMBINATIONS_FILE,
    FEATURES,
    features_name,
    note_tail,
    with_tail,
)
from vision_studies.pipelines.alphanet.settings import ClassifierSettings, ClassSplitSettings
from vision_studies.pipelines.alphanet.work.classifiers import fit
from vision_studies.pipelines.alphanet.work.linear_classifier import save_classifier
from vision_studies.pipelines.alphanet.work.sources import class_splits, features_from_images
from vision_studies.serving.image_classifier import Predictor
from vision_studies.studies.method import StoredNetwork
from vision_studies.training.checkpoints import save_state
from vision_studies.training.network_run import WEIGHTS_FILE, build_network, save_weights

CPU = torch.device("cpu")
TAIL = LongTailSettings(profile="exponential", factor=6, seed=0, reverse=False)
BALANCED = {"epochs": 1, "batch_size": 32, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0}
CLASSIFIERS = {
    "own": {"name": "own"},
    "cRT": {"name": "crt", **BALANCED},
    "LWS": {"name": "lws", **BALANCED},
    "tau": {"name": "tau", "values": [0.0, 1.0]},
    "NCM": {"name": "ncm", "metric": "cosine"},
    "NCM, euclidean": {"name": "ncm", "metric": "euclidean"},
    "both experts": {"name": "multi_expert", "of": "own", "crt": None},
    "both experts, cRT": {"name": "multi_expert", "of": "crt", "crt": {"name": "crt", **BALANCED}},
}
RUN = base_run(
    {
        "model": {"stem_width": 8, "widths": [8], "blocks": [1], "strides": [1], "squeeze_reduction": None},
        "training": {"precision": "fp32"},
    }
)


class Study:
    """A folder of runs with two untrained experts, their features, and classifiers that are fitted when asked for."""

    def __init__(self, folder, data):
        self.runs, self.data = folder / "data/06_models/s/alphanet/runs", data
        settings = RUN.model_dump(mode="json")
        self.experts = [self.begin(f"e{number}", {"backbone": settings, "expert": number}) for number in range(2)]
        for seed, expert in enumerate(self.experts):
            torch.manual_seed(seed)
            save_weights(build_network(RUN, data), expert / WEIGHTS_FILE)
        splits = class_splits(data, ClassSplitSettings(few_below=20, many_above=40, folder=None))
        self.features = features_name(splits, "carved", [expert.name for expert in self.experts])
        folders = (self.experts, RUN, splits, self.runs / FEATURES / self.features)
        self.source = features_from_images(data, *folders, CPU, validated=True)

    def begin(self, name, configuration):
        folder = self.runs / name
        folder.mkdir(parents=True)
        told = {"pipeline": "alphanet", "study": "s", "variant": name, "seed": 0, "trial": 0, "method_version": 1}
        write_json(
            folder / "run.json", told | {"configuration": configuration, "data_fingerprint": self.data.fingerprint}
        )
        return folder

    def classifier(self, label):
        configuration = {"classifier": CLASSIFIERS[label], "features": self.features}
        folder = self.runs / label
        if not folder.is_dir():
            settings = TypeAdapter(ClassifierSettings).validate_python(CLASSIFIERS[label])
            features = self.source.taken(wide=settings.name == "multi_expert")
            classifier, *_ = fit(settings, features, self.source.experts, 0, CPU)
            save_classifier(classifier, self.begin(label, configuration) / CLASSIFIER_FILE)
        return folder

    def alphanet(self, label):
        configuration = json.loads((self.classifier(label) / "run.json").read_text())["configuration"]
        folder = self.runs / f"{label}, rho 1"
        if not folder.is_dir():
            training = ALPHANET["training"] | {"prediction_scale": 2.0}
            self.begin(folder.name, {**configuration, "combinations": ALPHANET | {"training": training}})
            splits, draw = self.source.features.splits, np.random.default_rng(0)
            shape = (len(splits.few), 2)
            state = {
                "neighbours": torch.from_numpy(draw.choice(splits.base, shape)),
                "distances": torch.ones(shape, dtype=torch.float64),
                "coefficients": torch.from_numpy(draw.normal(size=shape).astype(np.float32)),
            }
            save_state(folder / COMBINATIONS_FILE, state)
        return folder


ALPHANET = {
    "neighbours": 2,
    "distance": "euclidean",
    "network": {"hidden": [4], "activation": "relu"},
    "training": {
        "epochs": 1,
        "minimum_epochs": 1,
        "batch_size": 8,
        "evaluation_batch_size": 8,
        "optimizer": {"name": "AdamW", "parameters": {"lr": 1e-3}},
        "scheduler": None,
        "samplers": [{"name": "all_few", "ratio": None}],
        "prediction_scale": 1.0,
        "selection": {"policy": "last", "metric": "accuracy"},
    },
}


def stored(folder):
    return StoredNetwork(folder, json.loads((folder / "run.json").read_text()))


@pytest.fixture(scope="module")
def study(tmp_path_factory, digits):
    return Study(tmp_path_factory.mktemp("study"), with_tail(digits, TAIL))


@pytest.mark.parametrize("improved", [False, True], ids=["", "AlphaNet"])
@pytest.mark.parametrize("label", CLASSIFIERS)
def test_a_classifier_says_of_images_what_it_says_of_their_features(study, label, improved):
    run = stored((study.alphanet if improved else study.classifier)(label))
    assert NETWORKS.unusable(run.configuration, run.folder) is None
    assert ("AlphaNet" in NETWORKS.title(run.configuration)) == improved
    test = study.source.taken(wide=CLASSIFIERS[label]["name"] == "multi_expert").groups["test"]
    expected = rebuilding.fitted_classifier(run).scores(test.features)
    classifier = NETWORKS.rebuild(run, study.data)
    positions = NETWORKS.positions(run, study.data, "test")
    images = study.data.image_set.images[positions]
    said = Predictor(classifier, CPU)(images)
    scores = torch.from_numpy(expected).softmax(dim=1).numpy()
    np.testing.assert_allclose(said, scores, atol=2e-5)
    assert np.array_equal(study.data.image_set.labels[positions], test.labels)
    assert np.ptp(scores, axis=0).max() > 1e-3  # 50 times what is let pass


def test_a_network_that_gives_features_is_a_classifier_itself(study):
    run = stored(study.experts[0])
    said = Predictor(NETWORKS.rebuild(run, study.data), CPU)(study.data.image_set.images[study.data.splits.test])
    own = rebuilding.fitted_classifier(stored(study.classifier("own")))
    expected = own.scores(study.source.taken(wide=False).groups["test"].features)
    np.testing.assert_allclose(said, torch.from_numpy(expected).softmax(dim=1).numpy(), atol=2e-5)
    assert NETWORKS.title(run.configuration) == "resnet_small"


def test_the_tail_that_a_study_has_cut_is_found_by_its_note_or_in_its_records(study, digits, tmp_path):
    run = replace(stored(study.classifier("own")), folder=tmp_path / "data/06_models/s/alphanet/runs/own")
    prepared = {"another": with_tail(digits, TAIL.model_copy(update={"factor": 3})), digits.fingerprint: digits}
    wanted = run.description["data_fingerprint"]
    assert NETWORKS.data(run, prepared) is None
    assert NETWORKS.data(run, {wanted: study.data}) is study.data  # without a tail of its own
    records = tmp_path / "data/08_reporting/s/run_records"
    for number, factor in enumerate((6, 4)):  # the study has another tail by now
        tail = TAIL.model_copy(update={"factor": factor}).model_dump()
        write_json(records / f"{number}.json", {"parameters": {"alphanet": {"long_tail": tail}}})
    assert NETWORKS.data(run, prepared).fingerprint == wanted
    (records / "0.json").unlink()
    assert NETWORKS.data(run, prepared) is None
    note_tail(run.folder.parent, wanted, TAIL)
    assert NETWORKS.data(run, prepared).fingerprint == wanted


def test_where_validation_images_were_trained_on_there_are_none(study, monkeypatch):
    run = stored(study.classifier("own"))
    assert len(NETWORKS.positions(run, study.data, "validation")) == len(study.data.splits.validation)
    groups = {name: group for name, group in study.source.features.groups.items() if name != "validation"}
    monkeypatch.setattr(rebuilding, "_features", lambda _: replace(study.source.features, groups=groups))
    assert len(NETWORKS.positions(run, study.data, "validation")) == 0


def test_what_a_classifier_needs_and_is_gone_is_told(tmp_path, digits):
    study = Study(tmp_path, with_tail(digits, TAIL))
    run = stored(study.alphanet("own"))
    (study.experts[1] / "run.json").rename(tmp_path / "taken")
    with pytest.raises(CheckpointError, match="features of networks whose runs lie no longer beside it"):
        NETWORKS.rebuild(run, study.data)
    (tmp_path / "taken").rename(study.experts[1] / "run.json")
    study.classifier("own").rename(tmp_path / "own")
    with pytest.raises(CheckpointError, match="improves a classifier whose run lies no longer beside it"):
        NETWORKS.rebuild(run, study.data)
    (tmp_path / "own").rename(study.runs / "own")
    (study.runs / FEATURES).rename(tmp_path / "features")
    with pytest.raises(CheckpointError, match=r"needs the features in .*, which are gone"):
        NETWORKS.rebuild(run, study.data)


def test_features_from_files_have_no_network(study):
    folder = study.begin("imported", {"classifier": {"name": "own"}, "features": study.data.fingerprint})
    (folder / CLASSIFIER_FILE).touch()
    assert "imported from files" in NETWORKS.unusable(stored(folder).configuration, folder)
