import math

import pytest
from tests.statistics.test_verdict import candidate

from vision_studies.reports.standings import MOST_ROWS, axis_ends, picture, ticks
from vision_studies.statistics.verdict import answer


def drawn(*candidates):
    return picture(answer([*candidates]))


def test_the_best_by_validation_is_on_top_and_what_to_take_is_marked():
    found = drawn(
        candidate("flattered", 0.95, 0.7), candidate("chosen", 0.7, 0.9), candidate("plain", 0.6, 0.8, is_baseline=True)
    )
    assert [(dot.number, dot.name, dot.mark, dot.is_baseline) for dot in found.dots] == [
        (1, "chosen", "take", False),
        (2, "plain", "", True),
        (3, "flattered", "", False),
    ]
    assert {dot.pipeline for dot in found.dots} == {""}  # all have one
    assert found.words.startswith("Test accuracy of 3 candidates with intervals, the best by validation first: chosen ")


def test_what_is_as_good_and_costs_less_is_marked_beside_the_best():
    cheap = candidate("cheap", 0.8, 0.88, macs=1e4)
    found = drawn(candidate("dear", 0.8, 0.9, macs=1e6), cheap)
    assert [(dot.name, dot.mark) for dot in found.dots] == [("dear", "best"), ("cheap", "take")]


def test_dots_lie_between_the_ends_of_their_intervals_and_no_axis_leaves_the_range():
    found = drawn(candidate("a", 0.99, 0.9), candidate("b", 0.4, 0.8))
    for dot in found.dots:
        assert 0 <= dot.low <= dot.place <= dot.high <= 100
    assert found.dots[0].place > found.dots[1].place
    assert all(0 <= float(tick.words) <= 100 for tick in found.ticks)


def test_pipelines_are_named_where_there_are_several_and_rows_are_bounded():
    many = [candidate(f"v{number}", 0.5 + number / 100, 0.9 - number / 100) for number in range(MOST_ROWS + 3)]
    found = drawn(*many, candidate("other", 0.5, 0.95, pipeline="stacking"))
    assert len(found.dots) == MOST_ROWS
    assert found.left_out == 4
    assert {dot.pipeline for dot in found.dots} == {"cifar_resnet", "stacking"}


def test_costs_are_drawn_where_they_differ():
    found = drawn(
        candidate("a", 0.9, 0.9, macs=1e6), candidate("b", 0.8, 0.8, macs=1e4), candidate("c", 0.7, 0.7, macs=math.nan)
    )
    [cost] = found.costs  # all take the same time
    assert cost.title == "Operations for a prediction"
    assert [point.number for point in cost.points] == [1, 2]
    assert cost.points[0].x > cost.points[1].x
    assert cost.points[0].y < cost.points[1].y  # from the top
    assert [tick.words for tick in cost.x_ticks] == ["10 k", "100 k", "1 M"]


def test_one_alone_has_no_picture():
    assert drawn(candidate("alone")) is None
    assert drawn(candidate("scored"), candidate("not", evidence=None)) is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.9, 1.0, ["90", "92", "94", "96", "98", "100"]),
        (0.0, 1.0, ["0", "20", "40", "60", "80", "100"]),
        (0.981, 0.989, ["98.2", "98.4", "98.6", "98.8"]),
    ],
)
def test_ticks_are_round(low, high, words):
    assert [tick.words for tick in ticks(low, high)] == words


def test_an_axis_of_equal_values_has_room():
    low, high = axis_ends([1.0, 1.0])
    assert (low, high) == (0.99, 1.0)
