import math
from dataclasses import replace

import numpy as np
import pytest

from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.looks import Look, Looks
from vision_studies.statistics.verdict import (
    Candidate,
    answer,
    cost_ratio,
    untested_classes,
    verdict,
    weakest_classes,
    wilson,
)

NAN = math.nan
IMAGES, SEEDS = 400, 4


def evidence_of(name, accuracy, *, seeds=SEEDS, images=IMAGES, draw=0, classes=2, offset=0):
    """Each seed is right on the same images, but for one of twenty; the first `accuracy` of all images are easy enough."""
    rng = np.random.default_rng(draw)
    labels = np.arange(images) % classes
    correct = np.tile(np.arange(images) < round(accuracy * images), (seeds, 1))
    flipped = rng.random((seeds, images)) < 0.01
    predicted = np.where(correct ^ flipped, labels, (labels + 1) % classes)
    return Evidence.of_images(name, np.arange(seeds) + offset, np.arange(images), labels, predicted=predicted)


def candidate(name, accuracy=0.8, validation=0.8, **changes):
    if isinstance(validation, float):
        validation = {} if math.isnan(validation) else {"validation_accuracy": validation}
    plain = Candidate(
        name=name,
        title=name,
        pipeline="cifar_resnet",
        condition="",
        images="cells",
        evidence=evidence_of(name, accuracy),
        training_seconds=60.0,
        macs=1e6,
        parameters=1000.0,
        statuses={"complete": SEEDS},
        is_baseline=False,
        validation=validation,
    )
    return replace(plain, **changes)


def names(standings):
    return [one.candidate.name for one in standings]


def test_validation_chooses_whatever_test_images_say():
    found = answer([candidate("flattered", 0.95, 0.7), candidate("chosen", 0.7, 0.9), candidate("second", 0.6, 0.8)])
    assert found.best.candidate.name == "chosen"
    assert found.take is found.best
    assert found.runner_up.candidate.name == "second"
    assert names(found.standings) == ["chosen", "second", "flattered"]
    assert names(found.overtaking) == ["flattered"]


def test_test_images_choose_nothing_even_where_validation_says_nothing():
    found = answer([candidate("a", 0.95, NAN), candidate("b", 0.7, NAN)])
    assert (found.best, found.take, found.chooser, found.runner_up) == (None, None, None, None)
    assert {one.difference for one in found.standings} == {None}


def test_changing_test_results_changes_no_choice():
    rng = np.random.default_rng(1)
    validation = [0.6, 0.9, 0.7, 0.8]
    for _ in range(5):
        drawn = rng.uniform(0.3, 0.99, 4)
        found = answer([candidate(f"v{i}", drawn[i], validation[i]) for i in range(4)])
        assert names(found.standings) == ["v1", "v3", "v2", "v0"]


def test_a_baseline_is_a_candidate_like_any_other_and_the_best_of_the_other_side_is_its_rival():
    found = answer(
        [
            candidate("AlphaNet", 0.6, 0.7),
            candidate("cRT", 0.9, 0.9, is_baseline=True),
            candidate("own", 0.8, 0.8, is_baseline=True),
        ]
    )
    assert (found.best.candidate.name, found.runner_up.candidate.name) == ("cRT", "own")
    assert found.rival.candidate.name == "AlphaNet"
    assert found.rival.difference.says == "worse"


def test_the_next_is_no_rival_of_its_own():
    found = answer([candidate("AlphaNet", 0.6, 0.7), candidate("cRT", 0.9, 0.9, is_baseline=True)])
    assert (found.runner_up.candidate.name, found.rival) == ("AlphaNet", None)


def test_of_equal_ones_the_one_that_costs_least_is_the_best():
    dear, cheap = candidate("dear", macs=9e6), candidate("cheap", macs=1e6)
    assert answer([dear, cheap]).best.candidate.name == "cheap"
    assert answer([replace(dear, macs=NAN), cheap]).best.candidate.name == "cheap"


def same(name, validation, **changes):
    return candidate(name, validation=validation, evidence=evidence_of(name, 0.8, images=20_000), **changes)


def test_what_is_as_good_and_costs_less_is_taken():
    found = answer([same("big", 0.9, macs=9e6), same("small", 0.89, macs=1e6), same("tiny", 0.88, macs=5e5)])
    assert names(found.alike) == ["small", "tiny"]
    assert (found.best.candidate.name, found.take.candidate.name) == ("big", "tiny")


def test_what_cannot_be_told_is_not_taken_for_its_price():
    few = [
        candidate(name, evidence=evidence_of(name, 0.8, images=40, draw=draw), **of)
        for draw, (name, of) in enumerate(
            {"big": {"validation": 0.9, "macs": 9e6}, "small": {"validation": 0.89, "macs": 1e6}}.items()
        )
    ]
    found = answer(few)
    assert found.runner_up.difference.says == "cannot tell"
    assert (names(found.alike), found.cheapest) == (["small"], None)
    assert found.needs.of == 0.01


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"macs": 1e6}, {"macs": 9e6}, (1 / 9, "operations")),
        ({"macs": 1e6, "training_seconds": 30.0}, {"macs": 1.1e6}, (0.5, "training")),
        ({"macs": NAN, "training_seconds": 30.0}, {}, (0.5, "training")),
        ({}, {}, None),
        ({"training_seconds": 0.01}, {"training_seconds": 0.9}, None),
        ({"macs": 1.0, "costs_without": "a part"}, {"macs": 9.0}, None),
    ],
)
def test_costs_are_compared_by_operations_and_else_by_time(first, second, expected):
    assert cost_ratio(candidate("a", **first), candidate("b", **second)) == expected


def test_conditions_and_images_are_answers_of_their_own():
    found = verdict(
        [
            candidate("a"),
            candidate("b", condition="3 %"),
            candidate("c", images="others"),
            candidate("d", pipeline="stacking"),
        ],
        study="s",
    )
    assert [names(one.standings) for one in found.answers] == [["a", "d"], ["b"], ["c"]]
    assert (found.title, found.answers[0].pipelines) == ("s", ("cifar_resnet", "stacking"))


def test_seeds_of_different_pipelines_are_paired_in_their_order():
    others = evidence_of("perceptron", 0.7, offset=11)
    found = answer([candidate("net", 0.9, 0.9), candidate("perceptron", 0.7, 0.8, pipeline="mlp", evidence=others)])
    assert (found.runner_up.difference.seeds, found.runner_up.difference.says) == (SEEDS, "worse")
    assert found.runner_up.difference.value == pytest.approx(-0.2, abs=0.01)


def test_seeds_of_one_pipeline_are_paired_as_they_are():
    others = evidence_of("b", 0.7, offset=2)
    found = answer([candidate("a", 0.9, 0.9), candidate("b", 0.7, 0.8, evidence=others)])
    assert found.runner_up.difference.seeds == SEEDS - 2


@pytest.mark.parametrize(
    ("choosers", "validation", "expected"),
    [
        (
            ("validation_loss", "validation_accuracy"),
            {"validation_loss": 0.2, "validation_accuracy": 0.5},
            "validation_loss",
        ),
        (("validation_balanced_accuracy", "validation_accuracy"), {"validation_accuracy": 0.5}, "validation_accuracy"),
        (("validation_accuracy", "validation_loss"), {}, None),
    ],
)
def test_what_chooses_is_what_the_method_selects_by_where_it_is_known(choosers, validation, expected):
    found = answer([candidate("a", choosers=choosers, validation=validation)])
    assert found.chooser == expected


def test_methods_that_select_by_different_things_are_compared_by_accuracy():
    loss = {"validation_loss": 0.1, "validation_accuracy": 0.5}
    found = answer(
        [
            candidate("a", choosers=("validation_loss", "validation_accuracy"), validation=loss),
            candidate("b", validation={"validation_accuracy": 0.9}),
        ]
    )
    assert (found.chooser, found.best.candidate.name) == ("validation_accuracy", "b")


def test_of_a_loss_the_lower_is_the_better():
    choosers = ("validation_loss", "validation_accuracy")
    values = {"low": 0.1, "high": 0.9}
    found = answer(
        [candidate(name, choosers=choosers, validation={"validation_loss": one}) for name, one in values.items()]
    )
    assert names(found.standings) == ["low", "high"]


def test_one_without_validation_comes_last_and_is_neither_the_next_nor_a_rival():
    found = answer([candidate("blind", 0.9, NAN, is_baseline=True), candidate("seeing", 0.7, 0.8)])
    assert names(found.standings) == ["seeing", "blind"]
    assert (found.runner_up, found.rival) == (None, None)


def test_what_has_no_result_is_left_out_and_named():
    found = answer([candidate("a"), candidate("b", evidence=None, problems=("seed 0 failed",))])
    assert (names(found.standings), [one.name for one in found.left_out]) == (["a"], ["b"])
    assert answer([candidate("b", evidence=None)]).standings == ()


def test_the_mean_over_classes_is_reported_where_a_method_reports_it_and_images_are_known():
    rare = Evidence.of_images(
        "a", [0, 1], np.arange(10), np.array([0] * 8 + [1] * 2), correct=np.tile(np.arange(10) < 8, (2, 1))
    )
    balanced = candidate("a", evidence=rare, measure="balanced_accuracy")
    found = answer([balanced])
    assert (found.measure, found.best.estimate.value) == ("balanced_accuracy", pytest.approx(0.5))
    by_seed = candidate("b", evidence=Evidence.of_seeds("b", [0, 1], [0.8, 0.9]), validation=0.7)
    assert answer([balanced, by_seed]).measure == "accuracy"


def test_one_seed_and_seeds_only_have_the_intervals_that_they_can_have():
    one = answer([candidate("a", evidence=evidence_of("a", 0.8, seeds=1))])
    assert (one.best.estimate.covers, one.best.estimate.seeds, one.test_images) == ("images", 1, IMAGES)
    seeds = answer([candidate("a", evidence=Evidence.of_seeds("a", [0, 1], [0.8, 0.9]))])
    assert (seeds.best.estimate.covers, seeds.test_images) == ("seeds", None)
    nothing = answer([candidate("a", evidence=Evidence.of_seeds("a", [0], [0.8]))])
    assert (nothing.best.estimate.covers, nothing.best.estimate.value) == ("nothing", pytest.approx(0.8))


def test_no_interval_of_few_images_is_a_point():
    same_for_all = np.tile(np.arange(13) < 9, (3, 1))
    few = Evidence.of_images("a", [0, 1, 2], np.arange(13), np.arange(13) % 2, correct=same_for_all)
    own = answer([candidate("a", evidence=few)]).best.estimate
    assert own.value == pytest.approx(9 / 13)
    assert own.low < 0.5
    assert own.high > 0.8


def test_classes_that_are_named_rightly_least_often_come_first_with_what_they_are_taken_for():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    predicted = np.array([[0, 0, 0, 0, 1, 1, 2, 2, 0, 2], [0, 0, 0, 0, 1, 2, 2, 0, 2, 2]])
    evidence = Evidence.of_images("a", [0, 1], np.arange(10), labels, predicted=predicted)
    weak = weakest_classes(evidence, ["cat", "dog", "eel", "fox"])
    assert [(one.name, one.images, one.value, one.taken_for) for one in weak] == [
        ("dog", 4, 0.375, "eel"),
        ("eel", 2, 0.75, "cat"),
    ]
    assert all(0 <= one.low < one.value < one.high <= 1 for one in weak)
    assert untested_classes(evidence, ["cat", "dog", "eel", "fox"]) == ("fox",)
    assert weakest_classes(evidence)[0].name == "class 1"


def test_classes_are_called_as_the_image_set_calls_those_that_a_network_knows():
    labels = np.array([0, 0, 1, 1])
    evidence = Evidence.of_images("a", [0], np.arange(4), labels, predicted=np.array([[0, 1, 1, 1]]))
    found = answer([candidate("a", evidence=evidence, classes=(3, 1, 0))], ["cat", "dog", "eel", "fox"])
    assert [(one.name, one.taken_for) for one in found.weakest] == [("fox", "dog")]
    assert found.untested == ("cat",)


def test_without_predicted_classes_weak_ones_are_known_but_not_what_they_are_taken_for():
    evidence = Evidence.of_images("a", [0], np.arange(2), np.array([0, 1]), correct=np.array([[True, False]]))
    assert [(one.name, one.taken_for) for one in weakest_classes(evidence, ["cat", "dog"])] == [("dog", "")]


def test_without_test_images_one_by_one_nothing_is_said_of_classes():
    evidence = Evidence.of_seeds("a", [0], [0.9])
    assert (weakest_classes(evidence, ["cat"]), untested_classes(evidence, ["cat"])) == ((), ())


@pytest.mark.parametrize(("share", "number"), [(0.0, 5), (1.0, 5), (0.5, 10), (0.99, 1)])
def test_wilsons_interval_stays_between_nothing_and_all(share, number):
    low, high = wilson(share, number, 0.95)
    assert 0 <= low <= share <= high <= 1
    assert high - low > 0.05


def test_time_is_that_of_the_further_seeds_of_both():
    few = {"a": 0.9, "b": 0.89}
    found = answer(
        [
            candidate(name, 0.8, value, evidence=evidence_of(name, 0.8, images=300, draw=place))
            for place, (name, value) in enumerate(few.items())
        ]
    )
    if found.needs is not None and found.needs.seeds is not None:
        assert found.needs_seconds == found.needs.seeds * 120
    else:
        assert math.isnan(found.needs_seconds)


def test_differences_of_a_mean_over_classes_are_those_of_the_values():
    labels = np.array([0] * 90 + [1] * 10)
    right = {"frequent": labels == 0, "fair": (np.arange(100) % 10 != 0) | (labels == 1)}
    validation = {"frequent": 0.6, "fair": 0.9}
    found = answer(
        [
            candidate(
                name,
                validation=validation[name],
                measure="balanced_accuracy",
                evidence=Evidence.of_images(name, [0, 1, 2], np.arange(100), labels, correct=np.tile(own, (3, 1))),
            )
            for name, own in right.items()
        ]
    )
    fair, frequent = found.standings
    assert (fair.estimate.value, frequent.estimate.value) == (pytest.approx(0.95), pytest.approx(0.5))
    assert frequent.difference.value == pytest.approx(-0.45)
    assert frequent.difference.says == "worse"


def test_where_seeds_were_added_intervals_and_p_are_corrected_for_looks_and_the_choice_is_the_same():
    given = [candidate("one", 0.80, 0.9), candidate("other", 0.77, 0.8), candidate("third", 0.76, 0.7)]
    looks = {"cifar_resnet": Look(Looks(3, 12), SEEDS, 0.005, 0.01, (), (), "wide")}
    [plain], [corrected] = (verdict(given, study="s", looks=own).answers for own in ({}, looks))
    assert corrected.looks == (looks["cifar_resnet"],)
    assert verdict(given, study="s", looks={"stacking": looks["cifar_resnet"]}).answers[0].looks == ()
    assert names(corrected.standings) == names(plain.standings)
    for before, after in zip(plain.standings, corrected.standings, strict=True):
        assert after.estimate.value == before.estimate.value
        assert after.estimate.low < before.estimate.low < before.estimate.high < after.estimate.high
    for before, after in zip(plain.standings[1:], corrected.standings[1:], strict=True):
        assert after.difference.p > before.difference.p
        assert (after.difference.p <= 0.05) == (after.difference.high < 0)
