import numpy as np
import pandas as pd
import pytest

from vision_studies.pipelines.alphanet.prediction_groups import GROUPS, adjusted_accuracy, count_groups, group_flows

NEIGHBOURS = pd.DataFrame({"label": [0, 0, 1], "neighbour": [2, 3, 3]})  # classes 2 and 3 have none


def changes(rows, **columns):
    table = pd.DataFrame(rows, columns=["repeat", "label", "before", "after", "images"])
    return table.assign(classifier="crt", experiment="crt, rho 0.5", **columns)


SMALL = changes(
    [
        (0, 0, 0, 0, 5),
        (0, 0, 2, 0, 3),
        (0, 0, 1, 3, 2),
        (0, 1, 3, 1, 4),
        (0, 2, 2, 0, 6),
        (0, 3, 1, 3, 1),
        (1, 0, 0, 0, 4),
        (1, 0, 3, 2, 6),
        (1, 1, 1, 1, 4),
        (1, 2, 2, 2, 6),
        (1, 3, 3, 3, 1),
    ]
)


def random_table(classes=12, repeats=3, images=30, seed=0):
    generator = np.random.default_rng(seed)
    shape = (repeats, classes, images)
    repeat, label, _ = (index.ravel() for index in np.indices(shape))
    single = pd.DataFrame(
        {
            "repeat": repeat,
            "label": label,
            "before": np.where(generator.random(label.size) < 0.4, label, generator.integers(0, classes, label.size)),
            "after": np.where(generator.random(label.size) < 0.5, label, generator.integers(0, classes, label.size)),
        }
    )
    joint = single.value_counts().rename("images").reset_index()
    pairs = [(c, n) for c in range(classes - 2) for n in generator.choice(classes, 3, replace=False)]
    neighbours = pd.DataFrame(pairs, columns=["label", "neighbour"])
    return single, joint.assign(classifier="crt", experiment="crt"), neighbours


def group_by_hand(label, prediction, neighbours):
    if label == prediction:
        return "correct"
    pairs = set(zip(neighbours["label"], neighbours["neighbour"], strict=True))
    return "neighbour" if (label, prediction) in pairs else "other"


def test_groups_are_counted_and_averaged_over_repeats():
    before = count_groups(SMALL, NEIGHBOURS, [0, 1], "before")
    assert before["group"].tolist() == list(GROUPS)
    assert before["images"].tolist() == [(5 + 4 + 4) / 2, (3 + 4 + 6) / 2, 2 / 2]
    assert before["share"].tolist() == pytest.approx([13 / 28, 13 / 28, 2 / 28])
    after = count_groups(SMALL, NEIGHBOURS, [0, 1], "after")
    assert after["images"].tolist() == [(5 + 3 + 4 + 4 + 4) / 2, (2 + 6) / 2, 0]


def test_classes_without_neighbours_are_not_dropped():
    counts = count_groups(SMALL, NEIGHBOURS, [2, 3], "after")
    assert counts["images"].tolist() == [(1 + 6 + 1) / 2, 0, 6 / 2]
    flows = group_flows(SMALL, NEIGHBOURS.iloc[:0], [0, 1, 2, 3], few=[0, 1])
    assert flows["images"].sum() == SMALL["images"].sum() / 2
    assert not flows.loc[flows["images"] > 0, ["before_group", "after_group"]].isin(["neighbour"]).to_numpy().any()


def test_groups_agree_with_counting_image_by_image():
    single, joint, neighbours = random_table()
    labels, few = range(1, 12), {1, 2, 3}
    own = single[single["label"].isin(labels)]
    for which in ("before", "after"):
        groups = [group_by_hand(*row, neighbours) for row in own[["label", which]].to_numpy()]
        expected = pd.Series(groups).value_counts().reindex(GROUPS) / 3
        assert count_groups(joint, neighbours, labels, which)["images"].tolist() == pytest.approx(expected.tolist())
    flows = group_flows(joint, neighbours, labels, few=few)
    by_hand = pd.Series(
        [
            (group_by_hand(label, before, neighbours), group_by_hand(label, after, neighbours), label in few)
            for label, before, after in own[["label", "before", "after"]].to_numpy()
        ]
    ).value_counts()
    found = flows.set_index(["before_group", "after_group", "few"])["images"]
    assert len(found) == 18
    assert {key: value * 3 for key, value in found.items() if value} == pytest.approx(by_hand.to_dict())


def test_sums_of_flows_are_the_counts_on_either_side():
    _, joint, neighbours = random_table(seed=1)
    flows = group_flows(joint, neighbours, range(12), few=[0, 11])
    for which in ("before", "after"):
        sums = flows.groupby(f"{which}_group")["images"].sum().reindex(GROUPS)
        assert sums.tolist() == pytest.approx(count_groups(joint, neighbours, range(12), which)["images"].tolist())
    assert flows["images"].sum() == pytest.approx(joint["images"].sum() / 3)


def test_flows_tell_few_and_base_apart_only_where_both_are_asked_for():
    assert group_flows(SMALL, NEIGHBOURS, [0, 1], few=[0, 1])["few"].tolist() == [True] * 9
    assert group_flows(SMALL, NEIGHBOURS, [2, 3], few=[0, 1])["few"].tolist() == [False] * 9
    both = group_flows(SMALL, NEIGHBOURS, [0, 2], few=[0, 1])
    assert both["few"].tolist() == [True] * 9 + [False] * 9
    assert both.groupby("few")["images"].sum().to_dict() == {True: 10, False: 6}


def test_neighbours_that_differ_between_repeats_count_in_their_own():
    neighbours = pd.DataFrame({"repeat": [0, 1], "label": [0, 0], "neighbour": [1, 3]})
    counts = count_groups(SMALL, neighbours, [0], "before")
    assert counts["images"].tolist() == [9 / 2, (2 + 6) / 2, 3 / 2]


def test_pairs_that_are_named_twice_and_a_class_as_its_own_neighbour_change_nothing():
    more = pd.concat([NEIGHBOURS, NEIGHBOURS, pd.DataFrame({"label": [0], "neighbour": [0]})])
    for which in ("before", "after"):
        pd.testing.assert_frame_equal(
            count_groups(SMALL, more, [0, 1], which), count_groups(SMALL, NEIGHBOURS, [0, 1], which)
        )


def test_a_prediction_as_a_neighbour_is_right_in_the_adjusted_accuracy():
    single, joint, neighbours = random_table(seed=2)
    found = adjusted_accuracy(joint, neighbours, range(5)).set_index("repeat")
    own = single[single["label"] < 5]
    for repeat, rows in own.groupby("repeat"):
        for which in ("before", "after"):
            right = [group_by_hand(*row, neighbours) != "other" for row in rows[["label", which]].to_numpy()]
            assert found.loc[repeat, which] == pytest.approx(np.mean(right))
        assert found.loc[repeat, "images"] == len(rows)
    alone = adjusted_accuracy(joint, neighbours.iloc[:0], range(12)).set_index("repeat").sort_index()
    plain = (single["after"] == single["label"]).groupby(single["repeat"]).mean()
    assert alone["after"].tolist() == pytest.approx(plain.tolist())


def test_every_experiment_has_its_own_adjusted_accuracy():
    two = pd.concat([SMALL, SMALL.assign(experiment="crt, rho 1", after=SMALL["before"])])
    found = adjusted_accuracy(two, NEIGHBOURS, [0, 1])
    assert len(found) == 4
    second = found[found["experiment"] == "crt, rho 1"]
    assert second["before"].tolist() == second["after"].tolist() == pytest.approx([12 / 14, 1.0])


def test_no_images_have_no_share():
    counts = count_groups(SMALL, NEIGHBOURS, [], "after")
    assert counts["images"].tolist() == [0, 0, 0]
    assert counts["share"].isna().all()
    empty = SMALL.iloc[:0]
    assert count_groups(empty, NEIGHBOURS, [0], "before")["images"].sum() == 0
    assert group_flows(empty, NEIGHBOURS, [0], few=[0])["images"].tolist() == [0] * 9
    assert adjusted_accuracy(empty, NEIGHBOURS, [0]).empty
