import json
import math

import numpy as np
import pandas as pd
import pytest

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.transfer_cuts.published_files import (
    channel_values,
    cluster_values,
    read_channels,
    read_clusters,
    read_parameters,
    read_results,
    results_file,
    results_values,
)
from vision_studies.pipelines.transfer_cuts.rankings import describe

PARAMETERS = {"depth": 6, "lr_fine_tune": 0.001, "fine_tune_classes": [5, 7, 9], "freeze": True}
RUN = {
    "lr": 0.001,
    "sampled_percentage": 0.01,
    "sampled_cut_point": 4,
    "repeat": 0,
    "train_acc": 0.95,
    "test_acc": 0.87,
}
CLUSTER = {
    "Percentage": 0.001,
    "Repeat": 0,
    "Layer": "conv0",
    "Precision": 0.46,
    "Recall": 0.81,
    "Accuracy": 0.53,
    "ARI": -0.2,
    "Dataset": "Finetune",
    "Split": "Train",
}
CHANNEL = {
    "Percentage": 0.001,
    "Repeat": 0,
    "Num Samples": 0,
    "Layer": "fc",
    "Max ARI Score": 29.0,
    "Avg ARI Score": -1.5,
    "Dataset": "Finetune",
    "Split": "Train",
}


def accuracies():
    rows = [
        {
            "mode": mode,
            "cut": cut,
            "fraction": fraction,
            "repeat": repeat,
            "train_accuracy": 0.9 + cut / 100,
            "validation_accuracy": 0.8,
            "test_accuracy": 0.85 + repeat / 1000,
        }
        for fraction in (1.0, 0.01)
        for mode, cuts in (("freeze", [3, 0]), ("baseline", [-1]), ("freeze_reinit", [2]))
        for cut in cuts
        for repeat in (1, 0)
    ]
    return pd.DataFrame(rows)


def stored(folder, value, name="cuts_regular_classes_FR.json"):
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("mode", ["freeze", "freeze_reinit", "baseline"])
def test_results_come_back_as_they_were_written(tmp_path, mode):
    table = accuracies()
    values = results_values(table, PARAMETERS, mode=mode, learning_rate=0.001)
    path = stored(tmp_path, values, results_file("regular_classes", mode))
    assert read_parameters(path) == PARAMETERS
    found = read_results(path)
    own = table[table["mode"] == mode].sort_values(["fraction", "cut", "repeat"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(
        found.drop(columns=["validation_accuracy", "learning_rate"]), own.drop(columns="validation_accuracy")
    )
    assert found["validation_accuracy"].isna().all()
    assert set(found["learning_rate"]) == {0.001}
    assert results_values(found, PARAMETERS, mode=mode, learning_rate=0.001) == values
    assert describe(found)["n"].eq(2).all()


def test_rows_have_the_published_keys_and_plain_values():
    first, *runs = results_values(accuracies(), PARAMETERS, mode="baseline", learning_rate=0.001)
    assert first == PARAMETERS
    assert [list(run) for run in runs] == [list(RUN)] * 4
    assert [run["sampled_percentage"] for run in runs] == [0.01, 0.01, 1.0, 1.0]
    assert {type(value) for run in runs for value in run.values()} == {int, float}


def test_all_the_images_are_1_or_1_0_and_a_baseline_row_is_one_in_every_file(tmp_path):
    runs = [RUN | {"sampled_percentage": 1}, RUN | {"sampled_percentage": 1.0, "repeat": 1, "sampled_cut_point": -1}]
    found = read_results(stored(tmp_path, [PARAMETERS, *runs]))
    assert found["fraction"].tolist() == [1.0, 1.0]
    assert found["mode"].tolist() == ["freeze_reinit", "baseline"]


def test_the_mode_is_in_the_name_or_given(tmp_path):
    for name, mode in {
        "cuts_regular_classes_F.json": "freeze",
        "cuts_random_FT.json": "freeze_truncate",
        "cuts_x_R.json": "reinit",
        results_file("x", "fine_tune"): "fine_tune",
    }.items():
        assert read_results(stored(tmp_path, [PARAMETERS, RUN], name))["mode"].tolist() == [mode]
    odd = stored(tmp_path, [PARAMETERS, RUN], "results_freeze_True.json")
    assert read_results(odd, mode="freeze")["mode"].tolist() == ["freeze"]
    with pytest.raises(DataError, match="does not say the mode of its runs; call it"):
        read_results(odd)
    with pytest.raises(ParameterError, match="no file for the mode 'thaw'"):
        results_file("x", "thaw")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "is not plain JSON"),
        ("[" * 100_000, "is not plain JSON"),
        ('[{}, {"lr": NaN}]', "is not plain JSON"),
        ("1" * 5000, "is not plain JSON"),
        ([], "must hold a list of results, but holds none"),
        ({"lr": 1}, "must hold a list of results, but holds something else"),
        ([RUN], "does not begin with the parameters"),
        ([3, RUN], "does not begin with the parameters"),
        ([PARAMETERS], "holds parameters but no runs"),
        ([PARAMETERS, RUN, [1]], "Row 2 of .* is no mapping"),
        ([PARAMETERS, RUN, RUN], "Row 2 of .* has the same cut, fraction, repeat, learning_rate as one before it"),
    ],
)
def test_files_that_are_no_results_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_results(stored(tmp_path, content))


@pytest.mark.parametrize("key", list(RUN))
def test_a_missing_key_is_named_with_its_row(tmp_path, key):
    short = {name: value for name, value in RUN.items() if name != key}
    with pytest.raises(DataError, match=rf"^Row 2 of \S+ lacks '{key}'\.$"):
        read_results(stored(tmp_path, [PARAMETERS, RUN, short]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_acc": 87.0}, "has 87.0 as 'test_acc', which must be between 0 and 1"),
        ({"train_acc": -0.1}, "has -0.1 as 'train_acc', which must be between 0 and 1"),
        ({"test_acc": 10**400}, "has 10000000000000000000 as 'test_acc', which must be between"),
        ({"test_acc": "0.5"}, "has no number as 'test_acc'"),
        ({"test_acc": None}, "has no number as 'test_acc'"),
        ({"test_acc": True}, "has no number as 'test_acc'"),
        ({"sampled_percentage": 0}, "has 0 as 'sampled_percentage', which must be a fraction above 0"),
        ({"sampled_percentage": 50}, "has 50 as 'sampled_percentage', which must be between 0 and 1"),
        ({"sampled_cut_point": -2}, "has no whole number of -1 or more as 'sampled_cut_point'"),
        ({"sampled_cut_point": 1.5}, "has no whole number of -1 or more as 'sampled_cut_point'"),
        ({"repeat": -1}, "has no whole number of 0 or more as 'repeat'"),
        ({"repeat": False}, "has no whole number of 0 or more as 'repeat'"),
        ({"repeat": 2**70}, "has no whole number of 0 or more as 'repeat'"),
        ({"lr": -1}, "has -1 as 'lr', which must be a finite number of 0 or more"),
        ({"lr": 10**400}, "has 10000000000000000000 as 'lr', which must be a finite number of 0 or more"),
    ],
)
def test_values_that_cannot_be_are_refused_with_their_row(tmp_path, change, message):
    with pytest.raises(DataError, match=rf"^Row 1 of \S+ {message}"):
        read_results(stored(tmp_path, [PARAMETERS, RUN | change]))


def test_a_number_beyond_all_bounds_is_refused(tmp_path):
    text = json.dumps([PARAMETERS, RUN]).replace('"lr": 0.001', '"lr": 1e999')
    with pytest.raises(DataError, match="has inf as 'lr', which must be a finite number"):
        read_results(stored(tmp_path, text))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_results(tmp_path / "cuts_x_FR.json")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_parameters(tmp_path)
    binary = tmp_path / "cuts_x_F.json"
    binary.write_bytes(b"\x80\x04\x95")
    with pytest.raises(DataError, match="is not plain JSON"):
        read_results(binary)
    with pytest.raises(DataError, match="has the cut 4, but baselines have -1"):
        read_results(stored(tmp_path, [PARAMETERS, RUN], "baselines_regular_classes.json"))


def test_cluster_scores_come_back_as_they_were_written(tmp_path):
    published = [CLUSTER, CLUSTER | {"Layer": "conv1", "Percentage": 1, "ARI": 1.0}]
    found = read_clusters(stored(tmp_path, published))
    assert list(found.columns) == [
        *("fraction", "repeat", "layer", "precision", "recall", "accuracy", "ari", "dataset", "split")
    ]
    assert found["ari"].tolist() == [-0.2, 1.0]
    assert cluster_values(found) == published


def test_channel_scores_come_back_as_they_were_written(tmp_path):
    published = [CHANNEL, CHANNEL | {"Layer": "conv0", "Num Samples": 500, "Max ARI Score": 51.48514851485149}]
    found = read_channels(stored(tmp_path, published))
    assert found["max_ari"].tolist() == pytest.approx([0.29, 0.5148514851485149])
    assert found["samples"].tolist() == [0, 500]
    for row, expected in zip(channel_values(found), published, strict=True):
        assert row == pytest.approx(expected)


@pytest.mark.parametrize(
    ("read", "row", "change", "message"),
    [
        (read_clusters, CLUSTER, {"ARI": 1.01}, "has 1.01 as 'ARI', which must be between -1 and 1"),
        (read_clusters, CLUSTER, {"Precision": -0.5}, "has -0.5 as 'Precision', which must be between 0 and 1"),
        (read_clusters, CLUSTER, {"Layer": 3}, "has no text as 'Layer'"),
        (
            read_channels,
            CHANNEL,
            {"Max ARI Score": 101},
            "has 101 as 'Max ARI Score', which must be between -100 and 100",
        ),
        (read_channels, CHANNEL, {"Num Samples": -1}, "has no whole number of 0 or more as 'Num Samples'"),
    ],
)
def test_scores_that_cannot_be_are_refused_with_their_row(tmp_path, read, row, change, message):
    with pytest.raises(DataError, match=f"^Row 2 of .* {message}"):
        read(stored(tmp_path, [row, row | {"Repeat": 1} | change]))
    with pytest.raises(DataError, match="has the same fraction, repeat, layer, dataset, split as one before it"):
        read(stored(tmp_path, [row, row]))
    with pytest.raises(DataError, match="Row 1 of .* lacks 'Split'"):
        read(stored(tmp_path, [{key: value for key, value in row.items() if key != "Split"}]))


def test_the_two_layouts_of_scores_are_not_taken_for_each_other(tmp_path):
    with pytest.raises(DataError, match="lacks 'Precision'"):
        read_clusters(stored(tmp_path, [CHANNEL]))
    with pytest.raises(DataError, match="lacks 'Num Samples'"):
        read_channels(stored(tmp_path, [CLUSTER]))


def test_writing_leaves_the_table_alone():
    table = accuracies()
    before = table.copy(deep=True)
    results_values(table, PARAMETERS, mode="freeze", learning_rate=0.001)
    pd.testing.assert_frame_equal(table, before)
    scores = pd.DataFrame(
        [
            {
                "fraction": np.float64(1),
                "repeat": np.int64(0),
                "layer": "conv0",
                "samples": 10,
                "max_ari": 0.5,
                "mean_ari": 0.1,
            }
        ]
    ).assign(dataset="Finetune", split="Train")
    (row,) = channel_values(scores)
    assert math.isclose(row["Max ARI Score"], 50)
    assert json.loads(json.dumps(row)) == row
