import io
import logging
import os
import pickle
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, open_feature_set, write_feature_set
from vision_studies.pipelines.alphanet.work.original_format import (
    OriginalDataSet,
    export_data_set,
    import_data_set,
    read_registry,
)

NAMES = ("cat", "dog, or hound", "été", "fox")
TABLE = {
    "split_files_dir": "data/splits",
    "feature_files_dir": "data/features",
    "classifier_file": "data/crt.pth",
    "classifier_loader": "LinearClassifierLoader",
    "nn_files_dir": "data/nns",
    "baseline_eval_file": "data/baseline.pkl",
}


def make_group(count, seed):
    generator = np.random.default_rng(seed)
    return FeatureGroup(generator.normal(size=(count, 3)).astype(np.float32), np.arange(count) % 4)


def make_classifier():
    generator = np.random.default_rng(5)
    weight, bias = generator.normal(size=(4, 3)), generator.normal(size=4)
    return LinearClassifier(weight.astype(np.float32), bias.astype(np.float32))


@pytest.fixture
def feature_set(tmp_path):
    groups = {"train": make_group(10, 0), "validation": make_group(5, 1), "test": make_group(7, 2)}
    write_feature_set(
        tmp_path / "written",
        name="pets",
        class_names=NAMES,
        splits=ClassSplits(np.array([1, 3]), np.array([2]), np.array([0])),
        counts=np.array([3, 3, 2, 2]),
        groups=groups,
    )
    return open_feature_set(tmp_path / "written")


@pytest.fixture
def exported(tmp_path, feature_set):
    """Folder of a data set "pets_crt" in the original's form."""
    export_data_set(feature_set, make_classifier(), tmp_path / "project", "pets_crt")
    return tmp_path / "project"


def read(exported, **changes) -> OriginalDataSet:
    return replace(read_registry(exported / "config/datasets.toml", "pets_crt"), **changes)


def write_registry(folder, tables) -> Path:
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/datasets.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
    return folder / "config/datasets.toml"


def save_features(file, feats, labels):
    file.write_bytes(pickle.dumps({"feats": feats, "labels": labels}))


def load_features(file):
    """As the original reads it, by pickle itself; for files that this test has just let the project write."""
    return pickle.loads(file.read_bytes())


def test_what_is_exported_is_imported_as_it_was(tmp_path, exported, feature_set):
    classifier = import_data_set(read(exported), tmp_path / "imported")
    np.testing.assert_array_equal(classifier.weight, make_classifier().weight)
    np.testing.assert_array_equal(classifier.bias, make_classifier().bias)
    imported = open_feature_set(tmp_path / "imported")
    assert (imported.name, imported.class_names) == ("pets_crt", NAMES)
    assert imported.counts.tolist() == [3, 3, 2, 2]
    for split in ("few", "medium", "many"):
        assert getattr(imported.splits, split).tolist() == getattr(feature_set.splits, split).tolist()
    assert list(imported.groups) == ["train", "validation", "test"]
    for name, group in feature_set.groups.items():
        np.testing.assert_array_equal(imported.groups[name].features, group.features)
        np.testing.assert_array_equal(imported.groups[name].labels, group.labels)


def test_exported_files_are_the_original_s(exported, feature_set):
    table = tomllib.loads((exported / "config/datasets.toml").read_text(encoding="utf-8"))["pets_crt"]
    assert TABLE.keys() <= table.keys()
    assert all((exported / table[key]).is_dir() for key in ("split_files_dir", "feature_files_dir"))
    assert (exported / "splits/pets_crt/few.txt").read_text() == "1\n3\n"
    assert (exported / "label_names.txt").read_text(encoding="utf-8").splitlines() == list(NAMES)
    content = load_features(exported / "features/pets_crt/val.pkl")  # as the original does it
    assert type(content["feats"]) is np.ndarray
    assert content["feats"].dtype == np.float32
    np.testing.assert_array_equal(content["feats"], feature_set.groups["validation"].features)
    assert content["labels"] == [0, 1, 2, 3, 0]
    assert {type(label) for label in content["labels"]} == {int}
    assert content["idxs"] == [0, 1, 2, 3, 4]
    saved = torch.load(exported / "classifiers/pets_crt.pth", weights_only=True)
    assert saved.keys() == {"weight", "bias"}
    assert saved["weight"].shape == (4, 3)


def test_without_validation_there_is_none(tmp_path, exported, feature_set):
    groups = {name: feature_set.groups[name] for name in ("train", "test")}
    export_data_set(replace(feature_set, groups=groups), make_classifier(), tmp_path / "two", "pets_crt")
    assert read(tmp_path / "two").datagrps == ("train", "test")
    (exported / "features/pets_crt/val.pkl").unlink()  # named in datagrps, and not there
    for project in (exported, tmp_path / "two"):
        import_data_set(read(project), tmp_path / "imported")
        assert list(open_feature_set(tmp_path / "imported").groups) == ["train", "test"]


def test_validation_that_is_not_in_datagrps_is_not_read(tmp_path, exported):
    import_data_set(read(exported, datagrps=("train", "test")), tmp_path / "imported")
    assert list(open_feature_set(tmp_path / "imported").groups) == ["train", "test"]


def test_parts_are_joined_by_name_and_strangers_left_out(tmp_path, exported, feature_set, caplog):
    folder = exported / "features/pets_crt"
    group = feature_set.groups["train"]
    save_features(folder / "train_02.pkl", torch.tensor(group.features[6:]), group.labels[6:])
    save_features(folder / "train_01.pkl", group.features[:6].astype(np.float64), group.labels[:6].tolist())
    (folder / "train.pkl").rename(folder / "train_old.pkl")
    (folder / "trainer.pkl").write_bytes(b"")
    (folder / "val.pkl").rename(folder / "val3.pkl")
    with caplog.at_level(logging.WARNING):
        import_data_set(read(exported), tmp_path / "imported")
    imported = open_feature_set(tmp_path / "imported").groups["train"]
    np.testing.assert_array_equal(imported.features, group.features)
    np.testing.assert_array_equal(imported.labels, group.labels)
    assert [record.getMessage() for record in caplog.records] == [
        f"Not read in {folder}, for they are no parts of train.pkl: train_old.pkl, trainer.pkl."
    ]


def test_a_whole_beside_its_parts_is_refused(tmp_path, exported):
    folder = exported / "features/pets_crt"
    (folder / "train_1.pkl").write_bytes((folder / "train.pkl").read_bytes())
    with pytest.raises(DataError, match="has train.pkl and parts of it such as train_1.pkl; remove one of the two"):
        import_data_set(read(exported), tmp_path / "imported")


def test_classes_without_names_are_numbered(tmp_path, exported):
    import_data_set(read(exported, label_names_file=None), tmp_path / "imported")
    assert open_feature_set(tmp_path / "imported").class_names == ("class 0", "class 1", "class 2", "class 3")


def test_blank_lines_among_names_are_skipped(tmp_path, exported):
    (exported / "label_names.txt").write_text("\ncat\n  dog \r\n\neel\nfox", encoding="utf-8")
    import_data_set(read(exported), tmp_path / "imported")
    assert open_feature_set(tmp_path / "imported").class_names == ("cat", "dog", "eel", "fox")


def test_experts_are_imported_as_the_mean_of_their_scores(tmp_path, exported, feature_set):
    experts = [make_classifier(), LinearClassifier(-2 * make_classifier().weight, make_classifier().bias + 1)]
    for number, expert in enumerate(experts):
        tensors = {"weight": torch.tensor(expert.weight), "bias": torch.tensor(expert.bias)}
        torch.save(tensors, exported / f"classifiers/{number}.pth")
    entries = [
        {"classifier_loader": "LinearClassifierLoader", "classifier_file": f"{number}.pth"} for number in range(2)
    ]
    torch.save(entries, exported / "classifiers/ride.pth")
    for group, own_name in (("train", "train"), ("val", "validation"), ("test", "test")):
        own = feature_set.groups[own_name]
        doubled = np.concatenate([own.features, own.features + 1], axis=1)
        save_features(exported / f"features/pets_crt/{group}.pkl", doubled, own.labels)
    data_set = read(
        exported,
        classifier_file=exported / "classifiers/ride.pth",
        classifier_loader="CombinedClassifierLoader",
    )
    classifier = import_data_set(data_set, tmp_path / "imported")
    features = open_feature_set(tmp_path / "imported").groups["test"].features
    parts = np.split(np.asarray(features, dtype=np.float64), 2, axis=1)
    scores = [part @ expert.weight.T + expert.bias for part, expert in zip(parts, experts, strict=True)]
    np.testing.assert_allclose(classifier.scores(features), np.mean(scores, axis=0), rtol=1e-4, atol=1e-5)


def damage_features(file, change):
    content = load_features(file)
    change(content)
    file.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "features/pets_crt/train.pkl").unlink(),
            "The data set 'pets_crt' has no train features; put train.pkl into",
        ),
        (
            lambda folder: (folder / "features/pets_crt/test.pkl").rename(folder / "features/pets_crt/tests.pkl"),
            "The data set 'pets_crt' has no test features",
        ),
        (
            lambda folder: damage_features(
                folder / "features/pets_crt/val.pkl", lambda content: content.update(feats=np.zeros((5, 4)))
            ),
            "val.pkl has 4 numbers an image, but .*pets_crt.pth takes 3",
        ),
        (
            lambda folder: damage_features(
                folder / "features/pets_crt/val.pkl", lambda content: content["labels"].__setitem__(2, 4)
            ),
            "val.pkl has the label 4, but .*pets_crt.pth has the classes 0 to 3",
        ),
        (
            lambda folder: damage_features(
                folder / "features/pets_crt/train.pkl", lambda content: content.update(labels=[0, 1, 2] * 3 + [0])
            ),
            "'pets_crt' has no training image of 'fox'",
        ),
        (
            lambda folder: damage_features(
                folder / "features/pets_crt/test.pkl", lambda content: content["feats"].fill(np.nan)
            ),
            "The test features of 'pets_crt' hold a number that is not finite",
        ),
        (
            lambda folder: (folder / "label_names.txt").write_text("cat\ndog\n"),
            "label_names.txt names 2 classes, but the classifier has 4",
        ),
        (lambda folder: (folder / "label_names.txt").write_bytes(b"\xff\xfe"), "label_names.txt cannot be read"),
        (lambda folder: (folder / "label_names.txt").unlink(), "label_names.txt cannot be read"),
        (lambda folder: (folder / "splits/pets_crt/few.txt").write_text("1\n"), "leave out class 3"),
        (lambda folder: (folder / "classifiers/pets_crt.pth").unlink(), "pets_crt.pth is missing"),
    ],
)
def test_files_that_do_not_belong_together_are_named(tmp_path, exported, damage, message):
    damage(exported)
    with pytest.raises(DataError, match=message):
        import_data_set(read(exported), tmp_path / "imported")
    assert not (tmp_path / "imported").exists()


class Call:
    def __init__(self, function, *arguments):
        self.called = (function, arguments)

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("part", ["features/pets_crt/test.pkl", "classifiers/pets_crt.pth"])
def test_a_hostile_file_is_not_run(tmp_path, exported, part):
    marker = tmp_path / "something was run"
    hostile = {"feats": Call(os.mkdir, str(marker)), "labels": [0], "weight": Call(os.mkdir, str(marker)), "bias": None}
    content = io.BytesIO()
    (torch.save if part.endswith("pth") else pickle.dump)(hostile, content)
    (exported / part).write_bytes(content.getvalue())
    with pytest.raises(DataError, match="was not read"):
        import_data_set(read(exported), tmp_path / "imported")
    assert not marker.exists()
    assert not (tmp_path / "imported").exists()


def test_paths_start_at_the_parent_of_the_registry_s_folder(tmp_path, monkeypatch):
    tables = {"a": TABLE | {"label_names_file": str(tmp_path / "names.txt"), "proper_name": "A‑LT | cRT"}, "b": TABLE}
    file = write_registry(tmp_path, tables)
    data_set = read_registry(file, "a")
    assert data_set == OriginalDataSet(
        name="a",
        split_files_dir=tmp_path / "data/splits",
        feature_files_dir=tmp_path / "data/features",
        classifier_file=tmp_path / "data/crt.pth",
        classifier_loader="LinearClassifierLoader",
        label_names_file=tmp_path / "names.txt",
        datagrps=("train", "val", "test"),
    )
    assert read_registry(file, "b").label_names_file is None
    monkeypatch.chdir(tmp_path / "config")
    assert read_registry(Path("datasets.toml"), "a") == data_set


@pytest.mark.parametrize("key", TABLE)
def test_a_missing_key_is_named(tmp_path, key):
    file = write_registry(tmp_path, {"a": {own: value for own, value in TABLE.items() if own != key}})
    with pytest.raises(DataError, match=f"The data set 'a' in .*datasets.toml lacks {key}; add it"):
        read_registry(file, "a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifier_file": 3}, "classifier_file of the data set 'a' in .* is 3; text is wanted"),
        ({"label_names_file": ["a"]}, "label_names_file of the data set 'a' .* text is wanted"),
        ({"classifier_loader": "Loader"}, "is 'Loader'; LinearClassifierLoader or CombinedClassifierLoader is wanted"),
        ({"datagrps": "train"}, "datagrps .* a list of train, val, test is wanted"),
        ({"datagrps": ["train", "held-out"]}, "datagrps .* a list of train, val, test is wanted"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read_registry(write_registry(tmp_path, {"a": TABLE | changes}), "a")


def test_an_unknown_data_set_is_answered_with_those_there_are(tmp_path):
    file = write_registry(tmp_path, {"imagenetlt_crt": TABLE, "placeslt_crt": TABLE, "version": 1})
    message = r"has no data set 'imagenet_crt'; it has: imagenetlt_crt, placeslt_crt. Did you mean 'imagenetlt_crt'\?"
    with pytest.raises(DataError, match=message):
        read_registry(file, "imagenet_crt")
    with pytest.raises(DataError, match="it has: none.$"):
        read_registry(write_registry(tmp_path, {}), "a")


@pytest.mark.parametrize("content", [b"[a", b"\xff"])
def test_a_registry_that_is_no_toml_is_told(tmp_path, content):
    file = write_registry(tmp_path, {})
    file.write_bytes(content)
    with pytest.raises(DataError, match="datasets.toml is no TOML"):
        read_registry(file, "a")
    with pytest.raises(DataError, match="missing.toml cannot be read"):
        read_registry(tmp_path / "missing.toml", "a")


def test_nothing_is_overwritten(exported, feature_set):
    before = (exported / "config/datasets.toml").read_bytes()
    with pytest.raises(DataError, match="project exists and is not overwritten"):
        export_data_set(feature_set, make_classifier(), exported, "other")
    assert (exported / "config/datasets.toml").read_bytes() == before


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_folder_is_refused(tmp_path, feature_set, name):
    with pytest.raises(DataError, match="cannot name a data set's folders"):
        export_data_set(feature_set, make_classifier(), tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("own_name", ["", " cat", "cat\ndog", "cat\rdog"])
def test_a_class_name_that_fits_on_no_line_is_refused(tmp_path, feature_set, own_name):
    named = replace(feature_set, class_names=(own_name, *NAMES[1:]))
    with pytest.raises(DataError, match="does not fit on a line of label_names.txt"):
        export_data_set(named, make_classifier(), tmp_path / "out", "pets")


def test_a_classifier_of_other_classes_or_features_is_refused(tmp_path, feature_set):
    for shape in ((5, 3), (4, 2)):
        other = LinearClassifier(np.zeros(shape, dtype=np.float32), np.zeros(shape[0], dtype=np.float32))
        with pytest.raises(DataError, match=r"but 'pets' has 4 classes and 3 features"):
            export_data_set(feature_set, other, tmp_path / "out", "pets")
