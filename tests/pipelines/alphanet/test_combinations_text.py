from dataclasses import dataclass, replace

import pandas as pd
import pytest

from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.learnt_combinations import combinations_markdown, combinations_text


@dataclass(frozen=True, eq=False)
class Shown:
    name: str
    repeats: int
    train_images: int
    test_images: int
    baseline_accuracy: float
    accuracy: float
    neighbours: pd.DataFrame
    mistakes: pd.DataFrame


def neighbours(*rows, deviation=float("nan"), repeats=1):
    return pd.DataFrame(
        [
            {"name": name, "split": "many", "coefficient": coefficient, "deviation": deviation, "repeats": repeats}
            for name, coefficient in rows
        ]
    )


def mistakes(*rows, repeats=1):
    """Rows of predicted, name, split, before, after_total, reverse_before, reverse_after_total."""
    names = ["predicted", "name", "split", "before", "after_total", "reverse_before", "reverse_after_total"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(
        after=table["after_total"] / repeats, reverse_after=table["reverse_after_total"] / repeats, repeats=repeats
    )


# The published sample; its list of mistakes is complete with two others, so that the totals are 40 and 12.
DOG = Shown(
    "Eskimo dog",
    1,
    17,
    50,
    0.20,
    0.76,
    neighbours(
        ("Siberian husky", -0.18),
        ("malamute", -0.0664),
        ("Norwegian elkhound", 0.22),
        ("timber wolf", 0.26),
        ("Cardigan", 0.27),
    ),
    mistakes(
        (249, "malamute", "medium", 16, 2, 3, 34),
        (250, "Siberian husky", "many", 10, 1, 5, 41),
        (270, "white wolf", "many", 4, 3, 0, 3),
        (999, "dog sled", "many", 3, 1, 0, 0),
        (998, "timber wolf", "many", 3, 1, 0, 0),
        (997, "Norwegian elkhound", "many", 3, 1, 0, 0),
        (231, "collie", "few", 1, 2, 0, 1),
        (996, "kelpie", "many", 0, 1, 2, 1),
    ),
)

SAMPLE = """\
********************************************
[Eskimo dog] = [Eskimo dog]
               + (-0.18)[Siberian husky]
               + (-0.066)[malamute]
               + (0.22)[Norwegian elkhound]
               + (0.26)[timber wolf]
               + (0.27)[Cardigan]

Training images: 17
Mean baseline accuracy: 0.20
Mean AlphaNet accuracy: 0.76

Wrong of 50 test images, 1 repeat: 40 -> 12.00 (12/1)

Most frequent mistakes of the baseline:
        malamute ('medium' split): 16 -> 2.00 (2/1)
                |-> as 'Eskimo dog': 3 -> 34.00 (34/1)
        Siberian husky ('many' split): 10 -> 1.00 (1/1)
                |-> as 'Eskimo dog': 5 -> 41.00 (41/1)
        white wolf ('many' split): 4 -> 3.00 (3/1)
                |-> as 'Eskimo dog': 0 -> 3.00 (3/1)

Most frequent mistakes of AlphaNet:
        white wolf ('many' split): 4 -> 3.00 (3/1)
                |-> as 'Eskimo dog': 0 -> 3.00 (3/1)
        collie ('few' split): 1 -> 2.00 (2/1)
                |-> as 'Eskimo dog': 0 -> 1.00 (1/1)
        malamute ('medium' split): 16 -> 2.00 (2/1)
                |-> as 'Eskimo dog': 3 -> 34.00 (34/1)
********************************************"""

REPEATED = Shown(
    "a|b",
    4,
    5,
    10,
    0.75,
    0.9,
    neighbours(("c", 0.5), ("d", -0.25), deviation=0.125, repeats=4),
    mistakes((3, "c|d", "many", 2.5, 3, 0.25, 6), (4, "e", "medium", 0, 1, 0, 0), repeats=4),
)

REPEATED_MARKDOWN = """\
### a|b

5 training images. Mean accuracy 0.75 with the baseline and 0.90 with AlphaNet. \
Wrong of 10 test images, mean of 4 repeats: 2.50 → 1.00 (4/4).

| Neighbour   | Split   | Coefficient   |
|-------------|---------|---------------|
| c           | many    | 0.5 ± 0.12    |
| d           | many    | -0.25 ± 0.12  |

Most frequent mistakes of the baseline:

| Predicted   | Split   | Baseline → AlphaNet   | As a\\|b           |
|-------------|---------|-----------------------|-------------------|
| c\\|d        | many    | 2.50 → 0.75 (3/4)     | 0.25 → 1.50 (6/4) |

Most frequent mistakes of AlphaNet:

| Predicted   | Split   | Baseline → AlphaNet   | As a\\|b           |
|-------------|---------|-----------------------|-------------------|
| c\\|d        | many    | 2.50 → 0.75 (3/4)     | 0.25 → 1.50 (6/4) |
| e           | medium  | 0 → 0.25 (1/4)        | 0 → 0.00 (0/4)    |
"""


def test_text_has_the_layout_and_numbers_of_the_published_sample():
    assert combinations_text([DOG], 3) == SAMPLE


def test_repeats_have_deviations_and_means():
    made = combinations_text([REPEATED])
    assert "[a|b] = [a|b]\n        + (0.5 ± 0.12)[c]\n        + (-0.25 ± 0.12)[d]\n\n" in made
    assert "Wrong of 10 test images, mean of 4 repeats: 2.50 -> 1.00 (4/4)\n" in made
    assert "c|d ('many' split): 2.50 -> 0.75 (3/4)\n                |-> as 'a|b': 0.25 -> 1.50 (6/4)\n" in made


def test_lists_hold_only_mistakes_that_were_made():
    baseline, alphanet = combinations_text([REPEATED]).split("Most frequent mistakes of AlphaNet:")
    assert "e ('medium' split)" not in baseline
    assert "e ('medium' split): 0 -> 0.25 (1/4)" in alphanet
    baseline, alphanet = combinations_text([DOG]).split("Most frequent mistakes of AlphaNet:")
    assert baseline.count("|->") == 7
    assert alphanet.count("|->") == 8


def test_equally_frequent_mistakes_come_by_label():
    names = [
        line.strip().split(" (")[0]
        for line in combinations_text([DOG]).split("AlphaNet:")[1].splitlines()
        if "split)" in line
    ]
    assert names == [
        *("white wolf", "collie", "malamute", "Siberian husky"),
        *("kelpie", "Norwegian elkhound", "timber wolf", "dog sled"),
    ]


def test_a_class_without_mistakes_says_so():
    perfect = replace(DOG, mistakes=DOG.mistakes.head(0))
    assert combinations_text([perfect]).count("\n        none\n") == 2
    assert "Wrong of 50 test images, 1 repeat: 0 -> 0.00 (0/1)\n" in combinations_text([perfect])
    assert "There are no mistakes of AlphaNet.\n" in combinations_markdown([perfect])


def test_neighbours_of_some_repeats_say_of_how_many():
    drawn = replace(REPEATED, neighbours=REPEATED.neighbours.assign(repeats=[4, 1], deviation=[0.1, float("nan")]))
    assert "+ (0.5 ± 0.1)[c]\n        + (-0.25)[d] in 1 of 4 repeats\n" in combinations_text([drawn])
    assert "| d in 1 of 4 repeats | many    | -0.25" in combinations_markdown([drawn])


def test_several_classes_are_parted_by_rules():
    made = combinations_text([DOG, REPEATED], 1)
    assert made.split("*" * 44 + "\n")[1].startswith("[Eskimo dog]")
    assert made.count("*" * 44) == 3
    assert made.endswith("*" * 44)


def test_markdown_has_tables_of_the_same():
    assert combinations_markdown([REPEATED]) == REPEATED_MARKDOWN
    assert combinations_markdown([DOG, REPEATED], 1).count("\n### ") == 1
    assert combinations_markdown([DOG], 2).count(" → ") == 1 + 2 * (1 + 2 * 2)


@pytest.mark.parametrize("write", [combinations_text, combinations_markdown])
def test_a_number_of_mistakes_below_one_is_refused(write):
    with pytest.raises(ParameterError, match="mistake_n is 0"):
        write([DOG], 0)
