"""What is told before anything is trained, in the process of the tests."""

import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from tests.data.conftest import make_image_set
from tests.hostile_pickles import Call
from tests.pipelines.alphanet.test_alphanet_experiments import make_classifier, make_features
from tests.pipelines.alphanet.test_alphanet_settings import alphanet_settings
from tests.studies.contexts import context_of

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.splits import make_splits
from vision_studies.errors import MissingDependencyError, VisionStudiesError
from vision_studies.pipelines.alphanet import nodes
from vision_studies.pipelines.alphanet.plan import Plan
from vision_studies.pipelines.alphanet.work import event_logs
from vision_studies.pipelines.alphanet.work.features import open_feature_set
from vision_studies.pipelines.alphanet.work.original_format import export_data_set

OWN = {"label": "own", "method": {"name": "own"}}
TAUS = {"label": "tau", "method": {"name": "tau", "values": [0.5, 1.0]}}
FEW = {"name": "all_few", "ratio": None}


def sampled(name, ratio):
    return {"training": {"samplers": [{"name": name, "ratio": ratio}]}}


@pytest.fixture(scope="module")
def images():
    """80 images of each of six classes learn and validate; a tail of steps leaves 26 of the last three."""
    image_set = make_image_set(count=600, size=8, classes=6)
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.2, seed=0, copies="together", long_tail=None)
    )
    return image_set, splits.to_table()


def settings_of_images(**changes):
    own = {
        "long_tail": {"profile": "step", "factor": 3.0, "seed": 0, "reverse": False},
        "splits": {"few_below": 30, "many_above": 50},
        "neighbours": [2],
        "classifiers": [OWN],
        "improved": ["own"],
    }
    return alphanet_settings(**(own | changes))


def write_splits(folder, **labels):
    folder.mkdir()
    for name, own in labels.items():
        (folder / f"{name}.txt").write_text("".join(f"{label}\n" for label in own), encoding="utf-8")
    return {"few_below": 20, "many_above": 100, "folder": str(folder)}


def refuse_images(folder, images, said, **changes):
    with pytest.raises(VisionStudiesError, match=said) as told:
        nodes.train_backbones(context_of("alphanet", settings_of_images(**changes), images, folder))
    assert "\n" not in str(told.value)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"splits": {"few_below": 10, "many_above": 50}},
            r"No class has fewer than 10 training images \(the smallest has 26\)",
        ),
        ({"splits": {"few_below": 200, "many_above": 200}}, "Every class has fewer than 200 training images"),
        ({"neighbours": [2, 4]}, "alphanet.neighbours asks for 4, but of 6 classes 3 are base classes"),
        ({"network": {"activation": "leakyrelu"}}, "alphanet.network.activation: 'leakyrelu' is no activation"),
        ({"training": {"optimizer": {"parameters": {"rate": 1}}}}, "alphanet.training.optimizer: AdamW does not take"),
        (
            {"training": {"scheduler": {"name": "PolynomialLR", "parameters": {"steps": 1}}}},
            "alphanet.training.scheduler: PolynomialLR does not take",
        ),
        (sampled("all_medium", None) | {"rhos": [1.0]}, "draws from the medium classes, of which there is none"),
        (sampled("uniform_base_class", "rho"), "alphanet.rhos has 1.5: .* so 1 at most"),
        (sampled("uniform_base_image", "rho") | {"rhos": [0.5, 0.001]}, "draw no image with rho 0.001"),
        (
            {"validation": "none", "classifiers": [OWN, TAUS]},
            "one of the values of 'tau' is chosen by validation images",
        ),
        (
            {"imported": {"registry": "nowhere.toml", "data_set": "a"}},
            "imported.registry: there is no file .*nowhere.toml",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_is(tmp_path, images, changes, said):
    refuse_images(tmp_path / "runs", images, said, **changes)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"few": [4, 5], "medium": [3], "many": [0, 1]}, "leave out class 2"),
        ({"few": [4, 5], "medium": [3, 2], "many": [0, 1, 2]}, "name class 2 more than once"),
        ({"few": [4, 5], "medium": [3, 2], "many": [0, 1, 6]}, "name class 6, but the data has the classes 0 to 5"),
        ({"few": [], "medium": [3, 2, 4], "many": [0, 1, 5]}, "names no class, so that there is none to be helped"),
        ({"few": [4, 5], "many": [0, 1, 2, 3]}, "medium.txt cannot be read"),
    ],
)
def test_split_files_that_do_not_hold_every_class_once_are_told(tmp_path, images, labels, said):
    refuse_images(tmp_path / "runs", images, said, splits=write_splits(tmp_path / "lists", **labels))


def test_a_study_of_images_without_images_is_told(tmp_path):
    refuse_images(tmp_path / "runs", (None, None), "alphanet.imported is null but the study's catalog has no images")


def test_without_tensorboard_its_logs_are_refused_at_once(tmp_path, images, monkeypatch):
    def missing():
        raise MissingDependencyError("TensorBoard is not installed.")

    monkeypatch.setattr(event_logs, "require_tensorboard", missing)
    refuse_images(tmp_path / "runs", images, "TensorBoard is not installed", tensorboard=True)


def test_other_split_files_under_the_same_name_are_another_feature_set(tmp_path, images):
    splits = write_splits(tmp_path / "lists", few=[4, 5], medium=[3], many=[0, 1, 2])
    folders = []
    for few in ("4\n5\n", "5\n4\n", "5\n"):  # the same, in another order, and another
        (tmp_path / "lists/few.txt").write_text(few)
        (tmp_path / "lists/medium.txt").write_text("3\n" if "4" in few else "3\n4\n")
        plan = Plan(context_of("alphanet", settings_of_images(splits=splits), images, tmp_path / "runs"))
        folders.append([folder.name for folder in plan.source_folders])
    assert folders[0] == folders[1] != folders[2]
    assert len(set(folders[0])) == 5


@pytest.fixture
def project(tmp_path):
    """Folder of a data set "clouds" in the original's form, and its features as a study keeps them."""
    export_data_set(make_features(), make_classifier(), tmp_path / "project", "clouds")
    run(tmp_path)
    return tmp_path / "project"


def run(folder, **changes):
    """Import as the pipeline does it; the table of feature sets."""
    own = {
        "imported": {"registry": str(folder / "project/config/datasets.toml"), "data_set": "clouds"},
        "neighbours": [3],
        "classifiers": [OWN],
        "improved": ["own"],
    }
    context = context_of("alphanet", alphanet_settings(**(own | changes)), (None, None), folder / "runs")
    nodes.train_backbones(context)
    return nodes.extract_features(context, pd.DataFrame())[0]


def write_features(file, **changes):
    content = {"feats": np.zeros((14, 10), dtype=np.float32), "labels": list(range(14))}
    file.write_bytes(pickle.dumps(content | changes))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda own: write_features(own / "features/clouds/test.pkl", feats=np.zeros((14, 9))),
            "has 9 numbers an image",
        ),
        (lambda own: write_features(own / "features/clouds/test.pkl", labels=[14] * 14), "has the label 14"),
        (lambda own: write_features(own / "features/clouds/val.pkl", feats=np.full((14, 10), np.nan)), "not finite"),
        (
            lambda own: write_features(own / "features/clouds/train.pkl", labels=Call(os.mkdir, str(own / "was run"))),
            "it asks for posix.mkdir",
        ),
        (
            lambda own: torch.save({"weight": torch.zeros(14, 9), "bias": None}, own / "classifiers/clouds.pth"),
            "takes 9",
        ),
        (lambda own: (own / "splits/clouds/few.txt").write_text("3\n"), "leave out class 9"),
        (lambda own: (own / "splits/clouds/few.txt").write_text("3\n3\n9\n12\n13\n"), "name class 3 more than once"),
        (lambda own: shutil.rmtree(own / "features"), "has no train features"),
        (lambda own: (own / "config/datasets.toml").unlink(), "alphanet.imported.registry: there is no file"),
        (lambda own: (own / "config/datasets.toml").write_text("[other]\n"), "has no data set 'clouds'; it has: other"),
    ],
)
def test_imported_files_that_are_wrong_leave_what_was_imported_before(tmp_path, project, damage, said):
    [folder] = (tmp_path / "runs/features").iterdir()
    before = open_feature_set(folder / "features").fingerprint
    damage(project)
    with pytest.raises(VisionStudiesError, match=said) as told:
        run(tmp_path)
    assert "\n" not in str(told.value)
    assert open_feature_set(folder / "features").fingerprint == before
    assert not (project / "was run").exists()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"features"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neighbours": [11]}, "asks for 11, but of 1[0-9]* classes 10 are base classes"),
        (sampled("uniform_medium_class", "rho") | {"rhos": [0.5, 1.25]}, "alphanet.rhos has 1.25"),
        ({"validation": "none"}, "imported validation features cannot be trained on"),
    ],
)
def test_settings_that_do_not_fit_imported_features_are_told(tmp_path, project, changes, said):
    with pytest.raises(VisionStudiesError, match=said):
        run(tmp_path, **changes)
    assert len(list((tmp_path / "runs/features").iterdir())) == 1


def test_taus_are_refused_where_nothing_validates(tmp_path, project):
    assert run(tmp_path, classifiers=[OWN, TAUS])["validation_images"].tolist() == [12 * 14]
    (project / "features/clouds/val.pkl").unlink()
    with pytest.raises(VisionStudiesError, match="one of the values of 'tau' is chosen by validation images"):
        run(tmp_path, classifiers=[OWN, TAUS])
    assert "validation_images" not in run(tmp_path)
