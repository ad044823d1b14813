import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.pipelines.alphanet.test_alphanet_experiments import make_classifier, make_features

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.errors import DataError
from vision_studies.files import write_json
from vision_studies.pipelines.alphanet.work import sources
from vision_studies.pipelines.alphanet.work.features import write_feature_set
from vision_studies.pipelines.alphanet.work.linear_classifier import save_classifier
from vision_studies.pipelines.alphanet.work.original_format import export_data_set, read_registry
from vision_studies.pipelines.alphanet.work.sources import features_from_files, files_fingerprint, open_source


@pytest.fixture
def project(tmp_path):
    """Folder of a data set "clouds" in the original's form."""
    export_data_set(make_features(), make_classifier(), tmp_path / "project", "clouds")
    return tmp_path / "project"


def described(project):
    return read_registry(project / "config/datasets.toml", "clouds")


def test_files_are_imported_once(tmp_path, project, monkeypatch):
    source = features_from_files(described(project), tmp_path / "kept")
    expected = make_features()
    for name, group in expected.groups.items():
        np.testing.assert_array_equal(source.features.groups[name].features, group.features)
        np.testing.assert_array_equal(source.features.groups[name].labels, group.labels)
    [expert] = source.experts
    np.testing.assert_array_equal(expert.weight, make_classifier().weight)
    monkeypatch.setattr(sources, "import_data_set", lambda *_: pytest.fail("it is there"))
    again = features_from_files(described(project), tmp_path / "kept")
    assert again.features.fingerprint == source.features.fingerprint


def touch(file):
    os.utime(file, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda project: touch(project / "features/clouds/train.pkl"),
        lambda project: touch(project / "features/clouds/val.pkl"),
        lambda project: touch(project / "classifiers/clouds.pth"),
        lambda project: touch(project / "splits/clouds/few.txt"),
        lambda project: touch(project / "label_names.txt"),
        lambda project: (project / "splits/clouds/few.txt").write_text("3\n"),
        lambda project: (project / "features/clouds/test.pkl").unlink(),
    ],
)
def test_another_file_gives_another_fingerprint(project, change):
    before = files_fingerprint(described(project))
    assert files_fingerprint(described(project)) == before
    change(project)
    assert files_fingerprint(described(project)) != before


def test_another_description_gives_another_fingerprint_and_strangers_do_not(project):
    own = described(project)
    before = files_fingerprint(own)
    assert files_fingerprint(replace(own, datagrps=("train", "test"))) != before
    assert files_fingerprint(replace(own, classifier_loader="CombinedClassifierLoader")) != before
    (project / "classifiers/another.pth").write_bytes(b"")
    (project / "splits/clouds/notes.txt").write_text("mine")
    (project / "features/clouds/old.pkl").write_bytes(b"")
    assert files_fingerprint(own) == before
    # Experts are named by the list of them; whatever lies beside or below it may be one.
    combined = replace(own, classifier_loader="CombinedClassifierLoader")
    before = files_fingerprint(combined)
    (project / "classifiers/experts").mkdir()
    torch.save({}, project / "classifiers/experts/1.pth")
    assert files_fingerprint(combined) != before


def test_the_first_expert_s_features_are_the_first(tmp_path):
    own = make_features()
    write_feature_set(
        tmp_path / "features",
        name=own.name,
        class_names=own.class_names,
        splits=own.splits,
        counts=own.counts,
        groups=own.groups,
    )
    whole = make_classifier()
    for number, columns in enumerate((slice(0, 4), slice(4, None))):
        expert = LinearClassifier(np.ascontiguousarray(whole.weight[:, columns]), whole.bias)
        save_classifier(expert, tmp_path / f"expert_{number}.safetensors")
    write_json(tmp_path / "experts.json", 2)
    source = open_source(tmp_path)
    assert source.features.num_features == 10
    first = source.taken(wide=False)
    assert first.num_features == 4
    np.testing.assert_array_equal(first.groups["test"].features, own.groups["test"].features[:, :4])


def test_features_that_nobody_has_made_are_told(tmp_path):
    with pytest.raises(DataError, match="There are no features in .* yet; make them first"):
        open_source(tmp_path / "none")
