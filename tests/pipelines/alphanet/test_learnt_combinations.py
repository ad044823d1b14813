from collections import Counter

import numpy as np
import pandas as pd
import pytest

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.alphanet.learnt_combinations import (
    combinations_text,
    learnt_combinations,
    mistakes,
    select_classes,
)

NAMES = ["ant", "bee", "cat", "dog", "emu", "fox"]
SPLITS = ["few", "few", "few", "medium", "many", "many"]
IMAGES = 20


def predictions(repeats=3, *, one_baseline=True):
    """Labels, and what a baseline and AlphaNet predict for them in each repeat: int [repeats, N]."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), IMAGES)
    drawn = [np.where(generator.random(120) < 0.5, labels, generator.integers(0, 6, 120)) for _ in range(2 * repeats)]
    before = np.stack([drawn[0]] * repeats if one_baseline else drawn[:repeats])
    return labels, before, np.stack(drawn[repeats:])


def changes_of(labels, before, after, experiment="crt, rho 1", classifier="crt"):
    return pd.DataFrame(
        [
            {
                "classifier": classifier,
                "experiment": experiment,
                "repeat": repeat,
                "label": label,
                "before": first,
                "after": second,
                "images": images,
            }
            for repeat in range(len(before))
            for (label, first, second), images in Counter(
                zip(labels, before[repeat], after[repeat], strict=True)
            ).items()
        ]
    )


def accuracies_of(labels, before, after):
    return pd.DataFrame(
        [
            {
                "classifier": "crt",
                "experiment": "crt, rho 1",
                "baseline": False,
                "repeat": repeat,
                "label": label,
                "name": NAMES[label],
                "split": SPLITS[label],
                "train_images": 10 * (label + 1),
                "test_images": IMAGES,
                "accuracy": np.mean(after[repeat][labels == label] == label),
                "baseline_accuracy": np.mean(before[repeat][labels == label] == label),
            }
            for repeat in range(len(before))
            for label in range(6)
        ]
    )


def combinations_of(neighbours_by_repeat, label=1):
    return pd.DataFrame(
        [
            {
                "classifier": "crt",
                "experiment": "crt, rho 1",
                "repeat": repeat,
                "label": label,
                "name": NAMES[label],
                "position": position,
                "neighbour": neighbour,
                "neighbour_name": NAMES[neighbour],
                "neighbour_split": SPLITS[neighbour],
                "coefficient": coefficient,
                "distance": 1.0,
            }
            for repeat, own in enumerate(neighbours_by_repeat)
            for position, (neighbour, coefficient) in enumerate(own, start=1)
        ]
    )


@pytest.mark.parametrize("one_baseline", [True, False])
@pytest.mark.parametrize("label", [1, 4])
def test_mistakes_are_those_counted_image_by_image(one_baseline, label):
    labels, before, after = predictions(one_baseline=one_baseline)
    found = mistakes(changes_of(labels, before, after), label, classifier="crt", experiment="crt, rho 1")
    assert set(found["predicted"]) == (
        set(before[:, labels == label].ravel()) | set(after[:, labels == label].ravel())
    ) - {label}
    for row in found.to_dict("records"):
        own, other = labels == label, labels == row["predicted"]
        assert row["before"] == pytest.approx((before[:, own] == row["predicted"]).sum() / 3)
        assert row["after_total"] == (after[:, own] == row["predicted"]).sum()
        assert row["after"] == pytest.approx(row["after_total"] / 3)
        assert row["reverse_before"] == pytest.approx((before[:, other] == label).sum() / 3)
        assert row["reverse_after_total"] == (after[:, other] == label).sum()
        assert row["reverse_after"] == pytest.approx(row["reverse_after_total"] / 3)
        assert row["repeats"] == 3
    order = list(zip(-found["before"], found["predicted"], strict=True))
    assert order == sorted(order)


def test_mistakes_of_one_baseline_do_not_grow_with_the_repeats():
    labels, before, after = predictions(repeats=3)
    counts = []
    for repeats in (1, 3):
        changes = changes_of(labels, before[:repeats], after[:repeats])
        found = mistakes(changes, 0, classifier="crt", experiment="crt, rho 1").set_index("predicted")["before"]
        counts.append(found[found > 0].to_dict())
    assert counts[0] == counts[1] == {label: n for label, n in Counter(before[0][labels == 0]).items() if label != 0}


def test_mistakes_by_hand():
    rows = [  # repeat, label, before, after, images
        *((0, 0, 1, 0, 4), (0, 0, 0, 0, 5), (0, 0, 2, 2, 1), (0, 1, 1, 0, 3), (0, 1, 0, 0, 1), (0, 2, 2, 2, 10)),
        *((1, 0, 1, 1, 4), (1, 0, 0, 2, 5), (1, 0, 2, 0, 1), (1, 1, 1, 1, 3), (1, 1, 0, 1, 1), (1, 2, 2, 0, 10)),
    ]
    changes = pd.DataFrame(rows, columns=["repeat", "label", "before", "after", "images"])
    changes = changes.assign(classifier="crt", experiment="e")
    others = changes.assign(classifier="lws", images=100)
    found = mistakes(pd.concat([changes, others]), 0, classifier="crt", experiment="e")
    assert found.to_dict("records") == [
        {
            "predicted": 1,
            "before": 4.0,
            "after": 2.0,
            "after_total": 4,
            "reverse_before": 1.0,
            "reverse_after": 2.0,
            "reverse_after_total": 4,
            "repeats": 2,
        },
        {
            "predicted": 2,
            "before": 1.0,
            "after": 3.0,
            "after_total": 6,
            "reverse_before": 0.0,
            "reverse_after": 5.0,
            "reverse_after_total": 10,
            "repeats": 2,
        },
    ]


def test_a_class_that_is_always_right_has_no_mistakes():
    changes = pd.DataFrame(
        [{"classifier": "c", "experiment": "e", "repeat": 0, "label": 0, "before": 0, "after": 0, "images": 9}]
    )
    found = mistakes(changes, 0, classifier="c", experiment="e")
    assert found.empty
    assert found["after_total"].sum() == 0
    with pytest.raises(ParameterError, match="no experiment 'f'"):
        mistakes(changes, 0, classifier="c", experiment="f")


def test_classes_are_selected_by_their_means():
    table = pd.DataFrame(
        [
            {
                "experiment": "e",
                "repeat": repeat,
                "label": label,
                "split": split,
                "accuracy": after,
                "baseline_accuracy": before,
            }
            for label, split, before, values in (
                (7, "few", 0.1, (0.3, 0.5)),  # accuracy 0.4, gain 0.3
                (3, "few", 0.6, (0.9, 0.7)),  # 0.8, 0.2
                (5, "few", 0.5, (0.6, 0.2)),  # 0.4, -0.1
                (1, "many", 0.0, (1.0, 1.0)),
                (9, "few", 0.2, (float("nan"), float("nan"))),
            )
            for repeat, after in enumerate(values)
        ]
    )
    assert select_classes(table, "e", by="gain", largest=True, number=2) == [7, 3]
    assert select_classes(table, "e", by="gain", largest=False, number=2) == [5, 3]
    assert select_classes(table, "e", by="accuracy", largest=True, number=9) == [3, 5, 7]
    assert select_classes(table, "e", by="accuracy", largest=False, number=2) == [5, 7]
    other = table.assign(experiment="f", accuracy=1 - table["accuracy"])
    assert select_classes(pd.concat([other, table]), "e", by="gain", largest=True, number=1) == [7]
    with pytest.raises(ParameterError, match=r"number is 0"):
        select_classes(table, "e", by="gain", largest=True, number=0)
    with pytest.raises(ParameterError, match=r"by 'name'"):
        select_classes(table, "e", by="name", largest=True, number=1)
    with pytest.raises(ParameterError, match=r"no experiment 'g'; the experiments of the table are \['e'\]"):
        select_classes(table, "g", by="gain", largest=True, number=1)


def test_combination_holds_means_and_deviations_over_repeats():
    labels, before, after = predictions()
    coefficients = [[(5, 0.5), (3, -0.5)], [(5, 0.7), (3, -0.3)], [(5, 0.9), (3, 0.1)]]
    (found,) = learnt_combinations(
        accuracies_of(labels, before, after),
        combinations_of(coefficients),
        changes_of(labels, before, after),
        experiment="crt, rho 1",
        labels=[1],
    )
    assert (found.label, found.name, found.repeats, found.train_images, found.test_images) == (1, "bee", 3, 20, IMAGES)
    assert found.baseline_accuracy == pytest.approx(np.mean(before[0][labels == 1] == 1))
    assert found.accuracy == pytest.approx(np.mean(after[:, labels == 1] == 1))
    assert found.mistakes["before"].sum() == pytest.approx(IMAGES * (1 - found.baseline_accuracy))
    assert found.mistakes["after_total"].sum() == round(3 * IMAGES * (1 - found.accuracy))
    assert found.neighbours[["neighbour", "name", "split", "repeats"]].to_numpy().tolist() == [
        [5, "fox", "many", 3],
        [3, "dog", "medium", 3],
    ]
    assert found.neighbours["coefficient"].tolist() == pytest.approx([0.7, -0.7 / 3])
    assert found.neighbours["deviation"].tolist() == pytest.approx([0.2, np.std([-0.5, -0.3, 0.1], ddof=1)])
    for row in found.mistakes.to_dict("records"):
        assert (row["name"], row["split"]) == (NAMES[row["predicted"]], SPLITS[row["predicted"]])
    shown = combinations_text([found], 1)
    assert "[bee] = [bee]\n        + (0.7 ± 0.2)[fox]\n        + (-0.23 ± 0.31)[dog]\n\nTraining images: 20\n" in shown


def test_one_repeat_has_no_deviation_and_drawn_neighbours_say_in_how_many_repeats():
    labels, before, after = predictions()
    tables = accuracies_of(labels, before, after), changes_of(labels, before, after)
    drawn = combinations_of([[(5, 0.5), (3, -0.5)], [(3, 0.5), (4, 0.5)], [(4, 1.0), (3, 0.0)]])
    (found,) = learnt_combinations(tables[0], drawn, tables[1], experiment="crt, rho 1", labels=[1])
    assert found.neighbours[["neighbour", "repeats"]].to_numpy().tolist() == [[3, 3], [4, 2], [5, 1]]
    assert np.isnan(found.neighbours["deviation"][2])
    assert found.neighbours["coefficient"].tolist() == pytest.approx([0.0, 0.75, 0.5])


def test_a_class_that_has_learnt_nothing_and_a_class_without_accuracies_are_refused():
    labels, before, after = predictions()
    accuracies, changes = accuracies_of(labels, before, after), changes_of(labels, before, after)
    learnt = combinations_of([[(5, 1.0)]] * 3)
    with pytest.raises(ParameterError, match="learnt nothing for label 5"):
        learnt_combinations(accuracies, learnt, changes, experiment="crt, rho 1", labels=[1, 5])
    with pytest.raises(ParameterError, match="no experiment 'x'"):
        learnt_combinations(accuracies, learnt, changes, experiment="x", labels=[1])
    with pytest.raises(DataError, match="give the accuracies of all classes"):
        learnt_combinations(
            accuracies[accuracies["split"] == "few"], learnt, changes, experiment="crt, rho 1", labels=[1]
        )
