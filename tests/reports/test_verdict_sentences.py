"""Every sentence of a verdict, word for word, from numbers that are given: what is said follows from them alone."""

import math
from dataclasses import replace

import numpy as np
import pytest

from vision_studies.reports.verdict import (
    answer_sentences,
    brief_table,
    headline,
    markdown,
    sentences,
    table,
    tags,
    to_json,
)
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.looks import Look, Looks
from vision_studies.statistics.simultaneous import Difference, Needs
from vision_studies.statistics.two_way import Estimate
from vision_studies.statistics.verdict import Answer, Candidate, ClassAccuracy, Standing, Verdict

NAN = math.nan


def candidate(name="wide", pipeline="cifar_resnet", **changes):
    plain = Candidate(
        name=name,
        title=name,
        pipeline=pipeline,
        condition="",
        images="cells (d1d1d1)",
        evidence=Evidence.of_seeds(name, [0], [0.5]),
        training_seconds=NAN,
        macs=NAN,
        parameters=1000.0,
        statuses={"complete": 1},
        is_baseline=False,
    )
    return replace(plain, **changes)


def estimate(value=0.9, low=0.85, high=0.94, seeds=3, images=200, covers="seeds and images"):
    return Estimate(value, low, high, seeds, images, covers, "")


def difference(value, low, high, says, p=0.4, within=False, needs=None):
    """Of another variant minus the chosen one."""
    return Difference("other", "wide", value, low, high, p, 3, 200, says, needs, within)


FOLDED = Evidence.of_images(
    "wide",
    [0, 1],
    np.arange(200),
    np.arange(200) % 2,
    correct=np.arange(400).reshape(2, 200) % 10 > 0,
    folds=np.stack([np.arange(200) % 5, np.arange(200) // 40]),
)
WORSE = difference(-0.08, -0.12, -0.04, "worse", p=0.001)
OPEN = difference(-0.012, -0.05, 0.026, "cannot tell", needs=Needs(4, 300, 0.012, is_seen=True))
LITTLE = Needs(4, 300, 0.01, is_seen=False)
EQUAL = difference(-0.001, -0.006, 0.004, "as good as", within=True)
BETTER = difference(0.05, 0.01, 0.09, "better", p=0.02)


def standing(name="wide", value=0.9, validation=0.91, against=None, own=None, **changes):
    return Standing(candidate(name, **changes), own or estimate(value), validation, against)


def answer(*standings, **changes):
    best = standings[0] if standings else None
    runner_up = standings[1] if len(standings) > 1 else None
    needs = runner_up.difference.needs if runner_up is not None and runner_up.difference is not None else None
    made = Answer(
        images="cells (d1d1d1)",
        condition="",
        measure="accuracy",
        chooser="validation_accuracy",
        best=best,
        runner_up=runner_up,
        rival=None,
        standings=standings,
        alike=tuple(one for one in standings if one.is_as_good or one.is_open),
        cheapest=None,
        overtaking=tuple(one for one in standings if one.is_better),
        weakest=(),
        untested=(),
        test_images=200,
        pipelines=tuple(dict.fromkeys(one.candidate.pipeline for one in standings)),
        needs=needs,
        needs_seconds=NAN,
        left_out=(),
    )
    return replace(made, **changes)


FEW_OF_ONE = Evidence.of_images(
    "wide", [0], np.arange(200), (np.arange(200) < 4).astype(int), correct=np.ones((1, 200), bool)
)
REACHED = "it names 90.0 % of the test images rightly (95 % interval 85.0 to 94.0 %; 3 seeds, 200 test images)"
TAKEN = f"Take 'wide': {REACHED}."
OF_TWO = "It is the best of 2 by validation (91.0 %)."

SAID = {
    "clear winner": (
        answer(standing(), standing("plain", 0.82, 0.8, WORSE)),
        [
            TAKEN,
            OF_TWO,
            "It is better than the next by validation, 'plain', by 8 points (95 % interval 4.0 to 12.0; p = 0.001).",
        ],
    ),
    "tie": (
        answer(standing(), standing("plain", 0.888, 0.9, OPEN), needs_seconds=720.0),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'plain': the difference is +1.2 points (95 % "
            "interval -2.6 to +5.0; "
            "p = 0.4).",
            "If 'wide' and 'plain' differ by the 1.2 points seen, about 4 more seeds of both (about 12 min 00 s) or 300 more "
            "test images would tell.",
        ],
    ),
    "one way to tell what was seen": (
        answer(standing(), standing("plain", 0.888, 0.9, replace(OPEN, needs=Needs(None, 1, 0.012, is_seen=True)))),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'plain': the difference is +1.2 points (95 % "
            "interval -2.6 to +5.0; "
            "p = 0.4).",
            "If 'wide' and 'plain' differ by the 1.2 points seen, about 1 more test image would tell.",
        ],
    ),
    "less than the margin was seen": (
        answer(standing(), standing("plain", 0.888, 0.9, replace(OPEN, needs=LITTLE)), needs_seconds=720.0),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'plain': the difference is +1.2 points (95 % "
            "interval -2.6 to +5.0; "
            "p = 0.4).",
            "To tell a difference of 1 point between 'wide' and 'plain' takes about 4 more seeds of both (about 12 min 00 s) "
            "or 300 more test images.",
        ],
    ),
    "nothing within reach tells": (
        answer(standing(), standing("plain", 0.888, 0.9, replace(OPEN, needs=Needs(None, None, 0.01, is_seen=False)))),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'plain': the difference is +1.2 points (95 % "
            "interval -2.6 to +5.0; "
            "p = 0.4).",
            "No number of seeds or test images that is within reach would tell a difference of 1 point between 'wide' and "
            "'plain'.",
        ],
    ),
    "what tells is beyond all reach": (
        answer(standing(), standing("plain", 0.888, 0.9, replace(OPEN, needs=Needs(101, 4001, 0.012, is_seen=True)))),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'plain': the difference is +1.2 points (95 % "
            "interval -2.6 to +5.0; "
            "p = 0.4).",
            "No number of seeds or test images that is within reach would tell the 1.2 points seen between 'wide' and "
            "'plain'.",
        ],
    ),
    "as good as": (
        answer(standing(), standing("plain", 0.899, 0.9, EQUAL)),
        [
            TAKEN,
            OF_TWO,
            "The next by validation, 'plain', is as good: the difference is +0.1 points (95 % interval -0.4 to +0.6; p = 0.4), "
            "and less than 1 point counts as none.",
        ],
    ),
    "as good, and cheaper": (
        answer(
            best := standing(macs=9e6, training_seconds=600.0),
            cheap := standing("small", 0.899, 0.9, EQUAL, macs=1e6, training_seconds=60.0),
            cheapest=cheap,
        ),
        [
            "Take 'small': as good as the best, with a ninth of the operations for a prediction. It names 89.9 % of the test "
            "images rightly (95 % interval 85.0 to 94.0 %; 3 seeds, 200 test images).",
            "The best by validation is 'wide', with 90.0 %; the difference is +0.1 points (95 % interval -0.4 to "
            "+0.6; p = 0.4), "
            "and less than 1 point counts as none.",
            "Training takes 1 min 00 s a seed, a prediction 1.00 M operations.",
        ],
    ),
    "cannot be told, and cheaper": (
        answer(
            standing(training_seconds=600.0), standing("small", 0.888, 0.9, OPEN, training_seconds=300.0), needs=None
        ),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'small': the difference is +1.2 points (95 % "
            "interval -2.6 to +5.0; "
            "p = 0.4).",
            "Where cost counts, look at 'small': it cannot be told from the best (-1.2 points), and takes half of the training "
            "time.",
            "Training takes 10 min 00 s a seed.",
        ],
    ),
    "cannot be told, cheaper, and far below": (
        answer(
            standing(macs=9e6),
            standing("small", 0.65, 0.9, difference(-0.25, -0.6, 0.1, "cannot tell", 0.08), macs=1e6),
        ),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'small': the difference is +25.0 points (95 % interval -10.0 to "
            "+60.0; p = 0.08).",
            "A prediction takes 9.00 M operations.",
        ],
    ),
    "a baseline that says so itself": (
        answer(standing("baseline", is_baseline=True)),
        [TAKEN.replace("wide", "baseline"), "It stood alone: there is nothing to compare it with."],
    ),
    "baseline wins": (
        answer(
            standing("cRT", is_baseline=True),
            standing("AlphaNet", 0.82, 0.8, WORSE),
        ),
        [
            f"Take 'cRT', a baseline: {REACHED}.",
            OF_TWO,
            "So the baseline wins: nothing that was to beat it is better on validation.",
            "It is better than the next by validation, 'AlphaNet', by 8 points (95 % interval 4.0 to 12.0; p = 0.001).",
        ],
    ),
    "the best of the other side is not the next": (
        answer(
            standing("cRT", is_baseline=True),
            standing("own", 0.888, 0.9, OPEN, is_baseline=True),
            rival := standing("AlphaNet", 0.82, 0.8, WORSE),
            rival=rival,
            needs=None,
        ),
        [
            f"Take 'cRT', a baseline: {REACHED}.",
            "It is the best of 3 by validation (91.0 %).",
            "So the baseline wins: nothing that was to beat it is better on validation.",
            "It cannot be told from the next by validation, 'own': the difference is +1.2 points (95 % interval -2.6 to +5.0; "
            "p = 0.4).",
            "It is better than the best of what was to beat it, 'AlphaNet', by 8 points (95 % interval 4.0 to "
            "12.0; p = 0.001).",
        ],
    ),
    "test images say otherwise": (
        answer(standing(), standing("plain", 0.95, 0.9, BETTER), standing("deep", 0.96, 0.89, BETTER)),
        [
            TAKEN,
            "It is the best of 3 by validation (91.0 %).",
            "On the test images the next by validation, 'plain', is better by 5 points (95 % interval 1.0 to 9.0; p = 0.02). "
            "Validation chose otherwise, and stays with its choice: test images that choose would flatter it.",
            "Test images show 'deep' to be better than it as well; they do not choose, for that would flatter the choice.",
        ],
    ),
    "many are alike": (
        answer(
            standing(),
            *(standing(f"v{number}", 0.888, 0.9 - number / 100, OPEN) for number in range(6)),
            standing("twin", 0.899, 0.8, EQUAL),
            needs=None,
        ),
        [
            TAKEN,
            "It is the best of 8 by validation (91.0 %).",
            "It cannot be told from the next by validation, 'v0': the difference is +1.2 points (95 % interval -2.6 to +5.0; "
            "p = 0.4).",
            "As good as it: 'twin'.",
            "Nor can it be told from 'v1', 'v2', 'v3' and 2 more.",
        ],
    ),
    "equal on validation": (
        answer(standing(), standing("plain", 0.82, 0.91, WORSE)),
        [
            TAKEN,
            "It is the best of 2 by validation (91.0 %), together with 'plain'; of equal ones the one that costs "
            "least is taken.",
            "It is better than the next by validation, 'plain', by 8 points (95 % interval 4.0 to 12.0; p = 0.001).",
        ],
    ),
    "chosen by loss": (
        answer(standing(validation=0.31), standing("plain", 0.82, 0.4, WORSE), chooser="validation_loss"),
        [
            TAKEN,
            "It is the best of 2 by validation loss (0.3100).",
            "It is better than the next by validation, 'plain', by 8 points (95 % interval 4.0 to 12.0; p = 0.001).",
        ],
    ),
    "long tail": (
        answer(standing(), measure="balanced_accuracy", chooser="validation_balanced_accuracy"),
        [
            "Take 'wide': it names 90.0 % of the test images rightly, as a mean over the classes (95 % interval "
            "85.0 to 94.0 %; "
            "3 seeds, 200 test images).",
            "It stood alone: there is nothing to compare it with.",
        ],
    ),
    "one variant alone": (
        answer(standing()),
        [TAKEN, "It stood alone: there is nothing to compare it with."],
    ),
    "one seed": (
        answer(standing(own=estimate(seeds=1, covers="images"))),
        [
            "Take 'wide': it names 90.0 % of the test images rightly (95 % interval 85.0 to 94.0 %; 1 seed, 200 test images).",
            "It stood alone: there is nothing to compare it with.",
            "One seed: how much it varies from training to training is not known.",
        ],
    ),
    "13 test images": (
        answer(standing(own=estimate(9 / 13, 0.42, 0.87, images=13)), test_images=13),
        [
            "Take 'wide': it names 69.2 % of the test images rightly (95 % interval 42.0 to 87.0 %; 3 seeds, 13 test images).",
            "It stood alone: there is nothing to compare it with.",
            "13 test images are few: each of them is 7.7 points.",
        ],
    ),
    "folds": (
        answer(standing(folds=5), standing("plain", 0.82, 0.85, WORSE, folds=5), test_images=200),
        [
            "Take 'wide': it names 90.0 % of the test images rightly (95 % interval 85.0 to 94.0 %; 3 seeds, 200 images, "
            "cross-validated in 5 folds).",
            "It is the best of 2 by validation (91.0 %).",
            "It is better than the next by validation, 'plain', by 8 points (95 % interval 4.0 to 12.0; p = 0.001).",
            "Cross-validated: every image was predicted once, by a network that had not seen it (5 folds). Folds share "
            "training images, for which intervals are wider.",
        ],
    ),
    "folds that do not tell": (
        answer(
            standing(folds=5, evidence=FOLDED),
            standing("plain", 0.888, 0.9, OPEN, folds=5),
            needs_seconds=12.0,
            test_images=200,
        ),
        [
            "Take 'wide': it names 90.0 % of the test images rightly (95 % interval 85.0 to 94.0 %; 3 seeds, 200 images, "
            "cross-validated in 5 folds).",
            OF_TWO,
            "It cannot be told from the next by validation, 'plain': the difference is +1.2 points (95 % "
            "interval -2.6 to +5.0; "
            "p = 0.4).",
            "If 'wide' and 'plain' differ by the 1.2 points seen, about 4 more seeds of folds for both (about 12.0 s) or 300 "
            "more images would tell.",
            "Cross-validated: every image was predicted once, by a network that had not seen it (5 folds). Folds share "
            "training images, for which intervals are wider.",
        ],
    ),
    "one seed of folds": (
        answer(standing(folds=5, own=estimate(seeds=1)), test_images=200),
        [
            "Take 'wide': it names 90.0 % of the test images rightly (95 % interval 85.0 to 94.0 %; 1 seed, 200 images, "
            "cross-validated in 5 folds).",
            "It stood alone: there is nothing to compare it with.",
            "Cross-validated: every image was predicted once, by a network that had not seen it (5 folds). Folds share "
            "training images, for which intervals are wider.",
            "One seed: how much it varies from training to training is not known. Further ones make the intervals of folds "
            "narrower.",
        ],
    ),
    "few images of a class": (
        answer(standing(evidence=FEW_OF_ONE), test_images=200),
        [
            TAKEN,
            "It stood alone: there is nothing to compare it with.",
            "Of one class there are only 4 test images.",
        ],
    ),
    "one test image": (
        answer(standing(own=estimate(1.0, 0.2, 1.0, images=1)), test_images=1),
        [
            "Take 'wide': it names 100 % of the test images rightly (95 % interval 20.0 to 100 %; 3 seeds, 1 test image).",
            "It stood alone: there is nothing to compare it with.",
            "One test image is too few: each of them is 100 points.",
        ],
    ),
    "weak classes, and one without a test image": (
        answer(
            standing(),
            weakest=(ClassAccuracy("shark", 30, 0.4, 0.25, 0.58, "whale"), ClassAccuracy("eel", 1, 0.5, 0.1, 0.9, "")),
            untested=("ray",),
        ),
        [
            TAKEN,
            "It stood alone: there is nothing to compare it with.",
            "It is weakest on 'shark' (40.0 % of 30 images, 25.0 to 58.0 %; mostly taken for 'whale') and 'eel' (50.0 % of 1 "
            "image, 10.0 to 90.0 %).",
            "No test image shows 'ray': what becomes of it is not known.",
        ],
    ),
    "many classes without a test image": (
        answer(standing(), untested=tuple("abcde")),
        [
            TAKEN,
            "It stood alone: there is nothing to compare it with.",
            "No test image shows 'a', 'b', 'c' and 2 more: what becomes of them is not known.",
        ],
    ),
    "all at 100 %": (
        answer(
            standing(own=estimate(1.0, 0.98, 1.0)),
            standing(
                "plain",
                validation=0.9,
                own=estimate(1.0, 0.98, 1.0),
                against=difference(0, 0, 0, "as good as", 1, True),
            ),
        ),
        [
            "Take 'wide': it names 100 % of the test images rightly (95 % interval 98.0 to 100 %; 3 seeds, 200 test images).",
            "Both name every test image rightly: these images cannot tell them apart. It is the best of 2 by validation "
            "(91.0 %).",
            "The next by validation, 'plain', is as good: the difference is 0.0 points (95 % interval 0.0 to 0.0; p = 1), and "
            "less than 1 point counts as none.",
        ],
    ),
    "a run that became NaN": (
        answer(
            standing(problems=("seed 2 diverged (the loss is not a number in epoch 3)",)),
            left_out=(
                candidate("deep", problems=("seeds 0, 1 and 2 diverged (the loss is not a number in epoch 1)",)),
            ),
        ),
        [
            TAKEN,
            "It stood alone: there is nothing to compare it with.",
            "'deep' has no result: seeds 0, 1 and 2 diverged (the loss is not a number in epoch 1).",
            "'wide' is not whole: seed 2 diverged (the loss is not a number in epoch 3).",
        ],
    ),
    "seeds only": (
        answer(
            standing(own=estimate(images=0, covers="seeds"), seeds_only="runs/a has no predictions: run it again."),
            test_images=None,
        ),
        [
            "Take 'wide': it names 90.0 % of the test images rightly (95 % interval 85.0 to 94.0 %; 3 seeds).",
            "It stood alone: there is nothing to compare it with.",
            "Intervals of all cover seeds only, not test images: runs/a has no predictions: run it again.",
        ],
    ),
    "one seed, and images not known": (
        answer(
            standing(own=estimate(0.9, NAN, NAN, 1, 0, "nothing"), seeds_only="runs/a has no predictions"),
            test_images=None,
        ),
        [
            "Take 'wide': it names 90.0 % of the test images rightly (1 seed; no interval can be given).",
            "It stood alone: there is nothing to compare it with.",
            "One seed: how much it varies from training to training is not known.",
            "Intervals of all cover seeds only, not test images: runs/a has no predictions.",
        ],
    ),
    "no validation": (
        answer(standing(validation=NAN), standing("plain", 0.95, NAN), best=None, runner_up=None, chooser=None),
        [
            "Nothing can be recommended: no run has a validation result, and test images that choose would flatter the choice.",
            "The highest of 2 on the test images is 'plain', which names 95.0 % of the test images rightly (95 % interval 85.0 "
            "to 94.0 %; 3 seeds, 200 test images).",
        ],
    ),
    "no validation, one alone": (
        answer(standing(validation=NAN), best=None, runner_up=None, chooser=None),
        [
            "Nothing can be recommended: no run has a validation result, and test images that choose would flatter the choice.",
            "'wide' names 90.0 % of the test images rightly (95 % interval 85.0 to 94.0 %; 3 seeds, 200 test images).",
        ],
    ),
    "validation of one alone": (
        answer(standing(), standing("plain", 0.82, NAN, WORSE), runner_up=None),
        [
            TAKEN,
            "It alone has a validation result; the others cannot be chosen.",
            "Not to be chosen, without a validation result: 'plain'.",
        ],
    ),
    "nothing scored": (
        answer(left_out=(candidate(problems=("seed 0 failed (out of memory)",)), candidate("plain"))),
        [
            "Nothing can be recommended: no run has a test result.",
            "'wide' has no result: seed 0 failed (out of memory).",
            "'plain' has no result: it was not run.",
        ],
    ),
    "two pipelines": (
        answer(standing(), standing("plain", 0.82, 0.8, WORSE, pipeline="stacking")),
        [
            f"Take 'wide' of cifar_resnet: {REACHED}.",
            OF_TWO,
            "It is better than the next by validation, 'plain' of stacking, by 8 points (95 % interval 4.0 to "
            "12.0; p = 0.001).",
        ],
    ),
    "marked, and a part of a network": (
        answer(standing(macs=160.0, costs_without="the network that gives the features", labels=("mock",))),
        [
            TAKEN,
            "It stood alone: there is nothing to compare it with.",
            "A prediction takes 160 operations; without the network that gives the features.",
            "Marked 'mock': all.",
        ],
    ),
    "they share no seed": (
        answer(standing(), standing("plain", 0.82, 0.8, difference(NAN, NAN, NAN, "cannot tell", NAN)), needs=None),
        [
            TAKEN,
            OF_TWO,
            "It cannot be told from the next by validation, 'plain': they share no seed.",
        ],
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_of_an_answer(case):
    given, expected = SAID[case]
    assert answer_sentences(given, 0.95, 0.01) == expected


CORRECTED = (
    "Intervals and p are corrected for seeds that ended by what they show, after up to 10 looks at validation images; tables "
    "and figures over seeds alone are not."
)
UP_TO = Looks(3, 12)


def looked(reason, half, seeds=6, looks=UP_TO, of_images=0.002):
    difference = Difference(
        "wide", "plain", 0.01, 0.01 - half, 0.01 + half, 0.5, seeds, 5000, "cannot tell", None, False
    )
    return Look(looks, seeds, 0.005, 0.01, (difference,), (of_images,), reason)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (
            looked("precise", 0.004),
            "6 of at most 12, and each difference from 'plain' is known well enough; 'wide' is known to 0.4 points either "
            "way, and 0.5 points were asked for.",
        ),
        (
            looked("as good as", 0.008),
            "6 of at most 12, and all are as good as 'plain': differences are less than 1 point.",
        ),
        (
            looked("at most", 0.008, 12),
            "12 of at most 12, and it ends still too wide; 'wide' is known to 0.8 points either way, 0.3 points "
            "more than asked for.",
        ),
        (
            looked("images", 0.02, of_images=0.015),
            "6 of at most 12, and further ones would not do; 'wide' is known to 2 points either way, and 5,000 "
            "validation images alone leave 1.5 points either way, where 0.5 points were asked for.",
        ),
        (
            looked("unfinished", 0.008),
            "6 of at most 12, and runs are missing or have failed, with which the same command goes on; 'wide' is known to 0.8 "
            "points either way.",
        ),
        (
            looked("wide", 0.008),
            "6 of at most 12, and it is not over, and the same command goes on; 'wide' is known to 0.8 points either "
            "way, 0.3 points more than asked for.",
        ),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
def test_why_seeds_ended_is_said_and_that_looks_are_corrected_for(look, expected):
    told = answer_sentences(answer(standing(), standing("plain", 0.82, 0.8, WORSE), looks=(look,)), 0.95, 0.01)
    assert told[-2:] == [
        f"Seeds are added by what validation images say: {expected}",
        CORRECTED,
    ]


def test_one_look_needs_no_correction_and_what_nothing_is_known_of_is_said():
    one = answer_sentences(answer(standing(), looks=(looked("at most", NAN, 3, Looks(3, 3)),)), 0.95, 0.01)[-1]
    assert one.endswith("3 of at most 3, and it ends still too wide; 'wide' has no interval.")
    none = replace(looked("nothing", 0.1), differences=(), of_images=())
    assert "nothing could be compared on them" in answer_sentences(answer(standing(), looks=(none,)), 0.95, 0.01)[-1]


def test_of_many_that_the_time_was_too_short_for_the_first_are_named_and_all_that_failed():
    short = [
        standing(f"v{number}", 0.82, 0.8, WORSE, problems=("seed 2 not run, though others were",))
        for number in range(6)
    ]
    failed = standing("late", 0.82, 0.8, WORSE, problems=("seed 1 diverged (the loss is not a number in epoch 3)",))
    said = answer_sentences(answer(standing(), *short, failed), 0.95, 0.01)
    assert [sentence for sentence in said if "not whole" in sentence] == [
        *(f"'v{number}' is not whole: seed 2 not run, though others were." for number in range(3)),
        "'late' is not whole: seed 1 diverged (the loss is not a number in epoch 3).",
        "3 more are not whole, with seeds not run, though others were: the table says how many each has.",
    ]


def test_networks_that_were_stopped_early_are_named_three_and_counted():
    reason = (
        "seed 0 pruned (stopped early: of 200 images of inner folds it was right about 31.0%, and 'lda' about 74.0%)"
    )
    stopped = tuple(candidate(f"v{number}", problems=(reason,)) for number in range(5))
    said = answer_sentences(answer(standing(), left_out=stopped), 0.95, 0.01)
    assert [sentence for sentence in said if "stopped early" in sentence] == [
        *(f"'v{number}' has no result: {reason}." for number in range(3)),
        "2 more were stopped early, as others were clearly better on validation images.",
    ]


def verdict(*answers, **changes):
    made = Verdict("cells", "Cells", "Which network?", answers, (), (), False, 0.95, 0.01)
    return replace(made, **changes)


def test_several_answers_begin_with_what_they_are_of():
    said = sentences(verdict(answer(standing()), answer(standing(), condition="3 % of the images")))
    assert [one for one in said if "Take" in one] == [
        f"cifar_resnet: {TAKEN}",
        f"cifar_resnet, 3 % of the images: {TAKEN}",
    ]


def test_a_rehearsal_says_so_first_and_wherever_a_sentence_stands_alone():
    rehearsal = verdict(answer(standing()), rehearsal=True)
    assert sentences(rehearsal)[0] == (
        "This is a rehearsal: it shows that everything works, and its numbers answer no question."
    )
    assert headline(rehearsal) == f"Rehearsal: {TAKEN}"
    assert tags(rehearsal)["verdict.rehearsal"] == "yes"
    assert "This is a rehearsal" in markdown(rehearsal)


def test_what_is_missing_and_what_is_doubtful_come_last():
    missing = "stacking has no results yet: 7 of at most 36 runs have ended; `kedro run` goes on from there."
    said = sentences(verdict(answer(standing()), missing=(missing,), findings=("12 images are there twice.",)))
    assert said[-2:] == [f"Missing: {missing}", "Doubtful of the images: 12 images are there twice."]


def test_a_study_with_nothing_to_take_says_so():
    assert sentences(verdict()) == ["Nothing stood beside each other in this study that could be taken."]
    assert headline(verdict()) == ""
    assert "Nothing stood beside each other" in markdown(verdict())


def test_the_table_says_how_many_test_images_and_seeds_stand_behind_each_value():
    given = answer(
        standing(macs=9e6, folds=5),
        standing("plain", 0.82, 0.8, WORSE, own=estimate(0.82, 0.7, 0.9, 2, 0, "seeds"), is_baseline=True),
    )
    first, second = table(given, 0.95).rows
    assert first == {
        "Variant": "wide [chosen]",
        "Validation": "91.0 %",
        "Test accuracy": "90.0 %",
        "95 % interval": "85.0 to 94.0 %",
        "Minus chosen (points)": "–",
        "Says": "",
        "Test images": "200",
        "Seeds": "3",
        "Folds": "5",
        "Training a seed": "–",
        "Operations": "9.00 M",
    }
    assert (second["Variant"], second["Test images"], second["Seeds"], second["Folds"]) == (
        "plain [baseline]",
        "–",
        "2",
        "–",
    )
    assert (second["Minus chosen (points)"], second["Says"]) == ("-8.0", "worse")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.9, "90.0 %"), (1.0, "100 %"), (0.0, "0 %"), (0.99996, "99.996 %"), (0.00004, "0.004 %")]
)
def test_no_share_reads_as_all_or_none_that_is_not(value, shown):
    assert table(answer(standing(own=estimate(value))), 0.95).rows[0]["Test accuracy"] == shown


@pytest.mark.parametrize(
    ("cheap", "part"),
    [(8.0, "80 %"), (5.0, "half"), (3.3, "a third"), (1.1, "a ninth"), (1.0, "a tenth"), (0.4, "1/25")],
)
def test_a_part_of_the_cost_has_its_word(cheap, part):
    less = standing("small", 0.9, 0.9, EQUAL, macs=cheap)
    expected = f"as good as the best, with {part} of the operations for a prediction"
    if cheap == 8.0:
        less = replace(less, candidate=replace(less.candidate, macs=7.9))
        expected = expected.replace("80 %", "79 %")
    said = answer_sentences(answer(standing(macs=10.0), less, cheapest=less), 0.95, 0.01)
    assert expected in said[0]


def test_all_of_it_is_json_without_evidence_or_what_is_no_number():
    import json

    given = verdict(answer(standing(), standing("plain", 0.82, 0.8, WORSE)), rehearsal=True)
    content = json.loads(json.dumps(to_json(given), allow_nan=False))
    [own] = content["answers"]
    assert (content["version"], content["study"], content["rehearsal"]) == (1, "cells", True)
    assert content["sentences"] == sentences(given)
    assert (own["take"], own["sentences"]) == ("wide", answer_sentences(given.answers[0], 0.95, 0.01))
    assert own["best"]["candidate"]["macs"] is None
    assert "evidence" not in own["best"]["candidate"]
    assert own["runner_up"]["difference"]["says"] == "worse"


def test_the_table_of_a_terminal_is_narrower():
    long = "resnet9 alone, 1"
    given = answer(standing(long), standing(f"{long}2", 0.82, 0.8, WORSE, pipeline="stacking", is_baseline=True))
    shown = brief_table(given, 0.95)
    assert max(map(len, shown.terminal().splitlines())) <= 130
    assert shown.headings == [
        *("Pipeline", "Variant", "Validation", "Test accuracy", "95 % interval", "Against chosen", "Images", "Seeds")
    ]
    assert [row["Against chosen"] for row in shown.rows] == ["–", "-8.0 worse"]


def test_trackers_are_told_what_to_take_and_what_stands_behind_it():
    assert tags(verdict(answer(standing()))) == {
        "verdict": TAKEN,
        "verdict.take": "wide",
        "verdict.value": "0.9000",
        "verdict.interval": "85.0 to 94.0 %",
        "verdict.seeds": "3",
        "verdict.test_images": "200",
    }


def test_names_stay_as_they_are_in_a_study_card():
    card = markdown(verdict(answer(standing("a*b_c")), title="<b>Cells</b>", question="Which | one?"))
    assert "# \\<b\\>Cells\\</b\\>" in card
    assert "Take 'a\\*b_c'" in card
    assert "Which \\| one?" in card


def test_evidence_of_the_builders_is_valid():
    assert np.isfinite(candidate().evidence.values).all()
